"""What an answer rests on: the documents as they were, what of them was read and sent, where its quotes are."""

from __future__ import annotations

import math
import re
import threading
import time
from contextlib import suppress
from itertools import islice
from typing import TYPE_CHECKING

from llm_rlm.context import ChangedError, Coverage, Service, examine, find_quotes
from llm_rlm.errors import RLMError
from llm_rlm.journal import SourceRecord

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from pathlib import Path

    from llm_rlm.context import Citation, Context, Covered, Document, Examined
    from llm_rlm.journal import Journal

_PATIENCE = 5.0
"""Seconds that the end of a run waits for the hashes of what was touched. Coverage, found out meanwhile, has twice as many."""

_BRIEFLY = 0.5
"""Seconds for the hashes of what was not touched, where that may be many documents."""

_WRITTEN_TOGETHER = 1000
_NAMES_CONTEXT = re.compile(r"\bcontext\b")


class Evidence:
    """Keeps account of one run's documents. Its methods may be called from any thread."""

    def __init__(
        self,
        context: Context,
        journal: Journal,
        run_id: str,
        known: Mapping[str, str] | None = None,
        parent: Evidence | None = None,
    ) -> None:
        """Nothing is read yet. `known` are hashes of documents, by name, of an earlier life of the run.

        What a child run reads of documents of its parent counts for the parent.
        """
        self._context = context
        self._journal = journal
        self._run_id = run_id
        self.examined: dict[str, Examined] = {}
        """What was found out about documents so far, by name."""
        self.covered: Sequence[Covered] | None = None
        """What of each document was read and sent, once `finish` has returned and if there was time for it."""
        self.complete = True
        """Whether there was time to look for all that was sent."""
        self.citations: Sequence[Citation] = ()
        """Where the quotes of the answer are."""
        self._known = known or {}
        self._is_child = parent is not None
        self._coverage = parent.coverage_of(context) if parent is not None else Coverage(context.documents)
        self._service: Service | None = None
        self._examining: threading.Thread | None = None
        self._until = math.inf
        """When those that nobody has touched are examined no more."""
        self._over = threading.Event()

    def helpers(self, cache: Path | None, progress: Callable[[str], None]) -> Service:
        """What answers the cells' questions; what they read is counted. `cache` is where indexes are kept."""
        self._service = Service(self._context, self._coverage, cache, progress)
        return self._service

    def coverage_of(self, lent: Context) -> Coverage:
        """Keeps count for a child run: also for this one, where the child has documents of it."""
        first = lent.documents[0] if lent.documents else None
        for number, document in enumerate(self._context.documents):
            if document is first:
                return Coverage(lent.documents, self._coverage, number)
        return Coverage(lent.documents)

    def record(self) -> SourceRecord:
        """Which documents there are, and what was skipped, for the journal."""
        context = self._context
        documents = [_row(document, context) for document in context.documents]
        return SourceRecord(documents, [(skipped.name, skipped.reason) for skipped in context.skipped])

    def sha256(self, document: str) -> str | None:
        """The hash of the document of that name, as far as it is known."""
        examined = self.examined.get(document)
        return examined.sha256 if examined is not None else self._known.get(document)

    def hashes(self) -> dict[str, str]:
        """The hashes of documents, by name, that are known by now."""
        return {**self._known, **{name: examined.sha256 for name, examined in self.examined.items()}}

    def cell_runs(self, code: str) -> None:
        """Code that names `context` has read it, where it is held whole: nothing tells which part.

        From here on the documents are examined beside the run, so that its start does not wait for that. Those of a child are
        its parent's, or stand in the record.
        """
        if self._context.kind in {"text", "json"} and _NAMES_CONTEXT.search(code):
            self._coverage.read(0, 0, self._context.size)
        if self._examining is None and self._context.documents and not self._is_child:
            self._examining = threading.Thread(target=self._examine, name="llm-rlm-examine", daemon=True)
            self._examining.start()

    def look_up(self, quotes: Sequence[str], cancelled: Callable[[], bool]) -> Sequence[Citation]:
        """Find the quotes of an answer."""
        self.citations = find_quotes(self._context.documents, quotes, self._coverage.touched(), cancelled)
        return self.citations

    def finish(self, *, hurry: bool) -> None:
        """Find out what is left, and write it down; nothing of it in a `hurry`."""
        now = time.monotonic()
        self._until = now + (_PATIENCE if len(self._context.documents) <= _WRITTEN_TOGETHER else _BRIEFLY)
        if self._service is not None:
            self._service.close()
        if not hurry and self._context.documents:
            self._cover(lambda: time.monotonic() > now + 2 * _PATIENCE)
        if not hurry and self._examining is not None:
            self._examining.join(max(0.0, now + _PATIENCE - time.monotonic()))
        self._over.set()
        self._journal.add_citations(self._run_id, [_citation_row(citation) for citation in self.citations])

    def _cover(self, cancelled: Callable[[], bool]) -> None:
        """What was read and what was sent, which is found by matching all that models were shown with the documents."""
        self.covered = self._coverage.finish(self._journal.shown_to_models(self._run_id), cancelled)
        self.complete = self._coverage.complete
        touched = {
            self._context.documents[covered.document].name: {
                "read_bytes": covered.read,
                "sent_bytes": covered.sent,
                "touched_bytes": covered.either,
            }
            for covered in self.covered
            if covered.either
        }
        self._journal.know_coverage(self._run_id, touched, complete=self.complete)

    def _examine(self) -> None:
        # A journal that is broken is noticed by those who need it.
        with suppress(RLMError):
            for numbers, cancelled in self._batches():
                new: dict[str, dict[str, object]] = {}
                for number in numbers:
                    document = self._context.documents[number]
                    if self.sha256(document.name) is None and not cancelled():
                        self._examine_one(document, new, cancelled)
                if new:
                    self._journal.know_documents(self._run_id, new)

    def _batches(self) -> Iterator[tuple[list[int], Callable[[], bool]]]:
        """Documents to examine, some at a time, and when to leave it: those that code has touched before all others."""
        touched, others = 0, iter(range(len(self._context.documents)))
        while not self._over.is_set():
            numbers = self._coverage.touched_after(touched, _WRITTEN_TOGETHER)
            touched += len(numbers)
            if numbers:
                yield numbers, self._over.is_set
            elif not self._is_for_touched_only() and (numbers := list(islice(others, _WRITTEN_TOGETHER))):
                yield numbers, self._is_for_touched_only
            else:
                return

    def _is_for_touched_only(self) -> bool:
        return self._over.is_set() or time.monotonic() > self._until

    def _examine_one(self, document: Document, new: dict[str, dict[str, object]], cancelled: Callable[[], bool]) -> None:
        with suppress(ChangedError):  # gone by now: there is no hash of it
            examined = examine(document, cancelled)
            if examined is not None:
                self.examined[document.name] = examined
                new[document.name] = {"sha256": examined.sha256, "undecodable": examined.undecodable}


def _row(document: Document, context: Context) -> dict[str, object]:
    """A document, as the journal has it."""
    return {
        "name": document.name,
        "kind": "json" if context.kind == "json" else "text",
        "bytes": document.size,
        "path": None if document.modified is None else document.path,
        "modified": document.modified,
        "origin": document.origin,
        "encoding": document.encoding,
    }


def _citation_row(citation: Citation) -> dict[str, object]:
    names = ("quote", "found", "source", "start", "end", "line", "column", "place", "times", "why")
    return {name: getattr(citation, name) for name in names}
