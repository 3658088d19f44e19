"""What runs tell their observers, of real runs."""

from __future__ import annotations

import sqlite3
import threading
from collections import Counter
from contextlib import closing
from typing import TYPE_CHECKING, Any

import pytest

from llm_rlm import RLM, Limits, RunFailedError, Settings
from llm_rlm.events import (
    CallFinished,
    CallRetried,
    CallsAsked,
    CallStarted,
    CellFinished,
    CellOutput,
    CellStarted,
    Event,
    Progressed,
    RunFinished,
    RunStarted,
    TurnFailed,
    TurnFinished,
    TurnRetried,
    TurnStarted,
    Waiting,
    all_of,
)
from llm_rlm.runs.asking import begin
from llm_rlm.testing import Reply, ScriptedModel, refuse, say
from scripts import run, scripted, submit, submit_variable, until

if TYPE_CHECKING:
    from pathlib import Path

    import llm

    from conftest import Serve
    from llm_rlm.testing import Request


class Watch:
    """An observer that keeps what it is told."""

    def __init__(self) -> None:
        self.events: list[Event] = []

    def __call__(self, event: Event) -> None:
        self.events.append(event)

    def of[E](self, kind: type[E]) -> list[E]:
        return [event for event in self.events if isinstance(event, kind)]

    @property
    def names(self) -> list[str]:
        return [type(event).__name__ for event in self.events if not isinstance(event, Progressed)]


def ask(*replies: Reply | str, sub: Any = "fine", **engine: Any) -> Watch:
    """Ask a scripted root model, watched."""
    watch = Watch()
    model = sub if isinstance(sub, ScriptedModel) else ScriptedModel(lambda _: sub, "sub")
    RLM(scripted(*replies), model, **engine).ask("What?", "some text", observer=watch)
    return watch


def test_a_run_tells_its_turns_its_cells_and_its_calls_in_order() -> None:
    watch = ask(run("print('a')\nr = await llm_query('one')\nr"), submit("done"))
    assert [name for name in watch.names if name != "CellOutput"] == [
        *("RunStarted", "TurnStarted", "TurnFinished", "CellStarted", "CallsAsked", "CallStarted", "CallFinished"),
        *("CellFinished", "TurnStarted", "TurnFinished", "RunFinished"),
    ]
    (started,), (call,), (finished,) = watch.of(RunStarted), watch.of(CallFinished), watch.of(RunFinished)
    assert (started.question, started.model, started.sub_model, started.resumed) == ("What?", "root", "sub", False)
    assert (call.cell, call.kind, call.model, call.state, call.prompt, call.text) == (
        1,
        "model",
        "sub",
        "answered",
        "one",
        "fine",
    )
    assert (finished.finish, finished.error, finished.limit) == ("submitted", None, None)
    assert "".join(output.text for output in watch.of(CellOutput)) == watch.of(CellFinished)[0].output


def test_each_call_of_a_batch_has_one_start_and_one_end() -> None:
    watch = ask(run("rs = await llm_batch([str(n) for n in range(40)])"), submit("done"))
    assert [asked.count for asked in watch.of(CallsAsked)] == [40]
    started, ended = [event.call for event in watch.of(CallStarted)], [event.call for event in watch.of(CallFinished)]
    assert len(started) == 40
    assert Counter(started) == Counter(ended)
    assert all(count == 1 for count in Counter(ended).values())
    assert sorted(int(call.prompt) for call in watch.of(CallFinished)) == list(range(40))


def test_a_call_has_finished_only_once_its_answer_is_in_the_journal(user_path: Path) -> None:
    states: list[str] = []

    def look(event: Event) -> None:
        if isinstance(event, CallFinished):
            with closing(sqlite3.connect(user_path / "rlm.db")) as journal:
                states.extend(state for (state,) in journal.execute("select state from calls where id = ?", [event.call]))

    RLM(scripted(run("await llm_batch(['a', 'b', 'c'])"), submit("done")), scripted("x")).ask("?", "x", observer=look)
    assert states == ["answered"] * 3


