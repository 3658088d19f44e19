"""How long a cell has run, not counting the time in which the guest had nothing to do."""

from __future__ import annotations

import builtins
import time
from itertools import chain, repeat
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

TICK = "__rlm_tick__"
"""The name under which the check is called by instrumented code (see `source`)."""

_CHECK_EVERY = 0.02
_MOST_TICKS = 1 << 14

_monotonic = time.monotonic
_sleep = time.sleep


class CellTimeoutError(BaseException):
    """The cell ran too long. Not an Exception, so that `except Exception` in a cell does not swallow it."""

    __module__ = "builtins"  # what a traceback leaves out


class Clock:
    """The running time of one cell: wall time less the time the guest was parked waiting for its host."""

    def __init__(self, limit: float, stopped: Callable[[], str | None] = lambda: None) -> None:
        """Start counting. `limit` is in seconds. `stopped` says why the host wants the cell to end, if it does."""
        self.limit = limit
        self._stopped = stopped
        self._started = _monotonic()
        self._idle = 0.0
        self._parked_at: float | None = None

    def park(self) -> None:
        """The guest has nothing to do until its host calls."""
        self._parked_at = _monotonic()

    def wake(self) -> None:
        """The guest goes on."""
        if self._parked_at is not None:
            self._idle += _monotonic() - self._parked_at
            self._parked_at = None

    def running(self) -> float:
        """Seconds the cell has run so far."""
        return _monotonic() - self._started - self._idle

    def check(self) -> None:
        """Raise CellTimeoutError once the limit has passed, or the host wants the cell to end."""
        why = f"stopped after {self.limit:g} s of its own running time" if self.running() > self.limit else self._stopped()
        if why is not None:
            raise CellTimeoutError(why)

    def tick(self) -> bool:
        """`check`, as a condition of a comprehension: always true."""
        self.check()
        return True

    def extend(self, seconds: float) -> None:
        """From now on nothing but the passing of so many seconds counts."""
        self.limit = self.running() + seconds
        self._stopped = lambda: None
        self.arm()

    def arm(self) -> None:
        """Make the `TICK` of instrumented code raise where `check` does.

        A tick is one call into C. Only every so many ticks, about 50 times a second, does Python look at the time.
        """
        setattr(builtins, TICK, chain.from_iterable(_Ticks(self)).__next__)

    def expire(self) -> None:
        """From now on every check raises."""
        self.limit = 0.0
        setattr(builtins, TICK, self.tick)

    def sleep(self, seconds: float) -> None:
        """`time.sleep` that a time limit can end."""
        until = _monotonic() + seconds
        while (left := until - _monotonic()) > 0:
            self.check()
            _sleep(min(left, _CHECK_EVERY))


class _Ticks:
    """Runs of True, each as long as what lasted about `_CHECK_EVERY` seconds the last time."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._length = 1
        self._last = _monotonic()

    def __iter__(self) -> Iterator[repeat[bool]]:
        return self

    def __next__(self) -> repeat[bool]:
        try:
            self._clock.check()
        except CellTimeoutError:
            # An iterator that raised is used up: from here on every tick raises by itself.
            setattr(builtins, TICK, self._clock.tick)
            raise
        now = _monotonic()
        quick = now - self._last < _CHECK_EVERY
        self._length = min(self._length * 2, _MOST_TICKS) if quick else max(1, self._length // 4)
        self._last = now
        return repeat(True, self._length)  # noqa: FBT003 - what is repeated
