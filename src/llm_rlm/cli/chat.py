"""`llm rlm chat`: questions one after another over one session."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import click

from .ask import OF_A_NEW_RUN, engine_of, model_options
from .options import check_output, is_given, run_options
from .resume import check_tools, resuming
from .running import Display, conclude, ended_by_sigterm, shown_as_usage
from .sources import are_given, source_options, sources_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from llm_rlm.runs.result import Result
    from llm_rlm.runs.session import Session

_HOW = "Type a question, '!multi' for one of several lines that ends with '!end', 'exit' or 'quit' to leave."


@click.command()
@source_options("The input: file, folder, glob, URL, archive, LLM fragment; repeatable")
@model_options
@click.option("--follow", "run", metavar="RUN", help="Go on from a run that has ended: an id, its beginning, or last")
@run_options(new=True)
@click.option("-n", "--no-log", is_flag=True, help="Keep no record")
@click.pass_context
def chat(ctx: click.Context, /, run: str | None, **given: Any) -> None:  # noqa: ANN401 - the options
    """Ask one question after another about SOURCE.

    The session stays: variables that one question made are there for the next, and earlier answers are known. Each question
    has limits of its own and is a run in the journal. Questions are read from the terminal, or from stdin, one a line.
    """
    check_output(ctx, given)
    with shown_as_usage(ctx), ended_by_sigterm(), _session(ctx, run, given) as session:
        if sys.stdin.isatty() and not given["quiet"]:
            click.echo(_HOW, err=True)
        code, display = 0, None
        for question in _questions():
            display = Display.of(given, display.lines if display is not None else None)
            code = _ask(ctx, session, question, given, display)
    ctx.exit(0 if sys.stdin.isatty() else code)


def _session(ctx: click.Context, run: str | None, given: dict[str, Any]) -> Session:
    """The session, its sandbox started. Raises UsageError."""
    from llm_rlm.errors import UsageError  # noqa: PLC0415 - not needed for --help
    from llm_rlm.runs.resume import Following  # noqa: PLC0415
    from llm_rlm.runs.session import Session  # noqa: PLC0415

    if "-" in given["sources"] or given["paths_from_stdin"]:
        message = "stdin is where the questions come from: give the input as a file"
        raise UsageError(message)
    if run is None:
        if not are_given(given):
            message = "give the input with -c: llm rlm chat -c FILE"
            raise UsageError(message)
        return Session(engine_of(given), sources_of(given))
    if any(is_given(ctx, name) for name in OF_A_NEW_RUN):
        message = "--follow goes on with the models, the schema and the record of its run: give none of them"
        raise UsageError(message)
    engine = resuming(ctx, run, given)
    check_tools(engine, given)
    return Session(engine, following=Following(run, sources_of(given) if are_given(given) else None))


def _questions() -> Iterator[str]:
    """What is typed, or what stdin has, one a line, until its end, `exit` or `quit`."""
    import readline  # noqa: F401, PLC0415 - lets lines be edited

    while (line := _line("> ")) is not None and line.strip() not in {"exit", "quit"}:
        if line.strip() == "!multi":
            lines = []
            while (line := _line("")) is not None and line.strip() != "!end":
                lines.append(line)
            line = "\n".join(lines)
        if line.strip():
            yield line


def _line(prompt: str) -> str | None:
    """The next line; None at the end."""
    try:
        return input(prompt) if sys.stdin.isatty() else input()
    except (EOFError, KeyboardInterrupt):
        return None


def _ask(ctx: click.Context, session: Session, question: str, given: dict[str, Any], display: Display) -> int:
    """Ask, and print what came of it. Returns what would be the exit code."""
    return conclude(ctx, given, display, lambda: _finish(session, question, display))


def _finish(session: Session, question: str, display: Display) -> Result:
    """The result, also of a run that failed after it began."""
    from llm_rlm.runs.result import RunFailedError  # noqa: PLC0415 - not needed for --help

    try:
        with display.status:
            asking = session.begin(question, display.observer)
            with display.watching(asking):
                return session.finish(asking)
    except RunFailedError as failed:
        return failed.result
