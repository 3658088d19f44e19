"""BM25 over passages of the texts, by SQLite's FTS5. The index holds words and places, not the text.

A word is a run of letters and digits without its accents; identifiers are taken apart (`retry_policy`, `retryPolicy`), and
what is written without spaces, Chinese and Japanese, into characters, which are looked for in pairs. There is no stemming.
Where words stand has to be kept (FTS5's detail=full): else SQLite cannot compute BM25 in an index that does not hold the text.
"""

from __future__ import annotations

import os
import re
import sqlite3
from contextlib import closing, suppress
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

from llm_rlm.context.document import ChangedError

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
    from pathlib import Path

    from llm_rlm.context.document import Document

PASSAGE = 1500
"""About how many bytes a passage has."""

_LONGEST = 2 * PASSAGE
_BLOCK = 1 << 20
_BATCH = 200
"""Passages that are written at a time: 0.02 s."""
_VERSION = 2
_PHRASE = re.compile(r'"([^"]*)"')
_WORD = re.compile(r"\w+")
_CAMEL = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")
_SPACELESS = re.compile("[\u3005-\u3007\u3041-\u30ff\u3400-\u9fff\uf900-\ufaff\U00020000-\U0003fffd]")
_SPACELESS_RUN = re.compile(f"{_SPACELESS.pattern}+")
_KINDS = bytes(
    ord("a" if chr(code).islower() or chr(code).isdigit() else "A" if chr(code).isupper() else " ") for code in range(128)
)
_KINDS += b" " * 128
"""What kind of character a byte is: `aA` is a place where a word of an identifier ends."""
_MOST_WORDS = 64
_SCHEMA = """
create table spans (id integer primary key, document integer not null, start integer not null, length integer not null, line integer not null);
create virtual table words using fts5 (text, content='', tokenize="unicode61 remove_diacritics 2");
create table whole (version integer);
"""  # noqa: E501 - a table a line


@dataclass(frozen=True, slots=True)
class Passage:
    """A passage that fits a query."""

    document: int
    start: int
    end: int
    """Bytes of the document."""
    line: int
    """Its first line, from 1."""
    score: float
    """How well it fits: the higher the better."""
    text: str


class CancelledError(Exception):
    """Nobody waits for the index any longer."""


class Index:
    """An index that is whole."""

    def __init__(self, documents: Sequence[Document], path: Path) -> None:
        """Open the index of these documents."""
        self._documents = documents
        self._path = path

    @staticmethod
    def build(
        documents: Sequence[Document], path: Path, progress: Callable[[float], None], cancelled: Callable[[], bool]
    ) -> Index:
        """The index at `path`, made if it is not there. `progress` is told which share is done.

        Raises OSError, sqlite3.Error where the disk is full, ChangedError, and CancelledError.
        """
        if not _is_whole(path):
            new = path.with_name(f"{path.name}.{os.getpid()}.new")
            new.unlink(missing_ok=True)
            try:
                with closing(sqlite3.connect(new, isolation_level=None)) as db:
                    _fill(db, documents, progress, cancelled)
                new.replace(path)
            finally:
                new.unlink(missing_ok=True)
        progress(1.0)
        return Index(documents, path)

    def search(self, query: str, k: int, within: Collection[int] | None = None) -> list[Passage]:
        """The `k` passages that fit best, of the documents in `within`, if given. A query of no words finds nothing.

        Any of its words will do, and the rarer ones count for more; what stands in double quotes counts as one word.
        """
        wanted = " OR ".join(_terms(query))
        if not wanted:
            return []
        sql = (
            "select document, start, length, line, -bm25(words) as score from words join spans on spans.id = words.rowid"
            " where words match ? order by rank"
        )
        found: list[Passage] = []
        with closing(sqlite3.connect(f"{self._path.as_uri()}?mode=ro&immutable=1", uri=True)) as db:
            for document, start, length, line, score in db.execute(sql, (wanted,)):
                if within is not None and document not in within:
                    continue
                with suppress(ChangedError):
                    text = self._documents[document].read(start, start + length).decode("utf-8", "replace")
                    found.append(Passage(document, start, start + length, line, score, text))
                if len(found) >= k:
                    break
        return found


