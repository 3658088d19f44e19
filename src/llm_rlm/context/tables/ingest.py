"""From a CSV, TSV, JSONL, Parquet or SQLite file to a DuckDB database with the one table `data`.

Runs in a process with limits, in a working folder of its own, by fixed statements: nothing here is from the root model.
"""

from __future__ import annotations

import csv
import json
import os
import shutil
import sqlite3
import threading
import time
from collections import Counter
from contextlib import closing, contextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from .statement import RefusedError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    import duckdb

_SOURCE = Path("source")
"""The file as the statements name it: its own name may hold `*`, which is a pattern to DuckDB, and is nobody's business."""

_SPILL = Path("spill", "reading")
_BLOCK = 1 << 20
_SAMPLE = 20_480
_MOST_LINE = 16_000_000
_MOST_ATTEMPTS = 6
_MARKED = 10_000
_BOM = b"\xef\xbb\xbf"
_SQLITE_START = b"SQLite format 3\0"
_NULLS = "nullstr=['', '\\N']"
_COMMON = f"comment='', {_NULLS}"
_PATIENT = "null_padding=true, ignore_errors=true"


@dataclass(frozen=True)
class Source:
    """A table of the context, and the file that it is in."""

    table: str
    """What it is called in SQL."""
    name: str
    """What the file is called in the context."""
    path: str
    size: int
    format: str
    inner: str | None = None
    """The table in a SQLite file."""


@dataclass(frozen=True)
class Limits:
    """What queries may take."""

    seconds: float = 60.0
    """Seconds for a query, once its tables are ready."""
    reading_seconds: float = 900.0
    """Seconds for making the tables that a query names first ready, all together."""
    memory: str = "1GB"
    """Memory that DuckDB may use for a query, and again for making a table."""
    spilled: str = "8GB"
    """What it may put on disk for one of these when memory does not suffice, and for results that are kept."""
    reply: int = 8_000_000
    """Bytes of the rows of one reply, as JSON."""
    cell: int = 100_000
    """Characters of a cell: longer ones are cut."""
    rows_kept: int = 1_000_000
    """Rows of a result that can be had: a longer one is not computed to its end."""
    results_kept: int = 4
    """Results of which the rest can be had; the oldest is dropped for a new one."""


