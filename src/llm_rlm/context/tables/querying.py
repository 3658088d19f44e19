"""`sql` in a process of its own: each request is answered from databases made of the files that its tables are in.

Two locks keep a statement of the root model from everything but the tables. `statement` looks at what it names. And it runs
on a connection to an empty database in memory, which lost its access to files before it was given any statement, and whose
settings are locked; what it may still attach, read-only, are databases in one folder, `tables`, made by `ingest` from the
files, each by a connection of its own. So a table that is named later needs no lock opened.
"""

from __future__ import annotations

import json
import math
import os
import re
import shutil
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .ingest import Clock, Limits, Source, ingest, spilling, sqlite_tables
from .statement import MOST_CHARACTERS, RefusedError, check

if TYPE_CHECKING:
    from collections.abc import Iterator

    import duckdb

NEEDS_EXTRA = "sql() needs the extra: pip install 'llm-rlm[sql]'"
SETUP = "tables.json"
"""The file in the working folder that lists the tables and limits."""

_TABLES, _SPILL = Path("tables"), Path("spill")
_MOST_ATTACHED = 64
"""Tables that are open at a time: each takes a file, of which a process has few."""
_MOST_VALUES = 500_000
"""Values of a reply."""
_MOST_ESCAPED = 12
"""Bytes of a character in JSON."""
_MOST_TYPE = 1000
_MOST_MESSAGE = 2000
_CUT = " … [cut here: the cell is longer]"
_EXACT_DIGITS = 15
"""Decimal digits that a float always holds."""

_PLAIN = frozenset(
    {
        *("BOOLEAN", "TINYINT", "SMALLINT", "INTEGER", "BIGINT", "HUGEINT", "UTINYINT", "USMALLINT", "UINTEGER", "UBIGINT"),
        *("UHUGEINT", "FLOAT", "DOUBLE", '"NULL"'),
    }
)
_NESTED = re.compile(r"(STRUCT|MAP|UNION)\(|VARIANT$|.*\]$", re.DOTALL)
_DECIMAL = re.compile(r"DECIMAL\((\d+),\d+\)$")


def prepare(request: dict[str, Any]) -> list[str]:
    """Import what requests need, while bytecode can still be kept. The folder that they work in."""
    with suppress(ImportError):
        import duckdb  # noqa: F401, PLC0415 - slow to import
    return [request["folder"]]


def serve(request: dict[str, Any]) -> dict[str, Any]:
    """Answer a request of `tables`; `error` is in the answer where that is what it is, in words for the root model."""
    try:
        if request["do"] == "inspect":
            return {"tables": [_inspected(path) for path in request["paths"]]}
        service = _service(request["folder"])
        if request["do"] == "query":
            return service.query(request["sql"], request["limit"], request["handle"])
        return service.page(request["handle"], request["start"], request["count"])
    except RefusedError as problem:
        return {"error": str(problem)}


def _inspected(path: str) -> list[str] | str:
    """The tables in a SQLite file, or why there are none."""
    try:
        return sqlite_tables(path)
    except RefusedError as problem:
        return str(problem)


_services: dict[str, _Service] = {}


def _service(folder: str) -> _Service:
    try:
        import duckdb  # noqa: F401, PLC0415 - slow to import
    except ImportError:
        raise RefusedError(NEEDS_EXTRA) from None
    if folder not in _services:
        _enter(folder)
        _services.clear()
        _services[folder] = _Service()
    return _services[folder]


def _enter(folder: str) -> None:
    """Work in the folder: then no name of a file says where that is. The folder that the process had is not needed."""
    before = os.getcwd()  # noqa: PTH109 - pathlib would do the same
    os.chdir(folder)
    if before != os.getcwd():  # noqa: PTH109 - as above
        with suppress(OSError):
            os.rmdir(before)  # noqa: PTH106 - as above