def _terms(query: str) -> list[str]:
    """What to look for, as quoted strings of FTS5: nothing in a query is syntax."""
    terms = [_quoted(_words(phrase)) for phrase in _PHRASE.findall(query)]
    for part in _WORD.findall(_PHRASE.sub(" ", query)):
        rest = part
        for run in _SPACELESS_RUN.findall(part):
            terms += [_quoted(pair) for pair in (pairwise(run) if len(run) > 1 else run)]
            rest = rest.replace(run, " ")
        words = _words(rest)
        terms += map(_quoted, ([word] for word in words))
        if len(words) > 1:  # an identifier: better together
            terms.append(_quoted(words))
    return [term for term in dict.fromkeys(terms) if term][:_MOST_WORDS]


def _words(text: str) -> list[str]:
    return [word for part in _WORD.findall(_spread(text)) for word in part.split("_") if word]


def _quoted(words: Iterable[str]) -> str:
    text = " ".join(words)
    return f'"{text}"' if text else ""


def _spread(text: str) -> str:
    """A text with its words apart."""
    text = _CAMEL.sub(" ", text).replace("_", " ")
    return text if text.isascii() else _SPACELESS.sub(r" \g<0> ", text)


def _spread_bytes(data: bytes) -> str:
    """The same, of bytes: most have no identifiers, and bytes tell that sooner."""
    text = data.decode("utf-8", "replace")
    if b"_" in data or b"aA" in data.translate(_KINDS):
        return _spread(text)
    return text if text.isascii() else _SPACELESS.sub(r" \g<0> ", text)


def _is_whole(path: Path) -> bool:
    if not path.exists():
        return False
    try:
        with closing(sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True)) as db:
            return bool(db.execute("select version from whole").fetchone() == (_VERSION,))
    except sqlite3.Error:  # broken: made anew
        return False


def _fill(
    db: sqlite3.Connection, documents: Sequence[Document], progress: Callable[[float], None], cancelled: Callable[[], bool]
) -> None:
    for pragma in ("journal_mode = off", "synchronous = off", "cache_size = -65536", "locking_mode = exclusive"):
        db.execute(f"pragma {pragma}")
    db.executescript(_SCHEMA)
    db.execute("insert into words (words, rank) values ('automerge', 8)")
    db.execute("begin")
    total, done, number = max(1, sum(document.size for document in documents)), 0, 0
    spans: list[tuple[int, int, int, int, int]] = []
    texts: list[tuple[int, str]] = []
    for at, document in enumerate(documents):
        line = 1
        for start, data in _passages(document):
            number += 1
            spans.append((number, at, start, len(data), line))
            texts.append((number, _spread_bytes(data)))
            line += data.count(b"\n")
            done += len(data)
            if len(spans) >= _BATCH:
                _write(db, spans, texts)
                progress(0.99 * done / total)
                if cancelled():
                    raise CancelledError
    _write(db, spans, texts)
    db.execute("insert into whole values (?)", (_VERSION,))
    db.execute("commit")


def _write(db: sqlite3.Connection, spans: list[tuple[int, int, int, int, int]], texts: list[tuple[int, str]]) -> None:
    db.executemany("insert into spans values (?, ?, ?, ?, ?)", spans)
    db.executemany("insert into words (rowid, text) values (?, ?)", texts)
    spans.clear()
    texts.clear()


def _passages(document: Document) -> Iterator[tuple[int, bytes]]:
    """The text cut at ends of paragraphs, lines or sentences, each passage with its offset."""
    base, rest = 0, b""
    for block in document.blocks(size=_BLOCK):
        data = rest + block
        at = 0
        while len(data) - at > _LONGEST:
            end = _end(data, at)
            yield base + at, data[at:end]
            at = end
        base, rest = base + at, data[at:]
    while len(rest) > _LONGEST:
        end = _end(rest, 0)
        yield base, rest[:end]
        base, rest = base + end, rest[end:]
    if rest:
        yield base, rest


def _end(data: bytes, at: int) -> int:
    """Where a passage that begins at `at` is best cut."""
    first, last = at + PASSAGE // 2, at + PASSAGE
    for cut in (b"\n\n", b"\n", b". ", b" "):
        found = data.rfind(cut, first, last)
        if found >= 0:
            return found + len(cut)
    end = last
    while data[end] & 0xC0 == 0x80 and end > first:  # noqa: PLR2004 - a continuation byte
        end -= 1
    return end
