"""`sql` over the files of the context that are tables: CSV, TSV, JSONL, Parquet and SQLite.

DuckDB answers, in a process with limits (`confined`, `querying`). A table is made from its file when a query first names it,
as a database in a private temporary folder; that folder outlives the process, so that a query that had to be killed costs
the next one nothing but a new process.

Every row says where it is from: the last column of a table from a CSV, TSV or JSONL file is `_line`, the line of the file that
the record begins on, from 1; or `_record`, the number of the row from 1, where lines could not be told, and for Parquet.

The values of rows are JSON: integers exact, of any size; FLOAT and DOUBLE as numbers, NaN and infinities as null; DECIMAL as a
number up to 15 digits of width, else as its digits in a str; dates, times, UUIDs, intervals and bits as DuckDB writes them
(`2024-05-01 12:00:00`); a BLOB as `<N bytes>`; lists, structs, maps and JSON as lists and dicts. Text (and JSON text) longer
than the limit of a cell is a str cut there, which says so at its end.
"""

from __future__ import annotations

import json
import re
import threading
from collections import Counter
from dataclasses import asdict, dataclass
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

from llm_rlm import leftovers
from llm_rlm.context.confined import Bounds, Confined, ConfinedError
from llm_rlm.context.document import Table
from llm_rlm.context.question import QuestionError

from .ingest import Limits, Source
from .querying import SETUP

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from llm_rlm.context.document import Document

_GRACE = 5.0
"""Seconds after the time of a query until its process is killed: DuckDB ends most queries itself, and keeps its tables open."""
_ADDRESS_SPACE = 6 << 30
_WRITTEN = 2 << 30
_POLLED = 0.05
_INSPECTING = 30.0
_PACKED = re.compile(r"\.(gz|zst|bz2|xz)$", re.IGNORECASE)
_OTHER = re.compile(r"[^a-z0-9_]+")
_MOST_NAME = 60

_RESERVED = frozenset(
    {
        *("all", "analyse", "analyze", "and", "anti", "any", "array", "as", "asc", "asof", "asymmetric", "at"),
        *("authorization", "between", "binary", "both", "by", "case", "cast", "check", "collate", "collation", "column"),
        *("columns", "concurrently", "constraint", "create", "cross", "databases", "default", "deferrable", "desc"),
        *("describe", "distinct", "do", "else", "end", "except", "false", "fetch", "for", "foreign", "freeze", "from"),
        *("full", "generated", "glob", "grant", "group", "having", "ilike", "in", "initially", "inner", "intersect"),
        *("into", "is", "isnull", "join", "lambda", "lateral", "leading", "left", "like", "limit", "map", "natural", "not"),
        *("notnull", "null", "offset", "on", "only", "or", "order", "outer", "overlaps", "pivot", "pivot_longer"),
        *("pivot_wider", "placing", "positional", "primary", "qualify", "references", "returning", "right", "schemas"),
        *("select", "semi", "show", "similar", "some", "struct", "summarize", "symmetric", "table", "tables"),
        *("tablesample", "then", "to", "trailing", "true", "try_cast", "tuple", "union", "unique", "unpack", "unpivot"),
        *("using", "values", "variables", "variadic", "verbose", "when", "where", "window", "with"),
    }
)
"""Words that DuckDB does not take as the name of a table without quotes."""


class QueryError(QuestionError):
    """A query that could not be answered. The message is fit for the root model: DuckDB's own words, without host paths."""


@dataclass(frozen=True)
class Rows:
    """Rows of a result."""

    columns: list[str]
    """Names, each different from the others."""
    types: list[str]
    """DuckDB's type of each column."""
    rows: list[list[Any]]
    """JSON values, a list for each row."""
    total: int | None
    """Rows of the whole result; None where it is longer than what is kept (a million rows)."""
    handle: int | None
    """What `more` gives the other rows by; None where these are all."""
    tables: list[str]
    """The tables that the query named."""
    cut: int = 0
    """Cells that are given in part."""
    notes: list[str] | None = None
    """What is to be known of the tables: lines that could not be read, files without a line of column names."""


