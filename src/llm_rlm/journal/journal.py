"""What a run writes down of itself, before what it records is used."""

from __future__ import annotations

import hashlib
import json
import sqlite3
import time
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

from llm_rlm.errors import RLMError

from .commits import Commits
from .schema import connect
from .sound import REQUEST, parsed

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from llm_rlm.budget import Bound, Spent
    from llm_rlm.calls import CallKind


FAMILY = (
    "(with recursive family(id) as (select :run union select runs.id from runs join family on runs.parent = family.id)"
    " select id from family)"
)
"""The ids of the run `:run` and of all runs below it, as a subquery."""

_HELD_UP = "limit"


@dataclass(frozen=True)
class CallRecord:
    """A call, for the journal."""

    key: str
    """What makes it the same as another; see `call_key`."""
    occurrence: int
    """Which of the same calls of the run it is, from 1."""
    model: str
    request: str
    """JSON text."""
    cell: int | None = None
    kind: CallKind = "model"


@dataclass(frozen=True)
class Recorded:
    """What the journal has of a call: its answer, or what its cell was told instead."""

    answer: str | None
    error: str | None
    held_up: bool = False
    """It is the answer of a child run that a limit of the whole run had kept from going on."""


@dataclass(frozen=True)
class Kept:
    """An answer of an earlier run that serves this one as well."""

    call: int
    """The id of the call that was paid for."""
    answer: str


@dataclass(frozen=True)
class SourceRecord:
    """The sources of a run, for the journal. Their content is never stored."""

    documents: Sequence[Mapping[str, object]] = ()
    """Each with `name`, `kind`, `bytes`, `modified` (ns), `path`, `origin`, `encoding`."""
    skipped: Sequence[tuple[str, str]] = ()
    """Names and reasons of what is not part of them."""


