"""Answers what cells ask of the sources, and keeps count of what they have read.

The questions come from the sandbox and are not to be trusted: every argument is checked here.
"""

from __future__ import annotations

import fnmatch
import hashlib
import json
import sqlite3
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any

from .document import ChangedError
from .looking.scan import count, find
from .question import QuestionError
from .width import fits

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from .context import Context
    from .document import Document
    from .evidence.coverage import Coverage
    from .looking.index import Index
    from .tables.tables import Tables

MOST_INDEXED = 4 << 30
"""Bytes of texts that `search` makes an index of."""

_MOST_READ = 1 << 23
_MOST_TEXTS = 4096
_MOST_PATTERN = 10_000
_MOST_HITS = 100_000
_MOST_CONTEXT = 50
_MOST_PASSAGES = 1000
_MOST_ROWS = 100_000
_MOST_NAMED = 3
_MOST_PATTERNS = 1000
_LONGEST_GUESSED = 1000

type Cancelled = Callable[[], bool]


class Service:
    """The helpers of one run. Questions come one at a time; `touched` and those who read `coverage` may come meanwhile."""

    def __init__(self, context: Context, coverage: Coverage, cache: Path | None, progress: Callable[[str], None]) -> None:
        """`cache` is the folder in which indexes are kept; without one they go with the run. `progress` takes a few words."""
        self._context = context
        self._coverage = coverage
        self._cache = cache
        self._progress = progress
        self._index: Index | None = None
        self._tables: Tables | None = None
        self._by_name: Mapping[str, int] | None = None
        self._untouched: set[int] = set()
        """Texts that were last read ahead, and of which the guest has not said that code touched them."""
        self._questions: Mapping[str, Callable[[_Arguments, Cancelled], object]] = {
            "listing": self._listing,
            "read": self._read,
            "texts": self._texts,
            "fits": self._fits,
            "find": self._find,
            "count": self._count,
            "grep": self._grep,
            "search": self._search,
            "sql": self._sql,
            "more": self._more,
        }

    def answer(self, name: str, arguments: dict[str, Any], cancelled: Cancelled) -> bytes | str:
        """The answer as bytes, JSON for all but `read` and `texts`, or a text that says what is wrong with the question."""
        question = self._questions.get(name)
        if question is None:
            return f"there is no helper {name!r}"
        if self._context.kind == "json":
            return f"`context` is a {self._context.type}, not text: look at it with Python"
        try:
            answer = question(_Arguments(arguments), cancelled)
        except (QuestionError, ChangedError) as problem:
            return str(problem)
        return answer if isinstance(answer, bytes) else json.dumps(answer).encode("ascii")

    def touched(self, documents: Sequence[object]) -> None:
        """Count what was read ahead as read, once code has touched it. Of what was not read ahead a guest can claim nothing."""
        read = self._untouched.intersection(number for number in documents if type(number) is int)
        self._untouched -= read
        for number in read:
            self._coverage.read(number, 0, self._context.documents[number].size)

    def close(self) -> None:
        """End what was started to answer."""
        if self._tables is not None:
            self._tables.close()

    # Texts

    def _listing(self, _: _Arguments, __: Cancelled) -> object:
        documents = self._context.documents
        return [[document.name for document in documents], [document.size for document in documents]]

    def _read(self, given: _Arguments, _: Cancelled) -> bytes:
        number, document = self._document(given)
        start, end = given.span(document.size)
        data = document.read(start, min(end, start + _MOST_READ))
        self._coverage.read(number, start, start + len(data))
        return data

    def _texts(self, given: _Arguments, cancelled: Cancelled) -> bytes:
        """Several texts whole: a byte for each that says whether it is there, then those that are."""
        documents = self._context.documents
        first = given.number("first", 0, len(documents))
        wanted = documents[first : given.number("end", first, min(len(documents), first + _MOST_TEXTS))]
        if (size := sum(document.size for document in wanted)) > _MOST_READ:
            message = f"these texts have {size:,} bytes; at most {_MOST_READ:,} can be read at a time"
            raise QuestionError(message)
        parts: list[bytes | None] = []
        for document in wanted:
            try:
                parts.append(None if cancelled() else document.read())
            except ChangedError:
                parts.append(None)
        self._untouched = {number for number, part in enumerate(parts, first) if part is not None}
        return bytes(part is not None for part in parts) + b"".join(part for part in parts if part is not None)

    def _fits(self, given: _Arguments, _: Cancelled) -> object:
        return fits(self._document(given)[1])

    def _find(self, given: _Arguments, cancelled: Cancelled) -> object:
        number, document = self._document(given)
        start, end = given.span(document.size)
        where = find(document, given.data("needle"), start, end, last=given.flag("last"), cancelled=cancelled)
        if where < 0:
            self._coverage.read(number, start, end)
        else:
            self._coverage.read(number, *((where, end) if given.flag("last") else (start, where)))
        return where

    def _count(self, given: _Arguments, cancelled: Cancelled) -> object:
        number, document = self._document(given)
        start, end = given.span(document.size)
        times = count(document, given.data("needle"), start, end, cancelled)
        self._coverage.read(number, start, end)
        return times

    # Searching

    def _grep(self, given: _Arguments, cancelled: Cancelled) -> object:
        from .looking.grep import Query, grep  # noqa: PLC0415 - what not every run asks for is imported when it is

        query = Query(
            given.text("pattern", _MOST_PATTERN),
            ignore_case=given.flag("ignore_case"),
            fixed=given.flag("fixed"),
            context=given.number("context", 0, _MOST_CONTEXT),
            limit=given.number("limit", 0, _MOST_HITS),
        )
        wanted = self._within(given)
        found = grep([(number, self._context.documents[number]) for number in wanted], query, cancelled)
        gone = {number for number, _ in found.unreadable}
        for number in wanted:
            if number not in gone:
                self._coverage.read(number, 0, self._context.documents[number].size)
        name = self._name
        return {
            "hits": [
                [name(hit.document), hit.line, hit.column, hit.start, hit.end, hit.text, hit.before, hit.after]
                for hit in found.hits
            ],
            "total": found.total,
            "counts": {name(number): count for number, count in found.counts.items()},
            "unreadable": [[name(number), why] for number, why in found.unreadable],
        }

    def _search(self, given: _Arguments, cancelled: Cancelled) -> object:
        query, most = given.text("query", _MOST_PATTERN), given.number("k", 1, _MOST_PASSAGES)
        documents = self._context.documents
        wanted = self._within(given)
        within = set(wanted) if len(wanted) < len(documents) else None
        found = self._whole_index(cancelled).search(query, most, within)
        for passage in found:
            self._coverage.read(passage.document, passage.start, passage.end)
        return {
            "hits": [
                [self._name(passage.document), passage.line, passage.start, passage.end, passage.score, passage.text]
                for passage in found
            ]
        }

    def _whole_index(self, cancelled: Cancelled) -> Index:
        """The index of all texts, made at the first search."""
        if self._index is None:
            from .looking.index import CancelledError, Index  # noqa: PLC0415 - as grep

            documents = self._context.documents
            if self._context.size > MOST_INDEXED:
                message = f"search: the input has {self._context.size:,} bytes, too many to index: use grep"
                raise QuestionError(message)
            try:
                self._index = Index.build(documents, self._index_path(), self._indexing, cancelled)
            except CancelledError:
                message = "search: the index was not finished"
                raise QuestionError(message) from None
            except (OSError, sqlite3.Error) as problem:
                message = f"search: the index cannot be made: {getattr(problem, 'strerror', None) or problem}"
                raise QuestionError(message) from problem
            finally:
                self._progress("")
        return self._index

    def _index_path(self) -> Path:
        if self._cache is None:
            return self._context.spool.new()
        content = hashlib.sha256()
        for document in self._context.documents:
            content.update(f"{document.size} {len(document.name)} {document.name}".encode())
            for block in document.blocks():
                content.update(block)
        folder = self._cache / "indexes"
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        return folder / f"{content.hexdigest()}.db"

    def _indexing(self, share: float) -> None:
        self._progress(f"indexing {share:.0%}")

    # Tables

    def _sql(self, given: _Arguments, cancelled: Cancelled) -> object:
        if self._tables is None:
            from .tables.tables import Tables  # noqa: PLC0415 - as grep

            documents = [document for document in self._context.documents if document.table is not None]
            self._tables = Tables([*documents, *self._context.tables])
        rows = self._tables.query(given.text("query", 1 << 20), given.number("limit", 0, _MOST_ROWS), cancelled)
        self._note_tables(rows.tables)
        return vars(rows)

    def _more(self, given: _Arguments, cancelled: Cancelled) -> object:
        if self._tables is None:
            message = "there is no query to have more rows of"
            raise QuestionError(message)
        handle, start = given.number("handle", 0, 1 << 62), given.number("start", 0, 1 << 62)
        return vars(self._tables.more(handle, start, given.number("count", 0, _MOST_ROWS), cancelled))

    def _note_tables(self, used: Sequence[str]) -> None:
        assert self._tables is not None
        sources = {table["source"] for table in self._tables.names if table["table"] in used}
        for source in sources:
            number = self._numbers().get(source)
            if number is not None:
                self._coverage.read(number, 0, self._context.documents[number].size)

    # Names

    def _name(self, number: int) -> str:
        return self._context.documents[number].name

    def _numbers(self) -> Mapping[str, int]:
        if self._by_name is None:
            self._by_name = {document.name: number for number, document in enumerate(self._context.documents)}
        return self._by_name

    def _document(self, given: _Arguments) -> tuple[int, Document]:
        number = given.number("document", 0, len(self._context.documents) - 1)
        return number, self._context.documents[number]

    def _within(self, given: _Arguments) -> Sequence[int]:
        """The texts to look in, by name or glob. Raises QuestionError for one that matches none."""
        wanted = given.names("within")
        if wanted is None:
            return range(len(self._context.documents))
        patterns = [name for name in wanted if name not in self._numbers()]
        if len(patterns) > _MOST_PATTERNS:
            message = (
                f"within: {len(patterns):,} of these are no names of texts; at most {_MOST_PATTERNS:,} patterns can be given"
            )
            raise QuestionError(message)
        found: set[int] = set()
        for name in wanted:
            number = self._numbers().get(name)
            matching = [number] if number is not None else self._matching(name)
            if not matching:
                shown = name[:_LONGEST_GUESSED]
                close = get_close_matches(shown, list(self._numbers())[:5000], _MOST_NAMED)
                like = f"; like it: {', '.join(close)}" if close else ""
                message = f"no text is named or matches {shown!r}{like}"
                raise QuestionError(message)
            found.update(matching)
        return sorted(found)

    def _matching(self, pattern: str) -> list[int]:
        return [number for name, number in self._numbers().items() if fnmatch.fnmatchcase(name, pattern)]


