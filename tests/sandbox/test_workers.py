"""The worker that stands in where another has to be ended."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import psutil
import pytest

from llm_rlm.errors import SandboxError
from llm_rlm.sandbox import shipping, unpacked
from llm_rlm.sandbox.connection import Connection

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from llm_rlm.sandbox import Offer

    from .fakes import Notebook

    type Make = Callable[..., Notebook]


class Started:
    """The workers that were started, and how many of those before were ended by then."""

    def __init__(self) -> None:
        self.ended_before: list[int] = []
        self._all: list[Connection] = []
        self._start = Connection

    def __call__(self, volumes: Sequence[tuple[str, str]]) -> Connection:
        self.ended_before.append(sum(each.worker._killed is not None for each in self._all))
        self._all.append(self._start(volumes))
        return self._all[-1]

    def alive(self) -> list[bool]:
        return [psutil.pid_exists(each.worker.pid) for each in self._all]


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> Started:
    started = Started()
    monkeypatch.setattr("llm_rlm.sandbox.workers.Connection", started)
    return started


@pytest.fixture
def asked_early(monkeypatch: pytest.MonkeyPatch) -> None:
    """The host asks cells to stop before they do it of themselves."""
    monkeypatch.setattr("llm_rlm.sandbox.cell._LATE", -0.4)


def test_a_worker_that_has_to_be_ended_is_followed_by_one_that_was_started_before(started: Started, make: Make) -> None:
    session = make(cell_limit=0.5)
    session.run("kept = 1")
    assert session.run("sum(range(10 ** 13))").outcome == "lost"
    assert session.run("kept").output == "1\n"
    assert started.ended_before == [0, 0]
    assert started.alive() == [False, True]


@pytest.mark.usefixtures("asked_early")
def test_a_worker_that_is_not_needed_after_all_is_ended_with_the_cell(temporary: Path, started: Started, make: Make) -> None:
    session = make(cell_limit=0.5)
    assert session.run("kept = 1\nimport asyncio\nawait asyncio.sleep(1000)").outcome == "timeout"
    assert started.alive() == [True, False]
    assert session.run("kept").output == "1\n"
    session.close()
    assert list(temporary.iterdir()) == []


def test_a_cell_that_is_interrupted_starts_no_worker_before_it_has_to(started: Started, make: Make) -> None:
    session = make()
    session.run("1")
    session.interrupt("stopped by the user")
    assert session.run("sum(range(10 ** 13))").outcome == "lost"
    assert started.ended_before == [0, 1]


@pytest.mark.usefixtures("asked_early")
def test_where_no_process_can_be_started_a_late_cell_is_stopped_all_the_same(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    session = make(cell_limit=0.5)
    session.run("kept = 1")

    def refuse(_: object) -> None:
        raise BlockingIOError

    monkeypatch.setattr("llm_rlm.sandbox.workers.Connection", refuse)
    assert session.run("import asyncio\nawait asyncio.sleep(1000)").outcome == "timeout"
    assert session.run("kept").output == "1\n"


def test_a_guest_that_says_itself_why_it_cannot_begin_is_not_tried_again_and_nothing_is_made_anew(
    started: Started, make: Make, text_offer: Callable[[bytes], Offer], monkeypatch: pytest.MonkeyPatch
) -> None:
    made_anew: list[str] = []
    for module in (shipping, unpacked):
        monkeypatch.setattr(module, "forget", lambda: made_anew.append("once"))
    with pytest.raises(SandboxError, match="4 bytes shorter than it was when the run began"):
        make(replace(text_offer(b"first\n"), size=10)).run("1")
    assert (started.ended_before, made_anew) == ([0], [])