class Journal:
    """One journal file, shared by all threads of a run."""

    def __init__(self, path: Path | None) -> None:
        """Open the journal, made if need be; None keeps it in memory only. Raises RLMError if it cannot be opened."""
        try:
            self._commits = Commits(connect(path))
        except (OSError, sqlite3.Error) as problem:
            message = f"the journal {path} cannot be opened: {problem}"
            raise RLMError(message) from problem
        self.rows = self._commits.rows
        self.write = self._commits.write

    def close(self) -> None:
        """Close the file."""
        self._commits.close()

    # Runs

    def begin_run(
        self, run_id: str, *, system: str | None = None, sources: SourceRecord = SourceRecord(), **columns: object
    ) -> None:
        """Record a run, `question`, `model`, `sub_model`, `settings` (JSON text) and `process`, and its sources with it."""

        def work(db: sqlite3.Connection) -> None:
            kept = _keep(db, system) if system is not None else None
            now = time.time()
            _insert(db, "runs", id=run_id, started=now, life=now, system_hash=kept, **columns)
            _insert_all(db, "documents", [{"run_id": run_id, **document} for document in sources.documents])
            _insert_all(db, "skipped", [{"run_id": run_id, "name": name, "reason": why} for name, why in sources.skipped])

        self.write(work)

    def end_run(self, run_id: str, *, answer: str | None, **columns: object) -> None:
        """Record how a run ended: `finish`, `limit_kind`, `limit_value`, `limit_used`, `error`, `answer_is_json`."""

        def work(db: sqlite3.Connection) -> None:
            kept, now = _keep(db, answer) if answer is not None else None, time.time()
            _update(db, "runs", {"id": run_id}, ended=now, answer_hash=kept, process=None, **columns)
            db.execute("update runs set seconds = seconds + max(0, ? - coalesce(life, started)) where id = ?", (now, run_id))

        self.write(work)

    def know_documents(self, run_id: str, known: Mapping[str, Mapping[str, object]]) -> None:
        """Record what takes a while to know of sources: `sha256` and `undecodable` of each, by name."""
        places = [{"run_id": run_id, "name": name} for name in known]
        self.write(lambda db: _update_all(db, "documents", places, list(known.values())))

    def know_coverage(self, run_id: str, touched: Mapping[str, Mapping[str, object]], *, complete: bool) -> None:
        """Record how much was looked at: `read_bytes`, `sent_bytes`, `touched_bytes`, by name; of other sources nothing.

        Where it is not `complete`, more may have been sent.
        """
        nothing = "update documents set read_bytes = 0, sent_bytes = 0, touched_bytes = 0 where run_id = ?"
        self.write(lambda db: db.execute(nothing, (run_id,)))
        self.know_documents(run_id, touched)
        self.write(lambda db: _update(db, "runs", {"id": run_id}, coverage_complete=complete))

    def add_citations(self, run_id: str, citations: Sequence[Mapping[str, object]]) -> None:
        """Record where the quotes of the answer were found, instead of what was recorded before."""

        def work(db: sqlite3.Connection) -> None:
            db.execute("delete from citations where run_id = ?", (run_id,))
            _insert_all(db, "citations", [{"run_id": run_id, "number": at, **row} for at, row in enumerate(citations)])

        self.write(work)

    def shown_to_models(self, run_id: str) -> Iterator[str]:
        """The texts that reached a model in the run and below it: prompts, questions, and what root models were shown of cells.

        System prompts too, each once. One at a time: together they may be larger than memory.
        """
        systems: set[str] = set()
        calls = f"select id from calls where run_id in {FAMILY} and kind != 'function' and state != 'refused' order by id"  # noqa: S608 - our own names
        for row in self.rows(calls, {"run": run_id}):
            (asked,) = self.rows("select text from calls join texts on hash = request_hash where id = ?", (row["id"],))
            request = parsed(asked["text"], REQUEST)
            yield request["prompt"]
            system = request.get("system")
            if system and system not in systems:
                systems.add(system)
                yield system
        cells = f"select text from cells join texts on hash = shown_hash where run_id in {FAMILY}"  # noqa: S608 - likewise
        for row in self.rows(cells, {"run": run_id}):
            yield row["text"]

    # Turns and cells

    def begin_turn(self, run_id: str, number: int, sent: str, last_why: str | None, bound: Bound) -> None:
        """Record a turn before the root model is asked. `sent` is what is new to it, `last_why` why it is the last."""
        columns = {"started": time.time(), "last_why": last_why, **_bound(bound)}
        self.write(lambda db: _insert(db, "turns", run_id=run_id, number=number, sent_hash=_keep(db, sent), **columns))

    def compact_turn(self, run_id: str, number: int, room: int) -> None:
        """Record that all that was said before a turn has been shortened for it, to so many characters."""
        self.write(lambda db: _update(db, "turns", {"run_id": run_id, "number": number}, compacted=room))

    def retry_turn(self, run_id: str, number: int, *, maybe_paid: bool) -> None:
        """Record that a turn is asked for once more."""
        self.write(
            lambda db: db.execute(
                "update turns set attempts = attempts + 1, unsettled = unsettled + ? where run_id = ? and number = ?",
                (maybe_paid, run_id, number),
            )
        )

    def fail_turn(self, run_id: str, number: int, *, maybe_paid: bool) -> None:
        """Record that a turn brought no reply."""
        self.write(
            lambda db: db.execute(
                "update turns set ended = ?, dropped = 1, unsettled = unsettled + ? where run_id = ? and number = ?",
                (time.time(), maybe_paid, run_id, number),
            )
        )

    def end_turn(self, run_id: str, number: int, reply: str, messages: str, spent: Spent) -> None:
        """Record what the root model said; `messages` is what that adds to the conversation, as LLM writes it."""
        where, ended = {"run_id": run_id, "number": number}, time.time()

        def work(db: sqlite3.Connection) -> None:
            texts = {"reply_hash": _keep(db, reply), "messages_hash": _keep(db, messages)}
            _update(db, "turns", where, ended=ended, **texts, **_spent(spent))

        self.write(work)

    def begin_cell(self, run_id: str, number: int, code: str, turn: int | None, call: int | None) -> None:
        """Record a cell before it runs: of which turn, and which of its tool calls, from 0. Replaces one that is run again."""
        columns: dict[str, object] = {"run_id": run_id, "number": number, "turn": turn, "call": call, "started": time.time()}

        def work(db: sqlite3.Connection) -> None:
            db.execute("delete from cells where run_id = ? and number = ?", (run_id, number))
            _insert(db, "cells", code_hash=_keep(db, code), **columns)

        self.write(work)

    def end_cell(
        self, run_id: str, number: int, output: str, shown: str, *, answer: str | None = None, **columns: object
    ) -> None:
        """Record what a cell printed, what the root model is shown of it, and the answer that it submitted, if it did.

        `outcome`; `running` in seconds; whether a limit or a stop has `held_up` one of its calls; `answer_is_json`.
        """
        where, ended = {"run_id": run_id, "number": number}, time.time()

        def work(db: sqlite3.Connection) -> None:
            texts = {"output_hash": _keep(db, output), "shown_hash": _keep(db, shown)}
            texts |= {"answer_hash": _keep(db, answer)} if answer is not None else {}
            _update(db, "cells", where, ended=ended, **texts, **columns)

        self.write(work)

    # Calls

    def begin_call(self, run_id: str, call: CallRecord, bound: Bound) -> int:
        """Record a call before it is sent, and the most it can take. Returns its id."""
        return self._add_call(run_id, call, None, state="sent", **_bound(bound))

    def refuse_call(self, run_id: str, call: CallRecord, shown: str, why: str) -> int:
        """Record a call that is not sent: what its cell is told, and whether a `limit`, a `stop` or its `arguments` are why.

        Returns its id.
        """
        return self._add_call(run_id, call, None, state="refused", shown_error=shown, error=why)

    def serve_call(self, run_id: str, call: CallRecord, kept: Kept) -> int:
        """Record a call that an answer of an earlier run serves. Returns its id."""
        return self._add_call(run_id, call, kept.answer, state="answered", cached_from=kept.call)

    def retry_call(self, call: int, error: str, *, maybe_paid: bool) -> None:
        """Record that an attempt failed and another follows."""
        self.write(
            lambda db: db.execute(
                "update calls set attempts = attempts + 1, unsettled = unsettled + ?, error = ? where id = ?",
                (maybe_paid, error, call),
            )
        )

    def end_call(self, call: int, response: str, spent: Spent, *, servable: bool = True) -> None:
        """Record the answer of a call, before anybody sees it, and whether it may serve later runs."""
        columns = {"state": "answered", "ended": time.time(), "servable": servable, **_spent(spent)}
        self.write(lambda db: _update(db, "calls", {"id": call}, response_hash=_keep(db, response), **columns))

    def hold_up_call(self, call: int) -> None:
        """Record that an answered child run was held up by a limit: when the run is resumed, it goes on."""
        self.write(lambda db: _update(db, "calls", {"id": call}, error=_HELD_UP))

    def begin_again(self, run_id: str, key: str, occurrence: int) -> int | None:
        """Record that the child run of this very call goes on, if it was begun before. Returns the id of the call."""

        def work(db: sqlite3.Connection) -> int | None:
            found = db.execute(
                "select calls.id from calls join runs on runs.parent = calls.run_id and parent_call = calls.id"
                " where run_id = ? and key = ? and occurrence = ? order by calls.id desc limit 1",
                (run_id, key, occurrence),
            ).fetchone()
            if found is None:
                return None
            _update(db, "calls", {"id": found[0]}, state="sent", error=None, shown_error=None, response_hash=None, ended=None)
            return int(found[0])

        return self.write(work)

    def let_serve(self, run_id: str, key: str, occurrence: int) -> None:
        """Record that an answer that did not fit may serve later runs after all: with the one that mends it."""
        self.write(
            lambda db: db.execute(
                "update calls set servable = 1 where run_id = ? and key = ? and occurrence = ? and state = 'answered'",
                (run_id, key, occurrence),
            )
        )

    def fail_call(self, call: int, error: str, shown: str, spent: Spent | None = None, *, maybe_paid: bool = False) -> None:
        """Record that a call brought no answer: what happened, what its cell is told of it, and what it took."""
        columns = {"state": "failed", "error": error, "shown_error": shown, "ended": time.time()}
        columns |= _spent(spent) if spent is not None else {}

        def work(db: sqlite3.Connection) -> None:
            _update(db, "calls", {"id": call}, **columns)
            db.execute("update calls set unsettled = unsettled + ? where id = ?", (maybe_paid, call))

        self.write(work)

    def outcome_of(self, run_id: str, key: str, occurrence: int) -> Recorded | None:
        """What came of the same call of this run, if it was asked before; of several times, the one that was answered."""
        rows = self.rows(
            "select text as answer, shown_error as error, kind = 'run' and state = 'answered' and error is ? as held_up"
            " from calls left join texts on hash = response_hash"
            " where run_id = ? and key = ? and occurrence = ? and state not in ('sent', 'unknown')"
            " order by text is null, id desc limit 1",
            (_HELD_UP, run_id, key, occurrence),
        )
        return Recorded(**rows[0]) if rows else None

    def answer_for(self, key: str, occurrence: int, since: float) -> Kept | None:
        """The latest answer to the same call in any run, not older than the time `since`."""
        rows = self.rows(
            "select id as call, text as answer from calls join texts on hash = response_hash where key = ? and occurrence = ?"
            " and state = 'answered' and servable and cached_from is null and ended >= ? order by ended desc limit 1",
            (key, occurrence, since),
        )
        return Kept(**rows[0]) if rows else None

    def calls_of(self, run_id: str, cell: int) -> int:
        """How many calls of a cell that ran before have an outcome."""
        asked = "select count(*) as known from calls where run_id = ? and cell = ? and state not in ('sent', 'unknown')"
        return int(self.rows(asked, (run_id, cell))[0]["known"])

    def last_cell_that_asked(self, run_id: str) -> int:
        """The number of the last cell of the run that has calls; 0 if none has."""
        return int(self.rows("select coalesce(max(cell), 0) as last from calls where run_id = ?", (run_id,))[0]["last"])

    def calls_before(self, run_id: str, cell: int) -> Counter[str]:
        """How often each call of the run was asked by cells before this one."""
        rows = self.rows(
            "select key, max(occurrence) as times from calls where run_id = ? and cell < ? group by key", (run_id, cell)
        )
        return Counter({row["key"]: row["times"] for row in rows})

    def _add_call(self, run_id: str, call: CallRecord, answer: str | None, **columns: object) -> int:
        """Record a call that begins now, and that is over at once where it is not sent."""
        columns |= {"run_id": run_id, "cell": call.cell, "key": call.key, "occurrence": call.occurrence}
        columns |= {"model": call.model, "kind": call.kind}
        now = time.time()
        columns |= {"started": now, "ended": None if columns["state"] == "sent" else now}

        def work(db: sqlite3.Connection) -> int:
            kept = _keep(db, answer) if answer is not None else None
            return _insert(db, "calls", request_hash=_keep(db, call.request), response_hash=kept, **columns)

        return self.write(work)


