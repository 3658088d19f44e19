"""Ask a question: check everything, start the run, let the loop take its turns, and say what came of it."""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass, field, fields, replace
from typing import TYPE_CHECKING, Any

from . import context as contexts
from . import models, prompts, schemas
from .budget import Limits
from .config import Rate
from .context import Readable
from .dispatch import SubModels
from .errors import RLMError, UsageError, amount
from .llmlog import LLMLog
from .loop import Loop
from .prices import Prices, how_to_give
from .result import Coverage, Result, RunFailedError, Share
from .resume import Resumption, read
from .root import Root
from .run import EXECUTE, SUBMIT, Asked, Run, Settings, Start, cache_path
from .spending import Spending
from .tools import tools_for
from .turns import AbortedError, Turns

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    import llm
    from pydantic import BaseModel

    from .context import AnyContext, Context
    from .continuation import Continuation
    from .result import Finish
    from .run import Observer

_SUB_MODEL_LATER = 0.1
"""Seconds after which the sub-model's HTTP clients are made: the root model's first request goes before."""


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
    llm_log: Path | None = None
    """The database of LLM's own log that gets the root model's responses; None for none."""
    prices: Mapping[str, Rate] = field(default_factory=dict)
    """Prices of models by name, before those that are known."""
    default_cost: float | None = None
    """USD: the limit of cost where `limits` has none and the prices of both models are known."""
    cite: bool = False
    """Whether answers are to come with verbatim quotes, which are looked up in the input."""
    schema: Mapping[str, object] | str | type[BaseModel] | None = None
    """What answers have to fit: a JSON Schema as a dict or JSON text, LLM's concise schema string, or a pydantic class."""

    @classmethod
    def of_run(cls, run: str, *, key: str | None = None) -> RLM:
        """As the run with that id asked, to go on with it: see `resume`. Keys are not recorded. Raises UsageError."""
        past = read(run)
        settings = dict(past.settings)
        more = settings.pop("asked")
        limits = Limits(**_known(Limits, settings.pop("limits")))
        sub_model = past.sub_model if past.sub_model != past.model else None
        more["prices"] = {name: Rate(**rate) for name, rate in more["prices"].items()}
        return cls(past.model, sub_model, limits, Settings(**_known(Settings, settings)), key=key, **_known(cls, more))

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
        return Asking(self._asking(cite, schema), question, context, observer).finish()

    def resume(self, run: str, context: AnyContext = None, *, observer: Observer | None = None) -> Result:
        """Go on with a run that ended before its time: `run` is its id, the beginning of it, or `last`.

        What was paid is not paid again. `context` is needed where the run's was not a file, and then has to be the same; the
        schema is the run's own. A finished run gives its result and costs nothing. Raises what `ask` does, and UsageError for a
        run that cannot go on: its source has changed, its limit is not raised, another process has it, or its models differ.
        """
        resumption = Resumption(run, self.limits, context)
        return resumption.result or Asking(self, resumption.question, resumption.context, observer, resumption).finish()

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
        loop = asyncio.get_running_loop()
        starting = loop.run_in_executor(None, Asking, self._asking(cite, schema), question, context, observer)
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

    def worst_cost(self) -> float | None:
        """USD that a run costs at most: its limit of cost, or what its limit of tokens can cost. None where nothing bounds it.

        Needs no key. Raises UnknownModelError, and UsageError where a limit of cost lacks a price.
        """
        model = models.find(self.model)
        sub_model = model if self.sub_model is None else models.find(self.sub_model)
        prices = Prices(self.prices)
        limits = _limits(self, prices, model, sub_model)
        if limits.cost is not None or limits.tokens is None:
            return limits.cost
        both = [prices.of(model, self.options), prices.of(sub_model, self.sub_options)]
        worst = [price.worst(*tokens) for price in both if price for tokens in ((limits.tokens, 0), (0, limits.tokens))]
        return max(worst) if all(both) else None

    def _asking(self, cite: bool | None, schema: Mapping[str, object] | str | type[BaseModel] | None) -> RLM:  # noqa: FBT001 - the caller's keyword
        """As asked to for one question."""
        return replace(self, cite=self.cite if cite is None else cite, schema=self.schema if schema is None else schema)


