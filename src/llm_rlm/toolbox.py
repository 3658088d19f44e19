"""`RLMToolbox`: the two tools for LLM's own chains, in Python and with `llm -T`."""

from __future__ import annotations

import asyncio
import inspect
import sys
import threading
import weakref
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import click
import llm

from llm_rlm.places import cache_path

from . import context as contexts
from .budget import Limits, Usage, check_number
from .config import load
from .context import Sources
from .errors import UnknownModelError, UsageError
from .providers import models
from .providers.dispatch import CONCURRENCY, SubModels
from .providers.prices import Prices
from .runs.children import Children, Rules, check_depth
from .runs.llmlog import is_kept
from .runs.run import Asked, Run
from .runs.shown import show
from .runs.start import Reach, Settings, Start
from .runs.tools import tools_for

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from .context import Context

_MOST_LOGGED = 200
_LONGEST_MS = 2_000_000_000
"""Some systems can wait for no more than twice as long."""
_FRESH = (
    "this is a fresh session: the variables of the earlier one are gone, and `context` is there only if it came from a file"
)


def _without_self(signature: inspect.Signature) -> inspect.Signature:
    return signature.replace(parameters=list(signature.parameters.values())[1:])


class RLMToolbox(llm.Toolbox):  # type: ignore[no-untyped-call]
    """Answer questions over input of any size: it is kept as the variable `context` in a sandboxed Python session.

    The model is offered two tools: one runs Python in the session, where `await llm_query(...)` and `await llm_batch(...)`
    call a sub-model on pieces of the input; the other submits the final answer.

    llm -T 'RLMToolbox(context_file="big.log")' "Which errors are there?" --td
    """

    plugin = "rlm"
    _blocked = (  # type: ignore[assignment]
        *llm.Toolbox._blocked,  # noqa: SLF001 - the way to say what is not a tool
        "answer",
        "usage",
        "run_id",
        "close",
    )

    def __init__(  # noqa: PLR0913 - the signature that users were promised
        self,
        context: Any = None,  # noqa: ANN401 - a str or any JSON value
        sub_model: Any = None,  # noqa: ANN401 - a name or an llm model
        max_output_chars: int = 8192,
        execution_timeout_ms: int = 120000,
        *,
        context_file: str | None = None,
        sources: list[str] | None = None,
        max_calls: int | None = 1000,
        max_cost: float | None = None,
        max_tokens: int | None = None,
        concurrency: int = CONCURRENCY,
        depth: int = 1,
        cache: bool = True,
    ) -> None:
        """Check the arguments. The session starts when a tool is first used, or offered to a model.

        `context` is a str, or anything JSON can hold; instead of it, `context_file` is one path, and `sources` a list of what
        `llm rlm -c` takes: files, folders, globs, URLs, LLM fragments. `sub_model` is the model that cells call: a name, an llm
        model, or None for the command's model or LLM's default. `max_calls`, `max_cost`
        (USD) and `max_tokens` limit the sub-calls, not the root model's turns, which are LLM's own; None is no limit. `depth`
        is how deep child runs go that cells start with `rlm_query`; 0 for none. `cache`
        lets answers of earlier runs serve. Raises UsageError for an argument that cannot be used.
        """
        self._command = _command()
        with _as_usage_errors(self._command):
            self._settings = _settings(max_output_chars, execution_timeout_ms, concurrency, cache=cache)
            self._limits = _limits(max_calls, max_cost, max_tokens)
            check_depth(depth)
            self._depth = depth
            self._sub_model = models.find(sub_model) if sub_model is not None else None
            self._kept = _Kept(_context(context, context_file, sources))
        self._config = _loggable(  # type: ignore[misc]
            sub_model=sub_model,
            max_output_chars=max_output_chars,
            execution_timeout_ms=execution_timeout_ms,
            context_file=context_file,
            sources=contexts.recordable(sources) if sources is not None else None,
            max_calls=max_calls,
            max_cost=max_cost,
            max_tokens=max_tokens,
            concurrency=concurrency,
            depth=depth,
            cache=cache,
        )
        self._starting = threading.Lock()
        self._fresh = _continues(self._command)
        self._closer = weakref.finalize(self, self._kept.close)
        if self._command is not None:
            self._command.call_on_close(self.close)

    __signature__ = _without_self(inspect.signature(__init__))

    def __new__(cls, *_: object, **arguments: object) -> Self:
        """Refuse an unknown argument here: LLM's own check of them, before `__init__`, is a traceback in the command."""
        there = list(cls.__signature__.parameters)
        if unknown := [name for name in arguments if name not in there]:
            with _as_usage_errors(_command()):
                message = f"RLMToolbox has no argument {unknown[0]!r}; it has {', '.join(there)}"
                raise UsageError(message)
        return super().__new__(cls)

    # Tools

    def execute_python(self, code: str) -> Any:  # noqa: ANN401 - text, or an awaitable of it for a caller in a coroutine
        """Run Python code in the session and return what it prints, and the value of its last line."""
        return _for_caller(sys._getframe(1), lambda: self._execute(code))  # noqa: SLF001 - see _for_caller

    def submit_answer(self, answer: str | None = None, variable_name: str | None = None) -> Any:  # noqa: ANN401 - see above
        """Submit the final answer: the text itself, or the name of the variable that holds it."""
        return _for_caller(sys._getframe(1), lambda: self._submit(answer, variable_name))  # noqa: SLF001 - see above

    def tools(self) -> Iterable[llm.Tool]:
        """The two tools, described for this context."""
        self._start()
        shown = self._settings.output_limit
        return tools_for(self._kept.context, shown, self.execute_python, self.submit_answer, self.plugin)

    # For Python callers

    @property
    def answer(self) -> Any:  # noqa: ANN401 - a str or any JSON value
        """The submitted answer: text, or the value itself where it is not text; None until there is one."""
        given = self._kept.run.answer if self._kept.run is not None else None
        return given.value if given is not None else None

    @property
    def usage(self) -> dict[str, Any]:
        """What the sub-calls have used so far: counts, tokens, and `cost` in USD, None where a price is not known."""
        used = self._kept.run.budget.usage if self._kept.run is not None else Usage()
        names = ("calls", "failed", "cached", "retried", "unsettled", "input", "output", "cached_input")
        return {name: getattr(used, name) for name in names} | {"cost": None if used.unpriced else used.cost}

    @property
    def run_id(self) -> str | None:
        """The run's id in the journal; None until the session has started."""
        return self._kept.run.id if self._kept.run is not None else None

    def close(self) -> None:
        """End the session. Safe to call more than once."""
        with self._starting:
            self._closer()

    def __enter__(self) -> Self:
        """Use as `with RLMToolbox(...) as toolbox:`, which closes it."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close."""
        self.close()

    def _execute(self, code: object) -> str:
        run = self._start()
        result = run.execute(code)
        if isinstance(result, str):
            return self._with_notes(result)
        submitted = f"\n{self._submitted(run)}" if result.submitted is not None else ""
        return self._with_notes(show(result) + submitted)

    def _submit(self, answer: object, variable_name: object) -> str:
        run = self._start()
        wrong = run.submit(answer, variable_name)
        return self._with_notes(wrong) if wrong is not None else self._submitted(run)

    def _submitted(self, run: Run) -> str:
        assert run.answer is not None
        text, most = run.answer.text, self._settings.output_limit
        shown = text if len(text) <= most else f"{text[:most]}\n... [{len(text):,} characters in all]"
        return f"Submitted. Now reply with this answer:\n{shown}"

    def _with_notes(self, text: str) -> str:
        """Say what the model must know besides: that its session is new, and how many rounds LLM's chain limit allows."""
        if self._fresh:
            self._fresh = False
            text = f"[{_FRESH}]\n{text}"
        limit = self._command.params.get("chain_limit") if self._command is not None else None
        if not limit or self._command.meta.get("llm_rlm.unlimited"):
            return text
        # LLM counts the final answer too, and fails when the limit is reached, not when it is passed. Which round of its chain
        # this is, a tool is not told.
        return f"{text}\n[rounds of tools for a question: {max(0, limit - 2)} (--cl {limit}); then give the answer]"

    def _start(self) -> Run:
        """The run; started when it is first needed."""
        with self._starting:
            if not self._closer.alive:
                message = "this RLMToolbox is closed"
                raise UsageError(message)
            if self._kept.run is None:
                self._kept.run = self._begin()
                if self._fresh:
                    click.echo(f"RLMToolbox: {_FRESH}", err=True)
            return self._kept.run

    def _begin(self) -> Run:
        params = self._command.params if self._command is not None else {}
        name = params.get("model_id") or (self._command.meta.get("llm_rlm.model") if self._command is not None else None)
        root = models.find(name)
        sub_model = self._sub_model or root
        prices = Prices(load().prices)
        if self._limits.cost is not None and prices.of(sub_model) is None:
            message = f"max_cost needs a price, and that of {sub_model.model_id} is not known: give it in [prices] of rlm.toml"
            raise UsageError(message)
        prices.warm()
        models.keep_clients(sub_model, timeout=self._settings.call_timeout)
        sub = SubModels(sub_model, key=params.get("key"), key_for=root.needs_key, prices=prices)
        model = root.model_id if self._command is not None else None
        asked = Asked(model=model, limits=self._limits, keep=is_kept(params))
        start = Start(self._kept.context, self._settings, reach=Reach(children=self._depth > 0))
        try:
            run = Run(start, sub, asked)
        except BaseException:
            start.session.close()  # the context is there for the next time
            raise
        if self._depth:
            run.have_children(Children(run, sub, Rules(self._depth)))
        return run


