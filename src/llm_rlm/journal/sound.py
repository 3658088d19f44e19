"""What is read of a journal, checked to be what runs write: a file may be damaged, or come from somebody else's machine.

SQLite takes any value in any column. So rows of a run are checked by the types that its
tables name, before anything is made of them, and JSON by the shape that is written.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

from llm_rlm.errors import RLMError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from .journal import Journal

_TABLES = {
    "runs": "id",
    "documents": "run_id",
    "skipped": "run_id",
    "citations": "run_id",
    "turns": "run_id",
    "cells": "run_id",
    "calls": "run_id",
}
"""What a run has, and the column that has its id."""

_ID = re.compile(r"[0-9A-Za-z_-]{1,64}")
_LATEST = 250_000_000_000
"""Of all numbers that are no counts: as seconds, still a date."""
_DEEPEST = 200
_TYPES = {"TEXT": "= 'text'", "INTEGER": "= 'integer'", "REAL": "= 'real'"}
_WORDS = {
    ("runs", "finish"): ("submitted", "prose", "limit", "interrupted", "error"),
    ("runs", "limit_kind"): ("calls", "turns", "seconds", "tokens", "cost"),
    ("cells", "outcome"): ("ok", "error", "exit", "timeout", "interrupted", "lost"),
    ("calls", "state"): ("sent", "answered", "failed", "refused", "unknown"),
    ("calls", "kind"): ("model", "run", "function"),
    ("citations", "found"): ("exact", "folded"),
}
_REACH = (
    "select child.id from runs as child join runs as above on above.id = child.parent"
    " where child.parent in (select value from json_each(:runs)) and child.depth != above.depth + 1 limit 1"
)
"""Child runs that are not one deeper than their parents: with them, one could be its own grandchild."""

type Shape = type | tuple[Any, ...] | list[Any] | dict[str, Any] | frozenset[str] | None
"""A type; `(shape, …)`, one of them; `[shape]`, a list of them; `{name: shape}`, an object, in which names that end with `?`
may be missing or null; a set of texts, one of them; None, nothing."""

_CALL: Shape = {"name": str, "arguments": object, "id?": str}
REPLY: Shape = {"text": str, "calls": [_CALL], "malformed?": str, "withheld?": _CALL}
SENT: Shape = {"say?": str, "results?": [str]}
_INLINE: Shape = {"type?": str, "content?": str, "path?": None, "url?": None}
"""What came with a message itself. LLM would read a path or a URL, of whatever file, and send it."""
_PART: Shape = (
    {"type": frozenset({"text", "reasoning"}), "text": str, "redacted?": bool},
    {"type": frozenset({"tool_call"}), "name": str, "arguments": dict, "tool_call_id?": str, "server_executed?": bool},
    {"type": frozenset({"tool_result"}), "name": str, "output": str, "tool_call_id?": str, "attachments?": [_INLINE]},
    {"type": frozenset({"attachment"}), "attachment?": _INLINE},
)
MESSAGES: Shape = [{"role": frozenset({"system", "user", "assistant", "tool"}), "parts": [_PART]}]
QUOTES: Shape = [str]
REQUEST: Shape = {"prompt": str, "system?": str, "schema?": object, "payload?": str, "attachments?": list}
ASKED: dict[str, Shape] = {
    "system?": str,
    "options?": dict,
    "sub_options?": dict,
    "stream?": bool,
    "prices?": dict,
    "windows?": dict,
    "default_cost?": (int, float),
    "cite?": bool,
    "tools?": [str],
    "own_functions?": [str],
    "protocol?": str,
    "depth?": int,
    "schema?": (dict, str),
}
SETTINGS: Shape = {
    "limits?": dict,
    "sources?": {"names": [str], "walking": {"hidden?": bool, "ignore?": bool}, "base": str, "withheld?": [str]},
    "offered?": [dict],
    "asked?": ASKED,
    "seed?": str,
}
"""By their fields; what values these can have is checked where they are used, as what a user gives is."""


class DamagedError(RLMError):
    """The journal holds what no run writes."""


def check(journal: Journal, run_ids: Sequence[object], tables: Sequence[str] = tuple(_TABLES)) -> None:
    """Raise DamagedError if rows of these runs are not what runs write: types, dates, words, texts that are missing."""
    runs = {"runs": json.dumps(list(run_ids))}
    for run_id in run_ids:
        if not isinstance(run_id, str) or not _ID.fullmatch(run_id):
            raise damaged(f"{run_id!r:.80} is no id of a run")  # noqa: EM102, TRY003 - makes the error
    for table in tables:
        key = _TABLES[table]
        conditions = dict(_conditions(journal, table))
        named = ", ".join(f'{condition} as "{column}"' for column, condition in conditions.items())
        rows = journal.rows(
            f"select * from (select {key} as run, {named} from {table} where {key} in (select value from json_each(:runs)))"  # noqa: S608 - our own names, or the file's, quoted
            f" where not ({' and '.join(f'"{column}"' for column in conditions)}) limit 1",
            runs,
        )
        for row in rows:
            wrong = next(column for column in conditions if not row[column])
            raise damaged(f"{table}.{wrong} of run {row['run']} holds what no run writes")  # noqa: EM102, TRY003 - makes the error
    for row in journal.rows(_REACH, runs) if "calls" in tables else ():
        raise damaged(f"run {row['id']!r:.80} is not one below its parent")  # noqa: EM102, TRY003 - makes the error


def unsound(journal: Journal, run_ids: Sequence[str], tables: Sequence[str]) -> dict[str, DamagedError]:
    """Those of the runs that `check` refuses, and why."""
    try:
        check(journal, run_ids, tables)
    except DamagedError:
        return {run_id: why for run_id in run_ids if (why := _damage(journal, run_id, tables)) is not None}
    return {}


def _damage(journal: Journal, run_id: str, tables: Sequence[str]) -> DamagedError | None:
    try:
        check(journal, [run_id], tables)
    except DamagedError as problem:
        return problem
    return None


def parsed(text: object, shape: Shape) -> Any:  # noqa: ANN401 - JSON of that shape
    """What JSON text of the journal says. Raises DamagedError if it is none, or of another shape."""
    try:
        value = json.loads(text) if isinstance(text, str) else None
    except (ValueError, RecursionError) as problem:
        raise damaged("a text that should be JSON is none") from problem  # noqa: EM101, TRY003 - makes the error
    if not _fits(value, shape) or not _is_flat(value):
        raise damaged("a JSON text has another shape than runs write")  # noqa: EM101, TRY003 - makes the error
    return value


def damaged(what: str) -> DamagedError:
    """The error for something that is not as runs write it."""
    message = f"the journal is damaged, or was not written by llm-rlm: {what}"
    return DamagedError(message)


def _conditions(journal: Journal, table: str) -> Iterator[tuple[str, str]]:
    """What holds of each column of a table, as SQL."""
    texts = {row["from"] for row in journal.rows(f"pragma foreign_key_list({table})") if row["table"] == "texts"}
    for column in journal.rows(f"pragma table_info({table})"):
        name, kind = column["name"], _TYPES.get(column["type"].upper())
        if kind is None:
            raise damaged(f"{table} has a column of no type that runs write")  # noqa: EM102, TRY003 - makes the error
        quoted = '"' + name.replace('"', '""') + '"'
        holds = f"typeof({quoted}) {kind}"
        if column["type"].upper() == "REAL":
            holds += f" and abs({quoted}) <= {_LATEST}"
        if name in texts:
            holds += f" and exists (select 1 from texts where hash = {quoted} and typeof(text) = 'text')"  # noqa: S608 - quoted
        if words := _WORDS.get((table, name)):
            holds += f" and {quoted} in ({', '.join(f"'{word}'" for word in words)})"
        yield name.replace('"', '""'), f"({holds})" if column["notnull"] or column["pk"] else f"({quoted} is null or ({holds}))"


def _fits(value: object, shape: Shape) -> bool:
    if isinstance(shape, list):
        return isinstance(value, list) and all(_fits(each, shape[0]) for each in value)
    if isinstance(shape, dict):
        return isinstance(value, dict) and all(_has(value, name, of) for name, of in shape.items())
    if isinstance(shape, tuple):
        return any(_fits(value, each) for each in shape)
    if isinstance(shape, frozenset):
        return isinstance(value, str) and value in shape
    return shape is not None and isinstance(value, shape)


def _has(value: Mapping[str, object], name: str, shape: Shape) -> bool:
    """Whether an object has a field of that name and shape, or may do without."""
    if name.endswith("?"):
        return value.get(name[:-1]) is None or _fits(value[name[:-1]], shape)
    return name in value and _fits(value[name], shape)


def _is_flat(value: object) -> bool:
    """Whether nothing in it is nested deeper than what is written."""
    level: list[object] = [value]
    for _ in range(_DEEPEST):
        level = [
            inner
            for each in level
            if isinstance(each, list | dict)
            for inner in (each.values() if isinstance(each, dict) else each)
            if isinstance(inner, list | dict)
        ]
        if not level:
            return True
    return False
