from __future__ import annotations

import errno
import json
import os
import socket
import subprocess
import sys
import threading
import time
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

import psutil
import pytest

from llm_rlm.confining import landlock
from llm_rlm.confining.kernel import kernel
from llm_rlm.context.confined import Bounds, Confined, ConfinedError

if TYPE_CHECKING:
    from collections.abc import Iterator

GUEST = f"{__package__}.confined_guest"
on_linux = pytest.mark.skipif(sys.platform != "linux", reason="this system does not have the limit or the /proc it is seen by")
on_posix = pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such limit or signal")

confinable = pytest.mark.skipif(
    isinstance(system := kernel(), str) or isinstance(landlock.version(system), str), reason="the kernel confines nothing"
)


@pytest.fixture
def confined() -> Iterator[Confined]:
    with Confined(GUEST, Bounds(memory=1 << 29, seconds=20, cpu_seconds=10, written=4 << 20)) as process:
        yield process


def still_serves(confined: Confined) -> bool:
    return confined.ask({"do": "echo", "x": 1}) == {"do": "echo", "x": 1}


def test_a_request_has_its_reply(confined: Confined) -> None:
    assert confined.ask({"do": "echo", "text": "é\udcff\n", "list": [1, None]}) == {
        "do": "echo",
        "text": "é\udcff\n",
        "list": [1, None],
    }


def test_one_process_serves_until_it_breaks(confined: Confined) -> None:
    first = confined.ask({"do": "where"})["pid"]
    assert confined.ask({"do": "where"})["pid"] == first
    with pytest.raises(ConfinedError):
        confined.ask({"do": "abort"})
    assert confined.ask({"do": "where"})["pid"] != first