class _Kept:
    """What is to be closed when its toolbox is gone: the context, and the run once there is one."""

    def __init__(self, context: Context) -> None:
        self.context = context
        self.run: Run | None = None

    def close(self) -> None:
        if self.run is None:
            self.context.discard()
        else:
            self.run.end("submitted" if self.run.answer is not None else None)


def _for_caller(caller: Any, work: Callable[[], str]) -> Any:  # noqa: ANN401 - a frame; text or an awaitable
    """The result for a plain caller, an awaitable of it for a coroutine, which must not be kept waiting.

    LLM awaits what a plain tool returns in its async chains, and calls it in place in the others, even in a running loop.
    """
    if caller.f_code.co_flags & (inspect.CO_COROUTINE | inspect.CO_ASYNC_GENERATOR):
        return asyncio.get_running_loop().run_in_executor(None, work)
    return work()


def _command() -> Any:  # noqa: ANN401 - click's context
    """The `llm` command that this toolbox is made for, if any."""
    command = click.get_current_context(silent=True)
    return command if command is not None and "chain_limit" in command.params else None


def _continues(command: Any) -> bool:  # noqa: ANN401 - click's context, or None
    """Whether the command goes on with an earlier conversation."""
    params = command.params if command is not None else {}
    return bool(params.get("_continue") or params.get("conversation_id"))


