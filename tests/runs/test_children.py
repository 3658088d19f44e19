"""Child runs: a session each, one budget, their own rows in the journal."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from llm_rlm import RLM, Limits, Rate, RLMToolbox, RunFailedError, Settings, UsageError
from llm_rlm.journal import Journal
from llm_rlm.runs.asking import begin
from llm_rlm.runs.children import Children
from llm_rlm.runs.turns import AbortedError
from llm_rlm.testing import Reply, ScriptedModel, say, tool_outputs
from scripts import run, scripted, submit, submit_variable

if TYPE_CHECKING:
    from collections.abc import Callable

    import llm

    from conftest import Serve
    from llm_rlm import Result

both_apis = pytest.mark.parametrize("api", ["chat", "responses"])


def ask(cell: str, child: Callable[[llm.Prompt], Reply | str], context: Any = "some text", **engine: Any) -> Result:
    """Ask with a root model that runs one cell and submits `x`, and a sub-model that is `child`."""
    root = scripted(run(cell), submit_variable("x"))
    return RLM(root, ScriptedModel(child, "sub"), **engine).ask("?", context)


def question(prompt: llm.Prompt) -> str:
    """What a run was asked, whose root model gets this prompt."""
    texts = [
        part.text for message in prompt.messages if message.role == "user" for part in message.parts if hasattr(part, "text")
    ]
    return str(texts[0]) if texts else ""


def answers(prompt: llm.Prompt) -> Reply:
    """A child that submits what it was asked and what its context is; without tools, a plain answer."""
    if not prompt.tools:
        return say(f"plain: {prompt.prompt}")
    return run(f"submit({question(prompt)!r} + ' ' + repr(context))")


def runs(path: Path) -> list[dict[str, Any]]:
    journal = Journal(path / "rlm.db")
    try:
        return journal.rows(
            "select readable_runs.*, calls.kind as call_kind from readable_runs"
            " left join calls on calls.id = parent_call order by readable_runs.started, readable_runs.id"
        )
    finally:
        journal.close()


def test_a_child_answers_with_a_session_of_its_own(user_path: Path) -> None:
    result = ask("y = 1\nr = await rlm_query('What?', context='part')\nx = [r['response'], r + '!', 'y' in r]", answers)
    assert result.answer == ["What? 'part'", "What? 'part'!", False]
    top, child = runs(user_path)
    assert (child["parent"], child["depth"], child["call_kind"], child["question"]) == (top["id"], 1, "run", "What?")
    assert (child["finish"], child["answer"], child["ended"] is not None) == ("submitted", "What? 'part'", True)
    assert (top["parent"], top["depth"]) == (None, 0)


@pytest.mark.parametrize(
    ("context", "shown"),
    [
        ("['a', {'b': 1}]", "['a', {'b': 1}]"),
        ("{'k': [1, 2.5, None]}", "{'k': [1, 2.5, None]}"),
        ("7", "7"),
        ("'é\\U0001f600\\n'", "'é😀\\n'"),
        ("None", "None"),
        ("context", "'some text'"),
        ("context[5:]", "'text'"),
    ],
)
def test_the_context_of_a_child_is_what_the_cell_gives_in_the_same_shape(context: str, shown: str) -> None:
    assert ask(f"x = await rlm_query('Q', {context})", answers).answer == f"Q {shown}"


def test_what_a_child_answers_is_data_where_it_is_json() -> None:
    def child(prompt: llm.Prompt) -> Reply:
        return run(f"submit({question(prompt)})")

    asked = ['[1, {"a": 2}]', "42", '"words"', 'float("1e3")']
    cell = f"rs = await rlm_query_batch({asked})\nx = [[str(r), r.data] for r in rs]"
    assert ask(cell, child).answer == [['[1, {"a": 2}]', [1, {"a": 2}]], ["42", 42], ["words", None], ["1000.0", 1000.0]]


@pytest.mark.parametrize(
    ("arguments", "shown"),
    [
        ("['a', 'b', 'c'], context='t'", ["a 't'", "b 't'", "c 't'"]),
        ("['a', 'b'], 't'", ["a 't'", "b 't'"]),
        ("['a', 'b'], contexts=['t', [1]]", ["a 't'", "b [1]"]),
        ("'a', contexts=['t', 'u']", ["a 't'", "a 'u'"]),
        ("'a', chunks('tu', 1)", ["a 't'", "a 'u'"]),
        ("[('a', 't'), ('b', None)]", ["a 't'", "b None"]),
        ("[{'question': 'a', 'context': 't'}, {'question': 'b'}]", ["a 't'", "b None"]),
        ("(q for q in 'ab')", ["a None", "b None"]),
        ("[]", []),
    ],
)
def test_a_batch_takes_questions_and_contexts_in_every_way_they_are_written_and_keeps_their_order(
    arguments: str, shown: list[str]
) -> None:
    cell = f"rs = await rlm_query_batched({arguments})\nx = [r['response'] for r in rs['responses']]"
    assert ask(cell, answers).answer == shown


@pytest.mark.parametrize(
    ("call", "says"),
    [
        ("rlm_query('  ')", "ValueError: question is empty"),
        ("rlm_query(None)", "TypeError: question must be str, not NoneType"),
        ("rlm_query('a' * 100_001)", "question has 100,001 characters, and the child's model would read all of it"),
        ("rlm_query('a', {1, 2})", "TypeError: set is not JSON"),
        ("rlm_query('a', 'b' * 20_000_001)", "context has 20,000,014 characters as JSON; at most 20,000,000 can be given"),
        ("rlm_query_batch('a')", "questions must be a list, or a str where contexts is a list, not str"),
        ("rlm_query_batch(['a', 'b'], ['t'])", "there are 2 questions and 1 contexts: give one context for each question"),
        (
            "rlm_query_batch(['a'], ['t'], context='u')",
            "give contexts, one for each question, or context, one for all; not both",
        ),
        ("rlm_query_batch([5])", "questions[0] must be a str, a pair (question, context), or a dict with these, not int"),
        ("rlm_query_batch(['a', ''])", "ValueError: questions[1] is empty"),
    ],
)
def test_what_cannot_be_asked_is_an_error_for_the_model_that_says_what_to_do(serve: Serve, call: str, says: str) -> None:
    models = serve(run(f"await {call}"), submit("done"))
    assert RLM("chat").ask("?", "x").answer == "done"
    assert says in models.tool_results[0]


def test_where_there_may_be_no_child_a_question_goes_in_one_prompt_with_its_context() -> None:
    cell = "r = await rlm_query('Q', context)\nrs = await rlm_query_batch(['A', 'B'], contexts=[[1, 2], None])\nx = [r, *rs]"
    result = ask(cell, answers, depth=0)
    assert result.answer == ["plain: Q\n\nsome text", "plain: A\n\n[1, 2]", "plain: B"]
    assert result.usage.calls == 3


def test_a_context_too_large_for_one_prompt_is_refused_where_there_may_be_no_child(serve: Serve) -> None:
    models = serve(run("await rlm_query('Q', 'a' * 19_999_998)"), submit("done"))
    RLM("chat", depth=0).ask("?", "x")
    assert "context has 19,999,998 characters; there can be no further child run below this one" in models.tool_results[0]
    assert not models.sub_requests


@pytest.mark.parametrize(
    ("depth", "answer"),
    [(1, "child of ['some text']: plain: deeper\n\nsome text"), (2, "child of ['some text']: grandchild of 'some text'")],
)
def test_children_go_as_deep_as_is_allowed_and_no_deeper(depth: int, answer: str, user_path: Path) -> None:
    def child(prompt: llm.Prompt) -> Reply:
        if not prompt.tools:
            return say(f"plain: {prompt.prompt}")
        if question(prompt) == "deeper":
            return run("submit('grandchild of ' + repr(context))")
        return run("r = await rlm_query('deeper', context[0])\nsubmit(f'child of {context}: {r}')")

    assert ask("x = await rlm_query('deep', [context])", child, depth=depth).answer == answer
    assert [row["depth"] for row in runs(user_path)] == list(range(depth + 1))


@pytest.mark.parametrize("depth", [-1, True, 1.5, "1", None])
def test_a_depth_that_cannot_be_is_an_error(depth: Any) -> None:
    with pytest.raises(UsageError, match="depth must be a whole number of at least 0"):
        RLM(scripted("no"), depth=depth).ask("?", "x")
    with pytest.raises(UsageError, match="depth must be a whole number of at least 0"):
        RLMToolbox("x", scripted("no"), depth=depth)


@pytest.mark.parametrize(("depth", "told"), [(0, False), (1, True)])
def test_the_root_model_is_told_of_children_where_it_may_have_some(depth: int, told: bool) -> None:
    systems: list[str] = []

    def root(prompt: llm.Prompt) -> Reply:
        systems.append(str(prompt.system))
        return submit("done")

    RLM(ScriptedModel(root), depth=depth).ask("?", "x")
    assert ("rlm_query" in systems[0]) is told


@both_apis
def test_a_child_counts_as_one_call_its_turns_are_its_own_and_what_it_took_is_in_the_usage_of_all(
    serve: Serve, api: str, tmp_path: Path
) -> None:
    log = tmp_path / "a.log"
    log.write_text("some text")
    cost: dict[str, Any] = {"input_tokens": 1000, "output_tokens": 100}
    replies = [
        Reply(tool_calls=run("x = await rlm_query('Q', 'part')").tool_calls, **cost),
        Reply(tool_calls=run("y = await llm_query('p')").tool_calls, **cost),
        Reply(tool_calls=submit_variable("y").tool_calls, **cost),
        Reply(tool_calls=submit_variable("x").tool_calls, **cost),
    ]
    models = serve(*replies, sub=lambda request: Reply(f"<{request.prompt}>", **cost))
    engine = RLM(api, limits=Limits(cost=5.0, turns=7), prices={api: Rate(1, 10)})
    first = engine.ask("?", log)
    assert (first.answer, first.finish) == ("<p>", "submitted")
    assert (first.usage.turns, first.usage.calls, first.usage.input, first.usage.output) == (2, 2, 5000, 500)
    assert first.cost == pytest.approx(5 * 0.002)
    assert "turn 1 of 7; 2 sub-calls so far" in models.tool_results[0]
    assert "turn 1 of 7; 2 sub-calls so far" in models.root_requests[2].messages[-1]["content"]
    again = engine.resume("last")
    assert (again.run_id, again.usage) == (first.run_id, first.usage)


def test_each_child_has_as_many_turns_as_a_run_may_have() -> None:
    turns: list[str] = []

    def child(prompt: llm.Prompt) -> Reply:
        turns.append(question(prompt))
        return run("1")

    result = ask("rs = await rlm_query_batch(['a', 'b'])\nx = [r.error for r in rs]", child, limits=Limits(turns=3))
    assert result.answer == ["the child run gave no answer: the limit of 3 turns is reached"] * 2
    assert (sorted(turns), result.finish, result.usage.failed) == (["a"] * 3 + ["b"] * 3, "submitted", 2)


def test_the_last_turn_of_a_child_is_told_so_and_its_prose_is_the_answer() -> None:
    def child(prompt: llm.Prompt) -> Reply:
        return say("about four") if "This is your last turn" in str(prompt.messages[-1]) else run("1")

    assert ask("x = await rlm_query('a')", child, limits=Limits(turns=3)).answer == "about four"


@pytest.mark.parametrize(
    ("reply", "says"),
    [
        (say(""), "the child run gave no answer: its replies were empty"),
        (run("import os\nos._exit(1)"), "the child run gave no answer: the limit of 3 turns is reached"),
    ],
)
def test_a_child_without_an_answer_raises_in_the_cell_that_asked(reply: Reply, says: str) -> None:
    cell = "try:\n    await rlm_query('a')\nexcept LLMError as problem:\n    x = str(problem)"
    assert ask(cell, lambda _: reply, limits=Limits(turns=3)).answer == says


@both_apis
def test_a_child_whose_model_fails_is_a_failure_that_tells_its_kind_and_nothing_of_the_host(serve: Serve, api: str) -> None:
    cell = "rs = await rlm_query_batch(['a'])\nx = rs[0].error\nprint(bool(rs[0]))"
    models = serve(run(cell), Reply(status=401, text="the key sk-123 at /home/me is wrong"), submit_variable("x"))
    result = RLM(api).ask("?", "t")
    assert result.answer == "the child run failed: the model did not answer (AuthenticationError, HTTP 401)"
    assert models.tool_results[0].startswith("False")


@pytest.mark.parametrize("calls", [0, 1, 5, 11])
def test_calls_are_limited_over_the_whole_tree_and_each_run_is_asked_for_its_best_answer(calls: int) -> None:
    sent: list[str] = []

    def child(prompt: llm.Prompt) -> Reply:
        if not prompt.tools:
            sent.append(str(prompt.prompt))
            return say("yes")
        if "This is your last turn" in str(prompt.messages[-1]):
            return submit("best")
        return run("rs = await llm_batch([f'p{i}' for i in range(9)])\nsubmit('all')")

    root = scripted(run("rs = await rlm_query_batch(['a', 'b', 'c', 'd', 'e', 'f'])\nx = len(rs.errors)"), submit_variable("x"))
    result = RLM(root, ScriptedModel(child, "sub"), limits=Limits(calls=calls)).ask("?", "t")
    assert result.usage.calls == calls
    assert len(sent) <= calls
    assert result.finish == "limit"
    assert result.limit == {"kind": "calls", "limit": calls, "used": calls}


@pytest.mark.parametrize("limit", [{"cost": 0.5}, {"tokens": 60_000}, {"cost": 0.02}])
def test_tokens_and_cost_of_many_children_side_by_side_never_go_over_their_limit(limit: dict[str, Any]) -> None:
    spent = threading.Lock()
    total = [0, 0]

    def child(prompt: llm.Prompt) -> Reply:
        given = 300 + len(str(prompt.prompt)) // 4
        with spent:
            total[0] += given
            total[1] += 50
        size: dict[str, Any] = {"input_tokens": given, "output_tokens": 50}
        if not prompt.tools:
            return Reply("yes", **size)
        if "This is your last turn" in str(prompt.messages[-1]):
            return Reply(tool_calls=submit("best").tool_calls, **size)
        cell = "rs = await llm_batch([f'p{i}' for i in range(5)])\nprint(len(rs.errors))"
        done = len(tool_outputs(prompt))
        return Reply(tool_calls=(run(cell) if done < 3 else submit("all")).tool_calls, **size)

    cell = "rs = await rlm_query_batch([f'q{i}' for i in range(12)])\nx = [str(r) if r else r.error for r in rs]"
    limits = Limits(**limit)

    def root(prompt: llm.Prompt) -> Reply:
        calls = (submit_variable("x") if tool_outputs(prompt) else run(cell)).tool_calls
        return Reply(tool_calls=calls, input_tokens=700, output_tokens=50)

    result = RLM(
        ScriptedModel(root, "root"),
        ScriptedModel(child, "sub"),
        limits=limits,
        prices={"sub": Rate(2, 20), "root": Rate(2, 20)},
        log=False,
    ).ask("?", "t")
    assert result.usage.tokens >= sum(total)
    assert limits.tokens is None or result.usage.tokens <= limits.tokens
    assert limits.cost is None or (result.cost is not None and result.cost <= limits.cost)


def test_at_most_so_many_children_go_on_at_once_and_all_of_them_are_answered() -> None:
    lock, now, most = threading.Lock(), [0], [0]
    together = threading.Barrier(2)

    def child(prompt: llm.Prompt) -> Reply:
        with lock:
            now[0] += 1
            most[0] = max(now[0], most[0])
        together.wait(60)
        with lock:
            now[0] -= 1
        return submit(question(prompt))

    cell = "rs = await rlm_query_batch([str(i) for i in range(8)])\nx = [str(r) for r in rs]"
    result = ask(cell, child, settings=Settings(children=2))
    assert result.answer == [str(i) for i in range(8)]
    assert most[0] == 2


def test_children_of_children_and_their_calls_wait_for_no_place_that_a_parent_has() -> None:
    def child(prompt: llm.Prompt) -> Reply:
        if not prompt.tools:
            return say("leaf")
        if question(prompt) == "low":
            return run("rs = await llm_batch(['p'] * 3)\nsubmit(str(rs[2]))")
        return run("rs = await rlm_query_batch(['low'] * 3)\nsubmit(str(rs[2]))")

    cell = "rs = await rlm_query_batch(['high'] * 3)\nx = [str(r) for r in rs] + [str(await llm_query('p'))]"
    result = ask(cell, child, depth=2, settings=Settings(children=1, concurrency=1))
    assert result.answer == ["leaf"] * 4
    assert result.usage.calls + result.usage.cached == 3 + 9 + 27 + 1


class Gathering:
    """A sub-model whose children each hang in a sub-call, until `go_on`."""

    def __init__(self, children: int) -> None:
        self.hanging = threading.Semaphore(0)
        self.go_on = threading.Event()
        self.children = children
        self.asked: list[str] = []
        self._lock = threading.Lock()

    def __call__(self, prompt: llm.Prompt) -> Reply:
        with self._lock:
            self.asked.append(question(prompt) if prompt.tools else str(prompt.prompt))
        if not prompt.tools:
            self.hanging.release()
            self.go_on.wait(20)
            return say(f"<{prompt.prompt}>")
        return run(f"r = await llm_query('for ' + {question(prompt)!r})\nsubmit(str(r))")

    def wait(self) -> None:
        for _ in range(self.children):
            assert self.hanging.acquire(timeout=60)


@pytest.mark.parametrize("way", ["stop", "abort"])
def test_a_stop_or_an_abort_reaches_every_child_at_once(user_path: Path, way: str) -> None:
    sub = Gathering(3)
    root = scripted(run("rs = await rlm_query_batch(['a', 'b', 'c'])\nx = 1"), submit("so far"))
    asking = begin(RLM(root, ScriptedModel(sub, "sub")), "?", "t")
    outcome: list[Any] = []

    def finish() -> None:
        try:
            outcome.append(asking.finish().finish)
        except AbortedError as problem:
            outcome.append(str(problem))

    thread = threading.Thread(target=finish)
    thread.start()
    sub.wait()
    getattr(asking, way)("enough")
    thread.join(20)
    sub.go_on.set()
    assert outcome == ["interrupted" if way == "stop" else "enough"]
    assert [row["finish"] for row in runs(user_path)] == ["interrupted"] * 4
    assert all(row["process"] is None for row in runs(user_path))


def test_a_limit_of_time_ends_children_with_their_parent(user_path: Path) -> None:
    sub = Gathering(1)
    root = scripted(run("await rlm_query('a')"), submit("in time"))
    result = RLM(root, ScriptedModel(sub, "sub"), limits=Limits(seconds=4)).ask("?", "t")
    sub.go_on.set()
    assert (result.answer, result.finish) == ("in time", "limit")
    assert [row["finish"] for row in runs(user_path)][1:] in (["interrupted"], ["limit"])


def test_a_child_that_nobody_awaits_ends_with_its_parent(user_path: Path) -> None:
    sub = Gathering(1)
    cell = "import asyncio\nt = asyncio.create_task(rlm_query('a'))\nr = await asyncio.wait([t], timeout=0.01)"

    def root(prompt: llm.Prompt) -> Reply:
        if not tool_outputs(prompt):
            return run(cell)
        sub.wait()
        return submit("done")

    assert RLM(ScriptedModel(root, "root"), ScriptedModel(sub, "sub")).ask("?", "t").answer == "done"
    sub.go_on.set()
    assert [row["finish"] for row in runs(user_path)] == ["submitted", "interrupted"]


def test_a_child_that_has_answered_answers_again_when_its_parent_is_replayed() -> None:
    asked: list[str] = []

    def child(prompt: llm.Prompt) -> Reply:
        asked.append(question(prompt))
        return run("submit([1, 2])")

    replies = [
        run("r = await rlm_query('a')"),
        run("import os\nos._exit(1)"),
        run("x = [r.data, str(r)]"),
        submit_variable("x"),
    ]
    result = RLM(scripted(*replies), ScriptedModel(child, "sub")).ask("?", "t")
    assert (result.answer, asked) == ([[1, 2], "[1, 2]"], ["a"])


def resume(engine: RLM, **limits: Any) -> Result:
    return replace(engine, limits=replace(engine.limits, **limits)).resume("last", "t")


def test_a_child_that_has_answered_is_not_asked_again_when_its_parent_is_resumed() -> None:
    asked: list[str] = []

    def child(prompt: llm.Prompt) -> Reply:
        asked.append(question(prompt))
        return submit("yes")

    broken: list[bool] = [True]

    def root(prompt: llm.Prompt) -> Reply:
        if not tool_outputs(prompt):
            return run("x = str(await rlm_query('a'))")
        if broken:
            broken.clear()
            message = "no"
            raise ValueError(message)
        return submit_variable("x")

    engine = RLM(ScriptedModel(root, "root"), ScriptedModel(child, "sub"))
    with pytest.raises(RunFailedError) as failed:
        engine.ask("?", "t")
    result = resume(engine)
    assert (result.answer, asked, result.usage.calls) == ("yes", ["a"], 1)
    assert result.run_id == failed.value.result.run_id


def test_children_that_were_stopped_go_on_where_they_were_when_their_parent_is_resumed(user_path: Path) -> None:
    sub = Gathering(2)
    cell = "rs = await rlm_query_batch(['a', 'b'])\nx = [str(r) for r in rs]"
    cell += "\nprint('done')"
    root = ScriptedModel(lambda prompt: submit_variable("x") if "done" in str(tool_outputs(prompt)) else run(cell))
    engine = RLM(root, ScriptedModel(sub, "sub"))
    asking = begin(engine, "?", "t")

    def stop() -> None:
        sub.wait()
        asking.stop("enough")

    threading.Thread(target=stop).start()
    assert asking.finish().finish == "interrupted"
    sub.go_on.set()
    result = resume(engine)
    assert result.answer == ["<for a>", "<for b>"]
    # Each child's only turn was paid once; a sub-call under way when it was stopped is served if its answer came.
    assert sorted(name for name in sub.asked if not name.startswith("for")) == ["a", "b"]
    assert [row["finish"] for row in runs(user_path)] == ["submitted"] * 3
    assert result.usage.calls - 2 == sum(name.startswith("for") for name in sub.asked)


def test_children_that_a_limit_held_up_go_on_when_it_is_raised() -> None:
    asked: list[str] = []

    def child(prompt: llm.Prompt) -> Reply:
        asked.append(question(prompt) if prompt.tools else str(prompt.prompt))
        if not prompt.tools:
            return say(f"<{prompt.prompt}>")
        if "This is your last turn" in str(prompt.messages[-1]):
            return submit("best")
        return run("rs = await llm_batch(['p1', 'p2', 'p3'])\nsubmit([str(r) for r in rs if r])")

    def root(prompt: llm.Prompt) -> Reply:
        told = str(tool_outputs(prompt))
        last = "This is your last turn" in str(prompt.messages[-1])
        return submit_variable("x") if "got" in told or last else run("x = (await rlm_query('a')).data\nprint('got', x)")

    engine = RLM(ScriptedModel(root, "root"), ScriptedModel(child, "sub"), limits=Limits(calls=3))
    first = engine.ask("?", "t")
    assert (first.finish, len(first.answer), first.usage.calls) == ("limit", 2, 3)  # which two is chance
    second = resume(engine, calls=50)
    assert (second.finish, second.answer, second.usage.calls) == ("submitted", ["<p1>", "<p2>", "<p3>"], 4)
    assert sorted(asked) == ["a", "p1", "p2", "p3"]


def test_last_is_the_last_run_at_the_top_and_a_child_is_not_resumed_alone(user_path: Path) -> None:
    ask("x = str(await rlm_query('a'))", answers)
    top, child = runs(user_path)
    assert RLM(scripted("no")).resume("last", "t").run_id == top["id"]
    with pytest.raises(UsageError, match=f"run {child['id']} is a child of run {top['id']}: resume that one"):
        RLM(scripted("no")).resume(child["id"], "t")


def test_what_children_show_to_models_counts_for_the_parent_where_it_stands_in_its_documents() -> None:
    text = "".join(f"line {i} of the input, which is long enough\n" for i in range(100))

    def child(prompt: llm.Prompt) -> Reply:
        return submit("done") if tool_outputs(prompt) else run("print(context)")

    result = ask("x = str(await rlm_query('a', context[: len(context) // 2]))", child, text)
    assert result.coverage is not None
    assert 0.45 < result.coverage.sent < 0.55


@pytest.mark.parametrize(("given", "touched"), [("context", ["a.txt", "b.txt"]), ("None", [])])
def test_what_a_child_reads_of_its_parents_texts_counts_for_the_parent(tmp_path: Path, given: str, touched: list[str]) -> None:
    for name in ("a.txt", "b.txt"):
        lines = [f"line {i} in the text of {name}, with {i * 7919 % 1000} to tell it from others\n" for i in range(20)]
        (tmp_path / name).write_text("".join(lines))

    def child(prompt: llm.Prompt) -> Reply:
        return submit("done") if tool_outputs(prompt) else run("print('\\n'.join(grep('text')))")

    result = ask(f"x = str(await rlm_query('a', {given}))", child, tmp_path)
    assert result.coverage is not None
    assert [Path(share.name).name for share in result.coverage.documents if share.read] == touched
    assert (result.coverage.sent > 0.9) is bool(touched)


@pytest.mark.parametrize("which", ["context", "context[name]", "{name: context[name]}"])
def test_a_child_can_have_all_of_several_texts_or_one_of_them(tmp_path: Path, which: str) -> None:
    (tmp_path / "a.txt").write_text("alpha\n")
    (tmp_path / "b.txt").write_text("beta\n")

    def child(_: llm.Prompt) -> Reply:
        return run(
            "text = context if type(context) is str else list(context.values())[-1]\nsubmit([type(context).__name__, text])"
        )

    kind = {"context": "Corpus", "context[name]": "str"}.get(which, "dict")
    assert ask(f"name = context.names[1]\nx = (await rlm_query('a', {which})).data", child, tmp_path).answer == [kind, "beta\n"]


def test_a_text_that_is_not_held_is_read_where_it_lies_by_a_child_too(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("llm_rlm.context.sources.files.fits", lambda _: False, raising=False)
    monkeypatch.setattr("llm_rlm.context.lending.fits", lambda _: False)
    path = tmp_path / "large.log"
    path.write_text("first\nsecond\n")

    def child(_: llm.Prompt) -> Reply:
        return run("submit([type(context).__name__, context[6:12], [str(hit) for hit in grep('sec')]])")

    result = ask("from types import SimpleNamespace\nx = (await rlm_query('a', context)).data", child, path)
    assert result.answer[1:] == ["second", ["second"]]


def test_a_child_that_is_given_most_of_a_large_context_is_started_and_the_model_is_told() -> None:
    cell = "x = str(await rlm_query('a', context[: int(len(context) * {share})]))"
    for share, told in ((0.9, True), (0.5, False)):
        root: list[str] = []

        def script(prompt: llm.Prompt, share: float = share, root: list[str] = root) -> Reply:
            root += tool_outputs(prompt)
            return submit_variable("x") if tool_outputs(prompt) else run(cell.format(share=share))

        result = RLM(ScriptedModel(script, "root"), ScriptedModel(lambda _: submit("ok"), "sub")).ask("?", "a" * 200_000)
        assert result.answer == "ok"
        assert ("the child run is given 90% of `context`" in root[0]) is told


@both_apis
def test_an_answer_of_a_child_comes_with_llms_own_chain_too(serve: Serve, api: str) -> None:
    models = serve(run("submit(len(context))"))
    with RLMToolbox("some text", sub_model=api) as toolbox:
        assert (
            toolbox.execute_python("r = await rlm_query('How long?', context[:4])\n(r.data, r['response'])")
            == "(4, '4')\n"[:-1]
        )
        assert toolbox.usage["calls"] == 1
    assert models.root_requests[0].prompt == "How long?"
    with RLMToolbox("some text", sub_model=api, depth=0) as toolbox:
        assert toolbox.execute_python("await rlm_query('How long?')") == "'sub: How long?'"


def test_nothing_of_children_is_left_behind(temporary: Path) -> None:
    ask("rs = await rlm_query_batch(['a', 'b'], context='t')\nr = await rlm_query('c', 'u')\nx = len(rs)", answers)
    assert list(temporary.iterdir()) == []


def test_the_payload_of_a_call_is_checked_whatever_the_sandbox_says() -> None:
    from llm_rlm.calls import CallRequest  # noqa: PLC0415 - what the sandbox sends

    toolbox = RLMToolbox("some text", scripted("no"))
    with toolbox:
        toolbox.execute_python("1")
        children = toolbox._kept.run._below  # type: ignore[union-attr]
        assert isinstance(children, Children)
        for payload in ("[", "[" * 100_000, "5", '{"document": 7}', '{"document": -1}', '{"whole": false}', '{"other": 1}'):
            reply = children.perform(CallRequest(1, "Q", "run", payload=payload), 1, lambda: False)
            assert reply.error == "the child run could not start: its context cannot be read"
        deep = json.dumps({"value": json.loads("[" * 150 + "]" * 150)})
        reply = children.perform(CallRequest(1, "Q", "run", payload=deep), 1, lambda: False)
        assert reply.error == "the child run could not start: the context nests more than 100 deep"


def test_the_root_model_of_a_child_may_be_one_that_takes_no_tools() -> None:
    def answer(prompt: llm.Prompt) -> str:
        return "```python\nsubmit(context.upper())\n```" if "context" in str(prompt.system) else "never"

    sub = ScriptedModel(answer, "sub")
    sub.supports_tools = False
    cell = "x = await rlm_query('a', context='shout')"
    assert RLM(scripted(run(cell), submit_variable("x")), sub).ask("?", "t").answer == "SHOUT"


DIES = """
import sys, time
from llm_rlm import RLM
from llm_rlm.testing import ScriptedModel, tool_outputs
from scripts import run, scripted

