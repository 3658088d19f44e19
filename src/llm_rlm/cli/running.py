"""From a run that begins to the exit of the command: signals, what is printed, exit codes."""

from __future__ import annotations

import io
import json
import signal
import sys
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import click

from .options import LIMITS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from types import FrameType

    from llm_rlm.runs.asking import Asking
    from llm_rlm.runs.result import Result
    from llm_rlm.status import Status

ANSWERED, FAILED, BAD_USAGE, LIMITED, ABORTED = 0, 1, 2, 3, 130
"""Exit codes."""


def perform(ctx: click.Context, given: dict[str, Any], begin: Callable[[Status], Asking | Result]) -> None:
    """Begin a run, wait for its end, print what came of it, and exit as it ended."""
    from llm_rlm.runs.llmlog import is_kept  # noqa: PLC0415 - not needed for --help
    from llm_rlm.status import Status  # noqa: PLC0415

    status = Status(quiet=given["quiet"], verbose=given["verbose"])
    try:
        with shown_as_usage(ctx):
            result = _run(begin, status)
    except KeyboardInterrupt as interrupt:
        advice = "".join(f". To go on: llm rlm resume {run}" for run in interrupt.args if is_kept(given))
        click.echo(f"Aborted{advice}", err=True)
        ctx.exit(ABORTED)
    ctx.exit(report(result, status, given))


@contextmanager
def shown_as_usage(ctx: click.Context) -> Iterator[None]:
    """Errors of ours as click shows them."""
    from llm_rlm.errors import RLMError, UnknownModelError, UsageError  # noqa: PLC0415 - not needed for --help
    from llm_rlm.status import clean  # noqa: PLC0415

    try:
        yield
    except (UsageError, UnknownModelError) as problem:
        raise click.UsageError(clean(str(problem)), ctx) from problem
    except RLMError as problem:
        raise click.ClickException(clean(str(problem))) from problem


def _run(begin: Callable[[Status], Asking | Result], status: Status) -> Result:
    """The result, also of a run that failed after it began."""
    from llm_rlm.runs.result import Result, RunFailedError  # noqa: PLC0415 - not needed for --help

    try:
        with status, ended_by_sigterm():
            asking = begin(status)
            if isinstance(asking, Result):
                return asking
            try:
                with stopped_by_ctrl_c(asking):
                    return asking.finish()
            except KeyboardInterrupt:
                raise KeyboardInterrupt(asking.run_id) from None
    except RunFailedError as failed:
        return failed.result


@contextmanager
def stopped_by_ctrl_c(asking: Asking) -> Iterator[None]:
    """The first Ctrl-C asks for the best answer so far; the second raises KeyboardInterrupt."""

    def stop(_number: int, _frame: FrameType | None) -> None:
        signal.signal(signal.SIGINT, signal.default_int_handler)
        # In a thread of its own: what this interrupts may hold the locks that are needed.
        threading.Thread(target=_stop, args=(asking,), daemon=True).start()

    before = signal.signal(signal.SIGINT, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def _stop(asking: Asking) -> None:
    click.echo("\nStopping: asking for the best answer so far. Ctrl-C again aborts.", err=True)
    asking.stop("the user stopped the run")


@contextmanager
def ended_by_sigterm() -> Iterator[None]:
    """SIGTERM ends the command as an error does: nothing is left behind."""
    before = signal.signal(signal.SIGTERM, lambda number, _: sys.exit(128 + number))
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def report(result: Result, status: Status, given: Mapping[str, Any]) -> int:
    """Print what came of a run. Returns the exit code."""
    from llm_rlm.status import clean, references, with_references  # noqa: PLC0415 - not needed for --help

    status.closing(result)
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # an answer is printed whatever the terminal's encoding
    if given["json_output"]:
        # A terminal would act on some of what JSON lets stand.
        click.echo(json.dumps(result.as_dict(), ensure_ascii=sys.stdout.isatty(), indent=2))
    elif result.answer is not None and result.error is None:
        text = with_references(result)
        click.echo(clean(text) if sys.stdout.isatty() else text)
        if result.citations and not isinstance(result.answer, str) and not status.quiet:
            click.echo(references(result), err=True)  # stdout is JSON
    if (problem := result.problem) is not None:
        click.echo(f"Error: {clean(problem)}", err=True)
    if not status.quiet and (advice := _advice(result, given)) is not None:
        click.echo(advice, err=True)
    code = {"limit": LIMITED, "error": FAILED, "interrupted": ABORTED}.get(result.finish, ANSWERED)
    if code == ANSWERED and (missed := _missed(result, given["min_coverage"])) is not None:
        click.echo(missed, err=True)
        code = LIMITED
    return code


def _missed(result: Result, least: float | None) -> str | None:
    """Why the coverage is not enough, if it is not."""
    from llm_rlm.status import clean, listed  # noqa: PLC0415 - not needed for --help

    coverage = result.coverage
    if least is None:
        return None
    if coverage is None:
        return f"--min-coverage {100 * least:g}%: how much of the input was touched is not known"
    below = coverage.below(least)
    if not below:
        return None
    touched = f"only {coverage.either:.1%} of the input was touched"
    return f"--min-coverage {100 * least:g}%: {touched}; too little of {clean(listed(below))}"


def _advice(result: Result, given: Mapping[str, Any]) -> str | None:
    """How to go on with a run that ended before its time, if it is kept."""
    from llm_rlm.runs.llmlog import is_kept  # noqa: PLC0415 - not needed for --help

    if result.finish in {"submitted", "prose"} or not is_kept(given):
        return None
    kind = result.limit["kind"] if result.limit is not None else None
    more = f" --{LIMITS[kind].replace('_', '-')} MORE" if kind not in {None, "seconds"} else ""
    return f"What was paid is kept. To go on: llm rlm resume {result.run_id}{more}"