def test_a_call_that_the_cache_answers_has_an_end_and_no_start() -> None:
    ask(run("await llm_query('one')"), submit("done"))
    watch = ask(run("await llm_query('one')"), submit("done"))
    (call,) = watch.of(CallFinished)
    assert (call.state, call.prompt, call.text, call.spent) == ("cached", "one", "fine", None)
    assert watch.of(CallStarted) == []


def test_a_call_beyond_a_limit_is_refused_and_the_run_says_which_limit_it_was() -> None:
    watch = ask(run("for p in 'abc':\n    await llm_query(p)"), submit("done"), limits=Limits(calls=1))
    first, second = watch.of(CallFinished)
    assert (first.state, second.state, second.prompt) == ("answered", "refused", "b")
    assert second.error is not None
    assert "limit of 1 call is" in second.error
    assert (watch.of(RunFinished)[0].finish, watch.of(RunFinished)[0].limit) == ("limit", "calls")


def test_an_answer_that_does_not_fit_is_asked_for_again_by_a_call_that_says_so() -> None:
    watch = ask(run("await llm_query('n?', schema='n int')"), submit("done"), sub="no JSON")
    assert [(call.mends, call.state) for call in watch.of(CallFinished)] == [(False, "answered"), (True, "answered")]
    assert sum(asked.count for asked in watch.of(CallsAsked)) == 1


def test_a_retry_and_the_pause_that_the_provider_asked_for_are_told(serve: Serve) -> None:
    refusals = [refuse(429, 0.05)]

    def sub(request: Request) -> Reply:
        return refusals.pop() if refusals else say(request.prompt)

    serve(run("await llm_query('one')"), submit("done"), sub=sub)
    watch = Watch()
    RLM("chat").ask("?", "x", observer=watch)
    order = [
        type(event).__name__ for event in watch.events if isinstance(event, CallStarted | CallRetried | CallFinished | Waiting)
    ]
    assert order == ["CallStarted", "Waiting", "CallRetried", "CallFinished"]
    assert [(wait.model, wait.seconds) for wait in watch.of(Waiting)] == [("chat", 0.05)]


def test_a_turn_that_is_tried_again_and_one_that_fails_are_told(serve: Serve) -> None:
    serve(refuse(503, 0.02), Reply(status=400, text="no such thing"))
    watch = Watch()
    with pytest.raises(RunFailedError):
        RLM("chat").ask("?", "x", observer=watch)
    assert watch.names == ["RunStarted", "TurnStarted", "Waiting", "TurnRetried", "TurnFailed", "RunFinished"]
    assert watch.of(TurnRetried)[0].number == watch.of(TurnFailed)[0].number == 1
    assert "no such thing" in (watch.of(RunFinished)[0].error or "")


def child(prompt: llm.Prompt) -> Reply:
    """A child run that asks a model and submits what it says; without tools, a plain answer."""
    return run("submit(str(await llm_query('below')))") if prompt.tools else say("from below")


def test_a_child_run_tells_all_that_a_run_does_under_the_call_that_asked_for_it() -> None:
    watch = ask(run("r = await rlm_query('And?', 'part')"), submit("done"), sub=ScriptedModel(child, "sub"))
    top, below = watch.of(RunStarted)
    (asked,) = [call for call in watch.of(CallStarted) if call.kind == "run"]
    assert (below.parent, below.parent_call, below.question, below.model) == (top.run, asked.call, "And?", "sub")
    assert {type(event).__name__ for event in watch.events if event.run == below.run} == {
        *("RunStarted", "TurnStarted", "TurnFinished", "CellStarted", "CallsAsked", "CallStarted", "CallFinished"),
        *("CellFinished", "RunFinished"),
    }
    ends = [(type(event).__name__, event.run) for event in watch.events if isinstance(event, RunFinished | CallFinished)]
    assert ends[1:] == [("RunFinished", below.run), ("CallFinished", top.run), ("RunFinished", top.run)]


