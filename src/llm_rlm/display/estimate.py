"""How long the calls that a cell asked for at once may still take."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

_LEAST_FINISHED = 5
_LEAST_SECONDS = 2.0


class Batch:
    """Counts calls that were asked for together, and tells from the pace so far how long the rest may take.

    The pace is that of calls that were sent, with their retries and their waiting; answers from the journal or the cache came
    at once and say nothing of it. It is measured up to the latest call that finished, so that it is right for calls that
    finish in rounds; from there the time left runs down. Once none has finished for longer than ever before, the waiting counts
    as well.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        """Begin now: nothing is asked yet."""
        self.asked = 0
        self.done = 0
        self._clock = clock
        self._begun = self._latest = clock()
        self._longest_gap = 0.0
        self._finished = 0
        self._in_flight = self._most_in_flight = 0

    @property
    def is_over(self) -> bool:
        """Whether all that was asked is done."""
        return self.done >= self.asked

    def start(self) -> None:
        """A call of it was sent."""
        self._in_flight += 1
        self._most_in_flight = max(self._most_in_flight, self._in_flight)

    def finish(self, *, sent: bool) -> None:
        """A call of it is done; `sent`, or answered or refused without that."""
        self.done += 1
        if not sent:
            return
        now = self._clock()
        self._in_flight -= 1
        self._finished += 1
        self._longest_gap = max(self._longest_gap, now - self._latest)
        self._latest = now

    def left(self) -> float | None:
        """Seconds until all are done; None before as many have finished as were under way at once, which says nothing yet."""
        now, rest = self._clock(), self.asked - self.done
        if self._finished < max(_LEAST_FINISHED, self._most_in_flight) or now - self._begun < _LEAST_SECONDS or rest <= 0:
            return None
        since = now - self._latest
        if since > self._longest_gap:
            return rest * (now - self._begun) / self._finished
        return max(0.0, rest * (self._latest - self._begun) / self._finished - since)
