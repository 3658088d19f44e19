"""The ways to cut a text: where a piece ends that begins at a place, and where the next one begins.

A cutter sees a text, or the part of it that is read so far, as a str in which a unit of length is a character, or a byte of
UTF-8 (as Latin-1 reads it). What it looks for is ASCII, so it is the same in both.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Protocol

from .lazytext import BOM, boundary, unit

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    type Rank = Callable[[str, int, int], int]

WAYS = ("chars", "tokens", "lines", "paragraphs", "records", "code")

_BYTES_A_TOKEN = 4
_AHEAD = 16
"""How far beyond the largest piece a cutter may look."""

_BLANK = "\n \t\r\f\v"
_WORST = 3
_AROUND = 3
_CLOSING = ")]}"
_NOT_BEGINNING = re.compile(
    r"[\s)\]}{]|(?:else|elif|elsif|except|finally|catch|rescue|ensure|end|then|do|done|fi|esac)\b", re.ASCII
)
_OPEN_QUOTE = re.compile(r'(?:^|[,;|\t])"[^"]*+(?:""[^"]*+)*+$')


class Cutter(Protocol):
    """One way to cut one text."""

    header: str | None

    def end(self, text: str, start: int, *, whole: bool) -> int | None:
        """Where the piece ends that begins at `start`. None if more has to be read to tell; not if the text is `whole`."""

    def back(self, text: str, start: int, end: int) -> int:
        """Where the next piece begins, if it repeats some of this one."""

    def leave(self, text: str, start: int, following: int) -> None:
        """From `start`, where it was, the cutting goes on at `following`."""


def cutter(by: str, size: int, overlap: int, *, in_bytes: bool) -> Cutter:
    """The cutter for one of the `WAYS`."""
    match by:
        case "chars":
            return _Characters(size, overlap, in_bytes=in_bytes)
        case "tokens" if in_bytes:
            return _Characters(size * _BYTES_A_TOKEN, overlap * _BYTES_A_TOKEN, in_bytes=True)
        case "tokens":
            return _Tokens(size * _BYTES_A_TOKEN, overlap * _BYTES_A_TOKEN)
        case "lines":
            return _Lines(size, overlap)
        case "records":
            return _Records(size, overlap, in_bytes=in_bytes)
        case _:
            rank, signs = (_rank_paragraph, _BLANK) if by == "paragraphs" else (_rank_code, _BLANK + _CLOSING)
            return _Units(size, overlap, rank, signs, in_bytes=in_bytes)


class _Way:
    header: str | None = None

    def leave(self, text: str, start: int, following: int) -> None:
        """Nothing needs to be known of what was before."""


class _Characters(_Way):
    """So many characters. In bytes, cut between characters; one is the least that is taken."""

    def __init__(self, size: int, overlap: int, *, in_bytes: bool) -> None:
        self._size = size
        self._overlap = overlap
        self._in_bytes = in_bytes

    def end(self, text: str, start: int, *, whole: bool) -> int | None:
        limit = start + self._size
        if len(text) < limit + _AHEAD and not whole:
            return None
        return len(text) if len(text) <= limit else limit if not self._in_bytes else self._between(text, start, limit)

    def back(self, text: str, start: int, end: int) -> int:
        """Where the overlap begins."""
        return self._down(text, start, max(start, end - self._overlap)) if self._overlap else end

    def _between(self, text: str, start: int, at: int) -> int:
        """The start of the character that the place falls in; its end, if nothing else is before it."""
        down = self._down(text, start, at)
        return down if down > start else start + unit(_as_bytes(text, start, start + _AHEAD))

    def _down(self, text: str, start: int, at: int) -> int:
        if not self._in_bytes:
            return at
        first = max(start, at - _AROUND)
        return first + boundary(_as_bytes(text, first, at + _AROUND + 1), at - first)


def _as_bytes(text: str, start: int, end: int) -> bytes:
    """What a text seen as bytes has there."""
    return text[start:end].encode("latin-1")


class _Tokens(_Way):
    """So many bytes of UTF-8, of a text that is held as characters."""

    def __init__(self, size: int, overlap: int) -> None:
        self._size = size
        self._overlap = overlap

    def end(self, text: str, start: int, *, whole: bool) -> int | None:
        assert whole
        piece = text[start : start + self._size]
        return start + (len(piece) if piece.isascii() else _fitting(piece, self._size))

    def back(self, text: str, start: int, end: int) -> int:
        if not self._overlap:
            return end
        piece = text[max(start, end - self._overlap) : end]
        return end - (len(piece) if piece.isascii() else _fitting(piece[::-1], self._overlap))


def _fitting(piece: str, most: int) -> int:
    """How many characters of it fit in so many bytes."""
    return len(piece.encode("utf-8", "replace")[:most].decode("utf-8", "ignore"))


class _Lines(_Way):
    """So many lines."""

    def __init__(self, size: int, overlap: int) -> None:
        self._size = size
        self._overlap = overlap

    def end(self, text: str, start: int, *, whole: bool) -> int | None:
        end = start
        for _ in range(self._size):
            end = text.find("\n", end) + 1
            if not end:
                return len(text) if whole else None
        return end

    def back(self, text: str, start: int, end: int) -> int:
        for _ in range(self._overlap):
            end = text.rfind("\n", start, max(start, end - 1)) + 1
            if not end:
                return start
        return end


class _Units(_Characters):
    """As many whole units as fit.

    `rank` says how good a cut before a line is: 0 between units, up to 2 anywhere. Where no line begins with one of the
    `signs`, all cuts are equal.
    """

    def __init__(self, size: int, overlap: int, rank: Rank, signs: str, *, in_bytes: bool) -> None:
        super().__init__(size, overlap, in_bytes=in_bytes)
        self._rank = rank
        self._signs = signs

    def end(self, text: str, start: int, *, whole: bool) -> int | None:
        limit = super().end(text, start, whole=whole)
        if limit is None or limit == len(text):
            return limit
        return self._last(text, start, min(len(text), start + self._size)) or limit

    def back(self, text: str, start: int, end: int) -> int:
        """Where the first whole unit of the overlap begins."""
        at = found = end
        least = max(start, end - self._overlap - 1)
        while self._overlap and (at := _line_before(text, least, at)) > least:
            if self._rank(text, start, at) == 0:
                found = at
        return found

    def _last(self, text: str, start: int, limit: int) -> int:
        """The last of the best places for a cut; 0 where no line ends."""
        best, found, at = _WORST, 0, limit + 1
        if text[start] not in self._signs and all(text.find(f"\n{sign}", start, limit) < 0 for sign in self._signs):
            return _line_before(text, start, at)
        while best and (at := _line_before(text, start, at)) > start:
            if (rank := self._rank(text, start, at)) < best:
                best, found = rank, at
        return found


def _line_before(text: str, start: int, at: int) -> int:
    """Where the last line begins that begins after `start` and before `at`; 0 if none does."""
    return text.rfind("\n", start, at - 1) + 1


def _line_above(text: str, start: int, at: int) -> str:
    """The line that ends at a place, or what of it is not before `start`."""
    return text[max(start, text.rfind("\n", start, at - 1) + 1) : at]


def _rank_paragraph(text: str, start: int, at: int) -> int:
    return 2 if _line_above(text, start, at).strip(_BLANK) else 0


def _rank_code(text: str, start: int, at: int) -> int:
    """Something begins in the first column after a blank, an indented or a closing line.

    So comments and decorators stay with what they are of.
    """
    above = _line_above(text, start, at)
    blank = not above.strip(_BLANK)
    if (blank or above[0] in _BLANK + _CLOSING) and not _NOT_BEGINNING.match(text, at):
        return 0
    return 1 if blank else 2


class _Records(_Units):
    """As many whole records as fit: lines of JSON or of anything else, or rows of CSV, whose quotes may hold line ends."""

    def __init__(self, size: int, overlap: int, *, in_bytes: bool) -> None:
        super().__init__(size, overlap, lambda *_: 0, "", in_bytes=in_bytes)
        self._csv: bool | None = None
        """Whether quotes are those of CSV; None before anything is seen of the text."""
        self._inside = False
        """Whether the piece begins within quotes, since its first row was too long for one piece."""
        self._whole = 0
        """Length of the piece, if it ends where a row does."""

    def end(self, text: str, start: int, *, whole: bool) -> int | None:
        """The end of the last record that fits."""
        self._whole = 0
        limit = _Characters.end(self, text, start, whole=whole)
        if self._csv is None and limit is not None:
            self._begin(text, limit)
        return super().end(text, start, whole=whole)

    def back(self, text: str, start: int, end: int) -> int:
        """Where the first whole record of the overlap begins."""
        if not self._overlap:
            return end
        least = end - self._overlap
        return next((at for at, inside in self._lines(text, start, end) if at >= least and not inside), end)

    def leave(self, text: str, start: int, following: int) -> None:
        """Note whether it goes on within quotes."""
        if not self._csv:
            return
        at, inside = start, self._inside
        if following - start != self._whole:
            for at, inside in self._lines(text, start, following):  # noqa: B007 - the last is used
                pass
            self._inside = self._goes_on(text, at, following, inside=inside)
        else:
            self._inside = False

    def _last(self, text: str, start: int, limit: int) -> int:
        line_end = text.rfind("\n", start, limit) + 1
        if not self._csv or (not self._inside and text.find('"', start, line_end) < 0):
            found = line_end
        else:
            found = max((at for at, inside in self._lines(text, start, limit) if not inside), default=0)
        self._whole = found - start if found else 0
        return found or line_end

    def _begin(self, text: str, limit: int) -> None:
        """See from its start what the text is."""
        mark = BOM.encode().decode("latin-1") if self._in_bytes else BOM
        self._csv = text.removeprefix(mark).lstrip()[:1] not in {"{", "["}
        first = next((at for at, inside in self._lines(text, 0, limit) if not inside), 0)
        if self._csv and first:
            header = text[:first].removeprefix(mark).rstrip("\r\n")
            self.header = header.encode("latin-1").decode("utf-8", "replace") if self._in_bytes else header

    def _lines(self, text: str, start: int, limit: int) -> Iterator[tuple[int, bool]]:
        """Where lines end, and whether that is within quotes."""
        at, inside = start, self._inside
        while (after := text.find("\n", at, limit) + 1) > 0:
            if self._csv:
                inside = self._goes_on(text, at, after, inside=inside)
            at = after
            yield at, inside

    def _goes_on(self, text: str, start: int, end: int, *, inside: bool) -> bool:
        """Whether quotes are open after a part of a line, by whether they were before it.

        A single quote that does not begin a field, as in `5" pipe`, opens nothing.
        """
        if text.count('"', start, end) % 2 == 0:
            return inside
        return not inside and _OPEN_QUOTE.search(text[start:end]) is not None
