"""What is found out beside a run, and how long its end waits for it."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import pytest

from llm_rlm.context import Context, Examined, Sources, from_any
from llm_rlm.journal import Journal
from llm_rlm.runs import evidence
from llm_rlm.runs.evidence import Evidence

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from llm_rlm.context import Document


@pytest.fixture
def context(tmp_path: Path) -> Iterator[Context]:
    for number in range(8):
        (tmp_path / f"{number}.txt").write_text(f"text {number}\n")
    made = from_any(Sources((str(tmp_path / "?.txt"),)))
    yield made
    made.discard()


@pytest.fixture
def journal() -> Iterator[Journal]:
    made = Journal(None)
    yield made
    made.close()


def started(context: Context, journal: Journal) -> Evidence:
    made = Evidence(context, journal, "r")
    journal.begin_run("r", settings="{}", sources=made.record())
    return made


def known(journal: Journal) -> list[int]:
    """Which documents the journal has the hash of."""
    rows = journal.rows("select sha256 from documents where run_id = 'r' order by rowid")
    return [number for number, row in enumerate(rows) if row["sha256"] is not None]


def touch(made: Evidence, *numbers: int) -> None:
    helpers = made.helpers(None, lambda _: None)
    for number in numbers:
        helpers.answer("read", {"document": number, "start": 0, "end": 1}, lambda: False)


def test_of_a_few_documents_all_are_hashed(context: Context, journal: Journal) -> None:
    made = started(context, journal)
    made.cell_runs("1")
    made.finish(hurry=False)
    assert known(journal) == list(range(8))


class Slow:
    """Examines as the real one does, once it is let."""

    def __init__(self) -> None:
        self.examined: list[str] = []
        self.began = threading.Event()
        self.go_on = threading.Event()

    def __call__(self, document: Document, cancelled: Callable[[], bool]) -> Examined | None:
        self.began.set()
        while not self.go_on.wait(0.001):
            if cancelled():
                return None
        self.examined.append(document.name)
        return Examined("0" * 64, 0)


@pytest.fixture
def slow(monkeypatch: pytest.MonkeyPatch) -> Slow:
    made = Slow()
    monkeypatch.setattr(evidence, "examine", made)
    monkeypatch.setattr(evidence, "_WRITTEN_TOGETHER", 2)
    return made


def test_what_was_touched_is_hashed_before_the_others(context: Context, journal: Journal, slow: Slow) -> None:
    made = started(context, journal)
    touch(made, 6)
    made.cell_runs("1")
    assert slow.began.wait(20)
    touch(made, 4)
    slow.go_on.set()
    made.finish(hurry=False)
    assert [name[-5] for name in slow.examined] == list("64012357")
    assert known(journal) == list(range(8))


def test_the_end_of_a_run_gives_up_what_nobody_touched_for_what_was_touched(
    context: Context, journal: Journal, slow: Slow, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(evidence, "_BRIEFLY", 0.0)
    made = started(context, journal)
    made.cell_runs("1")
    assert slow.began.wait(20)
    touch(made, 1, 5)
    cover = made._cover

    def late(cancelled: Callable[[], bool]) -> None:
        while not made._is_for_touched_only():
            pass
        cover(cancelled)
        threading.Timer(0.01, slow.go_on.set).start()

    monkeypatch.setattr(made, "_cover", late)
    made.finish(hurry=False)
    assert {1, 5} <= set(known(journal))
    assert 7 not in known(journal)


def test_in_a_hurry_nothing_is_waited_for(context: Context, journal: Journal, slow: Slow) -> None:
    made = started(context, journal)
    made.cell_runs("1")
    assert slow.began.wait(20)
    made.finish(hurry=True)
    assert (known(journal), made.covered) == ([], None)
