"""The command `llm rlm`: its options, and nothing that takes long to import before it is needed."""

from __future__ import annotations

import io
import json
import signal
import sys
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource
from click_default_group import DefaultGroup  # type: ignore[import-untyped]

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from types import FrameType

    from .config import Rate
    from .journal import Journal
    from .result import Result
    from .rlm import RLM, Asking
    from .status import Status

ANSWERED, FAILED, BAD_USAGE, LIMITED, ABORTED = 0, 1, 2, 3, 130
"""Exit codes."""


class _Group(DefaultGroup):  # type: ignore[misc]  # the library has no types
    """Shows the options of `ask` in its own help: `llm rlm QUESTION` is `llm rlm ask QUESTION`."""

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the options of `ask`, then the commands."""
        ask = self.get_command(ctx, "ask")
        assert ask is not None
        click.Command.format_options(ask, ctx, formatter)
        self.format_commands(ctx, formatter)


_HELP = """Ask a question about input of any size.

The input is kept as a variable in a sandboxed Python session; the model writes code to look at it, and that code can call
further models on pieces of it.

\b
llm rlm "Which user had the most failed logins?" -c /var/log/auth.log
cat dump.jsonl | llm rlm "How many orders were refunded?" -c -
"""


@click.group(cls=_Group, default="ask", default_if_no_args=False, no_args_is_help=True, help=_HELP)
def rlm() -> None:
    """See _HELP."""


def add_command(cli: click.Group) -> None:
    """Add `llm rlm` to LLM's commands."""
    cli.add_command(rlm)


def _limit_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """The options of a run that can be others when it is resumed."""
    options = (
        click.option("--key", help="API key, or the name of one that `llm keys` has"),
        click.option(
            "--max-cost", type=click.FloatRange(min=0), help="Most USD; $1 where prices are known, or as rlm.toml says"
        ),
        click.option("--max-calls", type=click.IntRange(min=0), default=1000, show_default=True, help="Most sub-calls"),
        click.option("--max-tokens", type=click.IntRange(min=1), help="Most tokens, in and out, root model and sub-calls"),
        click.option(
            "--max-turns", type=click.IntRange(min=1), default=30, show_default=True, help="Most turns of the root model"
        ),
        click.option("--timeout", type=click.FloatRange(min=0, min_open=True), help="Seconds for the whole run"),
        click.option(
            "--concurrency", type=click.IntRange(min=1), default=256, show_default=True, help="Most sub-calls at once"
        ),
        click.option(
            "--price", "prices", multiple=True, metavar="MODEL=IN,OUT", help="A model's price, in USD per million tokens"
        ),
        click.option("--no-cache", is_flag=True, help="Ask again what an earlier run has asked"),
        click.option("--no-stream", is_flag=True, help="Do not stream the root model's replies"),
        click.option("-n", "--no-log", is_flag=True, help="Keep no record of this run; it cannot be resumed"),
        click.option("--log", is_flag=True, help="Keep a record, even after `llm logs off`"),
        click.option("-d", "--database", type=click.Path(dir_okay=False, path_type=Path), help="Database for LLM's own log"),
        click.option("--json", "json_output", is_flag=True, help="Print one JSON object instead of the answer"),
        click.option("-q", "--quiet", is_flag=True, help="Say nothing on stderr but errors"),
        click.option("-v", "--verbose", is_flag=True, help="Show each cell and its output"),
    )
    for option in reversed(options):
        command = option(command)
    return command


