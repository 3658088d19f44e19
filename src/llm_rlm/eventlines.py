"""`--events`: what happens, one JSON object a line. docs/reference/events.md says what each line holds.

The same within a version: fields and events are added, and never change or go.
"""

from __future__ import annotations

import json
import queue
import re
import threading
import time
from dataclasses import asdict, fields
from functools import cache
from typing import TYPE_CHECKING, Any, TextIO

from .budget import Budget, Spent

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from .events import Event
    from .runs.result import Result

VERSION = 1

MOST_CHARACTERS = 10_000
"""Of each text, so many characters are told, and how long it is."""

TEXTS = frozenset({"question", "text", "code", "output", "prompt", "error"})
"""Fields that hold text of any length."""


_MOST_WAITING = 10_000
_PATIENCE = 0.05


class EventLines:
    """An observer that writes each event to a stream, as a line of its own, at once.

    A thread of its own writes, so that threads of a run do not wait for each other at the stream. A reader that is slow slows
    the run once many lines wait. One that goes away is noticed when something is written: see `when_gone`.
    """

    def __init__(self, stream: TextIO, clock: Callable[[], float] = time.time) -> None:
        """Nothing is written yet. `clock` gives seconds since 1970."""
        self._stream = stream
        self._clock = clock
        self._waiting: queue.SimpleQueue[Mapping[str, Any] | threading.Event] = queue.SimpleQueue()
        """Lines to be written, and what to set once all before it are."""
        self._lock = threading.Lock()
        """Guards all that follows: lines wait in the order of their times."""
        self._begun = False
        self._ended = False
        self._gone = False
        self._tell_gone: Callable[[], None] | None = None

    def __call__(self, event: Event) -> None:
        """Write it. Called from any thread. After the result of a run, only a further run is told of."""
        told = as_dict(event)
        while self._waiting.qsize() > _MOST_WAITING:
            time.sleep(_PATIENCE)
        with self._lock:
            self._ended = self._ended and not _begins(told)
            if not self._ended:
                self._put(told)

    def finish(self, result: Result, patience: float | None = None) -> None:
        """Write what `--json` prints, in one line: the last of its run. Waits as `flush` does."""
        with self._lock:
            self._put({"event": "result", **result.as_dict()})
            self._ended = True
        self.flush(patience)

    def flush(self, patience: float | None = None) -> None:
        """Wait until all is written, or nobody reads. A Ctrl-C meanwhile says that nobody does, or so many seconds."""
        with self._lock:
            if not self._begun or self._gone:
                return
            self._waiting.put(written := threading.Event())
        try:
            self._gone = not written.wait(patience) or self._gone
        except KeyboardInterrupt:
            self._gone = True
            raise

    def when_gone(self, tell: Callable[[], None]) -> None:
        """Have this called, once, when nobody reads any more; at once where that is so already. It must not block."""
        with self._lock:
            self._tell_gone, is_gone = tell, self._gone
        if is_gone:
            tell()

    @property
    def is_gone(self) -> bool:
        """Whether nobody reads any more."""
        return self._gone

    def _put(self, told: Mapping[str, Any]) -> None:
        now = round(self._clock(), 6)
        if not self._begun:
            self._begun = True
            self._waiting.put({"event": "stream_started", "at": now, "version": VERSION})
            threading.Thread(target=self._work, name="llm-rlm-events", daemon=True).start()
        self._waiting.put({"event": told["event"], "at": now, **told})

    def _work(self) -> None:
        """Write what waits, all of it at once: to write each by itself would take the run's threads their time."""
        while True:
            together = [self._waiting.get() for _ in range(max(1, self._waiting.qsize()))]
            lines = [_line(told) for told in together if not isinstance(told, threading.Event)]
            if lines and not self._gone:
                self._write("".join(lines))
            for told in together:
                if isinstance(told, threading.Event):
                    told.set()

    def _write(self, lines: str) -> None:
        try:
            self._stream.write(lines)
            self._stream.flush()
        except OSError:
            with self._lock:
                self._gone, tell = True, self._tell_gone
            if tell is not None:
                tell()


def as_dict(event: Event) -> dict[str, Any]:
    """An event as JSON can hold it, without its time."""
    kind: type = type(event)
    told: dict[str, Any] = {"event": name_of(kind)}
    for name in _names(kind):
        value = getattr(event, name)
        if name in TEXTS:
            told[name] = value if value is None or len(value) <= MOST_CHARACTERS else value[:MOST_CHARACTERS]
            told[f"{name}_chars"] = len(value) if value is not None else None
        elif isinstance(value, Budget):
            told |= {"limits": asdict(value.limits), "used": asdict(value.usage)}
        elif isinstance(value, Spent):
            told[name] = {
                "input": value.tokens.input,
                "output": value.tokens.output,
                "cached_input": value.tokens.cached_input,
                "cost": value.cost,
            }
        else:
            told[name] = value
    return told


@cache
def name_of(kind: type) -> str:
    """What an event is called in JSON: `TurnStarted` is `turn_started`."""
    return re.sub(r"(?<!^)(?=[A-Z])", "_", kind.__name__).lower()


@cache
def _names(kind: type) -> tuple[str, ...]:
    return tuple(each.name for each in fields(kind))


def _begins(told: Mapping[str, Any]) -> bool:
    """Whether a run begins that is no child."""
    return told["event"] == "run_started" and told["parent"] is None


def _line(told: Mapping[str, Any]) -> str:
    """In ASCII: whatever reads it, and a terminal, is shown nothing but what it says."""
    return json.dumps(told) + "\n"
