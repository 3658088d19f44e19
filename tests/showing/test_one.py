"""A run as a person reads it."""

from __future__ import annotations

from contextlib import closing
from dataclasses import replace
from typing import TYPE_CHECKING

from rich.console import Console

from llm_rlm import RLM
from llm_rlm.journal import Journal
from llm_rlm.journal.records import Records
from llm_rlm.places import journal_path
from llm_rlm.showing.one import View
from llm_rlm.testing import Reply, ScriptedModel
from scripts import run, scripted, submit, submit_variable

if TYPE_CHECKING:
    from llm_rlm import Result
    from llm_rlm.journal.records import Record


def ask(*replies: Reply) -> Result:
    return RLM(scripted(*replies), ScriptedModel(str, "sub")).ask("Which?", context=" ".join(map(str, range(10_000))))


def recorded(result: Result) -> Record:
    with closing(Journal(journal_path())) as journal:
        return Records(journal).record(result.run_id)


def shown(result: Result, view: View | None = None) -> str:
    return drawn(recorded(result), view)


def drawn(record: Record, view: View | None = None) -> str:
    console = Console(width=100, color_system=None)
    with console.capture() as captured:
        for part in (view or View()).of(record):
            console.print(part)
    return captured.get()


def test_what_was_submitted_is_shown_also_where_it_was_not_taken() -> None:
    text = shown(ask(submit_variable("no_such\x1b[2J"), submit("the answer")))
    first, second = text.split("\nTurn 2 ")
    assert 'submits {"variable_name": "no_such' in first
    assert 'submits {"answer": "the answer"}' in second
    assert "\x1b" not in text


def test_what_a_run_took_is_said_as_at_its_end() -> None:
    result = ask(run("print(len(context))"), submit("done"))
    text = shown(result)
    assert f"2 turns, 0 sub-calls, {result.usage.input:,} + {result.usage.output:,} tokens, cost unknown, " in text


def test_a_share_that_is_little_is_not_said_to_be_nothing() -> None:
    text = shown(ask(run("print(context[:200])"), submit("done")))
    (row,) = [line for line in text.splitlines() if line.startswith("all of the input")]
    assert row.split()[-2:] == ["under", "1%"]


def test_a_cost_that_is_not_known_of_all_calls_is_not_said_to_be_known() -> None:
    result = ask(run("await llm_batch(['a', 'b'])"), submit("done"))
    record = recorded(result)
    first, second = record.calls
    assert (first.took.cost, second.took.cost) == (None, None)
    assert "tokens · slowest" in drawn(record)
    priced = replace(first, took=replace(first.took, cost=0.04))
    assert "tokens · $0.04+? · slowest" in drawn(replace(record, calls=[priced, second]))


def test_a_text_is_cut_and_says_by_how_much_unless_all_is_wanted() -> None:
    result = ask(run("print('x' * 5_000)"), submit("done"))
    assert "… 1,000 more characters: --full" in shown(result)
    assert shown(result, View(full=True)).count("x") >= 5_000
