"""The lines of a part of a text, in blocks that end where a line ends: memory stays flat, however long a line is."""

from __future__ import annotations

from typing import TYPE_CHECKING

from llm_rlm.context.document import ChangedError

if TYPE_CHECKING:
    from typing import BinaryIO

    from llm_rlm.context.document import Document

BLOCK = 1 << 19
"""Bytes that are read at a time, at most."""
LEAST = 1 << 14
"""Bytes that are read at a time, at least: for patterns that take so long that a block could not be cancelled."""
WINDOW = 4 << 20
"""Bytes of the longest line that is held whole. Of a longer one, this much is held at a time."""
OVERLAP = 1 << 18
"""Bytes that two windows share: a match that is no longer than that is found wherever it is."""
SMALL = 16
"""The share of these that is held and shared for patterns that take long."""
_NEWLINE = 10
_QUICK, _SLOW = 0.01, 0.05
"""Seconds for a block."""


class Lines:
    """A buffer that moves over a text from `start`, the beginning of a line, to `end`.

    The bytes from `at` to `cut` are whole lines, with `buffer[at - 1]` and `buffer[cut]` being newlines; or a part of a long
    line, with `partial` set, whose neighbours in the buffer are those in the text.
    """

    def __init__(self, document: Document, file: BinaryIO, start: int, end: int) -> None:
        """`file` is the document's, open and unbuffered."""
        self._document = document
        self._file = file
        self._left = end - start
        self._origin = start - 1
        self.buffer = bytearray(b"\n")
        self._filled = 1
        self.at = 1
        self.cut = 0
        self.partial = False
        self._block = min(BLOCK, 4 * LEAST)
        file.seek(start)

    def offset(self, index: int) -> int:
        """Where in the text a byte of the buffer is."""
        return self._origin + index

    @property
    def overlap(self) -> int:
        """Bytes that two windows share."""
        return OVERLAP // SMALL if self._block <= LEAST else OVERLAP

    @property
    def ascii(self) -> bool:
        """Whether the bytes from `at` to `cut` are all of ASCII."""
        # What is outside of them is mostly so too, and no copy is needed to see that.
        return self.buffer.isascii() or self.buffer[self.at : self.cut].isascii()

    def pace(self, seconds: float) -> None:
        """Take larger or smaller blocks, since the search of one took so long."""
        if seconds > _SLOW:
            self._block = max(min(LEAST, BLOCK), self._block // 4)
        elif seconds < _QUICK:
            self._block = min(BLOCK, 2 * self._block)

    def more(self) -> bool:
        """Go on to the lines after `cut`, or to the whole of the next window. False at the end."""
        if self.cut:
            self._drop(self.cut + (not self.partial))
        self.partial = False
        while True:
            if not self._left:
                return self._last()
            cut = self.buffer.rfind(b"\n", self.at, self._filled)
            if cut >= 0:
                self.cut = cut
                return True
            if self._filled - self.at >= (WINDOW // SMALL if self._block <= LEAST else WINDOW):
                # The byte after `cut` stays to be seen.
                self.cut, self.partial = self._filled - 1, True
                return True
            self._read()

    def again_from(self, index: int) -> None:
        """In a window: have the next one begin at `index`."""
        self.cut = index

    def skip_line(self) -> None:
        """In a window: go on after the line."""
        while True:
            found = self.buffer.find(b"\n", self.at, self._filled)
            if found >= 0 or not self._left:
                self.cut, self.partial = (found if found >= 0 else self._filled), False
                self._room(1)
                return
            self._drop(self._filled)
            self._read()

    def _last(self) -> bool:
        """All that is left. The last line may have no newline."""
        if self.at >= self._filled:
            return False
        ends = self.buffer[self._filled - 1] == _NEWLINE
        if not ends:
            self._room(1)
            self.buffer[self._filled] = _NEWLINE
        self.cut = self._filled - ends
        return True

    def _drop(self, index: int) -> None:
        """Forget what is before `index`, but for one byte."""
        index = min(index, self._filled)
        rest = self._filled - index + 1
        self.buffer[:rest] = self.buffer[index - 1 : self._filled]
        self._origin += index - 1
        self._filled = rest
        self.at = 1

    def _room(self, count: int) -> None:
        if len(self.buffer) < self._filled + count:
            self.buffer.extend(bytes(self._filled + count - len(self.buffer)))

    def _read(self) -> None:
        wanted = min(self._left, self._block)
        self._room(wanted + 1)
        with memoryview(self.buffer) as view, view[self._filled : self._filled + wanted] as free:
            got: int = self._file.readinto(free)  # type: ignore[attr-defined]  # a FileIO
        if not got:
            message = f"{self._document.name} is shorter than it was when the run began: {self._left:,} bytes are gone"
            raise ChangedError(message)
        self._filled += got
        self._left -= got
