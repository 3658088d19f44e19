"""How many calls to one model may be under way: as many as its provider takes."""

from __future__ import annotations

import threading
import time
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

START = 64
"""Calls at once before the provider has said anything."""

_SHORT = 0.001
"""Seconds: a pause that ends while it is looked at is waited for this long."""


@dataclass(frozen=True)
class Ticket:
    """The right to have one call under way; to be given back."""

    cuts: int
    """How often the width had been halved when it was given."""


class Gate:
    """Lets calls through, at most `width` at once, and finds the width out.

    Slow start, then additive increase and multiplicative decrease, as TCP has them (Jacobson, Congestion Avoidance and Control,
    1988; RFC 5681). Until the first refusal each success widens it by 1, which doubles it a round; from then on that takes as
    many successes as it is wide. A refusal halves it, but once only for all calls that were under way together. It widens only
    while it is what holds calls back. Those who wait enter in the order they came.
    """

    def __init__(self, most: int, start: int = START, clock: Callable[[], float] = time.monotonic) -> None:
        """Let at most `most` through at once, `start` at first. Raises ValueError for less than 1."""
        if min(most, start) < 1:
            message = f"a gate must let at least 1 through, not {min(most, start)}"
            raise ValueError(message)
        self._most = most
        self._width = min(start, most)
        self._clock = clock
        self._lock = threading.Lock()
        """Guards all that follows."""
        self._in_flight = 0
        self._queue: deque[_Waiter] = deque()
        self._cuts = 0
        self._successes = 0
        """Since the width has changed."""
        self._opens = float("-inf")
        """When a pause ends."""

    @property
    def width(self) -> int:
        """How many may be under way at once."""
        return self._width

    @property
    def in_flight(self) -> int:
        """How many are under way."""
        return self._in_flight

    def enter(self, stopped: Callable[[], bool] = lambda: False) -> Ticket | None:
        """Wait until another call may begin; None once its run is `stopped`, of which `wake` tells those who wait."""
        with self._lock:
            if stopped():
                return None
            if not self._queue and self._is_open():
                return self._admit()
            waiter = _Waiter()
            self._queue.append(waiter)
        while True:
            with self._lock:
                if waiter.ticket is None:
                    self._let_in()
                if waiter.ticket is not None:
                    return waiter.ticket
                if stopped():
                    self._go_away(waiter)
                    return None
                seconds = self._left() if self._queue[0] is waiter else None
            waiter.wait(seconds)

    def leave(self, ticket: Ticket, *, refused: bool = False, after: float = 0.0, succeeded: bool = True) -> None:
        """Say that a call is over, once for each ticket.

        `refused`: the provider said that it was too much. `after`: for so many seconds nobody enters. `succeeded` is False for
        a call that failed otherwise, which says nothing of the width.
        """
        with self._lock:
            held_back = bool(self._queue) or self._in_flight >= self._width
            self._in_flight -= 1
            if refused:
                self._narrow(ticket)
            elif succeeded and held_back:
                self._widen()
            if after > 0:
                self._opens = max(self._opens, self._clock() + after)
                if self._queue:
                    self._queue[0].wake()
            self._let_in()

    def wake(self) -> None:
        """Let those who wait look whether their run is stopped. The others, of other runs, wait on."""
        with self._lock:
            for waiter in self._queue:
                waiter.wake()

    def _go_away(self, waiter: _Waiter) -> None:
        self._queue.remove(waiter)
        if self._queue:
            # The first is the one who notices the end of a pause.
            self._queue[0].wake()

    def _is_open(self) -> bool:
        return self._in_flight < self._width and self._clock() >= self._opens

    def _left(self) -> float | None:
        """Seconds for which the first in the queue may sleep: nobody else notices the end of a pause."""
        pause = self._opens - self._clock()
        return max(pause, _SHORT) if pause > 0 or self._in_flight < self._width else None

    def _admit(self) -> Ticket:
        self._in_flight += 1
        return Ticket(self._cuts)

    def _let_in(self) -> None:
        while self._queue and self._is_open():
            waiter = self._queue.popleft()
            waiter.ticket = self._admit()
            waiter.wake()

    def _narrow(self, ticket: Ticket) -> None:
        """Halve the width, unless that was done since this call began."""
        if ticket.cuts == self._cuts:
            self._width = max(1, self._width // 2)
            self._cuts += 1
            self._successes = 0

    def _widen(self) -> None:
        self._successes += 1
        if not self._cuts or self._successes >= self._width:
            self._width = min(self._most, self._width + 1)
            self._successes = 0


class _Waiter:
    """A thread that waits to enter."""

    def __init__(self) -> None:
        self.ticket: Ticket | None = None
        self._asleep = threading.Lock()
        self._asleep.acquire()

    def wait(self, seconds: float | None) -> None:
        """Wait to be woken; not longer than `seconds` if given."""
        self._asleep.acquire(timeout=-1 if seconds is None else min(seconds, threading.TIMEOUT_MAX))

    def wake(self) -> None:
        """Called by one thread at a time."""
        if self._asleep.locked():
            self._asleep.release()
