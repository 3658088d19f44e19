"""Whether a session that goes on for long stays the size it was: memory, descriptors, threads, processes, temporary files.

    uv run python benchmarks/soak.py                                        # 10,000 cells, 500 restarts, 50,000 calls
    uv run python benchmarks/soak.py --cells 200 --restarts 10 --calls 500

One session of `RLMToolbox`, from outside. Its worker is killed as often as asked for: a fifth of that between two cells, each
time after one more cell, the rest while a cell runs, which is lost. Each restart runs all finished cells again. The calls come
from the cells after. Prints a line at each checkpoint, stops by itself, and exits with 1 if something did not hold. Everything
is on loopback, the model is scripted.
"""

import argparse
import gc
import os
import signal
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import astuple, dataclass, fields
from pathlib import Path

import psutil
from endurance import MEGABYTE, SUB, Report, server_apart

from llm_rlm import RLMToolbox

CHECKPOINTS = 10
LOST = "The sandbox was ended: "
UNDER_WAY = 0.15
"""Seconds after which a cell is taken to run."""
CALLS_WHILE_KILLED = 10
"""One cell in so many makes a call while workers are killed: it is asked again, and answered from the journal, each time."""


@dataclass(frozen=True)
class Sample:
    """What the session takes; memory in MB, of the worker without pages it shares."""

    cells: int
    restarts: int
    calls: int
    seconds: int
    host: float
    worker: float
    connections: int
    """To the server: kept open for the next call, up to one for each call at a time."""
    descriptors: int
    """All others."""
    threads: int
    processes: int
    files: int