def text_hash(text: str) -> str:
    """The name under which a text is stored."""
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def call_key(request: Mapping[str, object]) -> str:
    """What makes two calls the same: model, options, system, schema and prompt."""
    digest = hashlib.sha256()
    for name, value in sorted(request.items()):
        data = (value if isinstance(value, str) else json.dumps(value, sort_keys=True)).encode("utf-8", "surrogatepass")
        digest.update(f"{name} {type(value).__name__} {len(data)} ".encode())
        digest.update(data)
    return digest.hexdigest()


def _bound(bound: Bound) -> dict[str, object]:
    return {"bound_tokens": bound.tokens, "bound_cost": bound.cost}


def _spent(spent: Spent) -> dict[str, object]:
    return {**vars(spent.tokens), "cost": spent.cost}


def _keep(db: sqlite3.Connection, text: str) -> str:
    """Store a text once."""
    name = text_hash(text)
    known = db.execute("select 1 from texts where hash = ?", (name,)).fetchone()
    if known is None:
        db.execute("insert into texts values (?, ?)", (name, text if _encodes(text) else _without_surrogates(text)))
    return name


def _storable(value: object) -> object:
    """A value as SQLite takes it: names and messages may hold bytes that are no text."""
    return value.encode("utf-8", "backslashreplace").decode() if isinstance(value, str) and not _encodes(value) else value