class Tables:
    """The tables of a context. May be asked from several threads; one query runs at a time."""

    def __init__(self, files: Sequence[Document | Table], limits: Limits | None = None) -> None:
        """Nothing is read or started."""
        self._files = [(each, form) for each in files if (form := each.format if isinstance(each, Table) else each.table)]
        self._limits = limits or Limits()
        largest = max((file.size for file, _ in self._files), default=0)
        bounds = Bounds(
            memory=_ADDRESS_SPACE,
            seconds=self._seconds,
            cpu_seconds=4 * self._seconds,
            written=_WRITTEN + 4 * largest,
        )
        self._process = Confined("llm_rlm.context.tables.querying", bounds)
        self._lock = threading.Lock()
        self._folder: leftovers.Folder | None = None
        self._sources: list[Source] | None = None
        self._handles = 0

    @property
    def names(self) -> list[dict[str, str]]:
        """The `table`s there are, the `source` of each and its `format`.

        Starts the process where there is a SQLite file: it is hostile like any other, and has its tables' names in it.
        """
        with self._lock:
            return [{"table": each.table, "source": each.name, "format": each.format} for each in self._named()]

    def query(self, sql: str, limit: int, cancelled: Callable[[], bool]) -> Rows:
        """The first `limit` rows that a query gives, or as many as a reply can hold. Raises QueryError."""
        with _Turn(self._lock, cancelled):
            self._handles += 1
            request = {"do": "query", "sql": sql, "limit": max(0, limit), "handle": self._handles}
            return self._asked(request, cancelled)

    def more(self, handle: int, start: int, count: int, cancelled: Callable[[], bool] | None = None) -> Rows:
        """Rows of a result from `start` on (0 is the first). The last few results are kept. Raises QueryError."""
        with _Turn(self._lock, cancelled):
            return self._asked({"do": "more", "handle": handle, "start": max(0, start), "count": max(0, count)}, cancelled)

    def close(self) -> None:
        """End the process and remove the databases."""
        self._process.close()
        with self._lock:
            if self._folder is not None:
                self._folder.remove()
                self._folder = None

    @property
    def _seconds(self) -> float:
        return self._limits.seconds + self._limits.reading_seconds + _GRACE

    def _asked(self, request: dict[str, object], cancelled: Callable[[], bool] | None) -> Rows:
        self._set_up()
        reply = self._ask(request, self._seconds, cancelled)
        return Rows(**reply)

    def _ask(self, request: dict[str, object], seconds: float, cancelled: Callable[[], bool] | None) -> dict[str, Any]:
        try:
            reply: dict[str, Any] = self._process.ask(request | {"folder": self._work()}, seconds, cancelled)
        except ConfinedError as problem:
            message = f"the query {problem.reason}"
            raise QueryError(message) from None
        if "error" in reply:
            raise QueryError(reply["error"])
        return reply

    def _work(self) -> str:
        """The folder to work in, the only one that the process may write in."""
        if self._folder is None:
            self._folder = leftovers.Folder("sql")
        return self._folder.path

    def _set_up(self) -> None:
        """Put the list of tables into the folder."""
        path = Path(self._work(), SETUP)
        if not path.exists():
            setup = {"tables": [asdict(each) for each in self._named()], "limits": asdict(self._limits)}
            path.write_text(json.dumps(setup))

    def _named(self) -> list[Source]:
        if self._sources is None:
            inner = self._inner_tables()
            given = _named((PurePosixPath(file.name).name, inner.get(file.path)) for file, _ in self._files)
            self._sources = [
                Source(name, file.name, file.path, file.size, form, table)
                for (file, form), names in zip(self._files, given, strict=True)
                for name, table in names
            ]
        return self._sources

    def _inner_tables(self) -> dict[str, list[str]]:
        """The tables in each SQLite file; none of its own where the file cannot be read, which a query of it then says."""
        paths = [file.path for file, form in self._files if form == "sqlite"]
        if not paths:
            return {}
        try:
            found = self._ask({"do": "inspect", "paths": paths}, _INSPECTING, None)["tables"]
        except QueryError:
            return {}
        return {path: tables for path, tables in zip(paths, found, strict=True) if isinstance(tables, list)}


class _Turn:
    """A turn at the process, or QueryError when it is cancelled before it comes."""

    def __init__(self, lock: threading.Lock, cancelled: Callable[[], bool] | None) -> None:
        self._lock = lock
        self._cancelled = cancelled

    def __enter__(self) -> None:
        while not self._lock.acquire(timeout=_POLLED):
            if self._cancelled is not None and self._cancelled():
                message = "the query was cancelled"
                raise QueryError(message)

    def __exit__(self, *_: object) -> None:
        self._lock.release()


def _named(files: Iterable[tuple[str, list[str] | None]]) -> Iterator[list[tuple[str, str | None]]]:
    """For each file, the names of its tables in SQL, each with the table's own name in a SQLite file.

    A file's name without what stands after its last dot; for a table in a SQLite file its own name, after that of the file
    where another table has it too. Those that are still alike are numbered.
    """
    files = [(_cleaned(_stem(name)), tables) for name, tables in files]
    times = Counter(each for stem, tables in files for each in ([stem] if tables is None else map(_cleaned, tables)))
    taken: set[str] = set()
    for stem, tables in files:
        if tables is None:
            yield [(_numbered(stem, taken), None)]
        else:
            wanted = [(cleaned if times[cleaned := _cleaned(each)] == 1 else f"{stem}_{cleaned}", each) for each in tables]
            yield [(_numbered(name, taken), each) for name, each in wanted]


def _stem(name: str) -> str:
    return PurePosixPath(_PACKED.sub("", name)).stem


def _cleaned(name: str) -> str:
    """The name as SQL takes it without quotes."""
    name = _OTHER.sub("_", name.lower())[:_MOST_NAME].strip("_")
    return f"t_{name}".rstrip("_") if not name or name[0].isdigit() or name in _RESERVED else name


def _numbered(name: str, taken: set[str]) -> str:
    number, free = 1, name
    while free in taken:
        number += 1
        free = f"{name}_{number}"
    taken.add(free)
    return free
