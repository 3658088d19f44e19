"""What other systems lack or do otherwise, simulated: nothing of the main path needs Linux."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

import psutil
import pytest
from click.testing import CliRunner
from llm.cli import cli

from llm_rlm.cli.running import ended_by_sigterm
from llm_rlm.confining import kernel, process
from llm_rlm.journal import owner
from llm_rlm.sandbox import client, unpacked, window
from llm_rlm.sandbox.window import Window
from scripts import run, submit

if TYPE_CHECKING:
    from conftest import Serve

_LACKING = ("resource", "fcntl", "pwd", "grp", "termios")


def _asked() -> tuple[int, str]:
    """A run that calls a sub-model, by the command."""
    result = CliRunner().invoke(cli, ["rlm", "?", "-m", "chat", "-q"], input="a text")
    return result.exit_code, result.stdout


def test_no_command_imports_what_only_unix_has() -> None:
    code = f"import sys\nsys.modules.update(dict.fromkeys({_LACKING!r}))\nimport llm_rlm, llm_rlm.cli, llm_rlm.doctor\n"
    code += "import llm_rlm.report.page, llm_rlm.sandbox.session, llm_rlm.runs.asking, llm_rlm.testing\n"
    code += "from llm_rlm.context.converting import convert\nfrom llm_rlm.context.tables import tables\n"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)  # noqa: S603 - our own code
    assert (done.returncode, done.stderr) == (0, "")


def test_a_command_in_another_thread_than_the_first_runs_without_handlers(serve: Serve) -> None:
    serve(run("print(await llm_query('x'))"), submit("done"))
    ended: list[tuple[int, str]] = []
    thread = threading.Thread(target=lambda: ended.append(_asked()))
    thread.start()
    thread.join(60)
    assert ended == [(0, "done\n")]
    with ended_by_sigterm():
        pass


def test_a_run_needs_no_folder_in_memory(serve: Serve, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(window, "_IN_MEMORY", str(tmp_path / "none"))
    serve(run("print(grep('text'), await llm_query('x'))"), submit("done"))
    assert _asked() == (0, "done\n")


def test_a_name_that_cannot_be_removed_while_it_is_open_is_removed_at_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    real = Path.unlink
    opened = Window()

    def refuse(self: Path, **_: bool) -> NoReturn:
        raise PermissionError(13, "The process cannot access the file", str(self))

    monkeypatch.setattr(Path, "unlink", refuse)
    opened.unlink()
    assert Path(opened.path).exists()
    monkeypatch.setattr(Path, "unlink", real)
    opened.close()
    assert not Path(opened.path).exists()


@pytest.mark.parametrize("problem", [psutil.NoSuchProcess(1), psutil.AccessDenied(1), psutil.ZombieProcess(1)])
def test_where_the_system_tells_no_processor_time_none_is_counted(monkeypatch: pytest.MonkeyPatch, problem: Exception) -> None:
    def refuse(_: int) -> NoReturn:
        raise problem

    monkeypatch.setattr(psutil, "Process", refuse)
    worker = client.Worker.__new__(client.Worker)
    worker._process = subprocess.Popen([sys.executable, "-c", ""])
    worker._process.wait()
    assert worker.cpu_seconds() == 0.0


def test_a_pipe_that_is_said_to_have_room_and_has_less_is_written_to_again(monkeypatch: pytest.MonkeyPatch) -> None:
    reading, writing = os.pipe()
    real = os.write
    refused: list[int] = []

    def write(number: int, data: bytes) -> int:
        if number == writing and not refused:
            refused.append(len(data))
            raise BlockingIOError
        return real(number, data)

    monkeypatch.setattr(os, "write", write)
    with os.fdopen(writing, "wb", buffering=0) as pipe, os.fdopen(reading, "rb") as other:
        client._write(pipe, b"a frame")
        assert (refused, other.read(7)) == ([7], b"a frame")


@pytest.mark.parametrize("system", ["win32", "darwin"])
def test_elsewhere_there_is_no_kernel_to_ask_and_the_limits_are_what_the_system_has(
    monkeypatch: pytest.MonkeyPatch, system: str
) -> None:
    monkeypatch.setattr(sys, "platform", system)
    if system == "win32":
        monkeypatch.setitem(sys.modules, "resource", None)
        monkeypatch.delattr(os, "getuid")
        process.limit((("RLIMIT_CORE", 0),))
    assert kernel.kernel() == "Linux only"
    assert unpacked._is_ours(unpacked._home())
    assert all(path.is_absolute() for path in unpacked._places())


@pytest.mark.parametrize(
    "name", ["", "host", "a:b:c", "::", f"{'9' * 40}:{'9' * 40}:1.0", "h:1:nan:x", "h:-1:1.0:x", "\x00:1:1.0"]
)
def test_a_process_of_a_name_that_none_has_is_not_alive(name: str) -> None:
    assert not owner.is_alive(name)