def test_a_run_that_is_resumed_says_so_and_which_answers_it_has_from_before() -> None:
    def engine(limit: int, *replies: Reply) -> RLM:
        return RLM(scripted(*replies), scripted("x", model_id="sub"), Limits(calls=limit), Settings(cache_days=0))

    first = engine(2, run("rs = await llm_batch(['a', 'b', 'c'])"), submit("so far")).ask("?", "x")
    watch = Watch()
    engine(9, submit("done")).resume(first.run_id, "x", observer=watch)
    assert watch.of(RunStarted)[0].resumed
    assert watch.of(RunStarted)[0].budget.limits.calls == 9
    assert Counter(call.state for call in watch.of(CallFinished)) == {"known": 2, "answered": 1}
    assert [asked.count for asked in watch.of(CallsAsked)] == [3]


def test_a_run_that_is_stopped_tells_of_its_last_turn_and_of_its_end() -> None:
    watch, in_cell = Watch(), threading.Event()

    def notice(event: Event) -> None:
        if isinstance(event, CellStarted):
            in_cell.set()

    asking = begin(RLM(scripted(run("while True: pass"), submit("so far"))), "?", "x", all_of(watch, notice))

    def stop() -> None:
        in_cell.wait(60)
        asking.stop("enough")

    threading.Thread(target=stop, daemon=True).start()
    assert asking.finish().finish == "interrupted"
    assert watch.of(CellFinished)[0].outcome in {"interrupted", "lost"}  # a busy machine may have to end the sandbox
    assert watch.names[-3:] == ["TurnStarted", "TurnFinished", "RunFinished"]
    assert watch.of(RunFinished)[0].finish == "interrupted"


def test_after_the_end_of_a_run_only_calls_that_were_under_way_are_told() -> None:
    come_back = threading.Event()

    def slow(_: llm.Prompt) -> str:
        come_back.wait(60)
        return "late"

    watch = ask(
        run("import asyncio\nt = asyncio.ensure_future(llm_query('slow'))\nawait asyncio.sleep(0.05)"),
        submit("done"),
        sub=ScriptedModel(slow, "sub"),
    )
    assert watch.names[-1] == "RunFinished"
    come_back.set()
    assert until(lambda: watch.names[-1] == "CallFinished")
    assert watch.of(CallFinished)[0].text == "late"


def test_an_observer_that_raises_costs_the_run_nothing_is_seen_and_is_told_nothing_more(
    caplog: pytest.LogCaptureFixture,
) -> None:
    told: list[Event] = []

    def defective(event: Event) -> None:
        told.append(event)
        if isinstance(event, CellStarted):
            message = "a defect"
            raise KeyError(message)

    watch = Watch()
    observer = all_of(defective, watch)
    result = RLM(scripted(run("x = 1"), submit_variable("x")), scripted("x")).ask("?", "x", observer=observer)
    assert result.answer == 1
    assert isinstance(told[-1], CellStarted)
    assert watch.names[-1] == "RunFinished"
    (record,) = caplog.records
    assert (record.name, record.levelname) == ("llm_rlm.events", "ERROR")
    assert "a defect" in (record.exc_text or caplog.text)


def test_an_observer_of_a_session_sees_each_of_its_questions() -> None:
    watch = Watch()
    with RLM(scripted(run("x = 1"), submit("a"), submit("b")), scripted("x")).session("text", observer=watch) as session:
        session.ask("One?")
        session.ask("Two?")
    assert [started.question for started in watch.of(RunStarted)] == ["One?", "Two?"]
    assert len(watch.of(RunFinished)) == 2
    assert len(watch.of(TurnFinished)) == len(watch.of(TurnStarted)) == 3