def test_the_environment_is_a_private_empty_folder_that_goes_with_the_process(
    confined: Confined, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SOME_KEY", "secret")
    where = confined.ask({"do": "where"})
    assert where["files"] == []
    environment = where["environment"]
    assert isinstance(environment, dict)
    folder = Path(str(where["folder"]))
    environment.pop("SYSTEMROOT", None)
    kept = {name: value for name, value in environment.items() if not name.startswith(("LC_", "__CF"))}  # the interpreter's own
    assert (kept.pop("ORT_DISABLE_TELEMETRY"), kept.pop("OPENBLAS_NUM_THREADS")) == ("1", "1")
    assert {os.path.realpath(value) for value in kept.values()} == {os.path.realpath(folder)}
    confined.close()
    assert not folder.exists()


def test_what_hangs_is_killed_at_its_time(confined: Confined) -> None:
    begin = time.monotonic()
    with pytest.raises(ConfinedError, match=r"^took longer than 0\.5 s$"):
        confined.ask({"do": "sleep"}, seconds=0.5)
    assert time.monotonic() - begin < 5
    assert still_serves(confined)


@on_posix
def test_processor_time_is_limited_for_each_request() -> None:
    with Confined(GUEST, Bounds(seconds=60, cpu_seconds=0.1)) as confined:
        for _ in range(2):
            with pytest.raises(ConfinedError, match=r"^took longer than 0\.1 s of processor time$"):
                confined.ask({"do": "spin"})
            assert still_serves(confined)


def test_what_is_cancelled_is_killed(confined: Confined) -> None:
    confined.ask({"do": "echo"})
    begin = time.monotonic()
    with pytest.raises(ConfinedError, match=r"^was cancelled$"):
        confined.ask({"do": "sleep"}, cancelled=lambda: time.monotonic() > begin + 0.2)
    assert time.monotonic() - begin < 2


@on_linux
def test_memory_is_limited(confined: Confined) -> None:
    with pytest.raises(ConfinedError, match=r"^ran out of memory$"):
        confined.ask({"do": "memory"})
    assert still_serves(confined)


@on_posix
def test_a_file_it_writes_is_limited(confined: Confined) -> None:
    confined.ask({"do": "write", "megabytes": 3})
    with pytest.raises(ConfinedError, match=r"^crashed$") as failure:
        confined.ask({"do": "write", "megabytes": 5})
    assert "File too large" in failure.value.detail


def test_a_crash_is_told(confined: Confined) -> None:
    with pytest.raises(ConfinedError, match=r"^crashed$"):
        confined.ask({"do": "abort"})
    assert still_serves(confined)


def test_an_error_of_the_code_is_a_crash_with_its_traceback_as_detail(confined: Confined) -> None:
    with pytest.raises(ConfinedError, match=r"^crashed$") as failure:
        confined.ask({"do": "error"})
    assert "ValueError: a detail" in failure.value.detail
    assert still_serves(confined)


def test_a_module_that_is_not_there_is_told() -> None:
    with Confined("llm_rlm.no_such_module", Bounds()) as confined:
        for _ in range(2):
            with pytest.raises(ConfinedError, match=r"^crashed$") as failure:
                confined.ask({})
            assert "no_such_module" in failure.value.detail


def test_what_is_printed_is_no_reply(confined: Confined) -> None:
    assert confined.ask({"do": "print"}) == {"fine": True}


@pytest.mark.parametrize("do", ["large", "many"])
def test_a_reply_that_is_too_large_is_refused(do: str) -> None:
    with Confined(GUEST, Bounds(memory=2 << 30, seconds=60)) as confined:
        with pytest.raises(ConfinedError, match=r"^gave "):
            confined.ask({"do": do})
        assert still_serves(confined)


@on_linux
@pytest.mark.parametrize("text", ["no JSON\n", "[]\n", '{"x": NaN}\n', "[" * 100_000 + "\n", "\xff\n", "\n"])
def test_a_reply_that_is_no_json_object_is_refused(confined: Confined, text: str) -> None:
    with pytest.raises(ConfinedError, match=r"^gave a broken reply$"):
        confined.ask({"do": "raw", "text": text})
    assert still_serves(confined)


@on_linux
def test_output_without_end_is_cut_off(confined: Confined) -> None:
    with pytest.raises(ConfinedError, match=r"^gave too much$"):
        confined.ask({"do": "endless"})
    assert still_serves(confined)


@on_linux
def test_processes_that_it_starts_are_killed_with_it(confined: Confined, tmp_path: Path) -> None:
    tell = tmp_path / "pid"
    with pytest.raises(ConfinedError, match="took longer"):
        confined.ask({"do": "fork", "tell": str(tell)}, seconds=2)
    child = int(tell.read_text())
    end = time.monotonic() + 5
    while psutil.pid_exists(child) and psutil.Process(child).status() != psutil.STATUS_ZOMBIE and time.monotonic() < end:
        time.sleep(0.01)
    assert not psutil.pid_exists(child) or psutil.Process(child).status() == psutil.STATUS_ZOMBIE


@on_posix
def test_python_code_in_it_reaches_no_network_and_starts_no_program(confined: Confined) -> None:
    with closing(socket.create_server(("127.0.0.1", 0))) as server:
        reply = confined.ask({"do": "connect", "port": server.getsockname()[1]})
    assert reply["refused"] == reply["tried"]


def test_a_request_larger_than_the_pipe_to_one_that_does_not_read_it_ends_in_time() -> None:
    with Confined("time", Bounds(seconds=5)) as confined, pytest.raises(ConfinedError):
        confined.ask({"text": "x" * (8 << 20)})


def test_closing_ends_a_request_under_way_and_nothing_starts_again(confined: Confined) -> None:
    confined.ask({"do": "echo"})
    timer = threading.Timer(0.2, confined.close)
    timer.start()
    with pytest.raises(ConfinedError, match=r"^was closed$"):
        confined.ask({"do": "sleep"})
    timer.join()
    with pytest.raises(ConfinedError, match=r"^was closed$"):
        confined.ask({"do": "echo"})


@on_posix
def test_it_ends_when_the_host_is_killed_and_removes_its_folder() -> None:
    host = (
        "import json, sys; from llm_rlm.context.confined import Bounds, Confined;"
        f" confined = Confined({GUEST!r}, Bounds()); print(json.dumps(confined.ask({{'do': 'where'}})), flush=True);"
        " confined.ask({'do': 'sleep'})"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    with subprocess.Popen([sys.executable, "-c", host], stdout=subprocess.PIPE, env=environment) as process:  # noqa: S603 - our own code
        assert process.stdout is not None
        where = json.loads(process.stdout.readline())
        process.kill()
    end = time.monotonic() + 10
    while (psutil.pid_exists(where["pid"]) or Path(where["folder"]).exists()) and time.monotonic() < end:
        time.sleep(0.02)
    assert not psutil.pid_exists(where["pid"]) or psutil.Process(where["pid"]).status() == psutil.STATUS_ZOMBIE
    assert not Path(where["folder"]).exists()


@confinable
def test_native_code_in_it_reaches_no_network_starts_nothing_and_writes_in_its_own_folder_alone(
    confined: Confined, tmp_path: Path
) -> None:
    path = tmp_path / "new.txt"
    done = confined.ask({"do": "natively", "path": str(path)})
    refused = {"socket": errno.EPERM, "fork": errno.EPERM, "program": errno.EPERM, "write": errno.EACCES, "own": 0}
    assert done == refused
    assert not path.exists()


@confinable
def test_it_writes_in_the_folder_that_its_module_names(confined: Confined, tmp_path: Path) -> None:
    done = confined.ask({"do": "natively", "path": str(tmp_path / "new.txt"), "folder": str(tmp_path)})
    assert done["write"] == 0