class Clock:
    """The time that is left."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self._end = time.monotonic() + seconds

    def left(self) -> float:
        """Seconds, more than 0. Raises RefusedError when there are none."""
        left = self._end - time.monotonic()
        if left <= 0:
            raise self.over()
        return left

    def over(self) -> RefusedError:
        """The error."""
        return RefusedError(f"took longer than {self.seconds:g} s")

    @contextmanager
    def running(self, connection: duckdb.DuckDBPyConnection) -> Iterator[None]:
        """Statements of the connection are interrupted at the end of the time."""
        from duckdb import InterruptException  # noqa: PLC0415 - slow to import

        timer = threading.Timer(self.left(), connection.interrupt)
        timer.daemon = True
        timer.start()
        try:
            yield
        except InterruptException:
            raise self.over() from None
        finally:
            timer.cancel()


def ingest(source: Source, target: Path, limits: Limits, clock: Clock) -> None:
    """Make the database `target`, and `target` with `.json`: how to query it (`select`), and `notes` for the root model.

    Raises RefusedError.
    """
    part = target.with_suffix(".part")
    try:
        with _staged(source):
            made = _Making(source, part, limits, clock).make()
    finally:
        for leftover in (_SOURCE, *_SIDE_FILES):
            leftover.unlink(missing_ok=True)
    target.with_suffix(".json").write_text(json.dumps(made))
    part.replace(target)  # Windows renames over nothing


_LINES = Path("lines.csv")
_ROWS = Path("rows.csv")
_DECODED = Path("decoded")
_NUMBERED = Path("numbered.part")
_SIDE_FILES = (*(Path(f"source{end}") for end in ("-wal", "-shm", "-journal")), _LINES, _ROWS, _DECODED, _NUMBERED)


def spilling(folder: Path, limits: Limits) -> list[str]:
    """Statements that bound what a connection puts on disk. As options of `connect` they are shown, but do not hold."""
    return [f"SET temp_directory = '{folder}'", f"SET max_temp_directory_size = '{limits.spilled}'"]


def sqlite_tables(path: str) -> list[str]:
    """The names of the tables in a SQLite file. Raises RefusedError."""
    try:
        with closing(_open_sqlite(Path(path))) as database:
            rows = database.execute(
                "SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\'"
                " AND sql NOT LIKE 'CREATE VIRTUAL%' ORDER BY rootpage"
            )
            return [str(name) for (name,) in rows]
    except (sqlite3.Error, OSError) as problem:
        message = f"is no SQLite file that can be read: {problem}"
        raise RefusedError(message) from None


@contextmanager
def _staged(source: Source) -> Iterator[None]:
    """The file stands at `_SOURCE`: linked, or copied up to its size in the run where it has grown since."""
    _SOURCE.unlink(missing_ok=True)
    try:
        size = os.stat(source.path).st_size  # noqa: PTH116 - a str may hold bytes that are no text
    except OSError as problem:
        message = f"{source.name} was there when the run began and cannot be read now: {problem.strerror}"
        raise RefusedError(message) from None
    if size < source.size or (size != source.size and source.format in ("parquet", "sqlite")):
        message = f"{source.name} has changed since the run began, and is not read"
        raise RefusedError(message)
    if size > source.size:
        _copy(source.path, source.size)
    else:
        try:
            os.symlink(source.path, _SOURCE)  # noqa: PTH211 - a str may hold bytes that are no text
        except OSError:  # Windows lets few users make links
            _copy(source.path, source.size)
    if source.format == "sqlite":
        _bring_journal(source.path)
    yield


def _copy(path: str, size: int) -> None:
    with open(path, "rb") as file, _SOURCE.open("wb") as copy:  # noqa: PTH123 - a str may hold bytes that are no text
        while size > 0 and (block := file.read(min(size, _BLOCK))):
            size -= copy.write(block)


def _bring_journal(path: str) -> None:
    """What a program that uses the SQLite file has not yet put into it; then both are copied, as SQLite writes to them."""
    beside = [end for end in ("-wal", "-journal") if os.path.exists(path + end) and os.path.getsize(path + end)]  # noqa: PTH110, PTH202 - as above
    if beside:
        _SOURCE.unlink()
        shutil.copyfile(path, _SOURCE)
    for end in beside:
        shutil.copyfile(path + end, f"{_SOURCE}{end}")


class _Making:
    """One table on its way into a database."""

    def __init__(self, source: Source, part: Path, limits: Limits, clock: Clock) -> None:
        self._source = source
        self._part = part
        self._limits = limits
        self._clock = clock
        self._path = _SOURCE
        self._notes: list[str] = []

    def make(self) -> dict[str, Any]:
        """What to query it with, and the notes."""
        kinds = {"csv": self._csv, "tsv": self._csv, "jsonl": self._jsonl, "parquet": self._parquet, "sqlite": self._sqlite}
        select = kinds[self._source.format]()
        return {"select": select, "notes": list(dict.fromkeys(self._notes))}

    @contextmanager
    def _database(self) -> Iterator[duckdb.DuckDBPyConnection]:
        """A new database at `_part`."""
        import duckdb  # noqa: PLC0415 - slow to import

        self._part.unlink(missing_ok=True)
        config: dict[str, str | bool | int | float | list[str]] = {
            "memory_limit": self._limits.memory,
            "threads": 2,
            "autoinstall_known_extensions": False,
            "autoload_known_extensions": False,
            "python_enable_replacements": False,
        }
        with closing(duckdb.connect(str(self._part), config=config)) as connection, self._clock.running(connection):
            for statement in spilling(_SPILL, self._limits):
                connection.execute(statement).fetchall()
            try:
                yield connection
            except (duckdb.InterruptException, RefusedError):
                raise
            except duckdb.Error as problem:
                raise self._unreadable(str(problem)) from None

    def _unreadable(self, said: str) -> RefusedError:
        """DuckDB's own words, as far as they are about the file and not about DuckDB's options."""
        said = said.split("\nPossible ", maxsplit=1)[0].split("\n  file ", maxsplit=1)[0].split("\nLINE ", maxsplit=1)[0]
        said = said.replace(f'"{self._path}"', self._source.name).replace(f"'{self._path}'", self._source.name)
        return RefusedError(
            f"{self._source.name} cannot be read as {self._source.format.upper()}: {' '.join(said.split())[:500]}"
        )

    # CSV and TSV

    def _csv(self) -> str:
        texts: set[str] = set()
        parallel = True
        for _ in range(_MOST_ATTEMPTS):
            dialect = self._sniffed()
            with self._database() as connection:
                try:
                    connection.execute(dialect.reading(self._path, texts, parallel=parallel)).fetchall()
                except Exception as problem:
                    if parallel and "quoted new lines" in str(problem):
                        parallel = False
                        continue
                    raise
                rejected = _rejected(connection)
                if self._path != _DECODED and any("UNICODE" in each.error or "ENCODING" in each.error for each in rejected):
                    self._decode()
                    continue
                wrong = {each.column for each in rejected if each.error == "CAST"} - texts
                if wrong:
                    texts |= wrong
                    continue
                return self._with_lines(connection, dialect, rejected)
        message = f"{self._source.name} cannot be read as {self._source.format.upper()}"
        raise RefusedError(message)

    def _sniffed(self) -> _Dialect:
        """What DuckDB finds out about the file.

        It guesses a delimiter from what makes the most columns, and the more readily where lines may differ in length. So what
        the name of the file says is tried first, and lines of all lengths last.
        """
        with self._database() as connection:
            if self._source.format == "tsv":
                found = self._sniff(connection, f"delim='\\t', {_PATIENT}")
            else:
                found = (
                    self._fitting(connection, "delim=','", whole=True)
                    or self._fitting(connection)
                    or self._sniff(connection, _PATIENT)
                )
        quote, escape = _option(found["Quote"]), _option(found["Escape"])
        if not quote and not self._has_quotes():
            quote = '"'
        if found["SkipRows"]:
            first = found["SkipRows"] + 1
            self._notes.append(f"{self._source.name}: what stands before line {first} is taken for no part of the table")
        if not found["HasHeader"]:
            self._notes.append(f"{self._source.name} has no line with column names")
        return _Dialect(
            delimiter=_option(found["Delimiter"]) or ",",
            quote=quote,
            escape=(escape or quote) if quote else "",
            newline=found["NewLineDelimiter"],
            skip=int(found["SkipRows"]),
            header=bool(found["HasHeader"]),
            columns=_distinct((each["name"], each["type"]) for each in found["Columns"]),
        )

    def _sniff(self, connection: duckdb.DuckDBPyConnection, way: str) -> dict[str, Any]:
        options = f"{way}, sample_size={_SAMPLE}, max_line_size={_MOST_LINE}, {_COMMON}".removeprefix(", ")
        cursor = connection.execute(f"FROM sniff_csv({_literal(self._path)}, {options})")
        return dict(zip([each[0] for each in cursor.description], cursor.fetchall()[0], strict=True))

    def _fitting(self, connection: duckdb.DuckDBPyConnection, way: str = "", *, whole: bool = False) -> dict[str, Any] | None:
        """The same, if it is a table of several columns: `whole` if no line stands before it."""
        import duckdb  # noqa: PLC0415 - slow to import

        try:
            found = self._sniff(connection, way)
        except duckdb.InvalidInputException:
            return None
        return found if len(found["Columns"]) > 1 and not (whole and found["SkipRows"]) else None

    def _has_quotes(self) -> bool:
        """Whether what was looked at has quotes: then they are none. Otherwise what comes later may have them."""
        with self._path.open("rb") as file:
            return any(b'"' in line for line in islice(file, _SAMPLE))

    def _with_lines(self, connection: duckdb.DuckDBPyConnection, dialect: _Dialect, rejected: list[_Rejected]) -> str:
        """The query that gives each row the line it begins on.

        Rows are in the order of the file. Where there are as many lines as rows, each row is one line, and its number needs
        no space. Otherwise (line breaks in quotes, empty lines, lines that could not be read) records are counted through
        once more. Where that gives another number of rows than DuckDB's, rows are numbered, not lines.
        """
        if rejected:
            first = min(rejected, key=lambda each: each.line)
            many = len({each.start for each in rejected})
            self._notes.append(f"{self._source.name}: {_lines(many)} not read; the first is line {first.line}: {first.message}")
        head = dialect.skip + dialect.header
        rows = _count(connection)
        if _lines_in(self._path) == head + rows:
            return _numbered(connection, "_line", head + 1)
        dropped = {each.start for each in rejected}
        for blanks in (False, True):
            with self._path.open("rb") as file:
                records = (line for start, line in self._records(file, dialect, blanks=blanks) if start not in dropped)
                if self._write_lines(records, dialect.header) == rows:
                    return self._joined(connection)
        return _numbered(connection, "_record", 1)

    def _records(self, file: BinaryIO, dialect: _Dialect, *, blanks: bool) -> Iterator[tuple[int, int]]:
        """Where each record begins: byte and line. A line break in quotes ends none: then the quotes so far are odd."""
        quote = dialect.quote.encode()
        escaped = dialect.escape.encode() + quote if dialect.escape != dialect.quote else b""
        start, first, odd = 0, 1, False
        place = 0
        for number, line in enumerate(file, 1):
            if number % _MARKED == 0:
                self._clock.left()
            if not odd:
                start, first = place, number
            place += len(line)
            if number <= dialect.skip:
                continue
            if quote and quote in line:
                odd ^= (line.count(quote) - (line.count(escaped) if escaped else 0)) % 2 == 1
            if not odd and (blanks or first != number or line.strip(b"\r\n")):
                yield start, first

    def _write_lines(self, records: Iterable[int], header: bool) -> int:  # noqa: FBT001 - a number of lines
        """Write the numbers of all but the header; how many."""
        count = -int(header)
        with _LINES.open("w", encoding="ascii", newline="\n") as file:
            for line in records:
                if count >= 0:
                    file.write(f"{line}\n")
                count += 1
        return count

    def _joined(self, connection: duckdb.DuckDBPyConnection) -> str:
        """Put the numbers beside the rows, in a database of its own, which then takes the place of the other."""
        name = _free("_line", _columns(connection))
        _NUMBERED.unlink(missing_ok=True)
        lines = f"read_csv({_literal(_LINES)}, auto_detect=false, delim=',', header=false, columns={{line: 'BIGINT'}})"
        rows = f"SELECT d.*, l.line AS {_identifier(name)} FROM data d POSITIONAL JOIN {lines} l"  # noqa: S608 - quoted
        connection.execute(f"ATTACH {_literal(_NUMBERED)} AS numbered").fetchall()
        connection.execute(f"CREATE TABLE numbered.main.data AS {rows}").fetchall()
        connection.execute("DETACH numbered").fetchall()
        connection.close()
        _NUMBERED.replace(self._part)
        return "SELECT *"

    def _decode(self) -> None:
        """What is not UTF-8 is replaced, as in the text that the root model sees."""
        replaced = 0
        with self._path.open(encoding="utf-8", errors="replace", newline="") as file, _DECODED.open("wb") as decoded:
            while text := file.read(_BLOCK):
                self._clock.left()
                replaced += text.count("\N{REPLACEMENT CHARACTER}")
                decoded.write(text.encode().removeprefix(b"" if decoded.tell() else _BOM))
        self._path = _DECODED
        self._notes = [f"{self._source.name} is not all UTF-8: {replaced:,} U+FFFD stand in the table for what is not"]

    # JSON lines

    def _jsonl(self) -> str:
        with self._path.open("rb") as file:
            if file.read(len(_BOM)) == _BOM:
                self._decode()
                self._notes = []
        try:
            return self._read_jsonl()
        except RefusedError as problem:
            if self._path == _DECODED or not any(word in str(problem).lower() for word in ("unicode", "utf-8", "utf8")):
                raise self._at_line(problem) from None
        self._decode()
        try:
            return self._read_jsonl()
        except RefusedError as problem:
            raise self._at_line(problem) from None

    def _at_line(self, problem: RefusedError) -> RefusedError:
        """The error with the first line that is not JSON: DuckDB's own count of lines is sometimes off by one."""
        if "Malformed JSON" not in str(problem):
            return problem
        with self._path.open("rb") as file:
            for number, line in enumerate(file, 1):
                if number % _MARKED == 0:
                    self._clock.left()
                if line.strip() and (wrong := _not_json(line)):
                    return RefusedError(f"{self._source.name} is not JSON on line {number}: {wrong}")
        return problem

    def _read_jsonl(self) -> str:
        with self._database() as connection:
            connection.execute(
                f"CREATE TABLE data AS FROM read_json({_literal(self._path)}, format='newline_delimited', sample_size=-1,"
                f" maximum_object_size={_MOST_LINE}, compression='uncompressed')"
            ).fetchall()
            rows = _count(connection)
            if _lines_in(self._path) == rows:
                return _numbered(connection, "_line", 1)
            with self._path.open("rb") as file:
                if self._write_lines((number for number, line in enumerate(file, 1) if line.strip()), header=False) == rows:
                    return self._joined(connection)
            return _numbered(connection, "_record", 1)

    # Formats that are no text

    def _parquet(self) -> str:
        with self._database() as connection:
            connection.execute(
                f"CREATE TABLE data AS FROM read_parquet({_literal(self._path)}, hive_partitioning=false)"
            ).fetchall()
            return _numbered(connection, "_record", 1)

    def _sqlite(self) -> str:
        try:
            with closing(_open_sqlite(self._path)) as database:
                database.text_factory = lambda data: data.decode("utf-8", "replace")
                columns = self._write_rows(database)
        except sqlite3.Error as problem:
            self._clock.left()
            raise self._unreadable(str(problem)) from None
        names = ", ".join(f"c{number}: 'VARCHAR'" for number in range(len(columns)))
        values = ", ".join(
            f"{_VALUES[kind].format(f'c{number}')} AS {_identifier(name)}" for number, (name, kind) in enumerate(columns)
        )
        options = (
            "auto_detect=false, header=false, delim=',', quote='\"', escape='\"', nullstr='', allow_quoted_nulls=false,"
            f" new_line='\\n', max_line_size={_MOST_LINE}, columns={{n: 'BIGINT', {names}}}"
        )
        rows = f"SELECT {values} FROM read_csv({_literal(_ROWS)}, {options})"  # noqa: S608 - quoted
        with self._database() as connection:
            connection.execute(f"CREATE TABLE data AS {rows}").fetchall()
        return "SELECT *"

    def _write_rows(self, database: sqlite3.Connection) -> list[tuple[str, str]]:
        """Put the rows into a CSV file; the names of the columns and what is in them: SQLite itself has no types."""
        table = _identifier(self._source.inner or "")
        # A statement of SQLite can take forever: what it asks after every so many steps is whether to give up.
        database.set_progress_handler(self._is_over, _MARKED)
        names = [str(each[0]) for each in database.execute(f"SELECT * FROM {table} LIMIT 0").description]  # noqa: S608 - quoted
        kinds: list[Counter[type]] = [Counter() for _ in names]
        with _ROWS.open("w", encoding="utf-8", newline="") as file:
            writer = csv.writer(file, quoting=csv.QUOTE_NOTNULL, lineterminator="\n")
            for number, row in enumerate(database.execute(f"SELECT * FROM {table}"), 1):  # noqa: S608 - quoted
                for kind, value in zip(kinds, row, strict=True):
                    kind[type(value)] += 1
                writer.writerow([number, *(value.hex() if isinstance(value, bytes) else value for value in row)])
        return _distinct(zip(names, (_kind(each) for each in kinds), strict=True))

    def _is_over(self) -> int:
        try:
            self._clock.left()
        except RefusedError:
            return 1
        return 0


