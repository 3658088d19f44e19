"""The command `llm rlm`: its options, and nothing that takes long to import before it is needed."""

from __future__ import annotations

import io
import json
import signal
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import click
from click_default_group import DefaultGroup  # type: ignore[import-untyped]

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path
    from types import FrameType

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


@rlm.command()  # type: ignore[untyped-decorator]
@click.argument("question")
@click.option("-c", "--context", "sources", multiple=True, metavar="SOURCE", help="The input: a text file, or - for stdin")
@click.option("-m", "--model", "model", envvar="LLM_MODEL", help="Root model; LLM's default if not given")
@click.option("--sub-model", help="Model for sub-calls; the root model if not given")
@click.option("-s", "--system", help="Added to the system prompt")
@click.option("-o", "--option", "options", type=(str, str), multiple=True, help="Option of the root model: name and value")
@click.option("--sub-option", "sub_options", type=(str, str), multiple=True, help="Option of the sub-model: name and value")
@click.option("--key", help="API key, or the name of one that `llm keys` has")
@click.option("--max-calls", type=click.IntRange(min=0), default=1000, show_default=True, help="Most sub-calls")
@click.option("--max-turns", type=click.IntRange(min=1), default=30, show_default=True, help="Most turns of the root model")
@click.option("--timeout", type=click.FloatRange(min=0, min_open=True), help="Seconds for the whole run")
@click.option("--concurrency", type=click.IntRange(min=1), default=256, show_default=True, help="Sub-calls at once")
@click.option("--no-stream", is_flag=True, help="Do not stream the root model's replies")
@click.option("-n", "--no-log", is_flag=True, help="Keep no record of this run")
@click.option("--json", "json_output", is_flag=True, help="Print one JSON object instead of the answer")
@click.option("-q", "--quiet", is_flag=True, help="Say nothing on stderr but errors")
@click.option("-v", "--verbose", is_flag=True, help="Show each cell and its output")
@click.pass_context
def ask(ctx: click.Context, /, question: str, sources: tuple[str, ...], **given: Any) -> None:  # noqa: ANN401 - the options
    """Ask QUESTION about SOURCE.

    Prints the answer and nothing else on stdout. Exit codes: 0 answered, 1 failed, 2 bad usage, 3 a limit was reached,
    130 aborted.
    """
    from .errors import RLMError, UnknownModelError, UsageError  # noqa: PLC0415 - see the module
    from .status import Status  # noqa: PLC0415

    status = Status(quiet=given["quiet"], verbose=given["verbose"])
    try:
        source = _source(sources)
        result = _run(_engine(given), question, source, status)
    except (UsageError, UnknownModelError) as problem:
        raise click.UsageError(str(problem), ctx) from problem
    except RLMError as problem:
        raise click.ClickException(str(problem)) from problem
    except KeyboardInterrupt:
        click.echo("Aborted", err=True)
        ctx.exit(ABORTED)
    _finish(ctx, result, status, json_output=given["json_output"])


def _run(engine: RLM, question: str, source: Path | Any, status: Status) -> Result:  # noqa: ANN401 - a path or stdin
    """The result, also of a run that failed after it began."""
    from .result import RunFailedError  # noqa: PLC0415 - see the module
    from .rlm import Asking  # noqa: PLC0415

    try:
        with status, _ended_by_sigterm():
            asking = Asking(engine, question, source, status)
            with _stopped_by_ctrl_c(asking):
                return asking.finish()
    except RunFailedError as failed:
        return failed.result


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
    if result.answer is not None or result.error is not None:
        return result.error
    if result.limit is not None:
        return f"the limit of {result.limit['limit']:,} {result.limit['kind']} is reached, and there is no answer yet"
    return "the run was stopped before there was an answer"


def _engine(given: dict[str, Any]) -> RLM:
    from .budget import Limits  # noqa: PLC0415 - see the module
    from .rlm import RLM  # noqa: PLC0415
    from .run import Settings  # noqa: PLC0415

    limits = Limits(calls=given["max_calls"], turns=given["max_turns"], seconds=given["timeout"])
    return RLM(
        given["model"],
        given["sub_model"],
        limits,
        Settings(concurrency=given["concurrency"]),
        system=given["system"],
        options=dict(given["options"]),
        sub_options=dict(given["sub_options"]),
        key=given["key"],
        stream=not given["no_stream"],
        log=not given["no_log"],
    )


def _source(sources: tuple[str, ...]) -> Path | Any:  # noqa: ANN401 - a path, or stdin
    """The one source. Raises UsageError with advice where there is none: a mistyped command must not become a paid question."""
    from pathlib import Path  # noqa: PLC0415 - see the module

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
