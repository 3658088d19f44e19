"""From a run that begins to the exit of the command: signals, what is printed, exit codes."""

from __future__ import annotations

import io
import os
import signal
import sys
import threading
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import click

from .output import print_json
from .telemetry import send_to_otel

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from types import FrameType

    from llm_rlm.eventlines import EventLines
    from llm_rlm.events import Observer
    from llm_rlm.runs.asking import Asking
    from llm_rlm.runs.result import Result
    from llm_rlm.status import Status

ANSWERED, FAILED, BAD_USAGE, LIMITED, ABORTED = 0, 1, 2, 3, 130
"""Exit codes."""

_ROUNDING = 1e-9
_PATIENCE = 5.0
"""Seconds that the end of a run which was aborted waits for a reader of its events."""


@dataclass(frozen=True)
class Display:
    """Where a run is shown while it goes on."""

    status: Status
    lines: EventLines | None
    """The events, on stdout, if they are wanted there."""

    @classmethod
    def of(cls, given: Mapping[str, Any], lines: EventLines | None = None) -> Display:
        """As the options ask for it. `lines` are those of the question before, if there was one."""
        from llm_rlm.eventlines import EventLines  # noqa: PLC0415 - not needed for --help
        from llm_rlm.status import Status  # noqa: PLC0415

        status = Status(quiet=given["quiet"], verbose=given["verbose"])
        return cls(status, lines or EventLines(sys.stdout) if given["events"] else None)

    @property
    def observer(self) -> Observer:
        """What runs tell."""
        from llm_rlm.events import all_of  # noqa: PLC0415 - not needed for --help

        return self.status if self.lines is None else all_of(self.status, self.lines)

    @contextmanager
    def watching(self, asking: Asking) -> Iterator[None]:
        """A Ctrl-C, or a reader of the events that goes away, asks for the best answer so far; the second Ctrl-C aborts.

        Then KeyboardInterrupt is raised, with what there is of the run.
        """
        if self.lines is not None:
            self.lines.when_gone(lambda: _stop_aside(asking, self.status, "nobody reads the events any more"))
        try:
            with stopped_by_ctrl_c(asking, self.status):
                yield
        except KeyboardInterrupt:
            raise KeyboardInterrupt(asking.so_far) from None

    def flush(self) -> None:
        """Wait until all events are written."""
        if self.lines is not None:
            self.lines.flush()


def perform(ctx: click.Context, given: dict[str, Any], begin: Callable[[Observer], Asking | Result]) -> None:
    """Begin a run, wait for its end, print what came of it, and exit as it ended."""
    display = Display.of(given)
    with shown_as_usage(ctx):
        code = conclude(ctx, given, display, lambda: _run(begin, display))
    ctx.exit(code)


def conclude(ctx: click.Context, given: Mapping[str, Any], display: Display, finish: Callable[[], Result]) -> int:
    """Wait for the end of a run, and print what came of it. Returns the exit code; exits where the user aborts."""
    try:
        result = finish()
        code = report(result, display, given)
    except KeyboardInterrupt as interrupt:
        report_abort(interrupt, display, given)
        ctx.exit(ABORTED)
    finally:
        display.flush()
    send_to_otel(result.run_id, given)
    return code


@contextmanager
def shown_as_usage(ctx: click.Context) -> Iterator[None]:
    """Errors of ours as click shows them."""
    from llm_rlm.display.clean import clean  # noqa: PLC0415 - not needed for --help
    from llm_rlm.errors import RLMError, UnknownModelError, UsageError  # noqa: PLC0415

    try:
        yield
    except (UsageError, UnknownModelError) as problem:
        raise click.UsageError(clean(str(problem)), ctx) from problem
    except RLMError as problem:
        raise click.ClickException(clean(str(problem))) from problem


def _run(begin: Callable[[Observer], Asking | Result], display: Display) -> Result:
    """The result, also of a run that failed after it began."""
    from llm_rlm.runs.result import Result, RunFailedError  # noqa: PLC0415 - not needed for --help

    try:
        with display.status, ended_by_sigterm():
            asking = begin(display.observer)
            if isinstance(asking, Result):
                return asking
            with display.watching(asking):
                return asking.finish()
    except RunFailedError as failed:
        return failed.result


def _takes_signals() -> bool:
    """Whether this is the thread that signals come to: Python lets no other say what they do."""
    return threading.current_thread() is threading.main_thread()


