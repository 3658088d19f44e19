from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from llm_rlm.calls import CallReply, CallRequest
from llm_rlm.sandbox import pending
from llm_rlm.sandbox.pending import PendingCalls

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence


class Holding:
    """A handler that answers when the test does."""

    def __init__(self) -> None:
        self.asked: list[CallRequest] = []

    def ask(self, requests: Sequence[CallRequest], deliver: Callable[[CallReply], None]) -> None:
        self.asked.extend(requests)
        self.deliver = deliver

    def begin_cell(self, number: int) -> int:
        raise AssertionError(number)

    def left(self) -> dict[str, float | None]:
        return {"calls": 3.0}


class Fixture:
    """Calls, their handler, and what was sent to the worker."""

    def __init__(self) -> None:
        self.sent: list[Mapping[str, Any]] = []
        self.handler = Holding()
        self.calls = PendingCalls(self.handler, self.sent.append)
        self.calls.begin_cell()


@pytest.fixture
def fixture() -> Fixture:
    return Fixture()


def test_a_reply_is_sent_with_what_is_left(fixture: Fixture) -> None:
    fixture.calls.ask([CallRequest(1, "a")])
    assert fixture.calls
    fixture.handler.deliver(CallReply(1, "b"))
    assert fixture.sent == [{"t": "replies", "replies": [{"id": 1, "text": "b"}], "budget": {"calls": 3.0}}]
    assert not fixture.calls


def test_a_second_reply_and_one_to_no_call_are_not_sent(fixture: Fixture) -> None:
    fixture.calls.ask([CallRequest(1, "a")])
    for number in (1, 1, 2):
        fixture.handler.deliver(CallReply(number))
    assert len(fixture.sent) == 1


def test_a_reply_that_nobody_waits_for_any_longer_is_not_sent(fixture: Fixture) -> None:
    fixture.calls.ask([CallRequest(1, "a")])
    fixture.calls.forget()
    fixture.handler.deliver(CallReply(1, unknown=True))
    assert fixture.sent == []
    assert not fixture.calls.met_unknown


def test_a_call_that_the_journal_does_not_know_is_noted(fixture: Fixture) -> None:
    fixture.calls.ask([CallRequest(1, "a", replay=True), CallRequest(2, "b", replay=True)])
    fixture.handler.deliver(CallReply(1, error="not in the journal", unknown=True))
    fixture.handler.deliver(CallReply(2))
    assert fixture.calls.met_unknown


@pytest.mark.parametrize(
    ("most", "characters", "requests"),
    [
        (1, 100, [CallRequest(1, "a"), CallRequest(2, "b")]),
        (9, 5, [CallRequest(1, "abc"), CallRequest(2, "d", system="e", schema="f")]),
        (9, 100, [CallRequest(1, "a"), CallRequest(1, "the same number")]),
    ],
)
def test_more_than_may_wait_is_answered_with_an_error(
    fixture: Fixture, monkeypatch: pytest.MonkeyPatch, most: int, characters: int, requests: list[CallRequest]
) -> None:
    monkeypatch.setattr(pending, "_MOST", most)
    monkeypatch.setattr(pending, "_MOST_CHARACTERS", characters)
    fixture.calls.ask(requests)
    assert fixture.handler.asked == requests[:1]
    assert fixture.sent[0]["replies"][0]["error"].startswith("too many calls at once")


def test_an_answered_call_makes_room(fixture: Fixture, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pending, "_MOST_CHARACTERS", 3)
    for number in (1, 2):
        fixture.calls.ask([CallRequest(number, "abc")])
        fixture.handler.deliver(CallReply(number, "d"))
    assert [frame["replies"] for frame in fixture.sent] == [[{"id": 1, "text": "d"}], [{"id": 2, "text": "d"}]]


def test_a_call_of_no_cell_is_refused_and_not_made(fixture: Fixture) -> None:
    fixture.calls.end_cell()
    fixture.calls.ask([CallRequest(1, "a")])
    assert fixture.handler.asked == []
    assert fixture.sent[0]["replies"] == [{"id": 1, "error": "calls can be made while a cell runs only"}]


def test_who_is_refused_again_and_again_is_given_up(fixture: Fixture, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pending, "_MOST_REFUSED", 2)
    fixture.calls.end_cell()
    assert [fixture.calls.ask([CallRequest(number, "a")]) for number in range(3)] == [True, True, False]
    fixture.calls.begin_cell()
    assert fixture.calls.ask([CallRequest(9, "a")])
