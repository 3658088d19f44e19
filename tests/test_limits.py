"""Limits: never exceeded, and at each the best answer so far."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import pytest

from llm_rlm import RLM, Limits, RunFailedError, UsageError
from llm_rlm.testing import Reply, say
from scripts import run, submit

if TYPE_CHECKING:
    from conftest import Serve
    from llm_rlm import Result


def ask(model: str, **limits: Any) -> Result:
    return RLM(model, limits=Limits(**limits)).ask("?", context="x")


def test_calls_never_go_over_their_limit_and_one_last_turn_is_asked_for(serve: Serve) -> None:
    models = serve(
        run('rs = await llm_batch([f"p{i}" for i in range(300)])\nprint(len(rs.errors), rs.errors[0])'),
        submit("the best there is"),
        say("not asked"),
    )
    result = ask("chat", calls=50)
    assert len(models.sub_requests) == 50
    assert (result.answer, result.finish, result.usage.calls) == ("the best there is", "limit", 50)
    assert result.limit == {"kind": "calls", "limit": 50, "used": 50}
    assert "250 " in models.tool_results[0]
    assert "the limit of 50 calls is reached" in models.tool_results[0]
    assert "This is your last turn: the limit of 50 calls is reached" in models.root_requests[1].prompt
    assert len(models.root_requests) == 2


def test_no_calls_at_all_may_be_the_limit(serve: Serve) -> None:
    models = serve(run("await llm_query('hi')"), submit("nothing"))
    assert ask("chat", calls=0).finish == "limit"
    assert models.sub_requests == []


def test_the_last_turn_is_told_that_it_is_and_its_prose_is_taken(serve: Serve) -> None:
    models = serve(run("1"), say("about four"))
    result = ask("chat", turns=2)
    assert (result.answer, result.finish, result.limit) == ("about four", "limit", {"kind": "turns", "limit": 2, "used": 2})
    assert "This is your last turn: the limit of 2 turns" in models.root_requests[1].prompt


@pytest.mark.parametrize("reply", [submit("four"), say("four"), run("submit('four')")])
def test_one_turn_is_enough_for_an_answer(serve: Serve, reply: Reply) -> None:
    serve(reply)
    result = ask("chat", turns=1)
    assert (result.answer, result.finish, result.usage.turns) == ("four", "limit", 1)


def test_a_limit_without_an_answer_is_a_limit(serve: Serve) -> None:
    models = serve(run("1"))
    result = ask("chat", turns=3)
    assert (result.answer, result.finish) == (None, "limit")
    assert len(models.root_requests) == 3


def test_an_answer_before_the_limit_is_not_a_limit(serve: Serve) -> None:
    serve(run("1"), submit("done"))
    assert ask("chat", turns=3, calls=1, seconds=300).finish == "submitted"


def test_the_time_limit_stops_a_cell_and_one_last_turn_is_asked_for(serve: Serve) -> None:
    models = serve(run("while True: pass"), submit("what there is"))
    result = ask("chat", seconds=2)
    assert (result.answer, result.finish) == ("what there is", "limit")
    assert result.limit is not None
    assert result.limit["kind"] == "seconds"
    assert "the time limit of the run is reached" in models.tool_results[0]
    assert "This is your last turn" in models.root_requests[-1].prompt


def test_the_time_limit_stops_a_cell_that_waits_for_a_sub_call(serve: Serve) -> None:
    serve(run("await llm_query('hi')"), submit("what there is"), sub=lambda _: Reply(fault="stall"))
    assert ask("chat", seconds=2).answer == "what there is"


def test_no_cell_is_run_once_the_time_is_up(serve: Serve) -> None:
    models = serve(run("await llm_query('hi')"), run("print('late')"), sub=lambda _: Reply(fault="stall"))
    assert ask("chat", seconds=2).answer is None
    assert len(models.root_requests) == 2


def test_a_root_model_that_hangs_is_left_when_the_time_and_its_grace_are_up(serve: Serve) -> None:
    serve(Reply(fault="stall"))
    result = ask("chat", seconds=1)
    assert (result.answer, result.finish, result.usage.turns) == (None, "limit", 1)


def test_a_sub_call_that_fails_is_counted_and_paid_for_in_the_limit(serve: Serve) -> None:
    serve(run('rs = await llm_batch(["a", "b", "c"])'), submit("done"), sub=lambda _: Reply(status=400))
    result = ask("chat", calls=3)
    assert (result.usage.calls, result.usage.failed) == (3, 3)


def test_a_run_that_fails_at_a_limit_is_an_error(serve: Serve) -> None:
    serve(run("1"), Reply(status=400, text="no"))
    with pytest.raises(RunFailedError) as caught:
        ask("chat", turns=2)
    assert caught.value.result.finish == "error"


@pytest.mark.parametrize(
    ("limits", "says"),
    [
        ({"calls": -1}, "calls must be a whole number of at least 0, or None for no limit, not -1"),
        ({"calls": 1.5}, "calls must be a whole number"),
        ({"calls": True}, "calls must be a whole number"),
        (
            {"calls": 10**400},
            "of at least 0, or None for no limit, not a number that long",
        ),
        ({"cost": 10**5000}, "the limit of cost must be a number of at least 0, or None for no limit, not a number that long"),
        ({"turns": 0}, "turns must be a whole number of at least 1"),
        ({"seconds": -0.5}, "seconds must be a number of at least 0"),
        ({"seconds": math.nan}, "not nan"),
        ({"seconds": math.inf}, "not inf"),
        ({"seconds": "5"}, "not '5'"),
    ],
)
def test_a_limit_that_no_run_could_keep_is_refused(limits: dict[str, Any], says: str) -> None:
    with pytest.raises(UsageError, match=says):
        Limits(**limits)


def test_none_is_no_limit() -> None:
    assert Limits(calls=None, turns=None, seconds=None) == Limits(None, None, None)
