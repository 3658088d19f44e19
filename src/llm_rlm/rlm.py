"""`RLM`: ask any question of input of any size."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING

from .providers import models
from .providers.prices import Prices
from .runs.asking import Asking, begin, finish_in_thread
from .runs.cells import Cells
from .runs.engine import Engine
from .runs.ready import limits_of
from .runs.resume import Resumption, read, recorded
from .runs.session import Session

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pydantic import BaseModel

    from .context import AnyContext
    from .events import Observer
    from .runs.result import Result


@dataclass(frozen=True)
class RLM(Engine):
    """Asks questions of inputs that are too large for a model's window.

    >>> import llm_rlm
    >>> rlm = llm_rlm.RLM("gpt-5.2", sub_model="gpt-5.2-mini")  # doctest: +SKIP
    >>> rlm.ask("Which user had the most failed logins?", context=log).answer  # doctest: +SKIP
    """

    @classmethod
    def of_run(cls, run: str, *, key: str | None = None) -> RLM:
        """As the run with that id asked, to go on with it: see `resume`. Keys are not recorded. Raises UsageError."""
        past = read(run)
        asked = recorded(past)
        sub_model = past.sub_model if past.sub_model != past.model else None
        return cls(past.model, sub_model, asked.limits, asked.settings, key=key, **asked.more)

    def ask(
        self,
        question: str,
        context: AnyContext = None,
        *,
        cite: bool | None = None,
        schema: Mapping[str, object] | str | type[BaseModel] | None = None,
        observer: Observer | None = None,
    ) -> Result:
        """Ask, and wait for the answer.

        `context` is the text itself, a JSON value, a Path to a file or folder, an open binary stream, or `Sources`. `cite` and
        `schema` are the fields of those names, for this question. Raises UsageError, UnknownModelError or MissingKeyError
        before anything is sent, and RunFailedError when the run fails later, or ends without an answer that fits the schema.
        """
        return begin(self._asking(cite, schema), question, context, observer).finish()

    def resume(self, run: str, context: AnyContext = None, *, observer: Observer | None = None) -> Result:
        """Go on with a run that ended before its time: `run` is its id, the beginning of it, or `last`.

        What was paid is not paid again. `context` is needed where the run's was not a file, and then has to be the same; the
        schema is the run's own. A finished run gives its result and costs nothing. Raises what `ask` does, and UsageError for a
        run that cannot go on: its source has changed, its limit is not raised, another process has it, or its models differ.
        """
        resumption = Resumption(run, self.limits, context)
        return resumption.result or begin(self, resumption.question, resumption.context, observer, resumption).finish()

    async def aask(
        self,
        question: str,
        context: AnyContext = None,
        *,
        cite: bool | None = None,
        schema: Mapping[str, object] | str | type[BaseModel] | None = None,
        observer: Observer | None = None,
    ) -> Result:
        """As `ask`, for callers in an event loop. Cancelling it aborts the run."""
        return await finish_in_thread(partial(begin, self._asking(cite, schema), question, context, observer), Asking.finish)

    def session(self, context: AnyContext = None, *, observer: Observer | None = None) -> Session:
        """Questions over one input, one after another: see `Session`. Raises what `ask` does before anything is sent."""
        return Session(self, context, observer=observer)

    def cells(self, context: AnyContext = None, *, observer: Observer | None = None) -> Cells:
        """A session that you drive yourself, cell by cell: see `Cells`. Raises what `ask` does before anything is sent."""
        return Cells(self, context, observer=observer)

    def worst_cost(self) -> float | None:
        """USD that a run costs at most: its limit of cost, or what its limit of tokens can cost. None where nothing bounds it.

        Needs no key. Raises UnknownModelError, and UsageError where a limit of cost lacks a price.
        """
        model = models.find(self.model)
        sub_model = model if self.sub_model is None else models.find(self.sub_model)
        prices = Prices(self.prices, self.windows)
        limits = limits_of(self, prices, model, sub_model)
        if limits.cost is not None or limits.tokens is None:
            return limits.cost
        both = [prices.of(model, self.options), prices.of(sub_model, self.sub_options)]
        worst = [price.worst(*tokens) for price in both if price for tokens in ((limits.tokens, 0), (0, limits.tokens))]
        return max(worst) if all(both) else None

    def _asking(self, cite: bool | None, schema: Mapping[str, object] | str | type[BaseModel] | None) -> RLM:  # noqa: FBT001 - the caller's keyword
        """As asked to for one question."""
        return replace(self, cite=self.cite if cite is None else cite, schema=self.schema if schema is None else schema)
