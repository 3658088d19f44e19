"""Questions one after another over one session."""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
import threading
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from llm_rlm import RLM, Limits, RLMError, RunFailedError, Settings, UsageError
from llm_rlm.events import RunStarted
from llm_rlm.journal import Journal
from llm_rlm.places import journal_path
from llm_rlm.runs.resume import Following, read_session
from llm_rlm.runs.session import Session
from llm_rlm.testing import Reply, ScriptedModel
from scripts import alive, run, scripted, submit, submit_variable, until

if TYPE_CHECKING:
    import llm

    from conftest import Serve
    from llm_rlm.events import Event

both_apis = pytest.mark.parametrize("api", ["chat", "responses"])
both_modes = pytest.mark.parametrize("stream", [True, False], ids=["streamed", "whole"])


@both_apis
@both_modes
def test_variables_stay_from_question_to_question_and_earlier_answers_are_known(serve: Serve, api: str, stream: bool) -> None:
    models = serve(run("n = len(context)"), submit_variable("n"), run("m = n * 2\nprint(m)"), submit_variable("m"))
    with RLM(api, stream=stream).session("four") as session:
        assert session.ask("How long?").answer == 4
        assert session.ask("And twice that?").answer == 8
    said = models.root_requests[-1].messages
    assert [m["content"].split("\n")[0] for m in said if m["role"] == "user"] == ["How long?", "And twice that?"]
    assert [m["content"].split("\n")[0] for m in said if m["role"] == "tool"] == ["(no output)", "Submitted.", "8"]


def test_each_question_is_a_run_that_follows_the_one_before() -> None:
    model = scripted(submit("one"), submit("two"))
    with RLM(model).session("x") as session:
        first, second = session.ask("1?"), session.ask("2?")
    assert first.run_id != second.run_id
    journal = Journal(journal_path())
    rows = journal.rows("select id, follows, question, finish from runs order by id")
    journal.close()
    assert [tuple(row.values()) for row in rows] == [
        (first.run_id, None, "1?", "submitted"),
        (second.run_id, first.run_id, "2?", "submitted"),
    ]


def test_limits_are_counted_anew_for_each_question() -> None:
    model = scripted(run('r = await llm_query("a")'), submit("one"), run('r = await llm_query("b")'), submit("two"))
    sub = ScriptedModel(lambda _: "fine", "sub")
    with RLM(model, sub, Limits(calls=1, turns=2)).session("x") as session:
        results = [session.ask("1?"), session.ask("2?")]
    assert [(result.answer, result.usage.calls) for result in results] == [("one", 1), ("two", 1)]


def test_a_question_that_met_a_limit_does_not_end_the_session() -> None:
    replies = [run("a = 1"), submit("partly"), run("print(a)"), submit("wholly")]
    with RLM(scripted(*replies), limits=Limits(turns=2)).session("x") as session:
        assert session.ask("1?").finish == "limit"
        assert session.ask("2?").answer == "wholly"


def test_a_worker_that_is_lost_gets_the_variables_of_earlier_questions_back_and_pays_nothing_again() -> None:
    asked: list[str] = []

    def answer(prompt: llm.Prompt) -> str:
        asked.append(prompt.prompt)
        return f"re {prompt.prompt}"

    replies = [
        run('r = await llm_query("a")\nkept = str(r)'),
        submit("one"),
        run('s = await llm_query("a")'),
        run("import os; os._exit(1)"),
        run("print(kept, s)"),
        submit_variable("kept"),
    ]
    model = scripted(*replies)
    with RLM(model, ScriptedModel(answer, "sub"), settings=Settings(cache_days=0)).session("x") as session:
        session.ask("1?")
        assert session.ask("2?").answer == "re a"
    assert asked == ["a", "a"]


def scripted_and_seen(*replies: Reply) -> tuple[ScriptedModel, list[str]]:
    """A model that gives these replies, and the whole conversation that it was sent each time."""
    left, seen = list(replies), list[str]()

    def script(prompt: llm.Prompt) -> Reply:
        seen.append(json.dumps([message.to_dict() for message in prompt.messages]))
        return left.pop(0)

    return ScriptedModel(script, "root"), seen


