from __future__ import annotations

import json
import socket
import subprocess
import sys
from contextlib import closing
from typing import TYPE_CHECKING

import pytest

from llm_rlm.confining import landlock, process
from llm_rlm.confining.kernel import kernel
from llm_rlm.errors import SandboxError
from llm_rlm.sandbox import errand, frames, hardening, unpacked, worker

from . import breakout

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from .conftest import Make

system = kernel()
abi = landlock.version(system) if not isinstance(system, str) else system
confinable = pytest.mark.skipif(isinstance(abi, str), reason=f"the kernel confines nothing: {abi}")


type Escape = Callable[..., dict[str, str]]


@pytest.fixture
def escape(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Escape:
    """What a worker that was taken over can do."""
    canary, context = tmp_path / "canary.txt", tmp_path / "context.txt"
    canary.write_text("a secret")
    context.write_text("the input")
    folder = unpacked.folder(lambda variables: errand.run("unpack", variables))

    def attempts(main: str, only: Sequence[str] = ()) -> dict[str, str]:
        start = errand._MAIN.partition("from llm_rlm")[0]
        monkeypatch.setattr(errand, "_MAIN", f"{start}from {breakout.__name__} import {main} as main; main()")
        with closing(socket.create_server(("127.0.0.1", 0))) as server:
            port = server.getsockname()[1]
            targets = {"canary": str(canary), "context": str(context), "port": port, "only": only}
            return taken_over(str(context), targets, unpacked.environment(folder))

    return attempts


def taken_over(context: str, targets: dict[str, object], variables: dict[str, str]) -> dict[str, str]:
    setup = {"do": "run", "volumes": [(context, "/c")], "memory": 1 << 30, "code": "await _next()", "targets": targets}
    pipe = subprocess.PIPE
    with subprocess.Popen(errand.command(), stdin=pipe, stdout=pipe, env=errand.environment(variables)) as worker:  # noqa: S603 - ours
        assert worker.stdin is not None
        assert worker.stdout is not None
        worker.stdin.write(frames.to_worker(json.dumps(setup).encode()))
        worker.stdin.flush()
        read = frames.read_from_worker(worker.stdout)  # type: ignore[arg-type]
        worker.stdin.close()
    assert read is not None
    assert read[0] == frames.GUEST, read[1]
    tried: dict[str, str] = json.loads(read[1])
    return tried


@confinable
def test_a_worker_that_was_taken_over_reads_its_context_and_nothing_else_and_writes_connects_and_starts_nothing(
    escape: Escape, tmp_path: Path
) -> None:
    done = escape("main")
    assert done.pop("read the context") == "done"
    if isinstance(abi, int) and abi < 6:
        del done["signal its host"]
    assert len(done) >= 16
    assert {what: how for what, how in done.items() if how not in {"EACCES", "EPERM"}} == {}
    assert sorted(path.name for path in tmp_path.glob("*.txt")) == ["canary.txt", "context.txt"]


def test_a_worker_that_gave_up_nothing_could_do_it(escape: Escape) -> None:
    harmless = ("read a canary", "list the root", "write a new file", "connect", "a local socket", "signal its host")
    assert escape("unconfined", harmless) == dict.fromkeys(harmless, "done")


@confinable
def test_a_worker_says_what_holds_of_it() -> None:
    found = {measure.name: measure for measure in hardening.status()}
    assert set(found) == {process.PRIVILEGES, process.FILES, process.CALLS, process.LIMITS}
    assert all(measure.on for measure in found.values())
    assert f"ABI {abi}" in found[process.FILES].why


def test_a_worker_on_another_system_says_that_it_has_none_and_why(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(errand, "_MAIN", "import sys; sys.platform = 'darwin'; " + errand._MAIN)
    found = {measure.name: measure for measure in hardening.status()}
    for name in (process.PRIVILEGES, process.FILES, process.CALLS):
        assert (found[name].on, found[name].why) == (False, "Linux only")


@pytest.mark.skipif(sys.platform != "linux", reason="asks the kernel of Linux")
def test_a_worker_on_a_kernel_without_landlock_has_the_rest_and_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    blind = "from llm_rlm.confining import landlock; landlock.version = lambda _: 'the kernel has no Landlock'; "
    start, _, rest = errand._MAIN.partition("from llm_rlm")
    monkeypatch.setattr(errand, "_MAIN", f"{start}{blind}from llm_rlm{rest}")
    found = {measure.name: measure for measure in hardening.status()}
    assert (found[process.FILES].on, found[process.FILES].why) == (False, "the kernel has no Landlock")
    assert found[process.CALLS].on


def test_a_worker_that_does_not_answer_is_an_error_with_its_last_words(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(errand, "_MAIN", "raise SystemExit('no luck')")
    with pytest.raises(SandboxError, match=r"^the sandbox's process could not measure: no luck$"):
        hardening.status()


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such limits")
def test_a_worker_has_its_limits(monkeypatch: pytest.MonkeyPatch) -> None:
    limits = "[resource.getrlimit(getattr(resource, each))[0] for each in ('RLIMIT_CORE', 'RLIMIT_FSIZE', 'RLIMIT_NOFILE')]"
    told = f"import os, resource; end = os._exit; os._exit = lambda code: (os.write(2, str({limits}).encode()), end(code)); "
    monkeypatch.setattr(errand, "_MAIN", told + errand._MAIN)
    done = subprocess.run(  # noqa: S603 - our own interpreter and code
        errand.command(), input=frames.to_worker(b'{"do": "measure"}'), capture_output=True, env={}, timeout=60, check=False
    )
    core, size, files = json.loads(done.stderr)
    wanted = dict(worker._LIMITS)
    assert core == 0
    assert size <= wanted["RLIMIT_FSIZE"]
    assert files <= wanted["RLIMIT_NOFILE"]


@pytest.mark.parametrize("platform", ["darwin", "win32"])
def test_a_worker_runs_cells_on_a_system_that_has_none_of_it(
    platform: str, make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(errand, "_MAIN", f"import sys; sys.platform = {platform!r}; {errand._MAIN}")
    assert make().run("import math\nawait llm_query(f'{math.pi:.2f}')").output == "'re: 3.14'\n"


@pytest.mark.skipif(sys.platform != "linux", reason="asks the kernel of Linux")
@pytest.mark.parametrize("module", ["landlock.version", "seccomp.refuse", "process.give_up_privileges"])
def test_a_worker_runs_cells_on_a_kernel_that_refuses(module: str, make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    start, _, rest = errand._MAIN.partition("from llm_rlm")
    blind = f"from llm_rlm.confining import landlock, process, seccomp; {module} = lambda _: 'no'; "
    monkeypatch.setattr(errand, "_MAIN", f"{start}{blind}from llm_rlm{rest}")
    assert make().run("6 * 7").output == "42\n"
