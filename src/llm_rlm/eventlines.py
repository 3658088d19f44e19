"""`--events`: what happens, one JSON object a line. docs/reference/events.md says what each line holds.

The same within a version: fields and events are added, and never change or go.
"""

from __future__ import annotations

import json
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


class EventLines:
    """An observer that writes each event to a stream, as a line of its own, at once.

    A reader that is slow slows the run. One that goes away is noticed when something is written: see `when_gone`.
    """

    def __init__(self, stream: TextIO, clock: Callable[[], float] = time.time) -> None:
        """Nothing is written yet. `clock` gives seconds since 1970."""
        self._stream = stream
        self._clock = clock
        self._lock = threading.Lock()
        """Guards all that follows: a line is written whole, and in the order of its time."""
        self._begun = False
        self._ended = False
        self._gone: OSError | None = None
        self._tell_gone: Callable[[], None] | None = None

    def __call__(self, event: Event) -> None:
        """Write it. Called from any thread. After the result of a run, only a further run is told of."""
        told = as_dict(event)
        with self._lock:
            self._ended = self._ended and not _begins(told)
            if not self._ended:
                self._write(told)

    def finish(self, result: Result) -> None:
        """Write what `--json` prints, in one line: the last of its run."""
        with self._lock:
            self._write({"event": "result", **result.as_dict()})
            self._ended = True

    def when_gone(self, tell: Callable[[], None]) -> None:
        """Have this called, once, when nobody reads any more; at once where that is so already. It must not block."""
        with self._lock:
            self._tell_gone, is_gone = tell, self._gone is not None
        if is_gone:
            tell()

    @property
    def is_gone(self) -> bool:
        """Whether nobody reads any more."""
        return self._gone is not None

    def _write(self, told: Mapping[str, Any]) -> None:
        if self._gone is not None:
            return
        now = round(self._clock(), 6)
        head = "" if self._begun else _line({"event": "stream_started", "at": now, "version": VERSION})
        self._begun = True
        try:
            self._stream.write(head + _line({"event": told["event"], "at": now, **told}))
            self._stream.flush()
        except OSError as problem:
            self._gone = problem
            if self._tell_gone is not None:
                self._tell_gone()


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
