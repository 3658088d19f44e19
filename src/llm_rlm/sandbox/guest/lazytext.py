"""A text that is too large to hold: looks like a str where that can be had a piece at a time, and says what to do where not.

Positions count bytes, not characters. A slice begins and ends at whole characters: both ends are moved down to the start of
the character that they fall in, so that slices that follow each other join to the whole text. For ASCII it is as for a str.
A byte order mark is part of the bytes, and left out of text that begins with it.
"""

from __future__ import annotations

from codecs import utf_8_decode
from io import StringIO
from itertools import islice
from typing import TYPE_CHECKING, NoReturn, Protocol, overload

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

PIECE = 1 << 20
"""Bytes that are read at a time to go through a text."""

MOST_COUNTED = (1 << 31) - 1
"""The longest length that `len` can give in the guest."""

MOST_SLICE = 1 << 29
"""Bytes of the longest slice, and of the longest line."""

BOM = "\ufeff"

_MOST_READ = 1 << 22
_LONGEST_CHARACTER = 4
_NEAR = 1000
_ADVICE = "use slices (`text[a:b]`), `for line in text`, `chunks(text)`, `grep(pattern)` or `search(words)`"


class Texts(Protocol):
    """The texts of the run, as the host reads them."""

    def listing(self) -> tuple[list[str], list[int]]:
        """Names and sizes in bytes, in order."""

    def read(self, document: int, start: int, end: int) -> bytes:
        """A part of a text, of at most 8 MB."""

    def read_many(self, first: int, sizes: Sequence[int]) -> Sequence[bytes | None]:
        """The whole of texts that follow each other, of these sizes, of 8 MB together; None for one that is gone.

        They count as read once they are said to be touched.
        """

    def touch(self, document: int) -> None:
        """Code has touched a text of `read_many`."""

    def fits(self, document: int) -> bool:
        """Whether the sandbox can hold the text as a str."""

    def find(self, document: int, needle: bytes, start: int, end: int, last: bool) -> int:  # noqa: FBT001 - positional
        """The first, or `last`, place of the needle in a part of a text; -1 if there is none."""

    def count(self, document: int, needle: bytes, start: int, end: int) -> int:
        """How often the needle is in a part of a text, without overlaps."""


def held(texts: Texts, document: int, size: int) -> str:
    """The whole of a text that is small enough to hold."""
    return _joined(LazyText(texts, document, size).pieces(0, size)).removeprefix(BOM)


def length(value: object) -> int:
    """`len`, also of a text of more bytes than the guest's own can count to: 2 GB."""
    return value.size if type(value) is LazyText else len(value)  # type: ignore[arg-type]


