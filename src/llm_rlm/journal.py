"""The record of runs: SQLite, written before what it records is used, readable by any tool that opens SQLite."""

from __future__ import annotations

import hashlib
import json
import os
import sqlite3
import threading
import time
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from .errors import RLMError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from .budget import Tokens

_MIGRATIONS = (
    """
    create table texts (
        hash text primary key,
        text text not null
    ) without rowid;
    create table runs (
        id text primary key,
        question text,
        model text,
        sub_model text,
        settings text not null,
        started real not null,
        ended real,
        finish text,
        limit_kind text,
        error text,
        answer_hash text references texts(hash),
        answer_is_json integer
    );
    create table documents (
        run_id text not null references runs(id),
        name text not null,
        kind text not null,
        bytes integer not null,
        sha256 text,
        path text
    );
    create table turns (
        run_id text not null references runs(id),
        number integer not null,
        sent_hash text references texts(hash),
        reply_hash text references texts(hash),
        input integer,
        output integer,
        cached_input integer,
        started real not null,
        ended real,
        primary key (run_id, number)
    ) without rowid;
    create table cells (
        run_id text not null references runs(id),
        number integer not null,
        turn integer,
        code_hash text not null references texts(hash),
        output_hash text references texts(hash),
        outcome text,
        running real,
        started real not null,
        ended real,
        primary key (run_id, number)
    ) without rowid;
    create table calls (
        id integer primary key,
        run_id text not null references runs(id),
        cell integer,
        key text not null,
        occurrence integer not null,
        model text not null,
        state text not null check (state in ('sent', 'answered', 'failed', 'refused')),
        request_hash text not null references texts(hash),
        response_hash text references texts(hash),
        error text,
        shown_error text,
        input integer,
        output integer,
        cached_input integer,
        started real not null,
        ended real
    );
    create index calls_by_key on calls (run_id, key, occurrence);
    """,
)
_BUSY_SECONDS = 30
_PRIVATE = 0o600


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


@dataclass(frozen=True)
class Recorded:
    """What the journal has of a call: its answer, or what its cell was told instead."""

    answer: str | None
    error: str | None