class Asking:
    """One question on its way to its answer."""

    def __init__(
        self,
        rlm: RLM,
        question: str,
        context: AnyContext | Context,
        observer: Observer | None = None,
        resumption: Resumption | None = None,
    ) -> None:
        """Check everything, and start the sandbox. Raises what `RLM.ask` raises before anything is sent."""
        if not question.strip():
            message = "the question is empty"
            raise UsageError(message)
        # Arguments of a command may hold bytes that are no text.
        self._question = question = question.encode("utf-8", "backslashreplace").decode()
        self._resumed = resumption.point() if resumption is not None else None
        wanted = rlm.schema if resumption is None else resumption.past.settings["asked"].get("schema")
        schema = schemas.given(wanted)
        rlm = replace(rlm, schema=schema)
        prices = Prices(rlm.prices)
        prices.warm()
        # A stream may be long: nothing is read of it for a model that is not there. Else the sandbox starts first.
        known = _models(rlm, prices) if isinstance(context, Readable) else None
        start = Start(_context(rlm, context, observer), rlm.settings, self._resumed)
        try:
            self._model, sub, limits = known or _models(rlm, prices)
            self._sub_model = sub.default
            _check_models(self._resumed, self._model, self._sub_model)
            root = _root(rlm, limits, self._model, self._sub_model, start)
            keep = rlm.log or self._resumed is not None
            more = {"asked": _asked(rlm), "sources": start.context.again}
            asked = Asked(question, self._model.model_id, limits, keep, root.system, rlm.cite, schema, more)
            self._run = Run(start, sub, asked, observer)
        except BaseException:
            start.discard()
            raise
        root.recall(self._run.id, question)
        self._log = LLMLog(rlm.llm_log) if rlm.llm_log is not None else None
        spending = Spending(self._model, rlm.options, prices, limits)
        turns = Turns(root, self._run, spending, self._log.add if self._log is not None else None)
        self._loop = Loop(root, self._run, question, turns)

    @property
    def run_id(self) -> str:
        """The id of the run."""
        return self._run.id

    def stop(self, why: str) -> None:
        """Stop spending, and let the root model give its best answer from what it has. Called from any thread."""
        self._loop.stop(why)

    def abort(self, why: str) -> None:
        """End the run now: `finish` raises AbortedError. Called from any thread."""
        self._loop.abort(why)

    def finish(self) -> Result:
        """Take turns until there is an answer. Raises RunFailedError."""
        try:
            return self._finish()
        finally:
            wrong = self._log.write() if self._log is not None else None
            if wrong is not None:
                self._run.observer.warned(wrong)

    def _finish(self) -> Result:
        try:
            finish = self._loop.turns(self._resumed)
        except (AbortedError, KeyboardInterrupt, SystemExit):
            self._run.end("interrupted", hurry=True)
            raise
        except RLMError as problem:
            raise RunFailedError(self._end("error", str(problem))) from problem
        except BaseException as problem:
            self._run.end("error", models.describe(problem))
            raise
        if self._run.answer is None and finish in {"submitted", "prose"}:
            raise RunFailedError(self._end("error", f"{self._model.model_id} gave no answer: its replies were empty"))
        if (why := self._run.keep_misfit()) is not None:
            error = f"there is no answer that fits the schema: {why}"
            raise RunFailedError(self._end("interrupted" if finish == "interrupted" else "error", error))
        return self._end(finish)

    def _end(self, finish: Finish, error: str | None = None) -> Result:
        """Close the run, record how it ended, and say what came of it."""
        run = self._run
        run.end(finish, error)
        reached = run.budget.reached
        before = self._resumed.past.seconds if self._resumed is not None else 0.0
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
            seconds=before + run.budget.seconds(),
            sources=_sources(run),
            skipped=tuple({"name": skipped.name, "reason": skipped.reason} for skipped in run.context.skipped),
            citations=_citations(run),
            coverage=_coverage(run),
        )


def _check_models(resumed: Continuation | None, model: llm.Model, sub_model: llm.Model) -> None:
    if resumed is None:
        return
    for then, now in ((resumed.past.model, model.model_id), (resumed.past.sub_model, sub_model.model_id)):
        if then != now:
            message = f"run {resumed.past.id} was asked of {then}, not of {now}: resume it with the same models"
            raise UsageError(message)


def _asked(rlm: RLM) -> dict[str, object]:
    """What of the engine is recorded besides models, limits and settings: whatever JSON can hold."""
    asked = {"system": rlm.system, "options": dict(rlm.options), "sub_options": dict(rlm.sub_options), "stream": rlm.stream}
    return (
        asked
        | {"prices": {name: vars(rate) for name, rate in rlm.prices.items()}}
        | {
            "default_cost": rlm.default_cost,
            "cite": rlm.cite,
            "schema": rlm.schema,
        }
    )


def _known(kind: type, recorded: Mapping[str, Any]) -> dict[str, Any]:
    """What another version has recorded that this one knows as well."""
    names = {each.name for each in fields(kind)}
    return {name: value for name, value in recorded.items() if name in names}


def _abandon(starting: asyncio.Future[Asking]) -> None:
    """End a run that was cancelled while it started."""
    if not starting.cancelled() and starting.exception() is None:
        starting.result()._run.end("interrupted", hurry=True)  # noqa: SLF001 - nobody else has it


