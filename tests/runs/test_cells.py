"""A run that its caller drives, cell by cell."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from llm_rlm import RLM, Limits, RLMError, Settings, UsageError
from llm_rlm.journal import Journal
from llm_rlm.journal.history import past_run
from llm_rlm.places import journal_path
from llm_rlm.runs.functions import of_callables
from llm_rlm.testing import ScriptedModel
from scripts import scripted, submit

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


def upper(prompt: object) -> str:
    return str(getattr(prompt, "prompt", "")).upper()


def rlm(**more: object) -> RLM:
    return RLM(sub_model=ScriptedModel(upper, "sub"), **more)  # type: ignore[arg-type]


def test_cells_share_a_session_call_the_sub_model_and_need_no_root_model() -> None:
    with rlm().cells("one\ntwo") as cells:
        assert cells.run("lines = context.splitlines()\nlen(lines)") == "2"
        assert cells.run("rs = await llm_batch(lines)\n[str(r) for r in rs]") == "['ONE', 'TWO']"
        cells.run("found = [str(r) for r in rs]")
        cells.submit(variable_name="found")
        assert (cells.answer, cells.usage.calls, cells.usage.turns) == (["ONE", "TWO"], 2, 0)


def test_a_run_of_cells_is_in_the_journal_and_ends_as_it_was_left() -> None:
    with rlm().cells("x") as cells:
        cells.run("submit(context)")
    journal = Journal(journal_path())
    past = past_run(journal, cells.run_id)
    journal.close()
    assert (past.finish, past.answer, past.sub_model, [cell.code for cell in past.cells]) == (
        "submitted",
        "x",
        "sub",
        ["submit(context)"],
    )


def test_an_error_in_a_cell_is_shown_and_the_session_goes_on() -> None:
    with rlm().cells() as cells:
        assert "ZeroDivisionError" in cells.run("a = 1\n1 / 0")
        assert cells.run("a") == "1"


@pytest.mark.parametrize(
    ("answer", "wrong"), [({"answer": "b"}, "does not fit"), ({"variable_name": "nothing"}, "no variable"), ({}, "either")]
)
def test_an_answer_that_is_not_taken_raises_and_says_why(answer: dict[str, str], wrong: str) -> None:
    with rlm(schema={"enum": ["a"]}).cells() as cells:
        with pytest.raises(UsageError, match=wrong):
            cells.submit(**answer)
        assert cells.answer is None


def test_limits_hold_for_cells() -> None:
    with rlm(limits=Limits(calls=1)).cells() as cells:
        shown = cells.run("rs = await llm_batch(['a', 'b'])\nprint(len(rs.errors))")
    assert shown.startswith("1")


def test_what_budget_says_of_itself_names_all_that_it_gives() -> None:
    with rlm().cells() as cells:
        assert cells.run("[name for name in budget() if f'`{name}`' not in budget.__doc__]") == "[]"


def test_a_limit_of_cost_needs_a_price() -> None:
    with pytest.raises(UsageError, match="price"):
        rlm(limits=Limits(cost=1.0)).cells()


def test_child_runs_can_be_started_from_cells() -> None:
    with RLM(sub_model=scripted(submit("four"), model_id="sub")).cells() as cells:
        assert cells.run("print(await rlm_query('How long?', context='abcd'))") == "four"


def test_equal_seeds_draw_equal_numbers_and_each_run_others_without_one() -> None:
    def draw(seed: str | None) -> str:
        with rlm(settings=Settings(seed=seed)).cells() as cells:
            return cells.run("import random\nrandom.random()")

    assert draw("a") == draw("a") != draw(None)


def test_closed_cells_run_no_more_and_can_be_closed_again() -> None:
    cells = rlm().cells()
    cells.close()
    cells.close()
    with pytest.raises(UsageError, match="closed"):
        cells.run("1")
    with pytest.raises(UsageError, match="closed"):
        cells.submit("1")


def test_more_code_than_a_cell_can_have_is_refused_and_the_session_goes_on() -> None:
    with rlm().cells("x") as cells:
        with pytest.raises(UsageError, match="the code has 20,000,001 characters; at most 20,000,000 can be run"):
            cells.run("#" * 20_000_001)
        assert cells.run("context") == "'x'"


def test_no_function_may_have_a_name_that_a_session_has_given_already() -> None:
    with rlm(depth=1).cells({"a.txt": "x"}) as cells:
        names = cells.run("print(*[name for name in globals() if not name.startswith('_')])").split()
    assert {"LLMError", "rlm_query", "FINAL", "grep"} <= set(names)
    for name in names:
        with pytest.raises(UsageError, match="is taken in the session"):
            of_callables([_named(name)])


def _named(name: str) -> Callable[[], str]:
    def function() -> str:
        return ""

    function.__name__ = name
    return function


def test_cells_that_cannot_be_recorded_leave_nothing_behind(temporary: Path) -> None:
    journal_path().mkdir()
    with pytest.raises(RLMError, match="journal"):
        RLM(sub_model=scripted("x")).cells("x")
    assert list(temporary.iterdir()) == []
