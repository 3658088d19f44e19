"""Calls to sub-models: budget, record, answer, each delivered once."""

from __future__ import annotations

import json
import queue
import threading
from dataclasses import replace
from typing import TYPE_CHECKING, Any, ClassVar

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from llm_rlm.budget import Budget, Limits
from llm_rlm.calls import CallReply, CallRequest
from llm_rlm.journal import Journal
from llm_rlm.providers.dispatch import Dispatcher, Manner, SubModels
from llm_rlm.providers.retries import Policy
from llm_rlm.testing import ScriptedModel

if TYPE_CHECKING:
    from collections import Counter
    from collections.abc import Callable, Iterator

    import llm

CONCISE = json.dumps({"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]})


class Calls:
    """A dispatcher with a scripted sub-model."""

    def __init__(self, script: Callable[[llm.Prompt], str], limit: int | None = None, concurrency: int = 8) -> None:
        self.journal = Journal(None)
        self.journal.begin_run("run", settings="{}")
        self.budget = Budget(Limits(calls=limit))
        self.model = ScriptedModel(script, "sub")
        self.dispatcher = Dispatcher(
            self.journal, "run", self.budget, SubModels(self.model), Manner(concurrency, policy=Policy(attempts=1))
        )
        Calls.made.append(self)

    made: ClassVar[list[Calls]] = []

    def ask(self, *requests: CallRequest) -> list[CallReply]:
        delivered: queue.SimpleQueue[CallReply] = queue.SimpleQueue()
        self.dispatcher.ask(requests, delivered.put)
        replies = [delivered.get(timeout=20) for _ in requests]
        assert delivered.empty()
        return sorted(replies, key=lambda reply: reply.id)

    def rows(self) -> list[dict[str, Any]]:
        return self.journal.rows("select state, error, occurrence from calls order by id")


@pytest.fixture(autouse=True)
def closed() -> Iterator[None]:
    """End the threads and close the journals that a test has made."""
    yield
    while Calls.made:
        calls = Calls.made.pop()
        calls.dispatcher.close(then=calls.journal.close)


def echo(prompt: llm.Prompt) -> str:
    return f"echo {prompt.prompt}"


@settings(max_examples=20)
@given(st.integers(0, 12), st.integers(0, 12), st.integers(1, 5))
def test_calls_never_go_over_the_limit_and_each_is_answered_once(asked: int, limit: int, concurrency: int) -> None:
    calls = Calls(echo, limit, concurrency)
    replies = calls.ask(*[CallRequest(n, f"p{n}") for n in range(asked)])
    assert sum(reply.error is None for reply in replies) == calls.budget.usage.calls == min(asked, limit)
    assert all(reply.text == f"echo p{reply.id}" for reply in replies if reply.error is None)
    assert calls.budget.in_flight == 0


def test_an_empty_answer_is_a_failed_call() -> None:
    calls = Calls(lambda _: " \n")
    (reply,) = calls.ask(CallRequest(1, "p"))
    assert reply.error == "the model answered nothing"
    assert calls.rows() == [{"state": "failed", "error": "the model answered nothing", "occurrence": 1}]
    assert (calls.budget.usage.calls, calls.budget.usage.failed) == (1, 1)


def test_the_sandbox_is_told_the_kind_of_an_error_and_the_journal_the_rest() -> None:
    def fails(_: llm.Prompt) -> str:
        message = "at /home/someone\nline two \x1b[31m"
        raise ConnectionError(message)

    calls = Calls(fails)
    (reply,) = calls.ask(CallRequest(1, "p"))
    assert reply.error == "the model did not answer (ConnectionError)"
    assert calls.rows()[0]["error"] == "ConnectionError: at /home/someone line two [31m"


@pytest.mark.parametrize("answer", ['{"n": 3}', '```json\n{"n": 3}\n```'])
def test_an_answer_that_fits_its_schema_comes_with_its_value(answer: str) -> None:
    (reply,) = Calls(lambda _: answer).ask(CallRequest(1, "p", schema=CONCISE))
    assert (reply.text, reply.data) == (answer, '{"n": 3}')


@pytest.mark.parametrize(
    ("answer", "schema", "error"),
    [
        ("three", CONCISE, "the answer is not JSON"),
        ('{"n": "x"}', CONCISE, "the answer does not fit the schema"),
        ('{"n": 1}', '{"type": "nonsense"}', "the schema is not a JSON Schema"),
        ("1", '{"type"', "the schema cannot be read"),
        ("[" * 95 + "]" * 95, "{}", "the answer nests more than 90 deep"),
    ],
)
def test_an_answer_that_does_not_fit_is_an_error(answer: str, schema: str, error: str) -> None:
    (reply,) = Calls(lambda _: answer).ask(CallRequest(1, "p", schema=schema))
    assert reply.error is not None
    assert reply.error.startswith(error)


# An answer that does not fit is asked for once more


def mending(*answers: str, schema_support: bool = True) -> tuple[Calls, list[str]]:
    """Calls whose model gives these answers in turn, and what it was asked."""
    left, asked = list(answers), []

    def script(prompt: llm.Prompt) -> str:
        asked.append(str(prompt.prompt))
        return left.pop(0)

    calls = Calls(script, concurrency=1)
    calls.model.supports_schema = schema_support
    return calls, asked


@pytest.mark.parametrize("supported", [True, False])
def test_an_answer_that_does_not_fit_is_asked_for_once_more_with_what_was_wrong(supported: bool) -> None:
    calls, asked = mending("three", '{"n": 3}', schema_support=supported)
    (reply,) = calls.ask(CallRequest(1, "How many?", schema=CONCISE))
    assert (reply.text, reply.data, reply.error) == ('{"n": 3}', '{"n": 3}', None)
    assert "How many?" in asked[1]
    assert "answered:\nthree\n" in asked[1]
    assert "the answer is not JSON (JSONDecodeError)" in asked[1]
    assert (CONCISE in asked[1]) is not supported
    assert (calls.budget.usage.calls, calls.budget.usage.failed) == (2, 0)
    assert [row["state"] for row in calls.rows()] == ["answered", "answered"]


def test_it_is_asked_for_once_more_only() -> None:
    calls, asked = mending("three", '{"n": "x"}')
    (reply,) = calls.ask(CallRequest(1, "p", schema=CONCISE))
    why = "the answer does not fit the schema (['n']: 'x' is not of type 'integer')"
    assert reply.error == why + """: '{"n": "x"}' (asked twice)"""
    assert len(asked) == calls.budget.usage.calls == 2


def test_what_keeps_it_from_being_asked_once_more_is_said() -> None:
    calls = Calls(lambda _: "three", limit=1)
    (reply,) = calls.ask(CallRequest(1, "p", schema=CONCISE))
    assert str(reply.error).endswith("asked once more: the limit of 1 call is reached")
    assert calls.dispatcher.held_up == {None}


def test_equal_answers_that_do_not_fit_are_mended_each_by_its_own_call_also_when_cells_run_again() -> None:
    numbers = iter(range(100))
    calls = Calls(lambda prompt: f'{{"n": {next(numbers)}}}' if "answered" in str(prompt.prompt) else "no")
    calls.dispatcher.begin_cell(1)
    requests = [CallRequest(number, "p", schema=CONCISE) for number in range(4)]
    first = calls.ask(*requests)
    assert calls.dispatcher.begin_cell(1) == 8
    again = calls.ask(*[replace(request, replay=True) for request in requests])
    assert [reply.data for reply in first] == [reply.data for reply in again]
    assert len({reply.data for reply in first}) == 4
    assert calls.budget.usage.calls == 8


def test_what_was_mended_serves_a_later_run_whole_and_what_was_not_does_not() -> None:
    for answers, sent in ((("three", '{"n": 3}'), 0), (("three", "four"), 2)):
        calls, asked = mending(*answers, *answers)
        later = Dispatcher(calls.journal, "later", calls.budget, SubModels(calls.model), Manner(1, cache_days=None))
        calls.journal.begin_run("later", settings="{}")
        (first,) = calls.ask(CallRequest(1, "p", schema=CONCISE))
        delivered: queue.SimpleQueue[CallReply] = queue.SimpleQueue()
        later.ask([CallRequest(1, "p", schema=CONCISE)], delivered.put)
        reply = delivered.get(timeout=20)
        later.close(then=lambda: None)
        assert (reply.data, reply.error) == (first.data, first.error)
        assert len(asked) == 2 + sent


def test_an_answer_about_many_items_is_checked_item_by_item_and_not_asked_again() -> None:
    calls, asked = mending('{"results": [{"item": 1, "result": 1}, {"item": 2, "result": "x"}]}', "no")
    replies = calls.ask(CallRequest(1, "p", schema='{"type": "integer"}', each=True))
    assert json.loads(str(replies[0].data))["results"] == [{"item": 1, "result": 1}]
    (reply,) = calls.ask(CallRequest(1, "q", schema='{"type": "integer"}', each=True))
    assert str(reply.error).startswith("the answer is not JSON")
    assert len(asked) == 2


def test_another_model_that_llm_does_not_know_is_an_error_and_costs_no_call() -> None:
    calls = Calls(echo)
    (reply,) = calls.ask(CallRequest(1, "p", model="nowhere"))
    assert "LLM knows no model 'nowhere'" in str(reply.error)
    assert calls.budget.usage.calls == 0


def test_equal_calls_are_separate_and_come_back_from_the_journal_when_cells_run_again() -> None:
    numbers = iter(range(100))
    calls = Calls(lambda _: str(next(numbers)), concurrency=1)
    calls.dispatcher.begin_cell(1)
    first = calls.ask(CallRequest(1, "p"), CallRequest(2, "p"))
    calls.dispatcher.begin_cell(1)
    again = calls.ask(CallRequest(1, "p", replay=True), CallRequest(2, "p", replay=True), CallRequest(3, "p", replay=True))
    assert [reply.text for reply in first] == ["0", "1"] == [reply.text for reply in again[:2]]
    assert again[2].unknown
    assert (calls.budget.usage.calls, calls.budget.usage.cached) == (2, 0)


def numbers_of(calls: Calls) -> list[tuple[int, int]]:
    """The cell and the occurrence of each call, in order."""
    return [(row["cell"], row["occurrence"]) for row in calls.journal.rows("select cell, occurrence from calls order by id")]


def test_cells_after_those_that_ran_again_number_equal_calls_on() -> None:
    calls = Calls(echo)
    for cell in (1, 2):
        calls.dispatcher.begin_cell(cell)
        calls.ask(CallRequest(1, "p"))
    for cell in (1, 2):
        assert calls.dispatcher.begin_cell(cell) == 1
        calls.ask(CallRequest(1, "p", replay=True))
    for cell in (3, 4):
        assert calls.dispatcher.begin_cell(cell) == 0
        calls.ask(CallRequest(1, "p"), CallRequest(2, "p"))
    assert numbers_of(calls) == [(1, 1), (2, 2), (3, 3), (3, 4), (4, 5), (4, 6)]


def test_the_journal_is_read_for_cells_that_run_again_and_the_first_after_them_and_for_no_other(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    calls, read = Calls(echo), []
    before = calls.journal.calls_before

    def reads(run_id: str, cell: int) -> Counter[str]:
        read.append(cell)
        return before(run_id, cell)

    monkeypatch.setattr(calls.journal, "calls_before", reads)
    for cell in (1, 2, 3, 1, 2, 4, 5, 6):
        calls.dispatcher.begin_cell(cell)
    assert read == [1, 2, 4]


def test_a_run_that_another_process_began_finds_the_calls_of_a_cell_that_was_not_finished() -> None:
    calls = Calls(echo)
    for cell in (1, 2, 3):
        calls.dispatcher.begin_cell(cell)
        calls.ask(CallRequest(1, "p"))
    resumed = Dispatcher(calls.journal, "run", calls.budget, SubModels(calls.model), Manner(1))
    resumed.remember()
    assert [resumed.begin_cell(cell) for cell in (1, 3, 4, 5)] == [1, 1, 0, 0]
    delivered: queue.SimpleQueue[CallReply] = queue.SimpleQueue()
    resumed.ask([CallRequest(1, "p")], delivered.put)
    assert delivered.get(timeout=20).text == "echo p"
    resumed.close(then=lambda: None)
    assert numbers_of(calls) == [(1, 1), (2, 2), (3, 3), (5, 4)]


def test_after_stop_nothing_is_sent_and_calls_under_way_finish() -> None:
    begun, go_on = threading.Event(), threading.Event()

    def slow(prompt: llm.Prompt) -> str:
        begun.set()
        go_on.wait(20)
        return str(prompt.prompt)

    calls = Calls(slow, concurrency=1)
    delivered: queue.SimpleQueue[CallReply] = queue.SimpleQueue()
    calls.dispatcher.ask([CallRequest(1, "a"), CallRequest(2, "b")], delivered.put)
    begun.wait(20)
    assert calls.budget.in_flight == 1
    calls.dispatcher.stop("enough")
    go_on.set()
    replies = {reply.id: reply for reply in (delivered.get(timeout=20), delivered.get(timeout=20))}
    assert (replies[1].text, replies[2].error) == ("a", "enough")


def test_as_many_threads_work_as_are_needed_and_no_more() -> None:
    together = threading.Barrier(4)

    def meets(_: llm.Prompt) -> str:
        together.wait(20)
        return "met"

    calls = Calls(meets, concurrency=4)
    for _ in range(3):
        replies = calls.ask(*[CallRequest(n, "p") for n in range(4)])
        assert [reply.text for reply in replies] == ["met"] * 4


def test_what_breaks_the_journal_is_kept_for_the_run_to_raise() -> None:
    calls = Calls(echo)
    calls.journal.close()
    (reply,) = calls.ask(CallRequest(1, "p"))
    assert reply.error == "the run is broken and will end"
    assert calls.dispatcher.problem is not None


def test_a_model_that_would_end_its_thread_leaves_nobody_waiting() -> None:
    def quits(_: llm.Prompt) -> str:
        raise SystemExit(3)

    calls = Calls(quits, concurrency=1)
    replies = calls.ask(*[CallRequest(number, "p") for number in range(3)])
    assert {reply.error for reply in replies} == {"the run is broken and will end"}
    assert isinstance(calls.dispatcher.problem, SystemExit)


def test_a_provider_that_asks_for_an_hour_holds_up_nobody_else() -> None:
    class BusyError(Exception):
        status_code = 429
        headers: ClassVar = {"retry-after": "3600"}

    asked: list[str] = []

    def busy(prompt: llm.Prompt) -> str:
        asked.append(str(prompt.prompt))
        if len(asked) == 1:
            raise BusyError
        return "yes"

    calls = Calls(busy, concurrency=1)
    first, second = calls.ask(CallRequest(1, "a"), CallRequest(2, "b"))
    assert (first.error, second.text) == ("the model did not answer (BusyError, HTTP 429)", "yes")


def test_a_journal_that_breaks_leaves_nobody_waiting_for_room() -> None:
    calls = Calls(echo)
    calls.budget.limits = Limits(tokens=20_000)
    calls.journal.close()
    replies = calls.ask(*[CallRequest(number, "p") for number in range(5)])
    assert len(replies) == 5
    assert calls.dispatcher.problem is not None
