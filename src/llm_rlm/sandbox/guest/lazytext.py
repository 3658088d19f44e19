"""A text that is too large to hold: looks like a str where that can be had a piece at a time, and says what to do where not.

Positions count bytes, not characters. A slice begins and ends at whole characters: both ends are moved down to the start of
the character that they fall in, so that slices that follow each other join to the whole text. For ASCII it is as for a str.
"""

from __future__ import annotations

from codecs import utf_8_decode
from typing import TYPE_CHECKING, NoReturn, Protocol

if TYPE_CHECKING:
    from collections.abc import Iterator

PIECE = 1 << 20
"""Bytes that are read at a time."""

MOST_COUNTED = (1 << 31) - 1
"""The longest length that `len` can give in the guest."""

MOST_SLICE = 1 << 29
"""Bytes of the longest slice."""

_MOST_READ = 1 << 23
_LONGEST_CHARACTER = 4
_ADVICE = "use slices (`text[a:b]`), `for line in text`, `chunks(text)`, `grep(pattern)` or `search(words)`"


class Texts(Protocol):
    """The texts of the run, as the host reads them."""

    def listing(self) -> tuple[list[str], list[int]]:
        """Names and sizes in bytes, in order."""

    def read(self, document: int, start: int, end: int) -> bytes:
        """A part of a text, of at most 8 MB."""

    def fits(self, document: int) -> bool:
        """Whether the sandbox can hold the text as a str."""

    def find(self, document: int, needle: bytes, start: int, end: int, last: bool) -> int:  # noqa: FBT001 - positional
        """The first, or `last`, place of the needle in a part of a text; -1 if there is none."""

    def count(self, document: int, needle: bytes, start: int, end: int) -> int:
        """How often the needle is in a part of a text, without overlaps."""


class LazyText:
    """A text on the host."""

    def __init__(self, texts: Texts, document: int, size: int, name: str | None = None) -> None:
        """`size` is in bytes. Nothing is read yet."""
        self._texts = texts
        self._document = document
        self.size = self._size = size
        self.name = name

    def __len__(self) -> int:
        """Bytes of the text."""
        return self._size

    def __bool__(self) -> bool:
        """Whether there is any text."""
        return self._size > 0

    def __getitem__(self, key: slice | int) -> str:
        """The text from a to b, in bytes; or the character that begins at a byte, nothing where none does."""
        if isinstance(key, slice):
            start, end, step = key.indices(self._size)
            if step != 1:
                message = f"steps in slices of a text this large are not supported: {_ADVICE}"
                raise ValueError(message)
            return self._slice(start, max(start, end))
        at = key.__index__()
        at += self._size if at < 0 else 0
        if not 0 <= at < self._size:
            message = "index out of range"
            raise IndexError(message)
        if self._whole(at) != at:
            return ""
        end = at + 1
        while end < self._size and self._whole(end) == at:
            end += 1
        return self._slice(at, end)

    def __iter__(self) -> Iterator[str]:
        """The lines, each with its end, as of a file."""
        return self.lines()

    def lines(self, errors: str = "replace") -> Iterator[str]:
        """The lines; `errors` is what becomes of bytes that are not UTF-8, as in `bytes.decode`."""
        begun: list[str] = []
        for piece in self._pieces(0, self._size, errors):
            *lines, rest = piece.split("\n")
            for line in lines:
                yield "".join((*begun, line, "\n")) if begun else f"{line}\n"
                begun = []
            if rest:
                begun.append(rest)
            if len(begun) > MOST_SLICE // PIECE:
                message = f"a line is longer than {MOST_SLICE:,} bytes, too long to hold: use slices"
                raise MemoryError(message)
        if begun:
            yield "".join(begun)

    def __contains__(self, needle: object) -> bool:
        """Whether the text is in it."""
        return self.find(needle) >= 0

    def find(self, needle: object, start: int | None = None, end: int | None = None) -> int:
        """As `str.find`, in bytes; the host looks."""
        return self._find(needle, start, end, last=False)

    def rfind(self, needle: object, start: int | None = None, end: int | None = None) -> int:
        """As `str.rfind`, in bytes."""
        return self._find(needle, start, end, last=True)

    def index(self, needle: object, start: int | None = None, end: int | None = None) -> int:
        """As `str.index`, in bytes."""
        return _found(self.find(needle, start, end))

    def rindex(self, needle: object, start: int | None = None, end: int | None = None) -> int:
        """As `str.rindex`, in bytes."""
        return _found(self.rfind(needle, start, end))

    def count(self, needle: object, start: int | None = None, end: int | None = None) -> int:
        """As `str.count`."""
        wanted = _encoded(needle)
        first, last, _ = slice(start, end).indices(self._size)
        if not wanted:
            # One before each character and one at the end, where a character is what begins at a byte.
            return max(0, last - first + 1) if self._is_within(start) else 0
        return self._texts.count(self._document, wanted, first, max(first, last))

    def startswith(self, prefix: str | tuple[str, ...], start: int | None = None, end: int | None = None) -> bool:
        """As `str.startswith`."""
        first, last, _ = slice(start, end).indices(self._size)
        return self._is_within(start) and any(self._is_at(first, last, _encoded(each)) for each in _each(prefix))

    def endswith(self, suffix: str | tuple[str, ...], start: int | None = None, end: int | None = None) -> bool:
        """As `str.endswith`."""
        first, last, _ = slice(start, end).indices(self._size)
        wanted = [each for each in map(_encoded, _each(suffix)) if last - len(each) >= first]
        return self._is_within(start) and any(self._is_at(last - len(each), last, each) for each in wanted)

    def splitlines(self, keepends: bool = False) -> Lines:  # noqa: FBT001, FBT002 - as of a str
        """The lines one after another, not a list: `for line in text.splitlines()`."""
        return Lines(self, keepends=keepends)

    def __repr__(self) -> str:
        """What it is, not what is in it."""
        name = f" {self.name!r}" if self.name is not None else ""
        return f"<text{name} of {self._size:,} bytes, too large to hold: {_ADVICE}>"

    def __str__(self) -> str:  # noqa: PLE0307 - it raises
        """Raise: it is too large."""
        self._refuse("str() of it")

    def __format__(self, _: str) -> str:
        """Raise: it is too large."""
        self._refuse("putting all of it in a text")

    def __add__(self, _: object) -> NoReturn:
        """Raise: it is too large."""
        self._refuse("joining it with other text")

    def __radd__(self, _: object) -> NoReturn:
        """Raise: it is too large."""
        self._refuse("joining it with other text")

    def __getattr__(self, name: str) -> NoReturn:
        """Raise what is clear for the methods of str that it has not."""
        if name.startswith("_") or not hasattr(str, name):
            raise AttributeError(name)
        self._refuse(f".{name}()")

    def _refuse(self, what: str) -> NoReturn:
        message = f"{what} does not work: the text has {self._size:,} bytes and is not held in memory; {_ADVICE}"
        raise TypeError(message)

    def _find(self, needle: object, start: int | None, end: int | None, *, last: bool) -> int:
        wanted = _encoded(needle)
        first, after, _ = slice(start, end).indices(self._size)
        if after - first < len(wanted) or not self._is_within(start):
            return -1
        if not wanted:
            return after if last else first
        return self._texts.find(self._document, wanted, first, after, last)

    def _is_within(self, start: int | None) -> bool:
        return start is None or start <= self._size

    def _is_at(self, start: int, end: int, wanted: bytes) -> bool:
        if len(wanted) > end - start or end < start:
            return False
        return not wanted or self._read(start, start + len(wanted)) == wanted

    def exact(self, start: int, end: int) -> str:
        """A slice in which bytes that are not UTF-8 stand as lone surrogates, so that its length in bytes is known."""
        return self._slice(start, end, "surrogateescape")

    def _slice(self, start: int, end: int, errors: str = "replace") -> str:
        if end - start > MOST_SLICE:
            message = f"a slice of {end - start:,} bytes is too large to hold (at most {MOST_SLICE:,}); {_ADVICE}"
            raise MemoryError(message)
        return "".join(self._pieces(self._whole(start), self._whole(end), errors))

    def _whole(self, at: int) -> int:
        """The start of the character that a position falls in."""
        if not 0 < at < self._size:
            return at
        first = max(0, at - _LONGEST_CHARACTER + 1)
        around = self._read(first, min(self._size, at + _LONGEST_CHARACTER))
        within = at - first
        for back in range(within + 1):
            lead = around[within - back]
            if lead & 0xC0 != 0x80:  # noqa: PLR2004 - not a continuation byte
                _, used = utf_8_decode(around[within - back :], "ignore", False)  # noqa: FBT003 - takes no keywords
                length = _length(around[within - back :]) if used else 1
                return at - back if back < length else at
        return at

    def _pieces(self, start: int, end: int, errors: str) -> Iterator[str]:
        """The text between two starts of characters."""
        rest, at = b"", start
        while at < end:
            data = self._read(at, min(end, at + PIECE))
            at += len(data)
            text, used = utf_8_decode(rest + data, errors, at >= end)
            rest = (rest + data)[used:]
            yield text

    def _read(self, start: int, end: int) -> bytes:
        return self._texts.read(self._document, start, end)