class _Arguments:
    """The arguments of a question, each checked when it is taken. Raises QuestionError that names it."""

    def __init__(self, given: Mapping[str, Any]) -> None:
        self._given = given

    def number(self, name: str, least: int, most: int) -> int:
        value = self._given.get(name)
        if type(value) is not int or not least <= value <= most:
            message = f"{name} must be a whole number from {least:,} to {most:,}"
            raise QuestionError(message)
        return value

    def flag(self, name: str) -> bool:
        value = self._given.get(name)
        if type(value) is not bool:
            message = f"{name} must be True or False"
            raise QuestionError(message)
        return value

    def text(self, name: str, most: int) -> str:
        value = self._given.get(name)
        if not isinstance(value, str) or not value or len(value) > most:
            message = f"{name} must be a str of 1 to {most:,} characters"
            raise QuestionError(message)
        return value

    def data(self, name: str) -> bytes:
        """Bytes, which come as text with one character for each."""
        return self.text(name, _MOST_READ).encode("latin-1", "replace")

    def names(self, name: str) -> list[str] | None:
        value = self._given.get(name)
        if value is not None and not (isinstance(value, list) and all(isinstance(item, str) for item in value)):
            message = f"{name} must be a name, a pattern such as '*.py', or a list of them"
            raise QuestionError(message)
        return value

    def span(self, size: int) -> tuple[int, int]:
        start = self.number("start", 0, size)
        return start, self.number("end", start, size)
