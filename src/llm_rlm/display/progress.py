"""Where a run is, in one line that fits."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from rich.cells import cell_len, set_cell_size

from llm_rlm.errors import amount
from llm_rlm.events import (
    CallFinished,
    CallsAsked,
    CallStarted,
    CellFinished,
    CellStarted,
    Progressed,
    RunFinished,
    RunStarted,
    TurnStarted,
    Waiting,
)

from . import words
from .clean import brief
from .closing import cost
from .estimate import Batch

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from llm_rlm.budget import Budget
    from llm_rlm.events import Event

FEW = 5
"""Calls that are shown one by one; more are a batch, of which is said how far it is."""

_LONGEST_NAME = 40
_MINUTE, _HOUR = 60, 3600

type Part = tuple[int, str]
"""A part of the line, and how much it matters."""


class Progress:
    """Takes in events, and says where the run is that was asked."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        """Nothing has happened yet."""
        self.run: str | None = None
        """The run that was asked."""
        self.turn = 0
        self.doing = "starting"
        self._clock = clock
        self._helping = ""
        self._budget: Budget | None = None
        self._batch = Batch(clock)
        self._in_flight: set[int] = set()
        self._children: set[str] = set()
        self._open: dict[str, float] = {}
        """When models that asked for patience may be asked again."""

    def see(self, event: Event) -> None:
        """Take in what happens, in all runs."""
        match event:
            case RunStarted(parent=None):
                self.run, self._budget, self.turn = event.run, event.budget, event.budget.usage.turns
            case RunStarted():
                self._children.add(event.run)
            case RunFinished():
                self._children.discard(event.run)
            case CallStarted(kind="model"):
                self._in_flight.add(event.call)
            case CallFinished(call=int(call)):
                self._in_flight.discard(call)
            case Waiting():
                self._open[event.model] = self._clock() + event.seconds
            case Progressed():
                self._helping = brief(event.text, 2 * _LONGEST_NAME)
            case _:
                pass
        if self.run is not None and event.run == self.run:
            self._see_own(event)

    def _see_own(self, event: Event) -> None:
        """What only the run that was asked is followed in."""
        match event:
            case TurnStarted():
                self.turn, self.doing = event.number, f"turn {event.number}: asking the root model"
            case CellStarted():
                self.doing = f"turn {self.turn}: running cell {event.number}"
            case CellFinished(submitted=True):
                self.doing = f"turn {self.turn}: finishing"
            case CallsAsked():
                self._batch = Batch(self._clock) if self._batch.is_over else self._batch
                self._batch.asked += event.count
            case CallStarted(mends=False):
                self._batch.start()
            case CallFinished(mends=False):
                self._batch.finish(sent=event.state in {"answered", "failed"})
            case _:
                pass

    @property
    def batch(self) -> str | None:
        """How far a batch is, if one is under way: `412 of 1,000 calls, 40 s left`."""
        if not self._has_batch:
            return None
        left = self._batch.left()
        return f"{self._batch.done:,} of {self._batch.asked:,} calls" + (f", {span(left)} left" if left is not None else "")

    @property
    def _has_batch(self) -> bool:
        return self._batch.asked > FEW and not self._batch.is_over

    def line(self, width: int, separator: str = " · ") -> str:
        """The line, no wider than so many columns of a terminal: what matters least is left out first."""
        return fit(list(self._parts()), width, separator)

    def _parts(self) -> Iterator[Part]:
        yield 9, self.doing
        if self._helping:
            yield 6, self._helping
        yield from self._waiting()
        if self._has_batch:
            yield 8, f"{self._batch.done:,} of {self._batch.asked:,}"
            if (left := self._batch.left()) is not None:
                yield 7, f"{span(left)} left"
        if self._budget is None:
            return
        if self._children:
            yield 4, words.counted(len(self._children), "child run")
        usage, limit = self._budget.usage, self._budget.limits.cost
        # Counted are also calls that wait at the gate of their model, and child runs, which are none of the budget's in flight.
        under_way = self._budget.in_flight + len(self._children)
        yield 5, self._calls(max(0, usage.calls + usage.cached - under_way))
        yield 1, f"{usage.input:,} + {usage.output:,} tokens"
        yield 3, cost(usage) + (f" of {amount('cost', limit)}" if limit is not None else "")
        yield 2, clock_time(self._budget.seconds())

    def _calls(self, done: int) -> str:
        if not done and not self._in_flight:
            return "no sub-calls yet"
        under_way = f", {len(self._in_flight):,} in flight" if self._in_flight else ""
        return f"{words.counted(done, 'sub-call')} done{under_way}"

    def _waiting(self) -> Iterator[Part]:
        for model, until in self._open.items():
            if (left := until - self._clock()) > 0:
                yield 6, f"{brief(model, _LONGEST_NAME)} asked to wait {span(left)}"


def fit(parts: Sequence[Part], width: int, separator: str = " · ") -> str:
    """The parts in their order, as many as fit in so many columns; the last that is left is cut."""
    left = list(parts)
    while True:
        line = separator.join(text for _, text in left)
        if cell_len(line) <= width:
            return line
        if len(left) <= 1:
            return f"{set_cell_size(line, width - 1).rstrip()}…" if width > 0 else ""
        left.remove(min(left))


def span(seconds: float) -> str:
    """About so long: `40 s`, `12 min`, `3.5 h`."""
    if round(seconds) < 2 * _MINUTE:
        return f"{seconds:.0f} s"
    minutes = round(seconds / _MINUTE)
    return f"{minutes} min" if minutes < 2 * _HOUR // _MINUTE else f"{seconds / _HOUR:.1f} h"


def clock_time(seconds: float) -> str:
    """Exactly so long: `40 s`, `3:05`, `1:02:03`."""
    whole = int(seconds)
    if whole < _MINUTE:
        return f"{whole} s"
    hours, minutes = divmod(whole // _MINUTE, 60)
    return f"{hours}:{minutes:02d}:{whole % _MINUTE:02d}" if hours else f"{minutes}:{whole % _MINUTE:02d}"
