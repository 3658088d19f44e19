"""What the cells of one worker ask of the sources: answered one after another, by a thread of its own."""

from __future__ import annotations

import queue
import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from llm_rlm.errors import RLMError

from . import wire
from .window import LARGEST, Window

if TYPE_CHECKING:
    from .types import Helpers
    from .window import Status

_NUMBERS = range(1 << 64)
"""What the window has room for."""
_MOST_WAITING = 2
"""A guest waits for each answer; one that was stopped may ask again while its last question is still being given up."""


@dataclass(frozen=True)
class _Question:
    number: int
    name: str
    arguments: dict[str, Any]


class Questions:
    """Has questions answered, and shows each answer once."""

    def __init__(self, helpers: Helpers) -> None:
        """Make the window that answers are shown in. Raises OSError."""
        self.window = Window()
        self.helpers = helpers
        self.problem: Exception | None = None
        """What broke the helpers, if anything did; to be raised by the session."""
        self._asked: queue.SimpleQueue[_Question | None] = queue.SimpleQueue()
        self._lock = threading.Lock()
        """Guards the rest: whoever takes a question off `_open` answers it."""
        self._open: dict[int, threading.Event] = {}
        self._thread: threading.Thread | None = None
        self._closed = False
        self._stopped: str | None = None

    def __bool__(self) -> bool:
        """Whether a cell waits for an answer."""
        return bool(self._open)

    def ask(self, number: int, name: str, arguments: dict[str, Any]) -> bool:
        """Have a question answered. False if no guest of ours would ask it now."""
        with self._lock:
            if self._closed:
                return True
            if number not in _NUMBERS or number in self._open or len(self._open) >= _MOST_WAITING:
                return False
            self._open[number] = threading.Event()
            stopped = self._stopped
            if stopped is None and self._thread is None:
                self._thread = threading.Thread(target=self._work, name="llm-rlm-questions", daemon=True)
                self._thread.start()
        if stopped is not None:
            self._answer(number, "stop", stopped)
        else:
            self._asked.put(_Question(number, name, arguments))
        return True

    def begin_cell(self) -> None:
        """From now on questions are those of another cell."""
        self._stopped = None

    def stop(self, key: str, why: str) -> None:
        """Give up what is asked now, and what the cell of that key asks after it, which ends then, or before."""
        with self._lock:
            self._stopped = why
            if not self._closed:
                self.window.stop(key, why)
            numbers = list(self._open)
        for number in numbers:
            self._answer(number, "stop", why)

    def close(self) -> None:
        """Answer nothing more. Safe to call more than once."""
        with self._lock:
            if self._closed:
                return
            self._closed = True
            for given_up in self._open.values():
                given_up.set()
            self._open.clear()
            self._asked.put(None)
            idle = self._thread is None
        if idle:
            self.window.close()

    def _work(self) -> None:
        try:
            while (question := self._asked.get()) is not None:
                self._serve(question)
        finally:
            self.window.close()

    def _serve(self, question: _Question) -> None:
        with self._lock:
            given_up = self._open.get(question.number)
        if given_up is None:
            return
        try:
            answer = self.helpers.answer(question.name, question.arguments, given_up.is_set)
        except RLMError as problem:
            answer = str(problem)
        except Exception as problem:  # noqa: BLE001 - kept, and raised by the session: this thread has nobody to raise it to
            self.problem = problem
            self._answer(question.number, "stop", "the run is broken and will end")
            return
        self._answer(question.number, "error" if isinstance(answer, str) else "data", answer)

    def _answer(self, number: int, status: Status, body: bytes | str) -> None:
        data = wire.clean(body).encode() if isinstance(body, str) else body
        if len(data) > LARGEST:
            status, data = "error", f"the answer has {len(data):,} bytes; ask for less at a time".encode()
        with self._lock:
            given_up = self._open.pop(number, None)
            if given_up is None:
                return
            given_up.set()
            try:
                self.window.show(number, status, data)
            except OSError as problem:
                told = f"the host has no room for an answer of {len(data):,} bytes ({problem.strerror}): ask for less at a time"
                self.window.show(number, "error", told.encode())