def _models(rlm: RLM, prices: Prices) -> tuple[llm.Model, SubModels, Limits]:
    """The root model, the sub-models, and the limits. Raises UnknownModelError, MissingKeyError, UsageError."""
    model = models.find(rlm.model)
    sub_model = model if rlm.sub_model is None else models.find(rlm.sub_model)
    sub_model = models.twin(model) if sub_model is model else sub_model
    if not model.supports_tools:
        message = f"{model.model_id} does not support tools, which the root model needs: choose another with -m"
        raise UsageError(message)
    key = models.key_for(model, rlm.key)
    sub = SubModels(sub_model, key=rlm.key, key_for=model.needs_key, options=rlm.sub_options, prices=prices)
    sub_key = models.key_for(sub_model, rlm.key if sub_model.needs_key == model.needs_key else None)
    models.check_options(model, rlm.options)
    models.check_options(sub_model, rlm.sub_options)
    limits = _limits(rlm, prices, model, sub_model)
    models.keep_clients(model, 1, rlm.settings.call_timeout)
    models.keep_clients(sub_model, timeout=rlm.settings.call_timeout)
    models.warm(model, key)
    models.warm(sub_model, sub_key, after=_SUB_MODEL_LATER)
    return model, sub, limits


def _limits(rlm: RLM, prices: Prices, *both: llm.Model) -> Limits:
    """The limits; of cost, the default where there is none and both prices are known. Raises UsageError where one is needed."""
    if rlm.limits.cost is None and rlm.default_cost is None:
        return rlm.limits
    options = (rlm.options, rlm.sub_options)
    unpriced = [model.model_id for model, given in zip(both, options, strict=True) if prices.of(model, given) is None]
    if rlm.limits.cost is None:
        return rlm.limits if unpriced else replace(rlm.limits, cost=rlm.default_cost)
    if unpriced:
        message = f"a limit of cost needs prices, and that of {unpriced[0]} is not known: {how_to_give(unpriced[0])}"
        raise UsageError(message)
    return rlm.limits


def _root(rlm: RLM, limits: Limits, model: llm.Model, sub_model: llm.Model, start: Start) -> Root:
    """The conversation with the root model, its system prompt and its tools. A run that is resumed keeps its system prompt."""
    resumed, shown = start.resumed, rlm.settings.output_limit
    whole = resumed.past.system if resumed is not None else None
    if whole is None:
        system = prompts.render(
            "system",
            context=start.context.describe(),
            execute=EXECUTE,
            submit=SUBMIT,
            shown=f"{shown:,}",
            limits=_described(limits),
            sub_model=sub_model.model_id,
            same=", the same model as you, at the same price" if sub_model.model_id == model.model_id else "",
        )
        cite = prompts.render("cite", submit=SUBMIT) if rlm.cite else ""
        fits = prompts.render("answer_schema", schema=json.dumps(rlm.schema, ensure_ascii=False)) if rlm.schema else ""
        whole = "\n\n".join(part for part in (system, cite, fits, rlm.system) if part)
    root = Root(model, key=models.key_for(model, rlm.key), system=whole, stream=rlm.stream)
    root.tools = tools_for(start.context, shown, _not_called, _not_called, cite=rlm.cite)
    return root


def _described(limits: Limits) -> str:
    """The limits as the root model is told them."""
    all_of = {"turns": limits.turns, "sub-calls": limits.calls, "tokens": limits.tokens, "cost": limits.cost}
    told = [amount(kind, limit) for kind, limit in all_of.items() if limit is not None]
    return ", ".join(told) or "none"


def _not_called(*_: object, **__: object) -> str:
    """The loop runs the tools itself, so that it can mend a malformed call and stop at the answer."""
    raise AssertionError


def _context(rlm: RLM, context: AnyContext | Context, observer: Observer | None) -> Context:
    """What was given, read as far as it has to be before the sandbox can start."""
    helping = observer.helping if observer is not None else _unheard
    made = contexts.from_any(context, cache_path() if rlm.log else None, helping)
    helping("")
    return made


def _unheard(_: str) -> None:
    """Where nobody observes."""


def _sources(run: Run) -> tuple[dict[str, object], ...]:
    """The documents and tables, as `--json` has them."""
    found = []
    for document in run.context.documents:
        source = {"name": document.name, "bytes": document.size, "sha256": run.evidence.sha256(document.name)}
        examined = run.evidence.examined.get(document.name)
        source |= {"undecodable": examined.undecodable} if examined is not None and examined.undecodable else {}
        source |= {"encoding": document.encoding} if document.encoding is not None else {}
        found.append(source)
    found += [{"name": table.name, "bytes": table.size, "sha256": None} for table in run.context.tables]
    return tuple(found)


def _citations(run: Run) -> tuple[dict[str, object], ...]:
    names = ("source", "line", "column", "place", "start", "end", "times", "why")
    return tuple(
        {"quote": citation.quote, "found": citation.found is not None, "how": citation.found}
        | {name: getattr(citation, name) for name in names}
        | {"sha256": run.evidence.sha256(citation.source) if citation.source is not None else None}
        for citation in run.evidence.citations
    )


def _coverage(run: Run) -> Coverage | None:
    covered = run.evidence.covered
    if covered is None:
        return None
    names = run.context.documents
    return Coverage(tuple(Share(names[each.document].name, each.size, each.read, each.sent, each.either) for each in covered))