def _encodes(text: str) -> bool:
    if text.isascii():
        return True
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _without_surrogates(text: str) -> str:
    return text.encode("utf-8", "replace").decode("utf-8")


def _insert(db: sqlite3.Connection, table: str, **columns: object) -> int:
    names, marks = ", ".join(columns), ", ".join("?" * len(columns))
    cursor = db.execute(f"insert into {table} ({names}) values ({marks})", tuple(map(_storable, columns.values())))  # noqa: S608 - our own names
    return cursor.lastrowid or 0


def _insert_all(db: sqlite3.Connection, table: str, rows: Sequence[Mapping[str, object]]) -> None:
    """Insert rows that have the same columns."""
    if rows:
        names, marks = ", ".join(f'"{name}"' for name in rows[0]), ", ".join("?" * len(rows[0]))
        values = [tuple(map(_storable, row.values())) for row in rows]
        db.executemany(f"insert into {table} ({names}) values ({marks})", values)  # noqa: S608 - our own names


def _update(db: sqlite3.Connection, table: str, where: Mapping[str, object], **columns: object) -> None:
    changes = ", ".join(f"{name} = ?" for name in columns)
    wanted = " and ".join(f"{name} = ?" for name in where)
    db.execute(f"update {table} set {changes} where {wanted}", (*map(_storable, columns.values()), *where.values()))  # noqa: S608 - our own names


def _update_all(
    db: sqlite3.Connection, table: str, places: Sequence[Mapping[str, object]], rows: Sequence[Mapping[str, object]]
) -> None:
    """Update rows that have the same columns, each in its place."""
    if rows:
        changes = ", ".join(f"{name} = ?" for name in rows[0])
        wanted = " and ".join(f"{name} = ?" for name in places[0])
        values = [(*map(_storable, row.values()), *place.values()) for row, place in zip(rows, places, strict=True)]
        db.executemany(f"update {table} set {changes} where {wanted}", values)  # noqa: S608 - our own names