_VALUES = {"int": "CAST({} AS BIGINT)", "float": "CAST({} AS DOUBLE)", "bytes": "unhex({})", "str": "{}"}


def _kind(found: Counter[type]) -> str:
    """What the values of a column have in common; text where they are mixed (bytes among text are then their hex)."""
    kinds = {kind for kind in found if kind is not type(None)}
    if kinds == {int}:
        return "int"
    if kinds and kinds <= {int, float}:
        return "float"
    return "bytes" if kinds == {bytes} else "str"


def _open_sqlite(path: Path) -> sqlite3.Connection:
    """Read-only; `immutable` so that SQLite makes no files beside the user's."""
    with path.open("rb") as file:
        if file.read(len(_SQLITE_START)) not in (_SQLITE_START, b""):
            message = "file is not a database"
            raise sqlite3.DatabaseError(message)
    journal = any(Path(f"{path}{end}").exists() for end in ("-wal", "-journal")) and path == _SOURCE
    uri = f"{path.absolute().as_uri()}?mode=rw" if journal else f"{path.absolute().as_uri()}?mode=ro&immutable=1"
    database = sqlite3.connect(uri, uri=True)
    database.execute("PRAGMA trusted_schema = OFF")
    database.execute("PRAGMA query_only = ON")
    return database


