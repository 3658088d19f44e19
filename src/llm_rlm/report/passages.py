"""What stands around the quotes of an answer, read from the sources where they still are what they were."""

from __future__ import annotations

import os
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from llm_rlm.context import ChangedError, Document, Sources, examine, from_any
from llm_rlm.errors import RLMError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from llm_rlm.context import Context
    from llm_rlm.journal.history import Document as PastDocument

AROUND = 400
"""Bytes on each side of a quote."""
_MOST_AGAIN = 1 << 28
"""Bytes of an archive or a document that is unpacked or converted once more."""
_LONGEST_CHARACTER = 4


@dataclass(frozen=True)
class Passage:
    """A quote in its surroundings, or why they cannot be shown."""

    before: str = ""
    quote: str = ""
    after: str = ""
    cut_before: bool = False
    """Whether the text goes on before it."""
    cut_after: bool = False
    why: str | None = None
    """Why there is none."""


class Passages:
    """Reads passages of the documents of a run. What it has to unpack or convert again is kept until it is left."""

    def __init__(self, documents: Sequence[PastDocument]) -> None:
        """Nothing is read yet."""
        self._documents = {document.name: document for document in documents}
        self._there: dict[str, Document | str] = {}
        self._made: dict[str, Context | None] = {}
        self._open = ExitStack()

    @classmethod
    @contextmanager
    def of(cls, documents: Sequence[PastDocument]) -> Iterator[Passages]:
        """Passages of these documents."""
        passages = cls(documents)
        with passages._open:
            yield passages

    def of_citation(self, citation: Mapping[str, Any]) -> Passage | None:
        """The surroundings of a citation as the result has it; None where the quote was not found in the input."""
        past = self._documents.get(citation["source"])
        if not citation["found"] or past is None:
            return None
        if past.name not in self._there:
            self._there[past.name] = self._find(past)
        document = self._there[past.name]
        if isinstance(document, str):
            return Passage(why=document)
        try:
            return _read(document, citation["start"], citation["end"])
        except ChangedError as problem:
            return Passage(why=str(problem))

    def _find(self, past: PastDocument) -> Document | str:
        """The document as it was, or why it cannot be had."""
        if past.path is not None and os.path.isfile(past.path):  # noqa: PTH113 - a str may hold bytes that are no text
            document = Document(past.name, past.path, past.bytes, past.modified, past.origin)
            if _is_same(past, document, os.stat(past.path).st_mtime_ns if past.origin is None else None):  # noqa: PTH116 - as above
                return document
            if past.origin is None:
                return f"{past.name} has changed since the run read it"
        if past.origin is None:
            return _gone(past)
        if not os.path.isfile(past.origin):  # noqa: PTH113 - as above
            return f"it was read from {past.origin}, which is no file here and is not fetched again"
        made = self._again(past.origin)
        found = [each for each in made.documents if _is_same(past, each, each.modified)] if made is not None else []
        return (
            found[0] if found else f"{past.origin}, which it was made from, has changed since the run read it, or is too large"
        )

    def _again(self, origin: str) -> Context | None:
        """What a file holds, unpacked and converted; None where that cannot be."""
        if origin not in self._made:
            self._made[origin] = None
            with suppress(RLMError, OSError):  # then there is nothing to show
                if os.path.getsize(origin) <= _MOST_AGAIN:  # noqa: PTH202 - as above
                    self._made[origin] = made = from_any(Sources((origin,)))
                    self._open.callback(made.discard)
        return self._made[origin]


def _gone(past: PastDocument) -> str:
    if past.path is None:
        return "the text came through a pipe or from Python, and is not stored"
    return f"{past.name} is not there any more"


def _is_same(past: PastDocument, document: Document, modified: int | None) -> bool:
    """Whether a document is what the run read: by when the user's file was modified, else by its hash."""
    try:
        document.check()
        if document.size != past.bytes:
            return False
        if modified is not None and modified == past.modified:
            return True
        examined = examine(document, lambda: False) if past.sha256 is not None else None
    except ChangedError:
        return False
    return examined is not None and examined.sha256 == past.sha256


def _read(document: Document, start: int, end: int) -> Passage:
    """The passage, on the borders of characters."""
    first, last = max(0, start - AROUND), min(document.size, end + AROUND)
    before = _without_broken_start(document.read(first, start)) if first else document.read(0, start)
    after = document.read(end, last)
    after = _without_broken_end(after) if last < document.size else after
    quote = document.read(start, end)
    before_it, it, after_it = (part.decode("utf-8", "replace") for part in (before, quote, after))
    return Passage(before_it, it, after_it, first > 0, last < document.size)


def _without_broken_start(data: bytes) -> bytes:
    """Without the bytes at its start that go on with a character."""
    at = 0
    while at < min(len(data), _LONGEST_CHARACTER - 1) and data[at] & 0xC0 == 0x80:  # noqa: PLR2004 - UTF-8
        at += 1
    return data[at:]


def _without_broken_end(data: bytes) -> bytes:
    """Without the bytes at its end that only begin a character."""
    for back in range(1, min(len(data), _LONGEST_CHARACTER) + 1):
        byte = data[-back]
        if byte & 0xC0 != 0x80:  # noqa: PLR2004 - UTF-8
            width = 1 if byte < 0xC0 else 2 if byte < 0xE0 else 3 if byte < 0xF0 else 4  # noqa: PLR2004 - likewise
            return data[:-back] if width > back else data
    return data