class LazyText:
    """A text on the host."""

    def __init__(self, texts: Texts, document: int, size: int, name: str | None = None) -> None:
        """`size` is in bytes. Nothing is read yet."""
        self._texts = texts
        self.document = document
        """Its number among the texts of the run."""
        self.size = size
        """Bytes of the text; `len`, without its limit."""
        self.name = name

    def __len__(self) -> int:
        """Bytes of the text. Raises TypeError beyond what Python can count to here."""
        if self.size > MOST_COUNTED:
            self._refuse("len()", "`text.size` is its length; " + _ADVICE)
        return self.size

    def __bool__(self) -> bool:
        """Whether there is any text."""
        return self.size > 0

    def __getitem__(self, key: slice | int) -> str:
        """The text from a to b, in bytes; or the character that begins at a byte, nothing where none does."""
        if isinstance(key, slice):
            start, end, step = key.indices(self.size)
            if step != 1:
                message = f"steps in slices of a text this large are not supported: {_ADVICE}"
                raise ValueError(message)
            return self._slice(start, max(start, end))
        at = key.__index__()
        at += self.size if at < 0 else 0
        if not 0 <= at < self.size:
            message = "index out of range"
            raise IndexError(message)
        first = max(0, at - _LONGEST_CHARACTER + 1)
        around = self._texts.read(self.document, first, min(self.size, at + _LONGEST_CHARACTER))
        if boundary(around, at - first) < at - first:
            return ""
        character = around[at - first :]
        return character[: unit(character)].decode("utf-8", "replace")

    __reversed__ = None

    def __iter__(self) -> Iterator[str]:
        """The lines, each with its end, as of a file: a line feed and nothing else ends one."""
        for part in self._parts():
            if len(part) > PIECE:
                yield part
            else:
                yield from StringIO(part, newline="\n")

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
        first, after = self._span(start, end)
        if after - first < len(wanted):
            return 0
        # Of no text there is one before each byte, and one at the end.
        return self._texts.count(self.document, wanted, first, after) if wanted else after - first + 1

    def startswith(self, prefix: str | tuple[str, ...], start: int | None = None, end: int | None = None) -> bool:
        """As `str.startswith`."""
        first, after = self._span(start, end)
        mark = BOM.encode()
        past = first + len(mark) if first == 0 and self._is_at(first, after, mark) else first
        return any(self._is_at(at, after, wanted) for wanted in _each(prefix) for at in {first, past})

    def endswith(self, suffix: str | tuple[str, ...], start: int | None = None, end: int | None = None) -> bool:
        """As `str.endswith`."""
        first, after = self._span(start, end)
        fitting = [wanted for wanted in _each(suffix) if len(wanted) <= after - first]
        return any(self._is_at(after - len(wanted), after, wanted) for wanted in fitting)

    def splitlines(self, keepends: bool = False) -> Series[str]:  # noqa: FBT001, FBT002 - as of a str
        """The lines one after another, not a list: `for line in text.splitlines()`."""
        count = "`text.count('\\n')` counts lines"
        return Series("lines", count, lambda: (line for part in self._parts() for line in part.splitlines(keepends)))

    def pieces(self, start: int, end: int, size: int | None = None) -> Iterator[str]:
        """The text between two bytes at which characters begin, `size` bytes at a time."""
        rest = b""
        for data in self.blocks(start, end, size):
            start += len(data)
            text, used = utf_8_decode(rest + data if rest else data, "replace", start >= end)
            rest = (rest + data)[used:]
            yield text

    def blocks(self, start: int, end: int, size: int | None = None) -> Iterator[bytes]:
        """The bytes, `size` at a time. Raises what the host says if they are gone."""
        while start < end:
            data = self._texts.read(self.document, start, min(end, start + (size or PIECE)))
            if not data:
                message = f"the text is {end - start:,} bytes shorter than it was when the run began"
                raise OSError(message)
            start += len(data)
            yield data

    def __repr__(self) -> str:
        """What it is, not what is in it."""
        name = f" {self.name!r}" if self.name is not None else ""
        return f"<text{name} of {self.size:,} bytes, too large to hold: {_ADVICE}>"

    def __str__(self) -> str:  # noqa: PLE0307 - it raises
        """Raise: it is too large."""
        self._refuse("str() of it")

    def __getattr__(self, name: str) -> Callable[..., NoReturn]:
        """The methods of str that it has not: they say so when they are called, so that `hasattr` does not raise."""
        if name.startswith("_") or not hasattr(str, name):
            message = f"a text that is too large to hold has no {name!r}"
            raise AttributeError(message)
        return lambda *_, **__: self._refuse(f".{name}()", _INSTEAD.get(name, _ADVICE))

    def _refuse(self, what: str, advice: str = _ADVICE) -> NoReturn:
        message = f"{what} does not work: the text has {self.size:,} bytes and is not held in memory; {advice}"
        raise TypeError(message)

    def _span(self, start: int | None, end: int | None) -> tuple[int, int]:
        """A part as methods of str take it; one that begins beyond the end holds less than nothing."""
        first, after, _ = slice(start, end).indices(self.size)
        return (first, after) if start is None or start <= self.size else (self.size, -1)

    def _find(self, needle: object, start: int | None, end: int | None, *, last: bool) -> int:
        wanted = _encoded(needle)
        first, after = self._span(start, end)
        if after - first < len(wanted):
            return -1
        if not wanted:
            return after if last else first
        return self._texts.find(self.document, wanted, first, after, last)

    def _is_at(self, start: int, end: int, wanted: bytes) -> bool:
        if end - start < len(wanted):
            return False
        return not wanted or b"".join(self.blocks(start, start + len(wanted))) == wanted

    def _slice(self, start: int, end: int) -> str:
        if end - start > MOST_SLICE:
            message = f"a slice of {end - start:,} bytes is too large to hold (at most {MOST_SLICE:,}); {_ADVICE}"
            raise MemoryError(message)
        first = max(0, start - _LONGEST_CHARACTER + 1)
        after = min(self.size, end + _LONGEST_CHARACTER - 1)
        if after - first <= _MOST_READ:
            data = b"".join(self.blocks(first, after, _MOST_READ))  # a small slice costs one question
            text = data[boundary(data, start - first) : boundary(data, end - first)].decode("utf-8", "replace")
            start = first + boundary(data, start - first)
        else:
            start, end = self._boundary(start), self._boundary(end)
            text = _joined(self.pieces(start, end))
        return text.removeprefix(BOM) if start == 0 else text

    def _boundary(self, at: int) -> int:
        first = max(0, at - _LONGEST_CHARACTER + 1)
        around = self._texts.read(self.document, first, min(self.size, at + _LONGEST_CHARACTER))
        return first + boundary(around, at - first)

    def _parts(self) -> Iterator[str]:
        """The text in parts of whole lines: many of some `PIECE` bytes together, or one that is longer."""
        parts = self._whole_lines()
        if first := next(parts, b""):
            yield first.decode("utf-8", "replace").removeprefix(BOM)
        for part in parts:
            yield part.decode("utf-8", "replace")

    def _whole_lines(self) -> Iterator[bytes]:
        begun: list[bytes] = []
        for data in self.blocks(0, self.size):
            start, end = 0, data.rfind(b"\n") + 1
            if begun and end:
                start = data.find(b"\n") + 1
                yield b"".join((*begun, data[:start]))
                begun = []
            if start < end:
                yield data[start:end]
            if end < len(data):
                begun.append(data[end:])
            if sum(map(len, begun)) > MOST_SLICE:
                message = f"a line is longer than {MOST_SLICE:,} bytes, too long to hold: use slices"
                raise MemoryError(message)
        if begun:
            yield b"".join(begun)