def test_a_follow_up_that_met_a_limit_is_resumed_with_what_came_before() -> None:
    replies = [run("a = 20"), submit("one"), run("b = a + 1"), submit("halfway"), run("print(a, b)"), submit_variable("b")]
    model, seen = scripted_and_seen(*replies)
    with RLM(model, limits=Limits(turns=2)).session("x") as session:
        session.ask("first?")
        assert session.ask("second?").answer == "halfway"
    last = RLM(model, limits=Limits(turns=9)).resume("last", "x")
    assert last.answer == 21
    assert [words in seen[-1] for words in ("first?", "second?", "20 21", "halfway")] == [True, True, True, False]


def test_a_run_of_the_journal_can_be_followed_in_another_process() -> None:
    model, seen = scripted_and_seen(run("a = 20"), submit("one"), run("print(a)"), submit_variable("a"), submit("three"))
    first = RLM(model).ask("first?", "x")
    with Session(RLM(model), following=Following("last", "x")) as session:
        session.ask("and?")
    with Session(RLM(model), following=Following("last", "x")) as session:
        result = session.ask("and?")
    assert result.answer == "three"
    assert [words in seen[-1] for words in ("first?", "one", "Submitted.", "20")] == [True] * 4
    assert [past.id for past in read_session(result.run_id)][0::2] == [first.run_id, result.run_id]


def test_a_failed_question_is_told_and_the_next_can_be_asked() -> None:
    failing = [True]

    def script(_: llm.Prompt) -> Reply:
        if failing.pop() if failing else False:
            message = "no such luck"
            raise ValueError(message)
        return submit("fine")

    with RLM(ScriptedModel(script, "root")).session("x") as session:
        with pytest.raises(RunFailedError, match="no such luck"):
            session.ask("1?")
        assert session.ask("2?").answer == "fine"


def test_an_empty_question_is_refused_and_a_closed_session_says_so() -> None:
    session = RLM(scripted(submit("one"))).session("x")
    with pytest.raises(UsageError, match="the question is empty"):
        session.ask("  ")
    session.close()
    session.close()
    with pytest.raises(UsageError, match="the session has ended: it was closed"):
        session.ask("?")


def test_a_context_that_is_not_there_is_told_before_any_question(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="nowhere"):
        RLM(scripted(submit("one"))).session(tmp_path / "nowhere.txt")


def test_questions_can_be_asked_from_an_event_loop() -> None:
    async def talk() -> list[str]:
        with RLM(scripted(submit("one"), submit("two"))).session("x") as session:
            return [(await session.aask(question)).answer for question in ("1?", "2?")]

    assert asyncio.run(talk()) == ["one", "two"]


def test_a_question_while_another_is_under_way_is_refused() -> None:
    with RLM(scripted(submit("one"), submit("two"))).session("x") as session:
        first = session.begin("1?")
        with pytest.raises(UsageError, match="a question is under way: one at a time"):
            session.ask("2?")
        assert session.finish(first).answer == "one"
        assert session.ask("2?").answer == "two"


def test_no_worker_is_left_when_a_session_is_closed() -> None:
    session = RLM(scripted(submit("one"))).session("x")
    session.ask("1?")
    worker = session._ready.start.session._workers.connection.worker
    session.close()
    assert not alive(worker.pid)


def test_each_question_says_what_it_read_of_the_input(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "here").mkdir()
    for name in ("a", "b"):
        (tmp_path / "here" / name).write_text(f"text of {name}\n" * 9)
    replies = [run('n = len(context["here/a"])'), submit("one"), run('n = len(context["here/b"])'), submit("two")]
    with RLM(scripted(*replies)).session(Path("here")) as session:
        coverages = [session.ask(question).coverage for question in ("1?", "2?")]
    assert [coverage.untouched for coverage in coverages if coverage is not None] == [["here/b"], ["here/a"]]


def test_a_further_question_can_have_a_schema_of_its_own_which_the_model_is_told() -> None:
    model, seen = scripted_and_seen(submit("one"), submit("two"), submit('{"n": 2}'), submit("three"))
    engine = RLM(model)
    with engine.session("x") as session:
        session.ask("1?")
        assert session.finish(session.begin("2?", engine=replace(engine, schema="n int"))).answer == {"n": 2}
        assert session.ask("3?").answer == "three"
    assert ["JSON Schema:" in text for text in seen] == [False, True, True, True]
    assert seen[-1].count("JSON Schema:") == 1


