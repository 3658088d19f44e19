"""Runs as they are shown, read from the journal."""

from __future__ import annotations

import json
from contextlib import contextmanager
from typing import TYPE_CHECKING

from llm_rlm import RLM, Limits
from llm_rlm.journal import Journal
from llm_rlm.journal.records import CRASHED, ENDED, RUNNING, Records, state_of
from llm_rlm.places import journal_path
from llm_rlm.testing import ScriptedModel
from scripts import run, scripted, submit, submit_variable

if TYPE_CHECKING:
    from collections.abc import Iterator

    import llm


@contextmanager
def records() -> Iterator[Records]:
    journal = Journal(journal_path())
    try:
        yield Records(journal)
    finally:
        journal.close()


def upper(prompt: llm.Prompt) -> str:
    return str(prompt.prompt).upper()


def test_a_run_is_read_with_its_turns_cells_and_calls() -> None:
    root = scripted(run("rs = await llm_batch(['a', 'b'])\nprint(rs[0])"), submit_variable("rs"))
    result = RLM(root, ScriptedModel(upper, "sub")).ask("Which?", context="x")
    with records() as read:
        record = read.record(result.run_id)
        texts = read.texts(text for call in record.calls for text in (call.request, call.response or ""))
    assert (record.state, record.run.question, record.depth) == ("submitted", "Which?", 0)
    assert [turn.number for turn in record.turns] == [1, 2]
    assert record.turns[0].say is not None
    assert record.turns[0].say.startswith("Which?")
    assert [result.split("\n")[0] for result in record.turns[1].results] == ["A"]
    (cell,) = record.cells
    assert (cell.turn, cell.output, cell.outcome) == (1, "A\n", "ok")
    assert [(call.cell, call.state, call.kind) for call in record.calls] == [(1, "answered", "model")] * 2
    asked = {json.loads(texts[call.request])["prompt"]: texts[call.response or ""] for call in record.calls}
    assert asked == {"a": "A", "b": "B"}
    took = [turn.took for turn in record.turns] + [call.took for call in record.calls]
    assert all(each.seconds is not None and each.seconds >= 0 for each in took)


def test_an_answer_that_an_earlier_run_paid_for_is_cached() -> None:
    def ask() -> str:
        root = scripted(run("await llm_query('a')"), submit("done"))
        return RLM(root, ScriptedModel(upper, "sub")).ask("?", context="x").run_id

    ask()
    again = ask()
    with records() as read:
        (call,) = read.record(again).calls
    assert (call.state, call.took.input, call.took.seconds) == ("cached", None, 0)


def test_a_child_run_is_known_by_the_call_that_began_it() -> None:
    def sub(prompt: llm.Prompt) -> object:
        return submit("four") if prompt.tools else "?"

    root = scripted(run("print(await rlm_query('How long?', context='four'))"), submit("done"))
    result = RLM(root, ScriptedModel(sub, "sub"), depth=1).ask("?", context="x")  # type: ignore[arg-type]
    with records() as read:
        parent = read.record(result.run_id)
        (call,) = parent.calls
        child = read.record(str(call.child))
    assert (call.kind, parent.children) == ("run", (child.run.id,))
    assert (child.run.parent, child.parent_call, child.depth) == (result.run_id, call.id, 1)


def test_a_call_that_a_limit_refused_says_so() -> None:
    root = scripted(run("rs = await llm_batch(['a', 'b'])"), submit("done"))
    result = RLM(root, ScriptedModel(upper, "sub"), Limits(calls=1)).ask("?", context="x")
    with records() as read:
        calls = read.record(result.run_id).calls
    assert sorted(call.state for call in calls) == ["answered", "refused"]


def test_a_run_without_a_finish_goes_on_or_crashed_or_was_of_another_chain() -> None:
    from llm_rlm.journal.owner import claim, let_go  # noqa: PLC0415 - beside its use

    owner = claim()
    assert state_of(None, owner, None) == RUNNING
    let_go(owner)
    assert state_of(None, owner, None) == CRASHED
    assert state_of(None, None, 1.0) == ENDED
    assert state_of("limit", None, 1.0) == "limit"
