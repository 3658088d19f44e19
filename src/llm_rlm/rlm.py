"""Ask a question: check everything, start the run, let the loop take its turns, and say what came of it."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from . import context as contexts
from . import models, prompts
from .budget import Limits
from .context import Readable
from .dispatch import SubModels
from .errors import RLMError, UsageError
from .loop import AbortedError, Loop
from .result import Finish, Result, RunFailedError
from .root import Root
from .run import EXECUTE, SUBMIT, Asked, Run, Settings, Start
from .tools import tools_for

if TYPE_CHECKING:
    from collections.abc import Mapping

    import llm

    from .context import Context
    from .run import Observer

_SUB_MODEL_LATER = 0.1
"""Seconds after which the sub-model's HTTP clients are made: the root model's first request goes before."""

type AnyContext = str | list[Any] | dict[str, Any] | Path | Readable | None


@dataclass(frozen=True)
class RLM:
    """Asks questions of inputs that are too large for a model's window.

    >>> import llm_rlm
    >>> rlm = llm_rlm.RLM("gpt-5.2", sub_model="gpt-5.2-mini")  # doctest: +SKIP
    >>> rlm.ask("Which user had the most failed logins?", context=log).answer  # doctest: +SKIP
    """

    model: str | llm.Model | None = None
    """The root model: a name or alias that LLM knows, a model, or None for LLM's default."""
    sub_model: str | llm.Model | None = None
    """The model that cells call; None for the root model."""
    limits: Limits = field(default_factory=Limits)
    settings: Settings = field(default_factory=Settings)
    system: str | None = None
    """Added to the root model's system prompt."""
    options: Mapping[str, object] = field(default_factory=dict)
    """Options of the root model, as `llm -o` takes them."""
    sub_options: Mapping[str, object] = field(default_factory=dict)
    """Options of the sub-model."""
    key: str | None = field(default=None, repr=False)
    """The root model's key, used for the sub-model as well where that needs the same one."""
    stream: bool = True
    """Whether the root model's replies are streamed, where it can."""
    log: bool = True
    """Whether the run is kept in the journal on disk."""

    def ask(self, question: str, context: AnyContext = None, *, observer: Observer | None = None) -> Result:
        """Ask, and wait for the answer.

        `context` is the text itself, a JSON value, a Path to a text file, or an open binary stream. Raises UsageError,
        UnknownModelError or MissingKeyError before anything is sent, and RunFailedError when the run fails later.
        """
        return Asking(self, question, context, observer).finish()

    async def aask(self, question: str, context: AnyContext = None, *, observer: Observer | None = None) -> Result:
        """As `ask`, for callers in an event loop. Cancelling it aborts the run."""
        loop = asyncio.get_running_loop()
        starting = loop.run_in_executor(None, Asking, self, question, context, observer)
        try:
            asking = await asyncio.shield(starting)
        except asyncio.CancelledError:
            starting.add_done_callback(_abandon)
            raise
        finishing = loop.run_in_executor(None, asking.finish)
        try:
            return await asyncio.shield(finishing)
        except asyncio.CancelledError:
            finishing.add_done_callback(lambda done: done.exception())
            asking.abort("the caller cancelled the run")
            raise


