"""The marks in a text that was made from a document: a line `<!-- page 3 -->` before what stands on page 3.

They are `page`, `slide`, `sheet`, `part` (of an EPUB: its file) and `message` (of an mbox), each with a number or name.
A line of the document's own text that looks like one begins with a backslash.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from pathlib import PurePath
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from .document import Document

type MarkKind = Literal["page", "slide", "sheet", "part", "message"]

_KINDS = "page|slide|sheet|part|message"
_MARK = re.compile(rf"^<!-- ((?:{_KINDS}) [^\n]*) -->$".encode(), re.MULTILINE)
_LIKE_A_MARK = re.compile(rf"^(?=<!-- (?:{_KINDS}) )", re.MULTILINE)
_MOST_LABEL = 200
_LONGEST_MARK = 4 * _MOST_LABEL + 64
_CONVERTED = re.compile(r"[0-9a-f]{64}\.[a-z]+\.\d+\.md")


def mark(kind: MarkKind, label: str | int) -> str:
    """The line, without its end. A name that would not fit on it, or end it, is changed."""
    text = " ".join("".join(c if c.isprintable() else " " for c in str(label)).split())
    while "--" in text:
        text = text.replace("--", "-")
    return f"<!-- {kind} {text[:_MOST_LABEL] or '?'} -->"


def escaped(text: str) -> str:
    """The text, no line of which is a mark. Expects it to begin at the start of a line."""
    return _LIKE_A_MARK.sub(r"\\", text)


def marks(blocks: Iterable[bytes]) -> Iterator[tuple[int, str]]:
    """The offset of each mark in a text that comes in pieces, and its place, such as `page 3`. Takes constant memory."""
    base, rest, within = 0, b"", False
    for block in blocks:
        data = rest + block
        cut = data.rfind(b"\n") + 1
        # What stands before the first line end belongs to a line that is too long for a mark.
        start = data.find(b"\n") + 1 if within else 0
        yield from ((base + found.start(), _place(found)) for found in _MARK.finditer(data, start, cut) if cut)
        within = within and not cut
        base, rest = base + cut, data[cut:]
        if within or len(rest) > _LONGEST_MARK:
            base, rest, within = base + len(rest), b"", True
    if not within:
        yield from ((base + found.start(), _place(found)) for found in _MARK.finditer(rest))


def _place(found: re.Match[bytes]) -> str:
    return found[1].decode("utf-8", "replace")


class Places:
    """Which page, slide, sheet, part or message a byte of a text is in."""

    def __init__(self, blocks: Iterable[bytes]) -> None:
        """Read the text once."""
        self._offsets: list[int] = []
        self._places: list[str] = []
        for offset, place in marks(blocks):
            self._offsets.append(offset)
            self._places.append(place)

    def __len__(self) -> int:
        """How many marks there are."""
        return len(self._offsets)

    def at(self, offset: int) -> str | None:
        """`page 3` for any byte after its mark and before the next; None before the first. Takes microseconds."""
        found = bisect_right(self._offsets, offset)
        return self._places[found - 1] if found else None


def is_marked(document: Document) -> bool:
    """Whether the text was made by `convert`, so that what looks like a mark in it is one."""
    return document.origin is not None and _CONVERTED.fullmatch(PurePath(document.path).name) is not None
