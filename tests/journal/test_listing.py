"""Runs in a list, read from a journal in one go."""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING, Any

from hypothesis import given
from hypothesis import strategies as st

from llm_rlm import RLM, Limits
from llm_rlm.journal import Journal
from llm_rlm.journal.history import find_run, past_run
from llm_rlm.journal.listing import Wanted, listed, shortest
from llm_rlm.places import journal_path
from llm_rlm.runs.result import result_of
from llm_rlm.testing import ScriptedModel
from scripts import run, scripted, submit

if TYPE_CHECKING:
    import llm


def sub(prompt: llm.Prompt) -> Any:
    return submit("a child's") if prompt.tools else f"said of {prompt.prompt}"


def ask(code: str, limits: Limits | None = None) -> None:
    RLM(scripted(run(code), submit("done")), ScriptedModel(sub, "sub"), limits or Limits()).ask("?", context="hay")


def test_what_is_listed_is_what_the_runs_said_at_their_end() -> None:
    ask("rs = await llm_batch(['a', 'b'])")
    ask("rs = await llm_batch(['a', 'b', 'c'])", Limits(calls=2))
    ask("print(await rlm_query('Part?', context='x'))")
    with closing(Journal(journal_path())) as journal:
        runs = listed(journal, Wanted(children=True)).runs
        results = [result_of(past_run(journal, each.id)) for each in runs]
    assert len(runs) == 4
    for each, result in zip(runs, results, strict=True):
        assert (each.usage, each.finish, each.limit) == (result.usage, result.finish, result.limit)
        assert (each.seconds, list(each.sources)) == (result.seconds, list(result.sources))


def test_filters_hold_together_and_the_newest_come_first() -> None:
    with closing(Journal(None)) as journal:
        for number, model in enumerate(["one", "two", "two", "two"]):
            journal.begin_run(f"run-{number}", model=model, question="needle" if number else "", settings="{}", finish="prose")
        found = listed(journal, Wanted(2, model="two", states=("prose",), words="needle")).runs
    assert [each.id for each in found] == ["run-3", "run-2"]


@given(st.sets(st.text("01ab", min_size=12, max_size=14), min_size=1, max_size=8))
def test_a_shortened_id_is_the_beginning_of_that_run_only(ids: set[str]) -> None:
    with closing(Journal(None)) as journal:
        for run_id in ids:
            journal.begin_run(run_id, settings="{}")
        for run_id, short in shortest(journal, ids).items():
            whole = next((each for each in ids if each != run_id and each.startswith(run_id)), None)
            assert run_id.startswith(short)
            if whole is None:
                assert find_run(journal, short) == run_id


def test_a_shortened_id_has_ten_characters_where_these_are_enough() -> None:
    with closing(Journal(None)) as journal:
        names = ["01aaaaaaaaaaaa1", "01aaaaaaaaaaaa2", "01bbbbbbbbbbbbbbbb"]
        for name in names:
            journal.begin_run(name, settings="{}")
        assert list(shortest(journal, names).values()) == ["01aaaaaaaaaaaa1", "01aaaaaaaaaaaa2", "01bbbbbbbb"]
