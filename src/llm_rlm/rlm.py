"""Ask a question: check everything, start the run, let the loop take its turns, and say what came of it."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field, fields, replace
from functools import partial
from typing import TYPE_CHECKING, Any, Literal

from . import context as contexts
from . import models, prompts, schemas
from .briefing import Brief, conversation, submit_name
from .budget import Limits
from .children import Children, Rules, check_depth
from .config import Rate
from .context import Readable
from .dispatch import SubModels
from .errors import RLMError, UsageError
from .functions import as_functions
from .llmlog import LLMLog
from .loop import Loop
from .prices import Prices, how_to_give
from .result import Coverage, Result, RunFailedError, Share
from .resume import Following, Resumption, read
from .root import call_from
from .run import Asked, Reach, Run, Settings, Start, cache_path
from .spending import Spending
from .turns import AbortedError, Turns

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    import llm
    from pydantic import BaseModel

    from .context import AnyContext, Context
    from .journal.history import PastRun
    from .result import Finish
    from .root import Root
    from .run import Observer
    from .session import Session
    from .turns import Results

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
    windows: Mapping[str, int] = field(default_factory=dict)
    """Windows of models by name, in tokens, before those that are known: near its end the conversation is shortened."""
    default_cost: float | None = None
    """USD: the limit of cost where `limits` has none and the prices of both models are known."""
    functions: Sequence[Callable[..., Any]] = ()
    """Your own functions, which cells can call: `await f(...)`. They run on this machine with all your rights, with arguments
    that a model chose, which may have read text that nobody vetted: give only what you would let a stranger call.
    """
    tools: Sequence[str] = ()
    """Tools and toolboxes of LLM, as `llm -T` takes them, likewise."""
    cite: bool = False
    """Whether answers are to come with verbatim quotes, which are looked up in the input."""
    protocol: Literal["tools", "code"] | None = None
    """How the root model runs code: by calling a tool, or by writing blocks of code. None: by tools, where it supports them."""
    depth: int = 1
    """How deep child runs go that cells start with `rlm_query`, each with a session of its own; 0 for none."""
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
        from .session import Session  # noqa: PLC0415 - it builds on this module

        return Session(self, context, observer=observer)

    def worst_cost(self) -> float | None:
        """USD that a run costs at most: its limit of cost, or what its limit of tokens can cost. None where nothing bounds it.

        Needs no key. Raises UnknownModelError, and UsageError where a limit of cost lacks a price.
        """
        model = models.find(self.model)
        sub_model = model if self.sub_model is None else models.find(self.sub_model)
        prices = Prices(self.prices, self.windows)
        limits = _limits(self, prices, model, sub_model)
        if limits.cost is not None or limits.tokens is None:
            return limits.cost
        both = [prices.of(model, self.options), prices.of(sub_model, self.sub_options)]
        worst = [price.worst(*tokens) for price in both if price for tokens in ((limits.tokens, 0), (0, limits.tokens))]
        return max(worst) if all(both) else None

    def _asking(self, cite: bool | None, schema: Mapping[str, object] | str | type[BaseModel] | None) -> RLM:  # noqa: FBT001 - the caller's keyword
        """As asked to for one question."""
        return replace(self, cite=self.cite if cite is None else cite, schema=self.schema if schema is None else schema)


class Ready:
    """Models, context and sandbox, checked and started: what questions can be asked of."""

    def __init__(
        self,
        rlm: RLM,
        context: AnyContext | Context,
        observer: Observer | None = None,
        past: Resumption | Following | None = None,
    ) -> None:
        """Check everything, and start the sandbox. Raises what `RLM.ask` raises before anything is sent.

        `past` is the run to go on with, or the one to follow.
        """
        check_depth(rlm.depth)
        resumed, followed = (past.point(), past.followed) if past is not None else (None, None)
        wanted = rlm.schema if resumed is None else resumed.past.settings["asked"].get("schema")
        self.schema = schemas.given(wanted)
        self.rlm = rlm = replace(rlm, schema=self.schema)
        self.prices = Prices(rlm.prices, rlm.windows)
        self.prices.warm()
        # A stream may be long: nothing is read of it for a model that is not there. Else the sandbox starts first.
        known = _models(rlm, self.prices) if isinstance(context, Readable) else None
        reach = Reach(as_functions(rlm.functions, rlm.tools), children=rlm.depth > 0)
        self.start = Start(_context(rlm, context, observer), rlm.settings, resumed, followed, reach)
        try:
            self.model, self.sub, self.limits = known or _models(rlm, self.prices)
            if past is not None:
                _check_models(past.past, self.model, self.sub.default)
            system = past.past.system if past is not None else None
            self.root = conversation(_brief(rlm, self.limits, self.model, self.sub.default, self.prices), self.start, system)
        except BaseException:
            self.discard()
            raise
        self.log = LLMLog(rlm.llm_log) if rlm.llm_log is not None else None

    def discard(self) -> None:
        """End the sandbox of questions that will not be."""
        self.start.discard()


class Asking:
    """One question on its way to its answer."""

    def __init__(self, ready: Ready, question: str, observer: Observer | None = None, before: Asking | None = None) -> None:
        """Record the run. `before` is the question before it in its session, which has its answer.

        Raises UsageError for an empty question, and RLMError if the journal cannot be opened: then what was ready goes on.
        """
        check_question(question)
        # Arguments of a command may hold bytes that are no text.
        self._question = question = question.encode("utf-8", "backslashreplace").decode()
        self._ready, self._model, self._log = ready, ready.model, ready.log
        rlm, root = ready.rlm, ready.root
        start = ready.start if before is None else before.next_start()
        self._resumed = resumed = start.resumed
        more = {"asked": _asked(replace(rlm, protocol=root.way.name)), "sources": start.context.again}
        keep = rlm.log or resumed is not None
        asked = Asked(question, self._model.model_id, ready.limits, keep, root.system, rlm.cite, ready.schema, more)
        self._run = Run(start, ready.sub, asked, observer)
        if rlm.depth:
            self._run.have_children(Children(self._run, ready.sub, Rules(rlm.depth, ready.limits.turns, rlm.stream)))
        results = _recall(root, start, question) if before is None else before.unsent
        spending = Spending(self._model, rlm.options, ready.prices, ready.limits)
        turns = Turns(root, self._run, spending, self._log.add if self._log is not None else None)
        said = question
        if start.followed is not None:
            said = prompts.render("follow_up", question=question, submit=submit_name(root.way))
        self._loop = Loop(root, self._run, said, turns, results)

    def next_start(self) -> Start:
        """Where a further question begins: in the same session."""
        return self._run.start.next(self._run)

    @property
    def unsent(self) -> Results:
        """The results of tools that the root model has not been told yet."""
        return self._loop.results

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

    def finish(self, *, leave: bool = False) -> Result:
        """Take turns until there is an answer. Raises RunFailedError.

        The session ends with it, unless it is to be left to a further question, see `next`; then `close` ends it.
        """
        try:
            return self._finish(leave=leave)
        finally:
            wrong = self._log.write() if self._log is not None else None
            if wrong is not None:
                self._run.observer.warned(wrong)

    def close(self) -> None:
        """End the session that was left. Safe to call more than once."""
        self._run.end("interrupted", hurry=True)

    def _finish(self, *, leave: bool) -> Result:
        end = self._run.leave if leave else self._run.end
        try:
            finish = self._loop.turns(self._resumed)
        except (AbortedError, KeyboardInterrupt, SystemExit):
            self._run.end("interrupted", hurry=True)
            raise
        except RLMError as problem:
            end("error", str(problem))
            raise RunFailedError(self._result("error", str(problem))) from problem
        except BaseException as problem:
            self._run.end("error", models.describe(problem))
            raise
        if self._run.answer is None and finish in {"submitted", "prose"}:
            error = f"{self._model.model_id} gave no answer: its replies were empty"
            end("error", error)
            raise RunFailedError(self._result("error", error))
        if (why := self._run.keep_misfit()) is not None:
            error = f"there is no answer that fits the schema: {why}"
            finish = "interrupted" if finish == "interrupted" else "error"
            end(finish, error)
            raise RunFailedError(self._result(finish, error))
        end(finish)
        return self._result(finish)

    def _result(self, finish: Finish, error: str | None = None) -> Result:
        """What came of the run, which has ended."""
        run = self._run
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
            sub_model=self._ready.sub.default.model_id,
            usage=replace(run.budget.usage),
            seconds=before + run.budget.seconds(),
            sources=_sources(run),
            skipped=tuple({"name": skipped.name, "reason": skipped.reason} for skipped in run.context.skipped),
            citations=_citations(run),
            coverage=_coverage(run),
        )


def begin(
    rlm: RLM,
    question: str,
    context: AnyContext | Context,
    observer: Observer | None = None,
    past: Resumption | Following | None = None,
) -> Asking:
    """Begin a run. Raises what `RLM.ask` raises before anything is sent."""
    check_question(question)
    ready = Ready(rlm, context, observer, past)
    try:
        return Asking(ready, question, observer)
    except BaseException:
        ready.discard()
        raise


def check_question(question: str) -> None:
    """Raise UsageError for one that is empty."""
    if not question.strip():
        message = "the question is empty"
        raise UsageError(message)


def _recall(root: Root, start: Start, question: str) -> Results:
    """Let the root model know what was said before. Returns the results of tools that it has not been told."""
    followed, turns = start.followed, start.resumed.turns if start.resumed is not None else ()
    earlier = followed.turns if followed is not None else ()
    session = followed.runs[0].run_id if followed is not None else start.id
    root.recall(session, question, *earlier, turns)
    unanswered = followed.results if followed is not None and not turns else ()
    return [(call_from(call), output) for call, output in unanswered]


def _check_models(past: PastRun, model: llm.Model, sub_model: llm.Model) -> None:
    for then, now in ((past.model, model.model_id), (past.sub_model, sub_model.model_id)):
        if then != now:
            message = f"run {past.id} was asked of {then}, not of {now}: go on with the same models"
            raise UsageError(message)


def _asked(rlm: RLM) -> dict[str, object]:
    """What of the engine is recorded besides models, limits and settings: whatever JSON can hold."""
    asked = {"system": rlm.system, "options": dict(rlm.options), "sub_options": dict(rlm.sub_options), "stream": rlm.stream}
    return (
        asked
        | {"prices": {name: vars(rate) for name, rate in rlm.prices.items()}}
        | {
            "windows": dict(rlm.windows),
            "default_cost": rlm.default_cost,
            "cite": rlm.cite,
            "tools": list(rlm.tools),
            "protocol": rlm.protocol,
            "depth": rlm.depth,
            "schema": rlm.schema,
        }
    )


def _known(kind: type, recorded: Mapping[str, Any]) -> dict[str, Any]:
    """What another version has recorded that this one knows as well."""
    names = {each.name for each in fields(kind)}
    return {name: value for name, value in recorded.items() if name in names}


async def finish_in_thread(start: Callable[[], Asking], finish: Callable[[Asking], Result]) -> Result:
    """Begin a run and finish it, for callers in an event loop. Cancelling it aborts the run."""
    loop = asyncio.get_running_loop()
    starting = loop.run_in_executor(None, start)
    try:
        asking = await asyncio.shield(starting)
    except asyncio.CancelledError:
        starting.add_done_callback(_abandon)
        raise
    finishing = loop.run_in_executor(None, finish, asking)
    try:
        return await asyncio.shield(finishing)
    except asyncio.CancelledError:
        finishing.add_done_callback(lambda done: done.exception())
        asking.abort("the caller cancelled the run")
        raise


def _abandon(starting: asyncio.Future[Asking]) -> None:
    """End a run that was cancelled while it started."""
    if not starting.cancelled() and starting.exception() is None:
        starting.result().close()


def _models(rlm: RLM, prices: Prices) -> tuple[llm.Model, SubModels, Limits]:
    """The root model, the sub-models, and the limits. Raises UnknownModelError, MissingKeyError, UsageError."""
    model = models.find(rlm.model)
    sub_model = model if rlm.sub_model is None else models.find(rlm.sub_model)
    sub_model = models.twin(model) if sub_model is model else sub_model
    _check_protocol(rlm, model)
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


def _check_protocol(rlm: RLM, model: llm.Model) -> None:
    if rlm.protocol not in {None, "tools", "code"}:
        message = f"protocol must be 'tools', 'code' or None, not {rlm.protocol!r}"
        raise UsageError(message)
    if rlm.protocol == "tools" and not model.supports_tools:
        message = f"{model.model_id} does not support tools: leave the protocol out, or let it be 'code'"
        raise UsageError(message)


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


def _brief(rlm: RLM, limits: Limits, model: llm.Model, sub_model: llm.Model, prices: Prices) -> Brief:
    """What the root model is to know."""
    return Brief(
        model,
        sub_model,
        limits,
        key=rlm.key,
        options=rlm.options,
        stream=rlm.stream,
        cite=rlm.cite,
        more=rlm.system,
        children=rlm.depth,
        protocol=rlm.protocol,
        schema=rlm.schema,
        window=partial(prices.window, model, rlm.options),
    )


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
    shares = (Share(names[each.document].name, each.size, each.read, each.sent, each.either) for each in covered)
    return Coverage(tuple(shares), run.evidence.complete)