@contextmanager
def _as_usage_errors(command: Any) -> Iterator[None]:  # noqa: ANN401 - click's context, or None
    """In a command, an argument that cannot be used is shown as click shows it."""
    try:
        yield
    except (UsageError, UnknownModelError) as problem:
        if command is None:
            raise
        raise click.UsageError(str(problem)) from problem


def _loggable(**arguments: Any) -> dict[str, Any]:  # noqa: ANN401 - constructor arguments
    """What LLM may record of the arguments: short JSON values that are not the defaults. Never the context."""
    kept: dict[str, Any] = {}
    for name, value in arguments.items():
        default = RLMToolbox.__signature__.parameters[name].default
        value = value.model_id if isinstance(value, llm.Model) else value  # noqa: PLW2901 - its name stands for it
        if value != default and isinstance(value, str | int | float | bool | list | None) and len(str(value)) <= _MOST_LOGGED:
            kept[name] = value
    return kept


def _settings(output_chars: int, timeout_ms: int, concurrency: int, *, cache: bool) -> Settings:
    check_number("max_output_chars", output_chars, 100, whole=True)
    check_number("execution_timeout_ms", timeout_ms, 1, _LONGEST_MS, whole=True)
    check_number("concurrency", concurrency, 1, whole=True)
    days = load().cache_days if cache else 0
    return Settings(concurrency, output_chars, timeout_ms / 1000, cache_days=days)


def _limits(max_calls: int | None, max_cost: float | None, max_tokens: int | None) -> Limits:
    check_number("max_calls", max_calls, 0, whole=True, none="no limit")
    check_number("max_cost", max_cost, 0, none="no limit")
    check_number("max_tokens", max_tokens, 1, whole=True, none="no limit")
    return Limits(calls=max_calls, turns=None, cost=max_cost, tokens=max_tokens)


def _context(context: object, context_file: object, sources: object) -> Context:
    """The input. Raises UsageError for what cannot be one."""
    given = {"context": context, "context_file": context_file, "sources": sources}
    names = [name for name, value in given.items() if value is not None]
    if len(names) > 1:
        message = f"give RLMToolbox {' or '.join(f'`{name}`' for name in names)}, not both"
        raise UsageError(message)
    if sources is not None:
        if not isinstance(sources, list | tuple) or not sources or not all(isinstance(each, str | Path) for each in sources):
            message = "sources must be a list of paths, globs, URLs or LLM fragments"
            raise UsageError(message)
        return contexts.from_any(Sources(tuple(sources)), cache_path())
    if context_file is None:
        return contexts.from_value(context)
    if not isinstance(context_file, str | Path):
        message = f"context_file must be the path of a file, not {type(context_file).__name__}"
        raise UsageError(message)
    return contexts.from_any(Path(context_file), cache_path())