class Journal:
    """One journal file, shared by all threads of a run."""

    def __init__(self, path: Path | None) -> None:
        """Open the journal, made if need be; None keeps it in memory only. Raises RLMError if it cannot be opened."""
        self._lock = threading.Lock()
        """Guards the connection."""
        self._queue: list[_Entry] = []
        self._writing = False
        self._queue_lock = threading.Lock()
        """Guards the queue, and that one of those who wait is committing."""
        try:
            if path is not None:
                path.parent.mkdir(parents=True, exist_ok=True)
                os.close(os.open(path, os.O_CREAT | os.O_RDWR, _PRIVATE))
            self._db = _connect(path)
        except (OSError, sqlite3.Error) as problem:
            message = f"the journal {path} cannot be opened: {problem}"
            raise RLMError(message) from problem

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            self._db.close()

    # Runs

    def begin_run(self, run_id: str, **columns: object) -> None:
        """Record a run: `question`, `model`, `sub_model`, `settings` (JSON text)."""
        self._write(lambda db: _insert(db, "runs", id=run_id, started=time.time(), **columns))

    def end_run(self, run_id: str, *, answer: str | None, **columns: object) -> None:
        """Record how a run ended: `finish`, `limit_kind`, `error`, `answer_is_json`."""

        def work(db: sqlite3.Connection) -> None:
            kept = _keep(db, answer) if answer is not None else None
            _update(db, "runs", {"id": run_id}, ended=time.time(), answer_hash=kept, **columns)

        self._write(work)

    def add_document(self, run_id: str, **columns: object) -> None:
        """Record a source: `name`, `kind`, `bytes`, `path`. Its content is never stored."""
        self._write(lambda db: _insert(db, "documents", run_id=run_id, **columns))

    def add_digest(self, run_id: str, name: str, sha256: str) -> None:
        """Record the hash of a source, which takes a while to know."""
        self._write(lambda db: _update(db, "documents", {"run_id": run_id, "name": name}, sha256=sha256))

    # Turns and cells

    def begin_turn(self, run_id: str, number: int, sent: str) -> None:
        """Record a turn before the root model is asked. `sent` is what is new to it."""
        started = time.time()
        self._write(lambda db: _insert(db, "turns", run_id=run_id, number=number, sent_hash=_keep(db, sent), started=started))

    def end_turn(self, run_id: str, number: int, reply: str, tokens: Tokens) -> None:
        """Record what the root model said."""
        where, ended = {"run_id": run_id, "number": number}, time.time()
        self._write(lambda db: _update(db, "turns", where, reply_hash=_keep(db, reply), ended=ended, **vars(tokens)))

    def begin_cell(self, run_id: str, number: int, code: str, turn: int | None) -> None:
        """Record a cell before it runs."""
        columns: dict[str, object] = {"run_id": run_id, "number": number, "turn": turn, "started": time.time()}
        self._write(lambda db: _insert(db, "cells", code_hash=_keep(db, code), **columns))

    def end_cell(self, run_id: str, number: int, output: str, outcome: str, running: float) -> None:
        """Record what a cell showed."""
        where = {"run_id": run_id, "number": number}
        columns = {"outcome": outcome, "running": running, "ended": time.time()}
        self._write(lambda db: _update(db, "cells", where, output_hash=_keep(db, output), **columns))

    # Calls

    def begin_call(self, run_id: str, call: CallRecord, refused: str | None = None) -> int:
        """Record a call before it is sent, or that it was `refused`, with what its cell was told. Returns its id."""
        columns: dict[str, object] = {"run_id": run_id, "cell": call.cell, "key": call.key, "occurrence": call.occurrence}
        columns |= {"model": call.model, "started": time.time()}
        columns |= {"state": "sent"} if refused is None else {"state": "refused", "shown_error": refused}
        return self._write(lambda db: _insert(db, "calls", request_hash=_keep(db, call.request), **columns))

    def end_call(self, call: int, response: str, tokens: Tokens) -> None:
        """Record the answer of a call, before anybody sees it."""
        columns = {"state": "answered", "ended": time.time(), **vars(tokens)}
        self._write(lambda db: _update(db, "calls", {"id": call}, response_hash=_keep(db, response), **columns))

    def fail_call(self, call: int, error: str, shown: str) -> None:
        """Record that a call brought no answer: what happened, and what the cell was told of it."""
        columns = {"state": "failed", "error": error, "shown_error": shown, "ended": time.time()}
        self._write(lambda db: _update(db, "calls", {"id": call}, **columns))

    def outcome_of(self, run_id: str, key: str, occurrence: int) -> Recorded | None:
        """What came of the same call of this run, if it was asked before; of several times, the one that was answered."""
        with self._lock:
            row = self._db.execute(
                "select text, shown_error from calls left join texts on hash = response_hash"
                " where run_id = ? and key = ? and occurrence = ? and state != 'sent' order by text is null limit 1",
                (run_id, key, occurrence),
            ).fetchone()
        return Recorded(*row) if row else None

    # Reading

    def rows(self, sql: str, parameters: Mapping[str, object] | None = None) -> list[dict[str, Any]]:
        """The rows of a query, as dicts."""
        with self._lock:
            cursor = self._db.execute(sql, parameters or {})
            names = [column[0] for column in cursor.description]
            return [dict(zip(names, row, strict=True)) for row in cursor]

    def _write[Outcome](self, work: Callable[[sqlite3.Connection], Outcome]) -> Outcome:
        """Do `work` in a transaction and return what it returns, once that is committed.

        One who writes commits for all who have come by then, and hands over to the first of those who came meanwhile: a
        thousand calls at once need a few commits, not two each, and nobody waits for a lock only to see that all is done.
        """
        entry = _Entry(work)
        with self._queue_lock:
            self._queue.append(entry)
            leads, self._writing = not self._writing, True
        if not leads:
            entry.woken.acquire()
        if not entry.done:
            self._commit_queue(entry)
        if isinstance(entry.problem, sqlite3.Error):
            message = f"the journal cannot be written: {entry.problem}"
            raise RLMError(message) from entry.problem
        if entry.problem is not None:
            raise entry.problem
        outcome: Outcome = entry.outcome
        return outcome

    def _commit_queue(self, leader: _Entry) -> None:
        with self._queue_lock:
            entries, self._queue = self._queue, []
        try:
            with self._lock:
                _commit(self._db, entries)
        finally:
            with self._queue_lock:
                self._writing = bool(self._queue)
                wake = [entry for entry in entries if entry is not leader] + self._queue[:1]
            for entry in wake:
                entry.woken.release()


