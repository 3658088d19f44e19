"""What a cell prints: bounded where it is made, stdout and stderr in the order in which they came."""

from __future__ import annotations

import io
from collections import deque
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

_FLUSH_AT = 4096
_MOST_LINES = 1000


class Output:
    """The output of one cell. The first half of what may be shown is sent as it comes, the tail when the cell ends."""

    def __init__(self, limit: int, send: Callable[[str], None]) -> None:
        """Keep at most `limit` characters; `send` takes those of the head."""
        self.total = 0
        self._room = limit - limit // 2
        self._tail_limit = limit // 2
        self._send = send
        self._head: list[str] = []
        self._pending = 0
        self._flushes = 0
        self._tail: deque[str] = deque()
        self._tail_length = 0

    def write(self, text: str) -> None:
        """Add `text`, of any length."""
        self.total += len(text)
        if self._room:
            head, text = text[: self._room], text[self._room :]
            self._room -= len(head)
            self._head.append(head)
            self._pending += len(head)
            # Line by line, so that a cell that is lost has shown what it printed; but not for ever, as each costs time.
            if self._pending >= _FLUSH_AT or (head.endswith("\n") and self._flushes < _MOST_LINES):
                self.flush()
        if text:
            self._keep_tail(text)

    def flush(self) -> None:
        """Send what there is of the head."""
        if self._pending:
            self._send("".join(self._head))
            self._head.clear()
            self._pending = 0
            self._flushes += 1

    def tail(self) -> str:
        """The end of the output, as much of it as may be shown."""
        text = "".join(self._tail)
        return text[len(text) - min(len(text), self._tail_limit) :]

    def _keep_tail(self, text: str) -> None:
        text = text[len(text) - min(len(text), self._tail_limit) :]
        if not text:
            return
        self._tail.append(text)
        self._tail_length += len(text)
        while self._tail_length - len(self._tail[0]) >= self._tail_limit:
            self._tail_length -= len(self._tail.popleft())


class Stream(io.TextIOBase):
    """`sys.stdout` and `sys.stderr` of the guest: both write to the one Output of the cell that runs."""

    def __init__(self, current: Callable[[], Output]) -> None:
        """Write to whatever `current` returns at the time."""
        self._current = current
        self.buffer = _Bytes(self)

    @property
    def encoding(self) -> str:  # type: ignore[override]
        """The encoding that text written here is in the end sent as."""
        return "utf-8"

    def writable(self) -> bool:
        """Always."""
        return True

    def reconfigure(self, **_: object) -> None:
        """As a text file; there is nothing to change."""

    def close(self) -> None:
        """Stay open: later cells write here too."""

    def write(self, text: str) -> int:
        """Write text, as a text file does."""
        self._current().write(_text(text))
        return len(text)


def _text(value: object) -> str:
    if isinstance(value, str):
        return str.__str__(value)
    message = f"write() argument must be str, not {type(value).__name__}"
    raise TypeError(message)


class _Bytes(io.RawIOBase):
    def __init__(self, stream: Stream) -> None:
        self._stream = stream

    def writable(self) -> bool:
        return True

    def write(self, data: object) -> int:
        raw = bytes(data)  # type: ignore[call-overload]
        self._stream.write(raw.decode("utf-8", "replace"))
        return len(raw)
