"""A session that you drive yourself, cell by cell: a run without a root model."""

from __future__ import annotations

import weakref
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Self

from llm_rlm import context as contexts
from llm_rlm.errors import UsageError
from llm_rlm.places import cache_path
from llm_rlm.providers import models, schemas
from llm_rlm.providers.dispatch import SubModels
from llm_rlm.providers.prices import Prices

from .children import Children, Rules, check_depth
from .functions import as_functions
from .ready import limits_of
from .run import Asked, Run
from .shown import show
from .start import Reach, Start

if TYPE_CHECKING:
    from collections.abc import Sequence

    from llm_rlm.budget import Usage
    from llm_rlm.context import AnyContext
    from llm_rlm.events import Observer

    from .engine import Engine


class Cells:
    """Runs your own cells over an input, as those of a root model are run: same sandbox, same functions, same limits.

    >>> import llm_rlm
    >>> with llm_rlm.RLM(sub_model="gpt-5.2-mini").cells(log) as cells:  # doctest: +SKIP
    ...     cells.run("errors = grep('ERROR')")
    ...     print(cells.run("why = await llm_query(f'What is wrong? {errors[:50]}')"))
    ...     cells.submit(variable_name="why")
    ...     cells.answer

    It is a run in the journal; its sub-calls are counted, limited and served from the cache as always. A limit of turns is that
    of child runs; once that of time is over, no call is made. Methods may be called from any thread; cells run one after
    another.
    """

    def __init__(self, engine: Engine, context: AnyContext = None, *, observer: Observer | None = None) -> None:
        """Check everything, start the sandbox and record the run. Raises what `RLM.ask` raises before anything is sent."""
        check_depth(engine.depth)
        schema = schemas.given(engine.schema)
        prices = Prices(engine.prices, engine.windows)
        prices.warm()
        sub = _sub_models(engine, prices)
        # Whatever is asked is asked of the sub-model: it stands for both.
        limits = replace(limits_of(replace(engine, options=engine.sub_options), prices, sub.default, sub.default), turns=None)
        made = contexts.from_any(context, cache_path() if engine.log else None)
        reach = Reach(as_functions(engine.functions, engine.tools), children=engine.depth > 0)
        start = Start(made, engine.settings, reach=reach)
        try:
            self._run = Run(start, sub, Asked(limits=limits, keep=engine.log, cite=engine.cite, schema=schema), observer)
        except BaseException:
            start.discard()
            raise
        if engine.depth:
            self._run.have_children(Children(self._run, sub, Rules(engine.depth, engine.limits.turns, engine.stream)))
        self._closer = weakref.finalize(self, _end, self._run)

    def run(self, code: str) -> str:
        """Run a cell, and wait for it. Returns what a root model would be shown: an error in the code is a traceback in it.

        Raises UsageError for what is no code or once this is closed, and RLMError where the sandbox or the journal breaks.
        """
        self._check_open()
        result = self._run.execute(code)
        if isinstance(result, str):
            raise UsageError(result.removeprefix("Error: "))
        return show(result)

    def submit(self, answer: str | None = None, *, variable_name: str | None = None, quotes: Sequence[str] = ()) -> None:
        """Submit the answer: the text itself, or the name of the variable that holds it. The last that is taken counts.

        Raises UsageError that says why it is not taken: there is no such variable, it does not fit the schema, a quote is not
        in the input.
        """
        self._check_open()
        wrong = self._run.submit(answer, variable_name, list(quotes))
        if wrong is not None:
            raise UsageError(wrong.removeprefix("Error: "))

    @property
    def answer(self) -> Any:  # noqa: ANN401 - a str or any JSON value
        """What was submitted, here or by `submit` in a cell: text, or the value itself; None until there is one."""
        return self._run.answer.value if self._run.answer is not None else None

    @property
    def usage(self) -> Usage:
        """What has been used so far."""
        return replace(self._run.budget.usage)

    @property
    def run_id(self) -> str:
        """The id of the run in the journal."""
        return self._run.id

    def close(self) -> None:
        """End the session, and record how the run ended. Safe to call more than once."""
        self._closer()

    def __enter__(self) -> Self:
        """Use as `with rlm.cells(...) as cells:`, which closes it."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close."""
        self.close()

    def _check_open(self) -> None:
        if not self._closer.alive:
            message = "the cells are closed"
            raise UsageError(message)


def _sub_models(engine: Engine, prices: Prices) -> SubModels:
    """The models that cells call. Raises UnknownModelError, MissingKeyError, UsageError."""
    model = models.find(engine.sub_model if engine.sub_model is not None else engine.model)
    models.key_for(model, engine.key)
    models.check_options(model, engine.sub_options)
    models.keep_clients(model, timeout=engine.settings.call_timeout)
    return SubModels(model, key=engine.key, key_for=model.needs_key, options=engine.sub_options, prices=prices)


def _end(run: Run) -> None:
    run.end("submitted" if run.answer is not None else None)
