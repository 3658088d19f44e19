"""A run that breaks off anywhere and is resumed ends as one that does not, and asks the same in all."""

from __future__ import annotations

import json
import os
import threading
from collections import Counter
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from llm_rlm import RLM
from llm_rlm.journal import Journal, commits
from llm_rlm.testing import Reply, ScriptedModel
from llm_rlm.testing.models import tool_outputs
from scripts import run, submit_variable

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterator, Sequence

    import llm

    from llm_rlm import Result

Asked = Counter[str]
_commit = commits._commit

BATCHES = {
    "plain": 'rs = await llm_batch([f"{n} {i}" for i in range(size)])',
    "equal": 'rs = await llm_batch(["equal", f"{n}"] * size)',
    "random": "import random\nrs = await llm_batch([f'{n} drew {random.randrange(10**6)}' for _ in range(size)])",
    "chained": "rs = [await llm_query(f'{n} {i} after {found[-1:]}') for i in range(size)]",
    "failing": "rs = await llm_batch([f'{n} {i}' for i in range(size)])\nfound += [r['response'] for r in rs]\n1 / 0",
}


def cell(number: int, kind: str, size: int) -> str:
    start = "found = []\n" if number == 1 else ""
    return f"{start}n, size = {number}, {size}\n{BATCHES[kind]}\nfound += [r['response'] for r in rs]\nprint(n, len(found))"


@dataclass
class World:
    """Two scripted models, what they were asked, and what the journal had after each commit."""

    cells: Sequence[str]
    folder: Path

    def __post_init__(self) -> None:
        self.asked: Asked = Counter()
        self.snapshots: list[bytes] = []
        self._lock = threading.Lock()
        self.engine = RLM(ScriptedModel(self._turn, "root"), ScriptedModel(self._answer, "sub"))

    def _turn(self, prompt: llm.Prompt) -> Reply:
        done = len(tool_outputs(prompt))
        with self._lock:
            self.asked[f"turn {done}"] += 1
        return run(self.cells[done]) if done < len(self.cells) else submit_variable("found")

    def _answer(self, prompt: llm.Prompt) -> Reply:
        with self._lock:
            self.asked[prompt.prompt] += 1
        return Reply(text=f"<{prompt.prompt}>")

    def ask(self) -> Result:
        with self._watched():
            return self.engine.ask("?", "some text")

    def crash(self, share: float) -> Asked:
        """Take the journal back to some commit, as a crash just after it leaves it. What had its answer by then."""
        kept = self.snapshots[int(share * (len(self.snapshots) - 1))]
        for path in self.folder.glob("rlm.db*"):
            path.unlink()
        (self.folder / "rlm.db").write_bytes(kept)
        return answered(self.folder / "rlm.db")

    def resume(self) -> Result:
        self.asked.clear()
        self.snapshots.clear()
        with self._watched():
            return self.engine.resume("last", "some text")

    @contextmanager
    def _watched(self) -> Iterator[None]:
        """Keep a copy of the journal after each commit of a run."""

        def commit(db: sqlite3.Connection, entries: Any) -> None:
            _commit(db, entries)
            with self._lock:
                self.snapshots.append(db.serialize())

        before, os.environ["LLM_USER_PATH"] = os.environ["LLM_USER_PATH"], str(self.folder)
        commits._commit = commit
        try:
            yield
        finally:
            commits._commit = _commit
            os.environ["LLM_USER_PATH"] = before


def answered(path: Path) -> Asked:
    """How often the journal has an answer to each prompt, and to each step of the root model."""
    journal = Journal(path)
    calls = journal.rows("select request from readable_calls where state = 'answered'")
    turns = journal.rows("select sent from readable_turns where reply is not null and not dropped")
    journal.close()
    return Counter([json.loads(row["request"])["prompt"] for row in calls]) + Counter(f"turn {n}" for n in range(len(turns)))


programs = st.lists(st.tuples(st.sampled_from(sorted(BATCHES)), st.integers(0, 6)), min_size=1, max_size=4)
moments = st.lists(st.floats(0, 1), min_size=1, max_size=2)


@settings(max_examples=10, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@example([("equal", 2)], [0.0])
@given(programs, moments)
def test_a_run_that_breaks_off_anywhere_ends_as_one_that_does_not_and_asks_only_what_had_no_answer(
    program: list[tuple[str, int]], crashes: list[float]
) -> None:
    cells = [cell(number, kind, size) for number, (kind, size) in enumerate(program, 1)]
    with TemporaryDirectory() as name:
        world = World(cells, Path(name))
        whole, all_asked = world.ask(), world.asked.copy()
        assert answered(world.folder / "rlm.db") == all_asked
        for share in crashes:
            paid = world.crash(share)
            result = world.resume()
            assert (result.answer, result.finish) == (whole.answer, whole.finish)
            assert world.asked == all_asked - paid
            assert answered(world.folder / "rlm.db") == all_asked
            if not world.snapshots:
                break