def sub(prompt):
    if not prompt.tools:
        return f"<{prompt.prompt}>"
    if not tool_outputs(prompt):
        return run("y = str(await llm_query('first'))\\nprint(y)")
    print("hanging", flush=True)
    time.sleep(60)

RLM(scripted(run("x = str(await rlm_query('a'))\\nprint('got')")), ScriptedModel(sub, "sub")).ask("?", "t")
"""


def test_a_child_under_way_when_its_process_was_killed_goes_on_and_nothing_is_paid_twice(user_path: Path) -> None:
    process = subprocess.Popen(  # noqa: S603 - our own interpreter and code
        [sys.executable, "-c", DIES], stdout=subprocess.PIPE, env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])}
    )
    with process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"hanging\n"
        process.kill()
    asked: list[str] = []

    def sub(prompt: llm.Prompt) -> Reply:
        asked.append(f"turn after {tool_outputs(prompt)[-1][:7]}" if prompt.tools else str(prompt.prompt))
        return submit_variable("y")

    root = ScriptedModel(lambda prompt: submit_variable("x") if "got" in str(tool_outputs(prompt)) else submit("no"), "root")
    result = RLM(root, ScriptedModel(sub, "sub")).resume("last", "t")
    assert (result.answer, result.finish) == ("<first>", "submitted")
    assert asked == ["turn after <first>"]
    # The turn that hung may have been paid; the call that asked for the child costs nothing itself.
    assert (result.usage.calls, result.usage.unsettled, result.usage.turns) == (2, 1, 2)
    assert [row["finish"] for row in runs(user_path)] == ["submitted"] * 2
