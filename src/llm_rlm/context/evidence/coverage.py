"""How much of each document was looked at: what code read, and what of that reached a model.

What was sent is found by matching what models were shown with the documents, so it cannot be claimed. It is looked for only in
what code has read. Text that stands at several places (the header of many files, a line that a log repeats) counts at one of
them at least and at all where nothing tells which was meant, up to a limit (`matching.MOST_PLACES`), and as long as no more is
counted than was shown.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from itertools import islice
from typing import TYPE_CHECKING

from .matching import find_shown
from .spans import Spans

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from llm_rlm.context.document import Document


@dataclass(frozen=True, slots=True)
class Covered:
    """How much of a document was looked at, in bytes."""

    document: int
    """Its index."""
    size: int
    read: int
    """What code read, by name or by helper."""
    sent: int
    """What of that was shown to a model."""
    either: int
    """What one of the two touched."""
    read_spans: Spans = field(default_factory=Spans, repr=False, compare=False)
    sent_spans: Spans = field(default_factory=Spans, repr=False, compare=False)


class Coverage:
    """Keeps count for one run. `read`, `touched` and `touched_after` may be called from any thread."""

    def __init__(self, documents: Sequence[Document], lender: Coverage | None = None, first: int = 0) -> None:
        """Nothing was read yet. What is read is read for the `lender` too, where these are its documents from `first` on."""
        self._documents = documents
        self._lender = lender
        self._first = first
        self._lock = threading.Lock()  # guards _read
        self._read: dict[int, Spans] = {}
        self.complete = True
        """Whether the last `finish` looked for all that was shown; where not, what was sent may be more than it says."""

    def read(self, document: int, start: int, end: int) -> None:
        """Code has read the bytes from `start` to `end` of the document of that index. Takes microseconds."""
        with self._lock:
            self._read.setdefault(document, Spans()).add(max(0, start), min(end, self._documents[document].size))
        if self._lender is not None:
            self._lender.read(self._first + document, start, end)

    def touched(self) -> set[int]:
        """The documents that code has read something of."""
        with self._lock:
            return {number for number, spans in self._read.items() if len(spans)}

    def touched_after(self, first: int, most: int) -> list[int]:
        """Of the documents in the order in which code first read something of them, at most so many after the first ones."""
        with self._lock:
            return list(islice(self._read, first, first + most))

    def finish(self, shown: Iterable[str], cancelled: Callable[[], bool]) -> list[Covered]:
        """All documents in order, and how much of each was read and sent so far.

        `shown` are the texts that models were shown, such as prompts. They are taken one at a time and not kept in memory.
        When `cancelled`, what was found until then is given. A document that cannot be read any more has no bytes sent.
        """
        with self._lock:
            read = {number: spans.copy() for number, spans in self._read.items()}
        sent, self.complete = find_shown(self._documents, read, shown, cancelled)
        none = Spans()
        return [
            _covered(number, document, read.get(number, none), sent.get(number, none))
            for number, document in enumerate(self._documents)
        ]


def _covered(number: int, document: Document, read: Spans, sent: Spans) -> Covered:
    # What was sent is looked for in what was read.
    return Covered(number, document.size, read.total(), sent.total(), read.total(), read, sent)