@dataclass(frozen=True)
class _Dialect:
    delimiter: str
    quote: str
    escape: str
    newline: str
    skip: int
    header: bool
    columns: list[tuple[str, str]]

    def reading(self, path: Path, texts: set[str], *, parallel: bool) -> str:
        """The statement that reads a file into `data`. Columns in `texts` are text, whatever the sample said of them."""
        columns = ", ".join(
            f"{_literal(name)}: {_literal('VARCHAR' if name in texts else kind)}" for name, kind in self.columns
        )
        return (
            f"CREATE TABLE data AS FROM read_csv({_literal(path)}, auto_detect=false, delim={_literal(self.delimiter)},"
            f" quote={_literal(self.quote)}, escape={_literal(self.escape)}, new_line={_literal(self.newline)},"
            f" skip={self.skip}, header={self.header}, columns={{{columns}}}, compression='none', max_line_size={_MOST_LINE},"
            f" store_rejects=true, rejects_limit=0, parallel={parallel}, {_COMMON}, {_PATIENT})"
        )


@dataclass(frozen=True)
class _Rejected:
    line: int
    start: int
    column: str
    error: str
    message: str


def _rejected(connection: duckdb.DuckDBPyConnection) -> list[_Rejected]:
    rows = connection.execute(
        "SELECT line, line_byte_position, column_name, error_type, error_message FROM reject_errors ORDER BY line"
    ).fetchall()
    return [
        _Rejected(line, start - 1 if start else 0, column or "", str(error).upper(), str(message).split("\n")[0])
        for line, start, column, error, message in rows
    ]


