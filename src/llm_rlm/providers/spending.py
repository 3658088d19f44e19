"""What a request to a model can take at most, and what it took: from its price, its options and the text that is sent."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import TYPE_CHECKING

from llm_rlm.budget import Bound, Spent, Tokens

from . import models

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import llm

    from llm_rlm.budget import Limits

    from .prices import Price, Prices

OUTPUT_TOKENS = (16_384, 8_192, 4_096)
"""The most output tokens of one request while a limit of tokens or cost is in force: the smaller ones where money is short."""

_STEP, _MOST_KNOWN = 256, 1_000
"""What requests can cost is looked up for input in steps, rounded up, and kept: looking it up takes 0.7 ms."""


@dataclass(frozen=True)
class Offer:
    """One way to make a request: its options, and the most it can take so."""

    options: Mapping[str, object]
    bound: Bound
    capped: int | None = None
    """Output tokens after which the answer is cut, if that is our doing and not the user's."""


class Spending:
    """What requests to one model take."""

    def __init__(self, model: llm.Model, options: Mapping[str, object], prices: Prices, limits: Limits) -> None:
        """`options` are what the user gave for this model."""
        self._model = model
        self._options = dict(options)
        self._prices = prices
        self._bounded = limits.bound_spending
        self._worst = lru_cache(_MOST_KNOWN)(self._look_up_worst)

    @cached_property
    def price(self) -> Price | None:
        """The model's price, if it is known."""
        return self._prices.of(self._model, self._options)

    def offers(self, input_tokens: int, most: Sequence[int] = OUTPUT_TOKENS) -> tuple[Offer, ...]:
        """The ways to send so many input tokens, the one that can take most first.

        An answer is bounded by the user's own option for it, else by ours where the model takes one, else by nothing: then
        the first of `most` is taken for the most it will be.
        """
        if not self._bounded:
            return (Offer(self._options, Bound()),)
        offers = []
        for output in most:
            cap = models.capped(self._model, self._options, output)
            tokens = cap.tokens if cap.tokens is not None else most[0]
            offers.append(Offer(cap.options, self.bound(input_tokens, tokens), tokens if cap.ours else None))
            if not cap.ours:
                break
        return tuple(offers)

    def bound(self, input_tokens: int, output_tokens: int) -> Bound:
        """The most that a request of so many tokens takes; nothing where no limit needs to know."""
        if not self._bounded:
            return Bound()
        return Bound(input_tokens + output_tokens, self._worst(-(-input_tokens // _STEP) * _STEP, output_tokens))

    def _look_up_worst(self, input_tokens: int, output_tokens: int) -> float:
        return self.price.worst(input_tokens, output_tokens) if self.price is not None else 0.0

    def spent(self, tokens: Tokens) -> Spent:
        """What an answer took. A model that does not say how many tokens that was has an unknown cost."""
        price = self.price
        return Spent(tokens, price.cost(tokens) if price is not None and tokens != Tokens() else None)