class _Service:
    """The tables of one run, and the connection that queries them."""

    def __init__(self) -> None:
        setup = json.loads(Path(SETUP).read_text())
        self._limits = Limits(**setup["limits"])
        self._sources = {each["table"]: Source(**each) for each in setup["tables"]}
        self._numbers = {name: number for number, name in enumerate(self._sources)}
        self._notes: dict[str, list[str]] = {}
        self._kept: dict[int, _Kept] = {}
        shutil.rmtree(_SPILL, ignore_errors=True)
        for folder in (_TABLES, _SPILL):
            folder.mkdir(exist_ok=True)
        self._connection = self._locked()
        views = "SELECT view_name FROM duckdb_views() WHERE internal"
        self._system = {str(name).lower() for (name,) in self._connection.execute(views).fetchall()}

    def _locked(self) -> duckdb.DuckDBPyConnection:
        """A connection that reaches no file but the databases in `tables`."""
        import duckdb  # noqa: PLC0415 - slow to import

        config: dict[str, str | bool | int | float | list[str]] = {
            "memory_limit": self._limits.memory,
            "threads": 2,
            "autoinstall_known_extensions": False,
            "autoload_known_extensions": False,
            "allow_community_extensions": False,
            "python_enable_replacements": False,
        }
        connection = duckdb.connect(":memory:", config=config)
        for statement in (
            *spilling(_SPILL / "querying", self._limits),
            f"SET allowed_directories = ['{_TABLES}']",
            "SET enable_external_access = false",
            "SET lock_configuration = true",
        ):
            connection.execute(statement).fetchall()
        return connection

    def query(self, sql: str, limit: int, handle: int) -> dict[str, Any]:
        """The first rows; the others can be had by `handle`."""
        if len(sql) > MOST_CHARACTERS:
            message = f"the statement has {len(sql):,} characters; {MOST_CHARACTERS:,} can be read"
            raise RefusedError(message)
        with _said():
            self._connection.extract_statements(sql)
            parsed = self._one("SELECT json_serialize_sql(?, skip_empty := true, skip_null := true)", [sql])
        statement = check(parsed, self._sources, self._system)
        if statement.show_tables:
            return self._listed(limit)
        clock = Clock(self._limits.reading_seconds)
        for name in statement.tables:
            self._attach(name, clock, statement.tables)
        self._keep(sql, handle)
        reply = self.page(handle, 0, limit)
        reply["tables"] = statement.tables
        reply["notes"] = [note for name in statement.tables for note in self._notes[name]]
        if reply["total"] == len(reply["rows"]):
            self._drop(handle)
            reply["handle"] = None
        return reply

    def page(self, handle: int, start: int, count: int) -> dict[str, Any]:
        """Rows of a result that is kept."""
        kept = self._kept.get(handle)
        if kept is None:
            message = "the rest of this result is not kept any more: run the query again"
            raise RefusedError(message)
        with _said():
            rows, cut = kept.rows(self._connection.cursor(), start, count, self._limits)
        total = kept.count if kept.count < self._limits.rows_kept else None
        return {
            "columns": [name for name, _ in kept.columns],
            "types": [kind[:_MOST_TYPE] for _, kind in kept.columns],
            "rows": rows,
            "total": total,
            "handle": handle,
            "cut": cut,
            "tables": [],
            "notes": [],
        }

    def _listed(self, limit: int) -> dict[str, Any]:
        rows = [[each.table, each.name, each.format] for each in self._sources.values()][:limit]
        return {
            "columns": ["table", "source", "format"],
            "types": ["VARCHAR"] * 3,
            "rows": rows,
            "total": len(self._sources),
            "handle": None,
            "cut": 0,
            "tables": [],
            "notes": [],
        }

    def _attach(self, name: str, clock: Clock, needed: list[str]) -> None:
        """Have the table there under its name, made from its file if this is the first time."""
        if name in self._notes:
            return
        number = self._numbers[name]
        database = _TABLES / f"{number}.db"
        if not database.exists():
            try:
                ingest(self._sources[name], database, self._limits, clock)
            except OSError as problem:
                message = f"{self._sources[name].name} cannot be read: {problem.strerror}"
                raise RefusedError(message) from None
        while len(self._notes) >= _MOST_ATTACHED and (idle := [each for each in self._notes if each not in needed]):
            self._detach(idle[0])
        made = json.loads(database.with_suffix(".json").read_text())
        with _said():
            self._run(f"ATTACH '{database}' AS \"source {number}\" (READ_ONLY)")
            self._run(f'CREATE VIEW main."{name}" AS {made["select"]} FROM "source {number}".main.data')
        self._notes[name] = made["notes"]

    def _detach(self, name: str) -> None:
        del self._notes[name]
        self._run(f'DROP VIEW main."{name}"')
        self._run(f'DETACH "source {self._numbers[name]}"')

    def _keep(self, sql: str, handle: int) -> None:
        """Run the statement, and keep what it gives in a table of its own, in the order in which it gives it."""
        import duckdb  # noqa: PLC0415 - slow to import

        while len(self._kept) >= self._limits.results_kept:
            self._drop(next(iter(self._kept)))
        clock = Clock(self._limits.seconds)
        table = f"_kept_{handle}"
        cursor = self._connection.cursor()
        try:
            with _said(), clock.running(cursor):
                cursor.query(sql).limit(self._limits.rows_kept).create(table)
        except duckdb.OutOfMemoryException:
            message = (
                f"the query needs more than the {self._limits.memory} of memory and {self._limits.spilled} of disk it may have"
            )
            raise RefusedError(message) from None
        finally:
            cursor.close()
        with _said():
            columns = [(str(row[0]), str(row[1])) for row in self._rows(f"DESCRIBE {table}")]
            count = int(self._one(f"SELECT count(*) FROM {table}"))  # noqa: S608 - our name
        self._kept[handle] = _Kept(table, columns, count)

    def _drop(self, handle: int) -> None:
        self._run(f"DROP TABLE {self._kept.pop(handle).table}")

    def _run(self, sql: str) -> None:
        self._rows(sql)

    def _one(self, sql: str, parameters: list[object] | None = None) -> Any:  # noqa: ANN401 - a value of SQL
        return self._rows(sql, parameters)[0][0]

    def _rows(self, sql: str, parameters: list[object] | None = None) -> list[tuple[Any, ...]]:
        return self._connection.execute(sql, parameters).fetchall()