def test_a_further_question_can_have_limits_of_its_own() -> None:
    engine = RLM(scripted(submit("one"), run("1"), submit("two")))
    with engine.session("x") as session:
        session.ask("1?")
        limited = session.finish(session.begin("2?", engine=replace(engine, limits=Limits(turns=2))))
    assert (limited.finish, limited.limit) == ("limit", {"kind": "turns", "limit": 2, "used": 2})


def test_a_run_that_is_followed_with_a_schema_is_told_of_it() -> None:
    model, seen = scripted_and_seen(submit("one"), submit('{"n": 2}'))
    RLM(model).ask("1?", "x")
    with Session(RLM(model, schema="n int"), following=Following("last", "x")) as session:
        assert session.ask("2?").answer == {"n": 2}
    assert ["JSON Schema:" in text for text in seen] == [False, True]


def test_an_answer_that_was_not_taken_is_not_said_to_have_been_when_its_run_is_followed() -> None:
    model, seen = scripted_and_seen(submit("none"), submit('{"n": 2}'))
    with pytest.raises(RunFailedError):
        RLM(model, schema="n int", limits=Limits(turns=1)).ask("1?", "x")
    with Session(RLM(model, schema="n int"), following=Following("last", "x")) as session:
        assert session.ask("2?").answer == {"n": 2}
    assert ("Submitted." in seen[-1], "or did not take it" in seen[-1]) == (False, True)


def test_a_cell_that_a_crash_broke_off_is_not_said_to_have_submitted_when_its_run_is_followed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    model, seen = scripted_and_seen(run("a = 1"), submit("two"))
    with monkeypatch.context() as patch:  # as if the process had been killed there
        patch.setattr("llm_rlm.runs.record.Record.end_cell", die)
        patch.setattr("llm_rlm.runs.run.Run._record_end", lambda *_: None)
        with pytest.raises(ZeroDivisionError):
            RLM(model).ask("1?", "x")
    with Session(RLM(model), following=Following("last", "x")) as session:
        assert session.ask("2?").answer == "two"
    assert ("Submitted." in seen[-1], "the run ended before this was done" in seen[-1]) == (False, True)


def test_a_worker_that_is_killed_between_two_questions_is_replaced_with_its_variables() -> None:
    model, seen = scripted_and_seen(
        run("rs = await llm_map(['a', 'b'], 'Good?', labels=['yes'])"),
        submit("one"),
        run("print([str(r) for r in rs])"),
        submit("two"),
    )
    asked: list[str] = []

    def sub(prompt: llm.Prompt) -> str:
        asked.append(prompt.prompt)
        return labelled(prompt.prompt)

    with RLM(model, ScriptedModel(sub, "sub"), settings=Settings(cache_days=0)).session("x") as session:
        session.ask("1?")
        connection = session._ready.start.session._workers.connection
        os.kill(connection.worker.pid, signal.SIGKILL)
        assert until(lambda: not connection.mailbox._events.empty())  # a thread notices the end
        assert session.ask("2?").answer == "two"
    assert ("['yes', 'yes']" in seen[-1], len(asked)) == (True, 1)


def test_a_session_goes_on_after_a_first_question_that_could_not_be_recorded(temporary: Path) -> None:
    with RLM(scripted(submit_variable("context"))).session("x") as session:
        journal_path().mkdir()
        with pytest.raises(RLMError, match="journal"):
            session.ask("1?")
        journal_path().rmdir()
        assert session.ask("1?").answer == "x"
    assert list(temporary.iterdir()) == []


def test_a_question_that_is_cancelled_while_it_starts_ends_its_session(temporary: Path) -> None:
    started, go_on = threading.Event(), threading.Event()

    def watch(event: Event) -> None:
        if isinstance(event, RunStarted):
            started.set()
            go_on.wait(20)

    async def cancelled() -> None:
        with RLM(scripted(submit("done"))).session("x", observer=watch) as session:
            task = asyncio.create_task(session.aask("1?"))
            await asyncio.to_thread(started.wait, 20)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            go_on.set()
            with pytest.raises(UsageError, match="the session has ended: a question was aborted"):
                await session.aask("2?")

    asyncio.run(cancelled())
    assert list(temporary.iterdir()) == []


def die(*_: object, **__: object) -> None:
    raise ZeroDivisionError


def labelled(prompt: str) -> str:
    numbers = re.findall(r"<item (\d+)>", prompt)
    return json.dumps({"results": [{"item": int(number), "result": "yes"} for number in numbers]})
