"""What is reserved and settled: no number of requests side by side goes over a limit."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llm_rlm.budget import Bound, Budget, Limits, Spent, Tokens
from llm_rlm.errors import LimitReachedError, amount

if TYPE_CHECKING:
    from collections.abc import Callable

small = st.integers(0, 50)


def together(count: int, work: Callable[[], None]) -> None:
    threads = [threading.Thread(target=work) for _ in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)


@pytest.mark.parametrize("round_", range(5))
def test_of_a_thousand_calls_at_once_as_many_are_let_through_as_the_limit_says(round_: int) -> None:
    budget = Budget(Limits(calls=50))
    through: list[Bound] = []

    def ask() -> None:
        try:
            bound = budget.reserve_call()
        except LimitReachedError:
            return
        assert bound is not None
        through.append(bound)
        if round_ % 2:
            budget.end_call(bound, Spent(), failed=False)

    together(1000, ask)
    assert (len(through), budget.usage.calls) == (50, 50)


@pytest.mark.parametrize("kind", ["cost", "tokens"])
def test_what_is_spent_side_by_side_stays_within_the_limit(kind: str) -> None:
    budget = Budget(Limits(calls=None, cost=1.0) if kind == "cost" else Limits(calls=None, tokens=1000))
    spent = Spent(Tokens(60, 10), 0.07)

    def ask() -> None:
        try:
            bound = budget.reserve_call([Bound(100, 0.1)])
        except LimitReachedError:
            return
        assert bound is not None
        budget.end_call(bound, spent, failed=False)

    together(100, ask)
    # What fits is used to the last: 13 calls leave 90 tokens or 9 cents, and one more could take 100 or 10.
    assert budget.usage.calls == 13
    assert budget.reached is not None
    assert budget.reached.kind == kind


def test_a_call_that_does_not_fit_waits_for_those_under_way() -> None:
    budget = Budget(Limits(cost=1.0))
    first = budget.reserve_call([Bound(0, 0.9)])
    assert first is not None
    taken: list[Bound | None] = []
    waiting = threading.Thread(target=lambda: taken.append(budget.reserve_call([Bound(0, 0.5), Bound(0, 0.2)])))
    waiting.start()
    time.sleep(0.05)
    assert taken == []
    budget.end_call(first, Spent(Tokens(1, 1), 0.3), failed=False)
    waiting.join(20)
    assert taken == [Bound(0, 0.5)]


def test_alone_the_smaller_way_is_taken_where_the_first_does_not_fit() -> None:
    assert Budget(Limits(cost=0.3)).reserve_call([Bound(0, 0.5), Bound(0, 0.2)]) == Bound(0, 0.2)


def test_those_who_wait_all_learn_that_there_is_no_room_for_them() -> None:
    budget, refused = Budget(Limits(cost=1.0)), []
    first = budget.reserve_call([Bound(0, 0.9)])
    assert first is not None

    def ask() -> None:
        with pytest.raises(LimitReachedError):
            budget.reserve_call([Bound(0, 0.5)])
        refused.append(True)

    threads = [threading.Thread(target=ask) for _ in range(20)]
    for thread in threads:
        thread.start()
    budget.end_call(first, Spent(Tokens(1, 1), 0.8), failed=False)
    for thread in threads:
        thread.join(20)
    assert len(refused) == 20


def test_one_who_waits_is_let_go_when_stopped() -> None:
    budget, stopped = Budget(Limits(cost=1.0)), threading.Event()
    budget.reserve_call([Bound(0, 0.9)])
    taken: list[Bound | None] = []
    waiting = threading.Thread(target=lambda: taken.append(budget.reserve_call([Bound(0, 0.5)], stopped.is_set)))
    waiting.start()
    stopped.set()
    budget.wake()
    waiting.join(20)
    assert taken == [None]


def test_what_a_last_turn_takes_is_held_back_from_calls_and_other_turns() -> None:
    budget = Budget(Limits(cost=1.0))
    assert budget.reserve_turn("run", [(Bound(0, 0.2), Bound(0, 0.3))]) == 0
    budget.settle(Bound(0, 0.2), Spent(Tokens(1, 1), 0.1))
    assert budget.left()["cost"] == pytest.approx(0.6)
    assert budget.reserve_turn("run", [(Bound(0, 0.8), Bound(0, 0.3)), (Bound(0, 0.6), Bound(0, 0.3))]) == 1
    budget.settle(Bound(0, 0.6), Spent(Tokens(1, 1), 0.6))
    with pytest.raises(
        LimitReachedError, match=r"the limit of \$1.00 is reached: \$0.70 used, and the next could take up to \$0.1"
    ):
        budget.reserve_call([Bound(0, 0.1)])
    assert budget.reserve_turn("run", [(Bound(0, 0.1), Bound(0, 0.25))]) is None
    assert budget.reserve_last_turn("run", [Bound(0, 0.9), Bound(0, 0.3)]) == 1


def test_the_last_turn_of_one_run_is_not_paid_with_that_of_another() -> None:
    budget = Budget(Limits(cost=1.0))
    budget.hold("child", Bound(0, 0.6))
    with pytest.raises(LimitReachedError):
        budget.reserve_last_turn("run", [Bound(0, 0.5)])
    budget.release("child")
    assert budget.reserve_last_turn("run", [Bound(0, 0.5)]) == 0


def test_an_attempt_that_may_have_been_paid_counts_as_paid() -> None:
    budget = Budget(Limits(cost=1.0))
    bound = budget.reserve_call([Bound(10, 0.4)])
    assert bound is not None
    budget.retry(bound, maybe_paid=True)
    with pytest.raises(LimitReachedError):
        budget.retry(bound, maybe_paid=True)
    budget.end_call(bound, None, failed=True, maybe_paid=True)
    assert (budget.usage.unsettled, budget.usage.possible_cost, budget.usage.cost) == (2, 0.8, 0)
    assert budget.left()["cost"] == pytest.approx(0.2)


def test_an_attempt_that_was_refused_costs_nothing() -> None:
    budget = Budget(Limits(cost=0.5))
    bound = budget.reserve_call([Bound(10, 0.4)])
    assert bound is not None
    for _ in range(5):
        budget.retry(bound, maybe_paid=False)
    budget.end_call(bound, Spent(Tokens(1, 1), 0.1), failed=False)
    assert (budget.usage.retried, budget.usage.unsettled, budget.left()["cost"]) == (5, 0, 0.4)


def test_an_answer_of_unknown_cost_makes_the_sum_unknown_and_is_counted_as_the_most_it_can_be() -> None:
    budget = Budget(Limits(cost=1.0))
    bound = budget.reserve_call([Bound(10, 0.4)])
    assert bound is not None
    budget.end_call(bound, Spent(Tokens(), None), failed=False)
    assert budget.usage.unpriced == 1
    assert budget.left()["cost"] == pytest.approx(0.6)


def test_no_further_call_is_let_through_once_the_money_is_spent() -> None:
    budget = Budget(Limits(cost=1.0))
    with pytest.raises(LimitReachedError):
        budget.reserve_call([Bound(0, 2.0)])
    with pytest.raises(LimitReachedError):
        budget.reserve_call([Bound(0, 0.1)])


@given(
    limit=st.integers(1, 200),
    requests=st.lists(st.tuples(small, st.booleans(), st.integers(0, 100)), max_size=30),
)
def test_reserving_and_settling_never_goes_over_nor_below_nothing(limit: int, requests: list[tuple[int, bool, int]]) -> None:
    budget = Budget(Limits(calls=None, tokens=limit))
    open_: list[tuple[Bound, int]] = []
    for most, settles_first, share in requests:
        if settles_first and open_:
            bound, used = open_.pop()
            budget.end_call(bound, Spent(Tokens(used, 0)), failed=False)
        if open_ and most > (budget.left()["tokens"] or 0):
            continue
        try:
            taken = budget.reserve_call([Bound(most)])
        except LimitReachedError:
            continue
        assert taken is not None
        open_.append((taken, max(1, most * share // 100) if most else 0))
        assert budget.usage.tokens + sum(bound.tokens for bound, _ in open_) <= limit
        assert (budget.left()["tokens"] or 0) >= 0
    for bound, used in open_:
        budget.end_call(bound, Spent(Tokens(used, 0)), failed=False)
    assert budget.usage.tokens <= limit
    assert budget.in_flight == 0
    if budget.usage.unpriced == 0 or budget.possible == Bound():
        assert budget.left()["tokens"] == limit - budget.usage.tokens


@pytest.mark.parametrize(
    ("kind", "value", "text"),
    [
        ("cost", 0.5, "$0.50"),
        ("cost", 12, "$12.00"),
        ("cost", 0.0412, "$0.041"),
        ("cost", 0, "$0.00"),
        ("cost", 0.0999, "$0.10"),
        ("cost", 0.09, "$0.09"),
        ("cost", 1.24e-5, "$0.000012"),
        ("cost", 1.2e-6, "$0.0000012"),
        ("cost", 1e-6, "$0.000001"),
        ("cost", 1e-9, "under $0.000001"),
        ("calls", 1000, "1,000 calls"),
        ("sub-calls", 1, "1 sub-call"),
        ("seconds", 2.5, "2.5 seconds"),
        ("tokens", 1_000_000, "1,000,000 tokens"),
    ],
)
def test_amounts_read_as_a_person_writes_them(kind: str, value: float, text: str) -> None:
    assert amount(kind, value) == text


def test_turns_are_each_runs_own_and_their_limit_ends_only_the_run_that_meets_it() -> None:
    budget = Budget(Limits(turns=5))
    budget.begin_child("child", lambda: False, 2)
    assert [budget.reserve_turn(run) for run in ("child", "top", "child")] == [0, 0, 0]
    assert (budget.turns("child"), budget.turns("top"), budget.usage.turns) == (2, 1, 1)
    assert (budget.left("child")["turns"], budget.left()["turns"]) == (0, 4)
    with pytest.raises(LimitReachedError, match="the limit of 2 turns is reached"):
        budget.reserve_turn("child")
    assert (str(budget.reached_by("child")), budget.reached) == ("the limit of 2 turns is reached", None)
    assert budget.reserve_turn("top") == 0


def test_a_child_counts_as_a_call_and_reserves_nothing() -> None:
    budget = Budget(Limits(calls=1, cost=1.0))
    budget.count_child()
    assert (budget.usage.calls, budget.in_flight, budget.left()["cost"]) == (1, 0, 1.0)
    with pytest.raises(LimitReachedError, match="the limit of 1 call is reached"):
        budget.count_child()
    assert budget.reached_by("child") is budget.reached is not None


def test_a_turn_of_a_child_waits_while_others_are_under_way_that_may_give_back_room() -> None:
    budget = Budget(Limits(cost=1.0))
    budget.begin_child("child", lambda: False, None)
    bound = budget.reserve_call([Bound(0, 0.9)])
    assert bound is not None
    got: list[int | None] = []
    thread = threading.Thread(target=lambda: got.append(budget.reserve_turn("child", [(Bound(0, 0.3), Bound(0, 0.3))])))
    thread.start()
    thread.join(0.05)
    assert not got
    budget.end_call(bound, Spent(cost=0.1), failed=False)
    thread.join(20)
    assert (got, budget.reached) == ([0], None)


def test_a_turn_of_a_child_that_is_stopped_waits_no_longer_and_no_limit_is_reached() -> None:
    budget, stopped = Budget(Limits(cost=1.0)), threading.Event()
    budget.begin_child("child", stopped.is_set, None)
    assert budget.reserve_call([Bound(0, 0.9)]) is not None
    got: list[int | None] = []
    thread = threading.Thread(target=lambda: got.append(budget.reserve_turn("child", [(Bound(0, 0.3), Bound(0, 0.3))])))
    thread.start()
    stopped.set()
    budget.wake()
    thread.join(20)
    assert (got, budget.reached) == ([None], None)


def test_room_that_others_do_not_give_back_is_a_limit_for_a_child_too() -> None:
    budget = Budget(Limits(cost=1.0))
    budget.begin_child("child", lambda: False, None)
    assert budget.reserve_turn("child", [(Bound(0, 2.0), Bound()), (Bound(0, 0.4), Bound(0, 0.4))]) == 1
    budget.begin_child("other", lambda: False, None)
    budget.settle(Bound(0, 0.4), Spent(cost=0.4))
    assert budget.reserve_turn("other", [(Bound(0, 0.4), Bound())]) is None
    assert budget.reached is not None