def _not_json(line: bytes) -> str | None:
    """What is wrong with a line; None where it is a JSON value, or too deep to tell."""
    try:
        json.loads(line)
    except RecursionError:
        return None
    except ValueError as problem:
        return str(problem)
    return None


def _count(connection: duckdb.DuckDBPyConnection) -> int:
    return int(connection.execute("SELECT count(*) FROM data").fetchall()[0][0])


def _columns(connection: duckdb.DuckDBPyConnection) -> list[str]:
    return [str(row[0]) for row in connection.execute("DESCRIBE data").fetchall()]


def _numbered(connection: duckdb.DuckDBPyConnection, name: str, first: int) -> str:
    """The query that counts the rows from `first` on. They stand in the order of the file: DuckDB keeps it."""
    return f"SELECT *, rowid + {first} AS {_identifier(_free(name, _columns(connection)))}"


def _free(name: str, taken: Iterable[str]) -> str:
    """The name, or the next that no column has."""
    lower = {each.lower() for each in taken}
    return next(each for each in (name, *(f"{name}_{number}" for number in range(1, len(lower) + 2))) if each not in lower)


def _distinct(columns: Iterable[tuple[str, str]]) -> list[tuple[str, str]]:
    """The columns with names that differ, also without regard to case."""
    given: dict[str, tuple[str, str]] = {}
    for name, kind in columns:
        free = _free(name.lower(), given)
        given[free] = (name + free.removeprefix(name.lower()), kind)
    return list(given.values())


def _lines_in(path: Path) -> int:
    """Lines of a file, with a last one that has no end."""
    count, last = 0, b"\n"
    with path.open("rb", buffering=0) as file:
        while block := file.read(_BLOCK):
            count += block.count(b"\n")
            last = block[-1:]
    return count + (last != b"\n")


def _lines(count: int) -> str:
    return "1 line was" if count == 1 else f"{count:,} lines were"


def _option(value: str | None) -> str:
    return "" if value in (None, "(empty)", "\0") else str(value)


def _literal(text: str | Path) -> str:
    return "'" + str(text).replace("'", "''") + "'"


def _identifier(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'