class _said:  # noqa: N801 - stands in a `with` as a function would
    """Errors of DuckDB about the statement become errors for the root model; what is fatal to the database ends the process."""

    def __enter__(self) -> None:
        """Nothing."""

    def __exit__(self, kind: object, problem: BaseException | None, trace: object) -> None:
        """Raise RefusedError in its place."""
        import duckdb  # noqa: PLC0415 - slow to import

        passed = (duckdb.InterruptException, duckdb.OutOfMemoryException, duckdb.FatalException)
        if isinstance(problem, duckdb.Error) and not isinstance(problem, passed):
            raise RefusedError(_clean(str(problem))) from None


def _clean(said: str) -> str:
    """DuckDB's words without the names of folders, and without advice on settings that nobody here can set."""
    said = said.split("\n\nPossible ", maxsplit=1)[0]
    here = os.getcwd()  # noqa: PTH109 - a str
    for folder in {here, os.path.realpath(here)}:
        said = said.replace(folder + os.sep, "").replace(folder, "")
    return re.sub(r'\bsource (\d+)\.(main\.)?"?data"?', "the table", said)[:_MOST_MESSAGE]


class _Kept:
    """A result that is kept."""

    def __init__(self, table: str, columns: list[tuple[str, str]], count: int) -> None:
        self.table = table
        self.columns = columns
        self.count = count

    def rows(self, cursor: duckdb.DuckDBPyConnection, start: int, count: int, limits: Limits) -> tuple[list[list[Any]], int]:
        """Rows from `start` on, as JSON values, at most `count` and at most as many as fit in a reply; cells that were cut."""
        most = max(1, min(limits.cell, limits.reply // (_MOST_ESCAPED * len(self.columns)) - len(_CUT)))
        shown = [_shown(f'"{name.replace('"', '""')}"', kind, most) for name, kind in self.columns]
        expressions = ", ".join(expression for expression, _ in shown)
        cells = [_Cell(most, nested=nested) for _, nested in shown]
        end = min(self.count, start + count, start + max(1, _MOST_VALUES // len(cells)))
        rows: list[list[Any]] = []
        size = 0
        cursor.execute(f"SELECT {expressions} FROM {self.table} WHERE rowid >= {start} AND rowid < {end} ORDER BY rowid")  # noqa: S608 - ours
        for values in _fetched(cursor):
            row = [cell.value(value) for cell, value in zip(cells, values, strict=True)]
            size += len(json.dumps(row)) + 2
            if size > limits.reply and rows:
                break
            rows.append(row)
        cursor.close()
        return rows, sum(cell.cut for cell in cells)


def _fetched(cursor: duckdb.DuckDBPyConnection) -> Iterator[tuple[Any, ...]]:
    while rows := cursor.fetchmany(1000):
        yield from rows


def _shown(column: str, kind: str, most: int) -> tuple[str, bool]:
    """The expression that gives a column as what JSON can hold, and whether that is the text of a JSON value.

    Numbers are numbers; a DECIMAL of more digits than a float holds is its digits as text. Text longer than `most` is cut.
    """
    decimal = _DECIMAL.match(kind)
    if kind in _PLAIN:
        return column, False
    if decimal and int(decimal[1]) <= _EXACT_DIGITS:
        return f"CAST({column} AS DOUBLE)", False
    if kind == "BLOB":
        return f"'<' || octet_length({column}) || ' bytes>'", False
    nested = _NESTED.match(kind) is not None
    text = f"CAST(to_json({column}) AS VARCHAR)" if nested else f"CAST({column} AS VARCHAR)"
    return f"left({text}, {most + 1})", nested or kind == "JSON"


class _Cell:
    """What a column's values become."""

    def __init__(self, most: int, *, nested: bool) -> None:
        self._most = most
        self._nested = nested
        self.cut = 0

    def value(self, value: Any) -> Any:  # noqa: ANN401 - JSON values
        """A JSON value: NaN and the infinities are null, as JSON has none."""
        if isinstance(value, float):
            return value if math.isfinite(value) else None
        if not isinstance(value, str):
            return value
        if len(value) > self._most:
            self.cut += 1
            return value[: self._most] + _CUT
        return _parsed(value) if self._nested else value


def _parsed(text: str) -> Any:  # noqa: ANN401 - a JSON value
    """The value of a JSON text; the text itself where Python cannot hold it."""
    try:
        return json.loads(text, parse_constant=lambda _: None, parse_float=_finite)
    except (ValueError, RecursionError):
        return text


def _finite(digits: str) -> float | None:
    value = float(digits)
    return value if math.isfinite(value) else None