@contextmanager
def stopped_by_ctrl_c(asking: Asking, status: Status) -> Iterator[None]:
    """The first Ctrl-C asks for the best answer so far; the second raises KeyboardInterrupt."""

    def stop(_number: int, _frame: FrameType | None) -> None:
        signal.signal(signal.SIGINT, signal.default_int_handler)
        _stop_aside(asking, status, "the user stopped the run")

    if not _takes_signals():
        yield
        return
    before = signal.signal(signal.SIGINT, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def _stop_aside(asking: Asking, status: Status, why: str) -> None:
    """Stop, in a thread of its own: what this interrupts may hold the locks that are needed."""

    def stop() -> None:
        status.note(f"\nStopping, {why}: asking for the best answer so far. Ctrl-C again aborts.")
        asking.stop(why)

    threading.Thread(target=stop, name="llm-rlm-stop", daemon=True).start()


@contextmanager
def ended_by_sigterm() -> Iterator[None]:
    """SIGTERM ends the command as an error does: nothing is left behind."""
    if not _takes_signals():
        yield
        return
    before = signal.signal(signal.SIGTERM, lambda number, _: sys.exit(128 + number))
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def report(result: Result, display: Display, given: Mapping[str, Any]) -> int:
    """Print what came of a run. Returns the exit code. A Ctrl-C while nobody reads events raises as `watching` does."""
    from llm_rlm.display.clean import clean  # noqa: PLC0415 - not needed for --help

    try:
        display.status.closing(result)
        if display.lines is not None:
            display.lines.finish(result)
    except KeyboardInterrupt:
        raise KeyboardInterrupt(result) from None
    if display.lines is not None:
        if display.lines.is_gone:
            _look_away()
    else:
        _print(result, given)
    if (problem := result.problem) is not None:
        click.echo(f"Error: {clean(problem)}", err=True)
    if not given["quiet"] and (advice := _advice(result, given)) is not None:
        click.echo(advice, err=True)
    code = {"limit": LIMITED, "error": FAILED, "interrupted": ABORTED}.get(result.finish, ANSWERED)
    if code == ANSWERED and (missed := _missed(result, given["min_coverage"])) is not None:
        click.echo(missed, err=True)
        code = LIMITED
    return code


def report_abort(interrupt: KeyboardInterrupt, display: Display, given: Mapping[str, Any]) -> None:
    """Tell of a run that a second Ctrl-C has ended, if one had begun; programs get the object that they wait for."""
    from llm_rlm.display.closing import going_on  # noqa: PLC0415 - not needed for --help
    from llm_rlm.runs.llmlog import is_kept  # noqa: PLC0415 - likewise

    advice = ""
    for result in interrupt.args:
        advice = f". To go on: {going_on(result, given['tools'])}" if is_kept(given) else ""
        if display.lines is not None:
            with suppress(KeyboardInterrupt):  # nobody reads: there is no more to be aborted
                display.lines.finish(result, _PATIENCE)
        elif given["json_output"]:
            _print(result, given)
    click.echo(f"Aborted{advice}", err=True)


def _look_away() -> None:
    """Nobody reads stdout any more: what is left in its buffer is not worth an error at exit."""
    with suppress(io.UnsupportedOperation), open(os.devnull, "w") as nowhere:  # noqa: PTH123 - a device
        os.dup2(nowhere.fileno(), sys.stdout.fileno())


def _print(result: Result, given: Mapping[str, Any]) -> None:
    """Print the answer, or all there is of the result where that was asked for."""
    from llm_rlm.display.clean import clean  # noqa: PLC0415 - not needed for --help
    from llm_rlm.display.closing import references, with_references  # noqa: PLC0415

    if given["json_output"]:
        print_json(result.as_dict())
    elif result.answer is not None and result.error is None:
        text = with_references(result)
        click.echo(clean(text) if sys.stdout.isatty() else text)
        if result.citations and not isinstance(result.answer, str) and not given["quiet"]:
            click.echo(references(result), err=True)  # stdout is JSON


def _missed(result: Result, least: float | None) -> str | None:
    """Why the coverage is not enough, if it is not."""
    from llm_rlm.display.clean import clean  # noqa: PLC0415 - not needed for --help
    from llm_rlm.display.closing import listed  # noqa: PLC0415

    coverage = result.coverage
    if least is None:
        return None
    if coverage is None:
        return f"--min-coverage {100 * least:g}%: how much of the input was touched is not known"
    below = coverage.below(least)
    if not below:
        return None
    share = int(1000 * coverage.either + _ROUNDING) / 10  # rounded up it could be what was wanted
    touched = f"only {share:.1f}% of the input was touched"
    return f"--min-coverage {100 * least:g}%: {touched}; too little of {clean(listed(below))}"


def _advice(result: Result, given: Mapping[str, Any]) -> str | None:
    """How to go on with a run that ended before its time, if it is kept."""
    from llm_rlm.display.closing import going_on  # noqa: PLC0415 - not needed for --help
    from llm_rlm.runs.llmlog import is_kept  # noqa: PLC0415 - likewise

    if result.finish in {"submitted", "prose"} or not is_kept(given):
        return None
    return f"What was paid is kept. To go on: {going_on(result, given['tools'])}"
