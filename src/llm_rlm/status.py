"""What a run shows on stderr while it goes on: one live line on a terminal, plain lines elsewhere."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Self

import click

from .display.clean import brief, clean
from .display.closing import closing
from .events import CallFinished, CellStarted, RunStarted, TurnRetried, TurnStarted, Waiting, Warned

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType

    from .display.progress import Progress
    from .display.screen import Screen
    from .display.verbose import Verbose
    from .events import Event
    from .runs.result import Result

_EVERY = 10.0
"""Seconds between two lines about a batch, where there is no live line."""

_LONGEST_NAME = 80


class Status:
    """An observer that tells the user where the run is."""

    def __init__(self, *, quiet: bool, verbose: bool, clock: Callable[[], float] = time.monotonic) -> None:
        """Say nothing if quiet; show cells, their output and their calls if verbose."""
        self.quiet = quiet
        self._wants_all = verbose
        self._clock = clock
        self._models: dict[str, str] = {}
        """The root models of the runs."""
        self._told = clock()
        """When the last plain line was written."""
        self._screen: Screen | None = None
        self._progress: Progress | None = None
        self._verbose: Verbose | None = None
        self._is_over = False

    def __enter__(self) -> Self:
        """Begin to show."""
        if not self.quiet:
            from .display.progress import Progress  # noqa: PLC0415 - rich is slow to import, not needed if quiet
            from .display.screen import Screen  # noqa: PLC0415
            from .display.verbose import Verbose  # noqa: PLC0415

            self._progress = Progress(self._clock)
            self._screen = Screen(self._progress.line)
            self._verbose = Verbose(self._screen, self._clock) if self._wants_all else None
            self._screen.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        """Take the live line away. Calls that come back later are not shown."""
        if self._screen is not None:
            with self._screen.lock:
                self._is_over = True
                self._screen.stop()

    def __call__(self, event: Event) -> None:
        """Show it. Called from any thread."""
        if self._screen is None or self._progress is None:
            return
        with self._screen.lock:
            if self._is_over:
                return
            self._progress.see(event)
            self._show(event, self._screen, self._progress)
            if self._verbose is not None:
                self._verbose.see(event)

    def note(self, text: str) -> None:
        """Say something that the user has to know, also if quiet."""
        if self._screen is not None:
            self._screen.print(text)
        else:
            click.echo(text, err=True)

    def closing(self, result: Result) -> None:
        """The last lines: what was looked at, and what it took."""
        if self._screen is not None:
            for line in closing(result):
                self._screen.print(line)

    def _show(self, event: Event, screen: Screen, progress: Progress) -> None:
        """Show what is not as the user would expect, and, where there is no live line, where the run is."""
        match event:
            case RunStarted():
                self._models[event.run] = brief(event.model or "the root model", _LONGEST_NAME)
            case Warned():
                screen.print(f"Warning: {clean(event.text)}")
            case TurnRetried():
                screen.print(f"Warning: {self._models.get(event.run, 'the root model')} did not answer and is asked again")
            case _ if screen.is_live:
                pass
            case TurnStarted() if event.run == progress.run:
                self._tell(progress.doing, screen)
            case CellStarted() if event.run == progress.run and self._verbose is None:
                self._tell(progress.doing, screen)
            case CallFinished() if progress.batch is not None and self._is_time():
                self._tell(f"turn {progress.turn}: {progress.batch}", screen)
            case Waiting() if event.seconds >= _EVERY and self._is_time():
                self._tell(f"{brief(event.model, _LONGEST_NAME)} asked to wait {event.seconds:.0f} s", screen)
            case _:
                pass

    def _is_time(self) -> bool:
        return self._clock() - self._told >= _EVERY

    def _tell(self, text: str, screen: Screen) -> None:
        self._told = self._clock()
        screen.print(text)
