"""However the command ends, with all its processes at work: none of them outlives it, and none is left unwaited for."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
from typing import TYPE_CHECKING

import psutil
import pytest

from llm_rlm.testing import Reply, Request, say
from scripts import run, submit, until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from conftest import Serve

    type Command = subprocess.Popen[str]

pytest.importorskip("duckdb")
pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="sends signals")

CELL = "print(sql('SELECT count(*) FROM people'))\nawait rlm_query('of the child', context='x')"
CHILD = run("await llm_query('wait')")


class Busy:
    """The command with a child run, a spare worker and a process of DuckDB, at a call that is not answered yet."""

    def __init__(self, serve: Serve, folder: Path, last: Reply) -> None:
        self.answering = threading.Event()
        """When the call may be answered."""
        self.models = serve(run(CELL), CHILD, last, sub=self._answer)
        table = folder / "people.csv"
        table.write_text("name,age\na,1\nb,2\n")
        command = [sys.executable, "-m", "llm", "rlm", "?", "-c", str(table), "-m", "chat"]
        self.command: Command = subprocess.Popen(  # noqa: S603 - the command itself
            command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        assert until(lambda: len(self.models.sub_requests) > 0, 60)
        assert until(lambda: len(self._started("sandbox.worker")) >= 3, 30)
        self.processes = self._started("")
        assert self._started("confined_process")

    def end(self) -> int:
        """Wait for the command."""
        self.answering.set()
        self.command.communicate(timeout=60)
        return self.command.returncode

    def said(self, text: str) -> None:
        """Wait until the command says it."""
        assert self.command.stderr is not None
        while text not in (line := self.command.stderr.readline()):
            assert line, f"it ended before it said {text!r}"

    def _answer(self, _: Request) -> Reply:
        self.answering.wait(60)
        return say("an answer")

    def _started(self, what: str) -> list[psutil.Process]:
        children = psutil.Process(self.command.pid).children(recursive=True)
        return [each for each in children if what in " ".join(each.cmdline())]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "given").mkdir()
    return tmp_path / "given"


@pytest.fixture
def left(temporary: Path) -> Iterator[Path]:
    """The folder for temporary files, in which nothing is left in the end."""
    yield temporary
    assert list(temporary.iterdir()) == []


@pytest.mark.usefixtures("left")
@pytest.mark.parametrize(
    ("last", "code"), [(submit("done"), 0), (Reply(status=401, text="no such key"), 1)], ids=["return", "error"]
)
def test_a_command_that_ends_by_itself_leaves_no_process(serve: Serve, folder: Path, last: Reply, code: int) -> None:
    busy = Busy(serve, folder, last)
    assert busy.end() == code
    assert [each for each in busy.processes if each.is_running()] == []


@pytest.mark.usefixtures("left")
def test_a_command_that_is_aborted_leaves_no_process(serve: Serve, folder: Path) -> None:
    busy = Busy(serve, folder, Reply(fault="stall"))
    busy.command.send_signal(signal.SIGINT)
    busy.said("Stopping")
    busy.command.send_signal(signal.SIGINT)
    assert busy.end() == 130
    assert [each for each in busy.processes if each.is_running()] == []


@pytest.mark.usefixtures("left")
def test_a_command_that_is_terminated_leaves_no_process(serve: Serve, folder: Path) -> None:
    busy = Busy(serve, folder, submit("done"))
    busy.command.terminate()
    assert busy.end() == 143
    assert [each for each in busy.processes if each.is_running()] == []


def test_a_command_that_is_killed_leaves_no_process_and_no_folder_of_one(serve: Serve, folder: Path, temporary: Path) -> None:
    busy = Busy(serve, folder, submit("done"))
    busy.command.kill()
    assert busy.end() == -signal.SIGKILL
    # Whose parent is gone is waited for by the system, sooner or later.
    assert until(lambda: all(not each.is_running() or each.status() == psutil.STATUS_ZOMBIE for each in busy.processes))
    assert until(lambda: not [*temporary.glob("llm-rlm-held-worker-*"), *temporary.glob("llm-rlm-held-confined-*")])
    # The host's own, which a later one removes: texts made for the run, and the file of the worker that was kept ready.
    assert {path.name.rpartition("-")[0] for path in temporary.iterdir()} <= {"llm-rlm-held-texts", "llm-rlm-held-spare"}
