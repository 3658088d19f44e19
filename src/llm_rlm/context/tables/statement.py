"""What a statement of the root model may be: one query, over the tables there are, with functions that stay in the database.

DuckDB's own parser says what a statement holds (`json_serialize_sql`), so that no trick of spelling hides a name. This is
the first of two locks; the other is the connection that the statement runs on, which reaches no file (see `querying`).
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Container, Iterator, Mapping, Sequence

MOST_CHARACTERS = 100_000
"""Characters of a statement."""

_QUERIES = frozenset({"SELECT_NODE", "SET_OPERATION_NODE", "RECURSIVE_CTE_NODE", "CTE_NODE"})
"""What a query is made of. DuckDB 2 lets INSERT, UPDATE and DELETE stand in a WITH: they are nodes too."""

_TABLE_FUNCTIONS = frozenset(
    {"generate_series", "generate_subscripts", "json_each", "json_tree", "range", "repeat", "repeat_row", "unnest"}
)
"""Functions that may stand after FROM. The others read files, memory, settings, or run SQL that is given as text."""

_FUNCTIONS_REFUSED = frozenset(
    {
        *("current_setting", "getvariable", "getenv", "nextval", "currval", "setval", "write_log", "sleep_ms", "pg_sleep"),
        *("current_query", "json_serialize_plan", "finalize", "combine", "to_aggregate_state", "pg_get_viewdef", "pg_get_expr"),
    }
)
_INTERNAL = "__internal"

_NOT_ONE = "give one statement: SELECT, WITH, FROM, VALUES, PIVOT, DESCRIBE, SUMMARIZE or SHOW TABLES"
_ONLY_QUERIES = (
    "only queries can run: SELECT, WITH, FROM, VALUES, DESCRIBE, SUMMARIZE, SHOW TABLES, and PIVOT with the values it is for,"
    " `PIVOT t ON column IN ('a', 'b') USING sum(x)`. The tables are read-only"
)
_SHOW_TABLES = '"tables"'
_MOST_NAMED = 20


class RefusedError(Exception):
    """A statement, table or file that cannot be used. The message is fit for the root model."""


@dataclass(frozen=True)
class Statement:
    """What is known of a statement that may run."""

    tables: list[str] = field(default_factory=list)
    """The tables that it names, as they are spelled in the list of tables, each once."""
    show_tables: bool = False
    """Whether it asks for that list."""


def check(parsed: str, tables: Mapping[str, object], system: Container[str]) -> Statement:
    """What a statement holds, by its tree as `json_serialize_sql` gives it.

    `tables` are the names there are, `system` the names of DuckDB's own views, all in lower case. Raises RefusedError for a
    statement that may not run.
    """
    try:
        tree = json.loads(parsed)
    except RecursionError:
        message = "the statement nests too deep"
        raise RefusedError(message) from None
    if tree.get("error"):
        raise RefusedError(_ONLY_QUERIES)
    if len(tree["statements"]) != 1:
        raise RefusedError(_NOT_ONE)
    nodes = list(_nodes(tree["statements"]))
    ctes = {name.lower() for node in nodes for name in _ctes(node)}
    _refuse_disguises(ctes, system)
    named: dict[str, None] = {}
    for node in nodes:
        kind = node.get("type")
        if kind == "SHOW_REF" and "query" not in node:
            return _show(node)
        if isinstance(kind, str) and kind.endswith("_NODE") and kind not in _QUERIES:
            raise RefusedError(_ONLY_QUERIES)
        if kind == "TABLE_FUNCTION":
            _check_table_function(node)
        elif kind == "BASE_TABLE":
            named.update(dict.fromkeys(_check_table(node, tables, ctes)))
        elif isinstance(node.get("function_name"), str):
            _check_function(node["function_name"])
    return Statement(list(named))


def no_such_table(name: str, tables: Sequence[str]) -> RefusedError:
    """The error that names the tables there are."""
    if not tables:
        return RefusedError(f"there is no table {name!r}: the context has no CSV, TSV, JSONL, Parquet or SQLite file")
    rest = f" and {len(tables) - _MOST_NAMED:,} more, which SHOW TABLES lists" if len(tables) > _MOST_NAMED else ""
    return RefusedError(f"there is no table {name!r}. There are: {', '.join(tables[:_MOST_NAMED])}{rest}")


def _nodes(tree: Any) -> Iterator[dict[str, Any]]:  # noqa: ANN401 - a JSON value
    """All objects of the tree. Without recursion: it nests as deep as whoever wrote the statement likes."""
    left = [tree]
    while left:
        item = left.pop()
        if isinstance(item, dict):
            yield item
            left.extend(reversed(item.values()))
        elif isinstance(item, list):
            left.extend(reversed(item))


def _ctes(node: dict[str, Any]) -> Iterator[str]:
    """The names that a WITH gives."""
    for entry in node.get("cte_map", {}).get("map", ()):
        yield entry["key"]
    if isinstance(node.get("cte_name"), str):
        yield node["cte_name"]


def _refuse_disguises(ctes: set[str], system: Container[str]) -> None:
    """Where a name of a WITH holds is not looked at: so it must not be that of anything that is not to be reached."""
    for name in ctes:
        if name in system or not name.isidentifier():
            message = f"choose another name than {name!r} in WITH: a plain one that DuckDB does not use itself"
            raise RefusedError(message)


def _show(node: dict[str, Any]) -> Statement:
    if node.get("table_name") == _SHOW_TABLES:
        return Statement(show_tables=True)
    message = "SHOW TABLES, SHOW table and DESCRIBE table can be used, and no other SHOW"
    raise RefusedError(message)


def _check_table_function(node: dict[str, Any]) -> None:
    name = node["function"].get("function_name")
    if not isinstance(name, str) or name.lower() not in _TABLE_FUNCTIONS:
        message = (
            f"{name}() cannot be used: queries reach no files and no settings. Every file is a table already: SHOW TABLES"
            " lists them, DESCRIBE table gives the columns"
        )
        raise RefusedError(message)


def _check_function(name: str) -> None:
    if name.lower() in _FUNCTIONS_REFUSED or name.lower().startswith(_INTERNAL):
        message = f"{name}() cannot be used here"
        raise RefusedError(message)


def _check_table(node: dict[str, Any], tables: Mapping[str, object], ctes: set[str]) -> list[str]:
    """The table that is named; none where it is one of a WITH."""
    parts = (node.get("catalog_name"), node.get("schema_name"), node.get("table_name"))
    path = tuple(part.lower() for part in parts if part)
    name = path[-1] if path else ""
    if name in tables and path[:-1] in ((), ("main",), ("memory", "main")):
        return [name]
    if name in ctes and path[:-1] in ((), ("recurring",)):
        return []
    raise no_such_table(".".join(part for part in parts if part), list(tables))
