"""What the readers of compressed files and of archives have in common."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from llm_rlm.context.document import BLOCK

if TYPE_CHECKING:
    from collections.abc import Callable


class PackError(Exception):
    """What is packed cannot be read. The text is a few words that say why: `damaged`."""


class EndError(PackError):
    """Nor can what comes after it in the same archive."""


class Source(Protocol):
    """Bytes in order."""

    def read(self, size: int, /) -> bytes:
        """At least one byte and at most `size`; none at the end. Raises PackError."""


@dataclass(frozen=True, slots=True)
class Member:
    """A file in an archive."""

    name: str
    """As the archive has it; bytes that are not UTF-8 stand in it as lone surrogates. Never a path on this machine."""
    size: int
    """The bytes that it takes in the archive."""
    refused: str | None
    """Why it cannot be read: `a link`, `encrypted`."""
    open: Callable[[], Source]
    """Begin to read it. In a tar it can be read only until the next one is asked for."""


class Rewound:
    """A source whose first bytes were read already."""

    def __init__(self, start: bytes, rest: Source) -> None:
        """`start` comes again, then what is left of `rest`."""
        self._start = start
        self._rest = rest

    def read(self, size: int) -> bytes:
        """The next bytes."""
        if not self._start:
            return self._rest.read(size)
        piece, self._start = self._start[:size], self._start[size:]
        return piece


def read_up_to(source: Source, count: int) -> bytes:
    """So many bytes, or all there are."""
    pieces = []
    while count > 0 and (piece := source.read(min(count, BLOCK))):
        pieces.append(piece)
        count -= len(piece)
    return b"".join(pieces)
