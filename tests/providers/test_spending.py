"""What a request can take at most, and what it took."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from llm.default_plugins.openai_models import Chat, Responses

from llm_rlm.budget import Bound, Limits, Spent, Tokens
from llm_rlm.config import Rate
from llm_rlm.providers.models import find
from llm_rlm.providers.prices import Prices
from llm_rlm.providers.spending import OUTPUT_TOKENS, Spending
from llm_rlm.testing import ScriptedModel

BOUNDED = Limits(cost=1.0)
MILLIONTHS = Prices({"m": Rate(1, 10, 0.1)})


def spending(options: dict[str, object] | None = None, limits: Limits = BOUNDED, prices: Prices = MILLIONTHS) -> Spending:
    return Spending(find(Chat("m")), options or {}, prices, limits)  # type: ignore[no-untyped-call]


def test_without_a_limit_of_tokens_or_cost_nothing_is_reserved_and_no_answer_cut() -> None:
    (offer,) = spending({"temperature": 1}, Limits()).offers(1000)
    assert (offer.options, offer.bound, offer.capped) == ({"temperature": 1}, Bound(), None)


def test_with_one_there_are_several_ways_the_dearest_first() -> None:
    offers = spending().offers(1024)
    assert [offer.options["max_tokens"] for offer in offers] == [offer.capped for offer in offers] == list(OUTPUT_TOKENS)
    assert [offer.bound.tokens for offer in offers] == [1024 + most for most in OUTPUT_TOKENS]
    assert offers[0].bound.cost == pytest.approx((1024 + 10 * OUTPUT_TOKENS[0]) / 1e6)


def test_the_users_own_bound_of_the_answer_holds_and_is_not_ours() -> None:
    (offer,) = spending({"max_tokens": 50}).offers(1024)
    assert (offer.options, offer.bound.tokens, offer.capped) == ({"max_tokens": 50}, 1074, None)


def test_a_model_that_takes_no_bound_is_taken_for_one_that_keeps_to_ours() -> None:
    (offer,) = Spending(ScriptedModel(lambda _: "", "m"), {}, MILLIONTHS, BOUNDED).offers(1024)
    assert (offer.options, offer.bound.tokens, offer.capped) == ({}, 1024 + OUTPUT_TOKENS[0], None)


def test_the_responses_api_is_bounded_too() -> None:
    model = find(Responses("m"))  # type: ignore[no-untyped-call]
    assert Spending(model, {}, MILLIONTHS, BOUNDED).offers(0)[0].options == {"max_tokens": OUTPUT_TOKENS[0]}


def test_an_unknown_price_bounds_tokens_only() -> None:
    offer = spending(limits=Limits(tokens=1000), prices=Prices()).offers(1024)[0]
    assert offer.bound == Bound(1024 + OUTPUT_TOKENS[0], 0.0)


@pytest.mark.parametrize(
    ("tokens", "prices", "cost"),
    [
        (Tokens(1000, 100, 500), MILLIONTHS, (500 * 1 + 500 * 0.1 + 100 * 10) / 1e6),
        (Tokens(1000, 100, 500), Prices(), None),
        (Tokens(), MILLIONTHS, None),
    ],
)
def test_what_an_answer_took_is_unknown_where_nobody_says(tokens: Tokens, prices: Prices, cost: float | None) -> None:
    spent = spending(prices=prices).spent(tokens)
    assert spent == Spent(tokens, pytest.approx(cost) if cost is not None else None)  # type: ignore[arg-type]  # equals a float


@given(st.integers(0, 100_000), st.integers(0, 20_000), st.floats(0, 1), st.floats(0, 1))
def test_no_answer_within_its_bound_takes_more_than_was_reserved(most: int, output: int, share: float, cached: float) -> None:
    meter = spending()
    used = int(most * share)
    took = meter.spent(Tokens(used, min(output, OUTPUT_TOKENS[0]), int(used * cached))).cost or 0.0
    assert took <= meter.bound(most, OUTPUT_TOKENS[0]).cost + 1e-12
