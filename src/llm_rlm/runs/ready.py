"""Before a question: its models, its context and its sandbox, checked and started."""

from __future__ import annotations

from copy import copy
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

from llm_rlm import context as contexts
from llm_rlm.context import Context, Readable
from llm_rlm.errors import UsageError
from llm_rlm.events import Progressed, guarded
from llm_rlm.places import cache_path
from llm_rlm.providers import models, schemas
from llm_rlm.providers.dispatch import SubModels
from llm_rlm.providers.prices import Prices, how_to_give

from .briefing import Brief, conversation
from .children import check_depth
from .functions import as_functions, of_callables
from .llmlog import LLMLog
from .start import Reach, Start

if TYPE_CHECKING:
    import llm

    from llm_rlm.budget import Limits
    from llm_rlm.context import AnyContext
    from llm_rlm.events import Observer
    from llm_rlm.journal.history import PastRun

    from .engine import Engine
    from .resume import Following, Resumption

_SUB_MODEL_LATER = 0.1
"""Seconds after which the sub-model's HTTP clients are made: the root model's first request goes before."""


class Ready:
    """Models, context and sandbox, checked and started: what questions can be asked of."""

    def __init__(
        self,
        engine: Engine,
        context: AnyContext | Context,
        observer: Observer | None = None,
        past: Resumption | Following | None = None,
    ) -> None:
        """Check everything, and start the sandbox. Raises what `RLM.ask` raises before anything is sent.

        `past` is the run to go on with, or the one to follow.
        """
        resumed, followed = (past.point(), past.followed) if past is not None else (None, None)
        try:
            check_depth(engine.depth)
            wanted = engine.schema if resumed is None else resumed.past.settings["asked"].get("schema")
            self.schema = schemas.given(wanted)
            self.engine = engine = replace(engine, schema=self.schema)
            self.prices = Prices(engine.prices, engine.windows)
            self.prices.warm()
            # A stream may be long: nothing is read of it for a model that is not there. Else the sandbox starts first.
            known = _models(engine, self.prices) if isinstance(context, Readable) else None
            reach = Reach(as_functions(engine.functions, engine.tools), children=engine.depth > 0)
        except BaseException:
            if isinstance(context, Context):
                context.discard()
            raise
        self.start = Start(_context(engine, context, observer), engine.settings, resumed, followed, reach)
        try:
            self.model, self.sub, self.limits = known or _models(engine, self.prices)
            if past is not None:
                _check_models(past.past, self.model, self.sub.default)
                _check_functions(past.past, engine)
            system = past.past.system if past is not None else None
            self.root = conversation(_brief(engine, self.limits, self.model, self.sub.default, self.prices), self.start, system)
        except BaseException:
            self.discard()
            raise
        self.log = LLMLog(engine.llm_log) if engine.llm_log is not None else None

    def asked_by(self, engine: Engine) -> Ready:
        """The same models and sandbox, asked with the limits, options, schema and quotes of `engine`. Raises UsageError."""
        models.check_options(self.model, engine.options)
        other = copy(self)
        other.schema = schemas.given(engine.schema)
        now = replace(self.engine, limits=engine.limits, options=engine.options, default_cost=engine.default_cost)
        other.engine = replace(now, schema=other.schema, cite=engine.cite)
        other.limits = limits_of(other.engine, self.prices, self.model, self.sub.default)
        return other

    def discard(self) -> None:
        """End the sandbox of questions that will not be."""
        self.start.discard()


def check_question(question: str) -> None:
    """Raise UsageError for one that is empty."""
    if not question.strip():
        message = "the question is empty"
        raise UsageError(message)


def _check_models(past: PastRun, model: llm.Model, sub_model: llm.Model) -> None:
    for then, now in ((past.model, model.model_id), (past.sub_model, sub_model.model_id)):
        if then != now:
            message = f"run {past.id} was asked of {then}, not of {now}: go on with the same models"
            raise UsageError(message)


def _check_functions(past: PastRun, engine: Engine) -> None:
    """Functions of Python are not recorded, only their names: cells that call them would fail, turn by turn."""
    given = {function.name for function in of_callables(engine.functions)}
    if missing := [name for name in past.settings["asked"].get("own_functions", ()) if name not in given]:
        message = (
            f"run {past.id} had the function {missing[0]}, which is not recorded: go on from Python, RLM(..., functions=[…])"
        )
        raise UsageError(message)


def _models(engine: Engine, prices: Prices) -> tuple[llm.Model, SubModels, Limits]:
    """The root model, the sub-models, and the limits. Raises UnknownModelError, MissingKeyError, UsageError."""
    model = models.find(engine.model)
    sub_model = model if engine.sub_model is None else models.find(engine.sub_model)
    sub_model = models.twin(model) if sub_model is model else sub_model
    _check_protocol(engine, model)
    key = models.key_for(model, engine.key)
    sub = SubModels(sub_model, key=engine.key, key_for=model.needs_key, options=engine.sub_options, prices=prices)
    sub_key = models.key_for(sub_model, engine.key if sub_model.needs_key == model.needs_key else None)
    models.check_options(model, engine.options)
    models.check_options(sub_model, engine.sub_options)
    limits = limits_of(engine, prices, model, sub_model)
    models.keep_clients(model, 1, engine.settings.call_timeout)
    models.keep_clients(sub_model, timeout=engine.settings.call_timeout)
    models.warm(model, key)
    models.warm(sub_model, sub_key, after=_SUB_MODEL_LATER)
    return model, sub, limits


def _check_protocol(engine: Engine, model: llm.Model) -> None:
    if engine.protocol not in {None, "tools", "code"}:
        message = f"protocol must be 'tools', 'code' or None, not {engine.protocol!r}"
        raise UsageError(message)
    if engine.protocol == "tools" and not model.supports_tools:
        message = f"{model.model_id} does not support tools: leave the protocol out, or let it be 'code'"
        raise UsageError(message)


def limits_of(engine: Engine, prices: Prices, *both: llm.Model) -> Limits:
    """The limits; of cost, the default where there is none and both prices are known. Raises UsageError where one is needed."""
    if engine.limits.cost is None and engine.default_cost is None:
        return engine.limits
    options = (engine.options, engine.sub_options)
    unpriced = [model.model_id for model, given in zip(both, options, strict=True) if prices.of(model, given) is None]
    if engine.limits.cost is None:
        return engine.limits if unpriced else replace(engine.limits, cost=engine.default_cost)
    if unpriced:
        message = f"a limit of cost needs prices, and that of {unpriced[0]} is not known: {how_to_give(unpriced[0])}"
        raise UsageError(message)
    return engine.limits


def _brief(engine: Engine, limits: Limits, model: llm.Model, sub_model: llm.Model, prices: Prices) -> Brief:
    """What the root model is to know."""
    return Brief(
        model,
        sub_model,
        limits,
        key=engine.key,
        options=engine.options,
        stream=engine.stream,
        cite=engine.cite,
        more=engine.system,
        children=engine.depth,
        protocol=engine.protocol,
        schema=engine.schema,
        window=partial(prices.window, model, engine.options),
    )


def _context(engine: Engine, context: AnyContext | Context, observer: Observer | None) -> Context:
    """What was given, read as far as it has to be before the sandbox can start."""
    tell = guarded(observer)

    def progress(text: str) -> None:
        tell(Progressed(None, text))

    made = contexts.from_any(context, cache_path() if engine.log else None, progress)
    progress("")
    return made