@rlm.command()  # type: ignore[untyped-decorator]
@click.argument("question", required=False)
@click.option("-c", "--context", "sources", multiple=True, metavar="SOURCE", help="The input: a text file, or - for stdin")
@click.option("-m", "--model", "model", envvar="LLM_MODEL", help="Root model; LLM's default if not given")
@click.option("--sub-model", help="Model for sub-calls; the root model if not given")
@click.option("-s", "--system", help="Added to the system prompt")
@click.option("-o", "--option", "options", type=(str, str), multiple=True, help="Option of the root model: name and value")
@click.option("--sub-option", "sub_options", type=(str, str), multiple=True, help="Option of the sub-model: name and value")
@click.option("--resume", "run", metavar="RUN", help="Go on with a run instead, as `llm rlm resume RUN` does")
@_limit_options
@click.pass_context
def ask(ctx: click.Context, /, question: str | None, sources: tuple[str, ...], run: str | None, **given: Any) -> None:  # noqa: ANN401 - the options
    """Ask QUESTION about SOURCE.

    Prints the answer and nothing else on stdout. Exit codes: 0 answered, 1 failed, 2 bad usage, 3 a limit was reached,
    130 aborted.
    """
    if run is not None:
        if question is not None or any(
            _is_given(ctx, name) for name in ("model", "sub_model", "system", "options", "sub_options")
        ):
            message = "--resume goes on with the question and the models of its run: give neither"
            raise click.UsageError(message, ctx)
        _go_on(ctx, run, sources, given)
    elif question is None:
        message = "Missing argument 'QUESTION'."
        raise click.UsageError(message, ctx)
    else:
        _perform(ctx, given, lambda status: _asking(given, question, sources, status))


@rlm.command()  # type: ignore[untyped-decorator]
@click.argument("run")
@click.option("-c", "--context", "sources", multiple=True, metavar="SOURCE", help="The input, if it was stdin or has moved")
@_limit_options
@click.pass_context
def resume(ctx: click.Context, /, run: str, sources: tuple[str, ...], **given: Any) -> None:  # noqa: ANN401 - the options
    """Go on with RUN, an id, the beginning of one, or `last`, where a crash, Ctrl-C or a limit has ended it.

    What was paid is not paid again. Limits are as they were, but for those that are given. A finished run prints its answer.
    """
    _go_on(ctx, run, sources, given)


def _perform(ctx: click.Context, given: dict[str, Any], begin: Callable[[Status], Asking | Result]) -> None:
    """Begin a run, wait for its end, print what came of it, and exit as it ended."""
    from .errors import RLMError, UnknownModelError, UsageError  # noqa: PLC0415 - see the module
    from .status import Status  # noqa: PLC0415

    status = Status(quiet=given["quiet"], verbose=given["verbose"])
    try:
        result = _run(begin, status)
    except (UsageError, UnknownModelError) as problem:
        raise click.UsageError(str(problem), ctx) from problem
    except RLMError as problem:
        raise click.ClickException(str(problem)) from problem
    except KeyboardInterrupt:
        click.echo("Aborted", err=True)
        ctx.exit(ABORTED)
    _finish(ctx, result, status, json_output=given["json_output"])


def _run(begin: Callable[[Status], Asking | Result], status: Status) -> Result:
    """The result, also of a run that failed after it began."""
    from .result import Result, RunFailedError  # noqa: PLC0415 - see the module

    try:
        with status, _ended_by_sigterm():
            asking = begin(status)
            if isinstance(asking, Result):
                return asking
            with _stopped_by_ctrl_c(asking):
                return asking.finish()
    except RunFailedError as failed:
        return failed.result


def _asking(given: dict[str, Any], question: str, sources: tuple[str, ...], status: Status) -> Asking:
    from .rlm import Asking  # noqa: PLC0415 - see the module

    source = _source(sources)
    return Asking(_engine(given), question, source, status)


def _go_on(ctx: click.Context, run: str, sources: tuple[str, ...], given: dict[str, Any]) -> None:
    """Resume a run, with those of its limits changed that were given."""

    def begin(status: Status) -> Asking | Result:
        from .resume import Resumption  # noqa: PLC0415 - see the module
        from .rlm import Asking  # noqa: PLC0415

        engine = _resuming(ctx, run, given)
        resumption = Resumption(run, engine.limits, _source(sources) if sources else None)
        if resumption.result is not None:
            return resumption.result
        return Asking(engine, resumption.question, resumption.context, status, resumption)

    _perform(ctx, given, begin)


