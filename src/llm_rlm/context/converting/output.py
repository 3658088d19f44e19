"""What a conversion writes, within its limit, and how one refuses."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, BinaryIO

from llm_rlm.context.marks import escaped, mark

if TYPE_CHECKING:
    from llm_rlm.context.marks import MarkKind

_CONTROL = re.compile(r"[^\S\n\t ]|[\x00-\x08\x0e-\x1f\x7f]")
_LINE_ENDS = re.compile(r"\r\n?|[\x0b\x0c\x85\u2028\u2029]")


class RefusedError(Exception):
    """The document is not converted. The text is short words for the user."""


class Output:
    """The Markdown, as it is written."""

    def __init__(self, file: BinaryIO, limit: int) -> None:
        """`limit` is in bytes."""
        self._file = file
        self._limit = limit
        self.size = 0
        self.is_blank = True

    def mark(self, kind: MarkKind, label: str | int) -> None:
        """Begin a page or another part."""
        self._write(f"\n{mark(kind, label)}\n\n" if self.size else f"{mark(kind, label)}\n\n")

    def text(self, text: str) -> None:
        """Whole lines of text of the document."""
        text = _CONTROL.sub(" ", _LINE_ENDS.sub("\n", text)).rstrip()
        if text.strip():
            self.is_blank = False
            self._write(f"{escaped(text)}\n")

    def note(self, text: str) -> None:
        """A line that is not of the document: with nothing else it is one without text."""
        self._write(f"{text}\n")

    def _write(self, text: str) -> None:
        data = text.encode("utf-8", "replace")
        self.size += len(data)
        if self.size > self._limit:
            message = f"more than {self._limit >> 20} MB of text"
            raise RefusedError(message)
        self._file.write(data)
