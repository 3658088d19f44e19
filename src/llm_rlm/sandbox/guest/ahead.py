"""Small texts read ahead of code that goes through them in order: one question to the host for many of them.

How much is read ahead grows with what code has gone through, so that reading here and there asks for what it wants and no more.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from .lazytext import Texts

_NEAR = 8
"""Texts that code may pass over and still be going through them in order: a text costs the host a fiftieth of a question."""

_FIRST = 1 << 16
_GROWTH = 4
_MOST = 1 << 22
"""Bytes read ahead at a time, and held until they are touched."""

_MOST_TEXTS = 4096


class Ahead:
    """What was read ahead, and where code is."""

    def __init__(self, texts: Texts, sizes: Sequence[int]) -> None:
        """Texts are known by their number; `sizes` are in bytes. Nothing is read yet."""
        self._texts = texts
        self._sizes = sizes
        self._last = -_NEAR - 1
        self._end = self._last
        self._room = 0
        self._held: dict[int, bytes | None] = {}

    def take(self, number: int) -> bytes | None:
        """The bytes of a text that was read ahead, or is now with those after it; None for one to be read by itself.

        The host learns that this text was touched. One that has vanished is None too: to read it says why.
        """
        if number not in self._held and self._is_next(number):
            self._read_on(number)
        data = self._held.pop(number, None)
        if data is not None:
            self._texts.touch(number)
        self._last = number
        return data

    def _is_next(self, number: int) -> bool:
        """Whether code goes on with this text, from the last one or from what was read ahead."""
        if 0 < number - self._last <= _NEAR or 0 <= number - self._end < _NEAR:
            return True
        self._room = 0
        return False

    def _read_on(self, number: int) -> None:
        """Read this text and those after it, if there is room for two."""
        self._room = min(_MOST, max(_FIRST, self._room * _GROWTH))
        end, room = number, self._room
        while end < min(len(self._sizes), number + _MOST_TEXTS) and self._sizes[end] <= room:
            room -= self._sizes[end]
            end += 1
        if end - number > 1:
            self._end, self._held = end, {}  # before the question: there is never more than one answer
            self._held = dict(enumerate(self._texts.read_many(number, self._sizes[number:end]), number))