def _resuming(ctx: click.Context, run: str, given: dict[str, Any]) -> RLM:
    """The engine of a run, with what was given now."""
    from dataclasses import replace  # noqa: PLC0415 - see the module

    from .rlm import RLM  # noqa: PLC0415

    engine = RLM.of_run(run, key=given["key"])
    changes = {kind: given[option] for kind, option in _LIMITS.items() if _is_given(ctx, option)}
    settings = {"concurrency": given["concurrency"]} if _is_given(ctx, "concurrency") else {}
    settings |= {"cache_days": 0} if given["no_cache"] else {}
    return replace(
        engine,
        limits=replace(engine.limits, **changes),
        settings=replace(engine.settings, **settings),
        stream=engine.stream and not given["no_stream"],
        prices={**engine.prices, **_prices(given)},
        llm_log=_llm_log(given),
    )


_LIMITS = {"cost": "max_cost", "calls": "max_calls", "tokens": "max_tokens", "turns": "max_turns", "seconds": "timeout"}
"""Kinds of limits and their options."""


def _is_given(ctx: click.Context, option: str) -> bool:
    return ctx.get_parameter_source(option) is ParameterSource.COMMANDLINE


@contextmanager
def _stopped_by_ctrl_c(asking: Asking) -> Iterator[None]:
    """The first Ctrl-C asks for the best answer so far; the second raises KeyboardInterrupt."""

    def stop(_number: int, _frame: FrameType | None) -> None:
        signal.signal(signal.SIGINT, signal.default_int_handler)
        click.echo("\nStopping: asking for the best answer so far. Ctrl-C again aborts.", err=True)
        asking.stop("the user stopped the run")

    before = signal.signal(signal.SIGINT, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


@contextmanager
def _ended_by_sigterm() -> Iterator[None]:
    """SIGTERM ends the command as an error does: nothing is left behind."""
    before = signal.signal(signal.SIGTERM, lambda number, _: sys.exit(128 + number))
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _finish(ctx: click.Context, result: Result, status: Status, *, json_output: bool) -> None:
    from .status import clean  # noqa: PLC0415 - see the module

    status.closing(result)
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # an answer is printed whatever the terminal's encoding
    if json_output:
        click.echo(json.dumps(result.as_dict(), ensure_ascii=False, indent=2))
    elif result.answer is not None:
        click.echo(clean(result.text) if sys.stdout.isatty() else result.text)
    if (problem := _problem(result)) is not None:
        click.echo(f"Error: {problem}", err=True)
    ctx.exit({"limit": LIMITED, "error": FAILED, "interrupted": ABORTED}.get(result.finish, ANSWERED))


def _problem(result: Result) -> str | None:
    """Why there is no answer, if there is none."""
    from .errors import amount  # noqa: PLC0415 - see the module

    if result.answer is not None or result.error is not None:
        return result.error
    if result.limit is not None:
        return f"the limit of {amount(result.limit['kind'], result.limit['limit'])} is reached, and there is no answer yet"
    return "the run was stopped before there was an answer"


def _engine(given: dict[str, Any]) -> RLM:
    from .budget import Limits  # noqa: PLC0415 - see the module
    from .config import load  # noqa: PLC0415
    from .llmlog import is_kept  # noqa: PLC0415
    from .rlm import RLM  # noqa: PLC0415
    from .run import Settings  # noqa: PLC0415

    config = load()
    limits = Limits(**{kind: given[option] for kind, option in _LIMITS.items()})
    return RLM(
        given["model"],
        given["sub_model"],
        limits,
        Settings(concurrency=given["concurrency"], cache_days=0 if given["no_cache"] else config.cache_days),
        system=given["system"],
        options=dict(given["options"]),
        sub_options=dict(given["sub_options"]),
        key=given["key"],
        stream=not given["no_stream"],
        log=is_kept(given),
        llm_log=_llm_log(given),
        prices={**config.prices, **_prices(given)},
        default_cost=config.max_cost,
    )


def _prices(given: dict[str, Any]) -> dict[str, Rate]:
    from .prices import parse  # noqa: PLC0415 - see the module

    return dict(parse(price) for price in given["prices"])


def _llm_log(given: dict[str, Any]) -> Path | None:
    from .llmlog import is_kept, log_path  # noqa: PLC0415 - see the module

    return log_path(given["database"]) if is_kept(given) else None


def _source(sources: tuple[str, ...]) -> Path | Any:  # noqa: ANN401 - a path, or stdin
    """The one source. Raises UsageError with advice where there is none: a mistyped command must not become a paid question."""
    from .errors import UsageError  # noqa: PLC0415

    if len(sources) > 1:
        message = "give one source with -c: several are not supported yet"
        raise UsageError(message)
    if not sources and sys.stdin.isatty():
        message = 'give the input with -c: llm rlm "QUESTION" -c FILE, or -c - for stdin (commands: llm rlm --help)'
        raise UsageError(message)
    if not sources or sources[0] == "-":
        return _Stdin()
    if not sources[0]:
        message = "-c is empty: name a text file, or - for stdin"
        raise UsageError(message)
    return Path(sources[0])


class _Stdin:
    """Standard input as a source."""

    name = "stdin"

    def read(self, size: int, /) -> bytes:
        return sys.stdin.buffer.read(size)


@rlm.command()  # type: ignore[untyped-decorator]
@click.option("--megabytes", type=click.IntRange(1, 500), default=50, show_default=True, help="Size of the log to make")
@click.option("-q", "--quiet", is_flag=True, help="Only the answer")
def demo(megabytes: int, *, quiet: bool) -> None:
    """Show a whole run, without a key, a network or a language model.

    A scripted model works through a large log that the demo makes, with real cells in the real sandbox and sub-calls to a
    scripted sub-model.
    """
    from .demo import run_demo  # noqa: PLC0415 - see the module

    run_demo(megabytes, quiet=quiet)


@rlm.group(cls=DefaultGroup, default="show", default_if_no_args=True)  # type: ignore[untyped-decorator]
def cache() -> None:
    """Answers of sub-models that serve later runs which ask the same.

    They are part of the record of runs (rlm.db in LLM's folder). How long they serve is set by `cache_days` in rlm.toml, 30 if
    it is not; --no-cache asks anew.
    """


@cache.command("show")  # type: ignore[untyped-decorator]
@click.option("--json", "json_output", is_flag=True, help="Print a JSON array")
def cache_show(*, json_output: bool) -> None:
    """Show which answers there are, model by model."""
    from datetime import UTC, datetime  # noqa: PLC0415 - see the module

    from .journal.cache import serving  # noqa: PLC0415

    with _journal() as journal:
        kept = serving(journal)
    if json_output:
        click.echo(json.dumps([vars(each) for each in kept], indent=2))
        return
    if not kept:
        click.echo("No answers are kept.")
    for each in kept:
        oldest = datetime.fromtimestamp(each.oldest, UTC).astimezone().strftime("%Y-%m-%d")
        served = f"served {each.hits:,} times" + (f", which saved ${each.saved:.4f}" if each.saved else "")
        click.echo(f"{each.model}: {each.answers:,} answers, {each.bytes:,} bytes, the oldest of {oldest}; {served}")


@cache.command("clear")  # type: ignore[untyped-decorator]
@click.option("--older-than", type=click.FloatRange(min=0), default=0, metavar="DAYS", help="Only answers older than this")
@click.option("-m", "--model", help="Only answers of this model")
def cache_clear(older_than: float, model: str | None) -> None:
    """Let answers serve no more. The runs that were given them keep them in their record."""
    import time  # noqa: PLC0415 - see the module

    from .journal.cache import clear  # noqa: PLC0415

    with _journal() as journal:
        count = clear(journal, before=time.time() - older_than * 86_400, model=model)
    click.echo(f"{count:,} answer{'s' if count != 1 else ''} will serve no more.")


@contextmanager
def _journal() -> Iterator[Journal]:
    """The journal on disk, for a command that reads it."""
    from .errors import RLMError  # noqa: PLC0415 - see the module
    from .journal import Journal  # noqa: PLC0415
    from .run import journal_path  # noqa: PLC0415

    try:
        journal = Journal(journal_path())
    except RLMError as problem:
        raise click.ClickException(str(problem)) from problem
    try:
        yield journal
    finally:
        journal.close()
