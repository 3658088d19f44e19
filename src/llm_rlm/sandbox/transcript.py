"""What a cell has shown so far, until it is done."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from . import wire
from .types import CellResult

if TYPE_CHECKING:
    from collections.abc import Callable

    from .types import Answer, Sent

_MOST_TOTAL = 1 << 62


class Transcript:
    """Takes the frames of one cell."""

    def __init__(self, number: int, key: str, limit: int, on_output: Callable[[str], None]) -> None:
        """Keep at most `limit` characters of each end. `key` is in the frames with which this very cell begins and is done."""
        self._number = number
        self.key = key
        self._limit = limit
        self._on_output = on_output
        self._head: list[str] = []
        self._length = 0
        self._submitting: list[str] = []
        self._submitted: Answer | None = None
        self._value: list[str] = []
        self.value: Sent | None = None
        """The value that was wanted with the cell."""
        self.began = False

    def take(self, frame: dict[str, Any]) -> CellResult | None:
        """Take a frame; the result once the cell is done."""
        match frame["t"]:
            case "begun" if frame["key"] == self.key:
                self.began = True
            case "out":
                self._take_output(frame["text"])
            case "submit":
                self._submitting.append(frame["text"])
                if frame["last"]:
                    self._submitted = wire.to_answer(frame.get("kind"), "".join(self._submitting), frame.get("quotes"))
                    self._submitting = []
            case "value":
                self._value.append(frame["text"])
                if frame["last"]:
                    self.value = frame, "".join(self._value)
                    self._value = []
            case "done" if frame["key"] == self.key:
                return self._result(frame)
        return None

    def lost(self, used: float) -> CellResult:
        """The result of a cell whose worker was lost after `used` seconds: what it had shown by then."""
        shown = "".join(self._head)
        return CellResult(self._number, shown, "lost", used, used, total=self._length, submitted=self._submitted)

    def _take_output(self, text: str) -> None:
        """Keep text, no more than the driver would send."""
        text = text[: max(0, self._limit - self._length)]
        if text:
            self._length += len(text)
            self._head.append(wire.clean(text))
            self._on_output(self._head[-1])

    def _result(self, frame: dict[str, Any]) -> CellResult:
        tail = frame["tail"][-self._limit :]
        shown = self._length + len(tail)
        total = min(max(frame["total"], shown), _MOST_TOTAL)
        hidden = total - shown
        between = f"\n... [{hidden:,} of {total:,} characters not shown] ...\n" if hidden else ""
        error = frame["error"]
        running = max(0.0, frame["running"]) if math.isfinite(frame["running"]) else 0.0
        return CellResult(
            number=self._number,
            output="".join(self._head) + between + wire.clean(tail),
            outcome=error if error in {"error", "exit", "timeout"} else "ok",
            running=running,
            seconds=running,
            total=total,
            variables=tuple(wire.to_variables(frame["variables"])),
            submitted=self._submitted,
        )