class Asking:
    """One question on its way to its answer."""

    def __init__(self, rlm: RLM, question: str, context: AnyContext, observer: Observer | None = None) -> None:
        """Check everything, and start the sandbox. Raises what `RLM.ask` raises before anything is sent."""
        if not question.strip():
            message = "the question is empty"
            raise UsageError(message)
        self._question = question
        # A stream may be long: nothing is read of it for a model that is not there. Else the sandbox starts first.
        known = _models(rlm) if isinstance(context, Readable) else None
        start = Start(_context(context), rlm.settings)
        try:
            self._model, sub = known or _models(rlm)
            self._sub_model = sub.default
            asked = Asked(question, self._model.model_id, rlm.limits, keep=rlm.log)
            self._run = Run(start, sub, asked, observer)
        except BaseException:
            start.discard()
            raise
        self._loop = Loop(_root(rlm, self._model, self._sub_model, start.context), self._run, question)

    def stop(self, why: str) -> None:
        """Stop spending, and let the root model give its best answer from what it has. Called from any thread."""
        self._loop.stop(why)

    def abort(self, why: str) -> None:
        """End the run now: `finish` raises AbortedError. Called from any thread."""
        self._loop.abort(why)

    def finish(self) -> Result:
        """Take turns until there is an answer. Raises RunFailedError."""
        try:
            finish = self._loop.turns()
        except (AbortedError, KeyboardInterrupt, SystemExit):
            self._run.end("interrupted")
            raise
        except RLMError as problem:
            raise RunFailedError(self._end("error", str(problem))) from problem
        except BaseException as problem:
            self._run.end("error", models.describe(problem))
            raise
        if self._run.answer is None and finish in {"submitted", "prose"}:
            raise RunFailedError(self._end("error", f"{self._model.model_id} gave no answer: its replies were empty"))
        return self._end(finish)

    def _end(self, finish: Finish, error: str | None = None) -> Result:
        """Close the run, record how it ended, and say what came of it."""
        run = self._run
        run.end(finish, error)
        reached = run.budget.reached
        return Result(
            run_id=run.id,
            question=self._question,
            answer=run.answer.value if run.answer is not None else None,
            finish=finish,
            limit={"kind": reached.kind, "limit": reached.limit, "used": reached.used} if reached is not None else None,
            error=error,
            model=self._model.model_id,
            sub_model=self._sub_model.model_id,
            usage=replace(run.budget.usage),
            seconds=run.budget.seconds(),
            sources=_sources(run),
        )


def _abandon(starting: asyncio.Future[Asking]) -> None:
    """End a run that was cancelled while it started."""
    if not starting.cancelled() and starting.exception() is None:
        starting.result()._run.end("interrupted")  # noqa: SLF001 - nobody else has it


def _models(rlm: RLM) -> tuple[llm.Model, SubModels]:
    """The root model and the sub-models. Raises UnknownModelError, MissingKeyError, UsageError."""
    model = models.find(rlm.model)
    sub_model = model if rlm.sub_model is None else models.find(rlm.sub_model)
    sub_model = models.twin(model) if sub_model is model else sub_model
    if not model.supports_tools:
        message = f"{model.model_id} does not support tools, which the root model needs: choose another with -m"
        raise UsageError(message)
    key = models.key_for(model, rlm.key)
    sub = SubModels(sub_model, key=rlm.key, key_for=model.needs_key, options=rlm.sub_options)
    sub_key = models.key_for(sub_model, rlm.key if sub_model.needs_key == model.needs_key else None)
    models.check_options(model, rlm.options)
    models.check_options(sub_model, rlm.sub_options)
    models.keep_clients(model, 1)
    models.keep_clients(sub_model)
    models.warm(model, key)
    models.warm(sub_model, sub_key, after=_SUB_MODEL_LATER)
    return model, sub


def _context(context: AnyContext) -> Context:
    if isinstance(context, Path):
        return contexts.from_file(context)
    if isinstance(context, Readable):
        return contexts.from_stream(context)
    return contexts.from_value(context)


def _root(rlm: RLM, model: llm.Model, sub_model: llm.Model, context: Context) -> Root:
    """The conversation with the root model, its system prompt and its tools."""
    limits, shown = rlm.limits, rlm.settings.output_limit
    system = prompts.render(
        "system",
        context=context.describe(),
        execute=EXECUTE,
        submit=SUBMIT,
        shown=f"{shown:,}",
        turns=_most(limits.turns),
        calls=_most(limits.calls),
        sub_model=sub_model.model_id,
        same=", the same model as you, at the same price" if sub_model.model_id == model.model_id else "",
    )
    whole = f"{system}\n\n{rlm.system}" if rlm.system else system
    root = Root(model, key=models.key_for(model, rlm.key), options=rlm.options, system=whole, stream=rlm.stream)
    root.tools = tools_for(context, shown, _not_called, _not_called)
    return root


def _most(limit: int | None) -> str:
    return "any number of" if limit is None else f"{limit:,}"


def _not_called(*_: object, **__: object) -> str:
    """The loop runs the tools itself, so that it can mend a malformed call and stop at the answer."""
    raise AssertionError


def _sources(run: Run) -> tuple[dict[str, object], ...]:
    if run.context.path is None:
        return ()
    return ({"name": run.context.name, "bytes": run.context.size, "sha256": run.digest},)