# Errors of C code name the type of what they cannot take. This is how `re` and others say what to use instead.
LazyText.__name__ = "LazyText (too large to hold: use grep, slices or chunks)"

_INSTEAD = {
    **dict.fromkeys(("split", "rsplit", "partition", "rpartition"), "use `for line in text` or `chunks(text)`"),
    **dict.fromkeys(("lower", "upper", "casefold"), "use `grep(pattern, ignore_case=True)`, or do that with slices or chunks"),
}


class Series[Item]:
    """Items made as they are needed, for they may not fit in memory together. To be gone through as often as wanted."""

    def __init__(self, what: str, counting: str, make: Callable[[], Iterator[Item]]) -> None:
        """`what` the items are, what to do for `counting` them; `make` starts anew."""
        self._what = what
        self._counting = counting
        self._make = make

    def __iter__(self) -> Iterator[Item]:
        """The items."""
        return self._make()

    def __bool__(self) -> bool:
        """Whether there are any."""
        return any(True for _ in self)

    def __len__(self) -> int:
        """Raise: nobody has counted them."""
        message = f"these {self._what} are made as they are needed and are not counted: {self._counting}"
        raise TypeError(message)

    @overload
    def __getitem__(self, key: int) -> Item: ...
    @overload
    def __getitem__(self, key: slice) -> list[Item]: ...
    def __getitem__(self, key: int | slice) -> Item | list[Item]:
        """One or some of the first thousand: `series[0]`, `series[:10]`. To reach them, those before are made too."""
        if isinstance(key, slice):
            if _is_near(key.start or 0) and _is_near(key.stop) and (key.step is None or key.step > 0):
                return list(islice(self, key.start, key.stop, key.step))
        elif _is_near(key):
            for item in islice(self, key, None):
                return item
            message = "index out of range"
            raise IndexError(message)
        message = (
            f"these {self._what} are made as they are needed: go through them; "
            f"by position only the first {_NEAR:,} can be had, `[5]` or `[:10]`"
        )
        raise TypeError(message)

    def __repr__(self) -> str:
        """What it is."""
        return f"<{self._what}, made as they are needed: for each in ...>"


def boundary(data: bytes, at: int) -> int:
    """Where the character begins that holds the byte `at`; `at` itself where that byte is in none.

    What is not UTF-8 counts in the units for which one U+FFFD each stands in the decoded text. `data` needs to go three bytes
    beyond `at` on either side, if the text does.
    """
    for lead in range(at, max(at - _LONGEST_CHARACTER, -1), -1):
        if lead >= len(data):
            return at
        if data[lead] & 0xC0 != 0x80:  # noqa: PLR2004 - not a continuation byte
            return lead if lead + unit(data[lead : lead + _LONGEST_CHARACTER]) > at else at
    return at


def unit(data: bytes) -> int:
    """Bytes of the first character of data, or of what stands in its place."""
    try:
        character = data.decode()[0]
    except UnicodeDecodeError as problem:
        if problem.start == 0:
            return problem.end
        character = data[: problem.start].decode()[0]
    return len(character.encode())


def _joined(pieces: Iterable[str]) -> str:
    """All of it. The text grows in place, where `str.join` would hold it twice."""
    text = ""
    for piece in pieces:
        text += piece
    return text


def _is_near(position: object) -> bool:
    return isinstance(position, int) and 0 <= position <= _NEAR


def _encoded(needle: object) -> bytes:
    if isinstance(needle, str):
        return str.__str__(needle).encode("utf-8", "surrogatepass")
    message = f"must be str, not {type(needle).__name__}"
    raise TypeError(message)


def _each(wanted: str | tuple[str, ...]) -> list[bytes]:
    return [_encoded(each) for each in (wanted if isinstance(wanted, tuple) else (wanted,))]


def _found(at: int) -> int:
    if at < 0:
        message = "substring not found"
        raise ValueError(message)
    return at