@dataclass(frozen=True)
class Plan:
    """How much to do."""

    cells: int
    restarts: int
    calls: int

    @property
    def killed_between(self) -> int:
        """How many of the first cells are followed by a kill."""
        return -(-self.restarts // 5)

    def of(self, cell: int) -> range:
        """The numbers of the calls that a cell makes, the first being 1."""
        if cell <= self.killed_between:
            return range(cell // CALLS_WHILE_KILLED, cell // CALLS_WHILE_KILLED + (cell % CALLS_WHILE_KILLED == 0))
        before = self.killed_between // CALLS_WHILE_KILLED + 1
        share = (self.calls + 1 - before) / (self.cells - self.killed_between)
        start, end = (before + round(share * (cell - self.killed_between - back)) for back in (1, 0))
        return range(start, end)


class Soak:
    """A session, and what it has done."""

    def __init__(self, plan: Plan, folder: Path) -> None:
        self._plan, self._folder = plan, folder
        self._began = time.monotonic()
        self._host = psutil.Process()
        self._strangers = {each.pid for each in self._host.children(recursive=True)}
        self._restarts = self._calls = 0
        self.samples: list[Sample] = []

    def run(self) -> int:
        """All of it. How many calls were answered right, as the session itself has counted them."""
        every = max(1, self._plan.cells // CHECKPOINTS)
        with RLMToolbox(context="a line\n" * 1000, sub_model=SUB, max_calls=None) as toolbox:
            toolbox.execute_python("right = 0")
            for cell in range(1, self._plan.cells + 1):
                calls = self._plan.of(cell)
                code = _code(cell, calls)
                # A worker whose end is not noticed yet is given a cell, which is then said to be lost.
                while LOST in toolbox.execute_python(code):
                    continue
                self._calls += len(calls)
                if cell <= self._plan.killed_between:
                    self._kill()
                if cell == self._plan.killed_between:
                    toolbox.execute_python("1")  # brings the worker back
                    for _ in range(self._plan.restarts - cell):
                        self._lose_a_cell(toolbox)
                    self._look(cell)
                if cell % every == 0:
                    self._look(cell)
            right = int(toolbox.execute_python("right"))
        self._look(self._plan.cells)
        return right

    def left(self) -> list[str]:
        """Processes that are still there, dead ones too, and files."""
        return [repr(each) for each in self._children()] + [str(path) for path in self._files()]

    def _kill(self) -> None:
        for worker in self._children():
            os.kill(worker.pid, signal.SIGKILL)
            self._restarts += 1

    def _lose_a_cell(self, toolbox: RLMToolbox) -> None:
        killer = threading.Timer(UNDER_WAY, self._kill)
        killer.start()
        toolbox.execute_python("import time\ntime.sleep(5)")
        killer.join()

    def _look(self, cell: int) -> None:
        gc.collect()
        children = list(self._children())
        worker = sum(each.memory_info().rss for each in children if each.status() != psutil.STATUS_ZOMBIE)
        connections = len(self._host.net_connections("tcp"))
        self.samples.append(
            Sample(
                cell,
                self._restarts,
                self._calls,
                round(time.monotonic() - self._began),
                round(self._host.memory_info().rss / MEGABYTE, 1),
                round(worker / MEGABYTE, 1),
                connections,
                self._host.num_fds() - connections,
                self._host.num_threads(),
                len(children),
                len(list(self._files())),
            )
        )
        print(_row(astuple(self.samples[-1])), flush=True)

    def _children(self) -> Iterator[psutil.Process]:
        yield from (each for each in self._host.children(recursive=True) if each.pid not in self._strangers)

    def _files(self) -> Iterator[Path]:
        yield from self._folder.rglob("*")
        # The windows of other sessions on this machine are none of ours.
        ours = {each.path for each in self._host.open_files()}
        yield from (path for path in Path("/dev/shm").glob("llm-rlm-*") if str(path) in ours)


def _code(cell: int, calls: range) -> str:
    """Text work, a variable that is replaced, and calls whose answers are looked at."""
    work = f"lines = context.splitlines()\nkept = [len(line) for line in lines[:{cell % 100}]]\nprint(sum(kept))"
    if not calls:
        return work
    asked = f'(await llm_batch([f"p {{i}}" for i in range({calls.start}, {calls.stop})]))["responses"]'
    return f'{work}\nright += sum(r == f"answer to p {{i}}" for i, r in enumerate({asked}, {calls.start}))'


def _row(values: Sequence[object]) -> str:
    return "| " + " | ".join(str(value) for value in values) + " |"


def soak(folder: Path, plan: Plan) -> Report:
    """Do it, and say what grew that should not have."""
    report = Report(f"{plan.cells:,} cells, {plan.restarts:,} restarts, {plan.calls:,} calls in one session")
    temporary = folder / "temporary"
    temporary.mkdir()
    before, tempfile.tempdir = tempfile.tempdir, str(temporary)
    try:
        with server_apart("quick", folder, ENDURANCE_CALLS="1"):
            session = Soak(plan, temporary)
            print(_row([field.name for field in fields(Sample)]))
            print(_row(["---:"] * len(fields(Sample))))
            right = session.run()
            left = session.left()
    finally:
        tempfile.tempdir = before
    report.check(right == plan.calls, f"{right:,} right answers")
    report.check(session.samples[-1].restarts == plan.restarts, f"{session.samples[-1].restarts} restarts")
    report.check(not left, f"left behind: {left}")
    early, late = session.samples[1], session.samples[-2]
    for name, most in {"descriptors": 4, "threads": 4, "processes": 0, "files": 0, "host": 30, "worker": 30}.items():
        grown = getattr(late, name) - getattr(early, name)
        report.check(grown <= most, f"{name}: {grown:g} more at the end than after {early.cells:,} cells")
    return report


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cells", type=int, default=10_000)
    parser.add_argument("--restarts", type=int, default=500)
    parser.add_argument("--calls", type=int, default=50_000)
    given = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory(prefix="soak-") as name:
        os.environ |= {"LLM_USER_PATH": name, "SSL_CERT_DIR": name}  # reading certificates takes long, and none is needed
        report = soak(Path(name), Plan(given.cells, given.restarts, given.calls))
    report.show()
    return 1 if report.broken else 0


if __name__ == "__main__":
    sys.exit(main())