def _connect(path: Path | None) -> sqlite3.Connection:
    """A connection to the file, its tables up to date."""
    where = path if path is not None else ":memory:"
    db = sqlite3.connect(where, timeout=_BUSY_SECONDS, check_same_thread=False, isolation_level=None)
    try:
        db.execute("pragma journal_mode = wal")
        db.execute("pragma synchronous = normal")
        if _version(db) < len(_MIGRATIONS):
            _migrate(db)
    except BaseException:
        db.close()
        raise
    return db


def _migrate(db: sqlite3.Connection) -> None:
    """Bring the tables up to date. Looks again once it may write: another run may have done it meanwhile."""
    db.execute("begin immediate")
    for number, script in enumerate(_MIGRATIONS[_version(db) :], start=_version(db) + 1):
        for statement in script.split(";"):
            db.execute(statement)
        db.execute(f"pragma user_version = {number}")
    db.execute("commit")


def _version(db: sqlite3.Connection) -> int:
    """How many migrations the file has had."""
    (done,) = db.execute("pragma user_version").fetchone()
    if done > len(_MIGRATIONS):
        message = "it was written by a newer llm-rlm"
        raise sqlite3.DatabaseError(message)
    return int(done)


class _Entry:
    """Something to write, and what came of it."""

    def __init__(self, work: Callable[[sqlite3.Connection], Any]) -> None:
        self.work = work
        self.done = False
        self.woken = threading.Lock()
        self.woken.acquire()
        self.outcome: Any = None
        self.problem: Exception | None = None


def _commit(db: sqlite3.Connection, entries: Sequence[_Entry]) -> None:
    """Do the work of all entries in one transaction. If that fails, none is done and all have the problem."""
    try:
        db.execute("begin immediate")
        for entry in entries:
            entry.outcome = entry.work(db)
        db.execute("commit")
    except BaseException as problem:
        with suppress(sqlite3.Error):
            db.execute("rollback")
        for entry in entries:
            entry.problem = problem if isinstance(problem, Exception) else RLMError("the journal was interrupted")
        if not isinstance(problem, Exception):
            raise
    finally:
        for entry in entries:
            entry.done = True


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


def _keep(db: sqlite3.Connection, text: str) -> str:
    """Store a text once."""
    name = text_hash(text)
    known = db.execute("select 1 from texts where hash = ?", (name,)).fetchone()
    if known is None:
        db.execute("insert into texts values (?, ?)", (name, text if _encodes(text) else _without_surrogates(text)))
    return name


def _encodes(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _without_surrogates(text: str) -> str:
    return text.encode("utf-8", "replace").decode("utf-8")


def _insert(db: sqlite3.Connection, table: str, **columns: object) -> int:
    names, marks = ", ".join(columns), ", ".join("?" * len(columns))
    cursor = db.execute(f"insert into {table} ({names}) values ({marks})", tuple(columns.values()))  # noqa: S608 - our own names
    return cursor.lastrowid or 0


def _update(db: sqlite3.Connection, table: str, where: Mapping[str, object], **columns: object) -> None:
    changes = ", ".join(f"{name} = ?" for name in columns)
    wanted = " and ".join(f"{name} = ?" for name in where)
    db.execute(f"update {table} set {changes} where {wanted}", (*columns.values(), *where.values()))  # noqa: S608 - our own names
