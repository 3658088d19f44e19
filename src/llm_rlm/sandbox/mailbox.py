"""What one worker has sent to whoever waits for it."""

from __future__ import annotations

import queue
import threading
from dataclasses import dataclass
from typing import Any

# Bytes of frames that the guest may send before the host stops listening. A frame counts for more than its size: one of the
# output for a little, since a cell may print character by character, another for about what it takes in memory.
_BASE = 1 << 16
_A_CHARACTER = 100
_ANSWER = 1 << 30
_IDLE = 1 << 24
_FRAME = {False: 16, True: 512}


@dataclass(frozen=True)
class Ended:
    """The worker is gone."""

    reason: str


class Mailbox:
    """Keeps no more than a driver would send.

    The reading thread puts in what the running cell takes out; the lock guards what may still be put in.
    """

    def __init__(self) -> None:
        self._events: queue.SimpleQueue[dict[str, Any] | Ended] = queue.SimpleQueue()
        self._lock = threading.Lock()
        self._room = {False: _BASE, True: 0}
        self._listening = True

    def listen(self, output: int = 0) -> None:
        """From now on keep what comes: an answer, and so many characters of output."""
        with self._lock:
            self._room = {False: _BASE + _A_CHARACTER * output, True: _ANSWER}
            self._listening = True

    def ignore(self) -> None:
        """From now on keep nothing: no cell runs."""
        with self._lock:
            self._room = {False: _IDLE, True: _IDLE}
            self._listening = False

    def put(self, frame: dict[str, Any], size: int) -> bool:
        """Keep a frame if somebody listens. False if the sender has sent more than it may."""
        with self._lock:
            kind = frame["t"] in {"submit", "value"}
            self._room[kind] -= size + _FRAME[kind]
            if self._room[kind] < 0:
                return False
            if self._listening:
                self._events.put(frame)
            return True

    def count(self) -> bool:
        """Note a frame that goes elsewhere. False if the sender has sent more than it may."""
        with self._lock:
            self._room[True] -= _FRAME[True]
            return self._room[True] >= 0

    def end(self, reason: str) -> None:
        """The last event."""
        self._events.put(Ended(reason))

    def get(self, timeout: float) -> dict[str, Any] | Ended | None:
        """The next event, or None after `timeout` seconds."""
        try:
            return self._events.get(timeout=timeout)
        except queue.Empty:
            return None

    def drain(self) -> Ended | None:
        """Forget what was sent; the end, if it has come."""
        while not self._events.empty():
            event = self._events.get()
            if isinstance(event, Ended):
                return event
        return None
