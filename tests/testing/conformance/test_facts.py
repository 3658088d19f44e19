from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from llm_rlm.sandbox import Session
from llm_rlm.testing.conformance import FACTS, Fact, NotSoError, check, hold, name_of
from llm_rlm.testing.conformance import facts as module

if TYPE_CHECKING:
    from collections.abc import Callable

    from llm_rlm.sandbox import CallHandler, CellResult, Offer


@pytest.mark.parametrize("fact", FACTS, ids=name_of)
def test_it_holds_of_the_sandbox(fact: Fact) -> None:
    hold(fact, Session)


class Mute(Session):
    """A sandbox that shows nothing."""

    def run_cell(self, number: int, code: str, on_output: Callable[[str], None] | None = None) -> CellResult:
        result = super().run_cell(number, code, on_output)
        object.__setattr__(result, "output", "")
        return result


def mute(offer: Offer, calls: CallHandler, *, cell_limit: float, output_limit: int) -> Session:
    return Mute(offer, calls, cell_limit=cell_limit, output_limit=output_limit)


def test_a_fact_that_does_not_hold_says_what_was_seen() -> None:
    with pytest.raises(NotSoError, match=r"what it shows: '', not '\(42, 8, 2\)"):
        hold(FACTS[0], mute)


class Hasty(Session):
    """A sandbox that counts the time that a cell waits."""

    def run_cell(self, number: int, code: str, on_output: Callable[[str], None] | None = None) -> CellResult:
        result = super().run_cell(number, code, on_output)
        object.__setattr__(result, "running", result.seconds)
        return result


def hasty(offer: Offer, calls: CallHandler, *, cell_limit: float, output_limit: int) -> Session:
    return Hasty(offer, calls, cell_limit=cell_limit, output_limit=output_limit)


def test_a_sandbox_that_counts_waiting_as_running_is_found_out() -> None:
    with pytest.raises(NotSoError, match=r"of which it waited 1\.5 s"):
        hold(module.a_cell_does_not_run_while_it_waits, hasty)


def test_a_sandbox_that_raises_is_told_of_and_the_other_facts_are_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object, **_more: object) -> Session:
        message = "no such thing"
        raise ZeroDivisionError(message)

    monkeypatch.setattr(module, "FACTS", FACTS[:2])
    assert list(check(broken).values()) == ["ZeroDivisionError: no such thing"] * 2


def test_a_check_gives_every_fact_by_name_and_what_was_seen_where_it_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "FACTS", FACTS[:2])
    names = [name_of(fact) for fact in FACTS[:2]]
    assert check(Session) == dict.fromkeys(names)
    assert all(check(mute).values())