def length(value: object) -> int:
    """`len`, also of a text that is longer than what the guest can count, which has 32 bits."""
    return value.size if type(value) is LazyText else len(value)  # type: ignore[arg-type]  # it raises what len raises


class Lines:
    """The lines of a text that is too large to hold: to be gone through, as often as wanted."""

    def __init__(self, text: LazyText, *, keepends: bool) -> None:
        """Nothing is read yet."""
        self._text = text
        self._keepends = keepends

    def __iter__(self) -> Iterator[str]:
        """The lines."""
        for line in self._text:
            # A line may hold other ends than that which a file's lines have.
            yield from line.splitlines(self._keepends)

    def __len__(self) -> int:
        """Raise: nobody has counted them."""
        message = "the lines of a text this large are not counted: use `text.count('\\n')`"
        raise TypeError(message)

    def __getitem__(self, key: object) -> NoReturn:
        """Raise: they are not held."""
        message = "the lines of a text this large are no list: use `itertools.islice(text.splitlines(), a, b)`, or grep"
        raise TypeError(message)

    def __repr__(self) -> str:
        """What it is."""
        return f"<the lines of {self._text!r}>"


def _encoded(needle: object) -> bytes:
    if isinstance(needle, str):
        return str.__str__(needle).encode("utf-8", "surrogatepass")
    message = f"must be str, not {type(needle).__name__}"
    raise TypeError(message)


def _each(wanted: str | tuple[str, ...]) -> tuple[str, ...]:
    return wanted if isinstance(wanted, tuple) else (wanted,)


def _found(at: int) -> int:
    if at < 0:
        message = "substring not found"
        raise ValueError(message)
    return at


def _length(data: bytes) -> int:
    """Bytes of the character that data begins with; 1 for what is none."""
    for length in range(1, _LONGEST_CHARACTER + 1):
        try:
            if len(data[:length].decode()) == 1:
                return length
        except UnicodeDecodeError:
            continue
    return 1
