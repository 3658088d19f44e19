"""Writes of many threads to one SQLite connection, committed together."""

from __future__ import annotations

import sqlite3
import threading
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from llm_rlm.errors import RLMError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence


class Commits:
    """A connection shared by all threads of a run."""

    def __init__(self, db: sqlite3.Connection) -> None:
        """Take over the connection."""
        self._db = db
        self._lock = threading.Lock()
        """Guards the connection."""
        self._queue: list[_Entry] = []
        self._writing = False
        self._queue_lock = threading.Lock()
        """Guards the queue, and that one of those who wait is committing."""

    def close(self) -> None:
        """Close the connection."""
        with self._lock:
            self._db.close()

    def rows(self, sql: str, parameters: Sequence[object] | Mapping[str, object] = ()) -> list[dict[str, Any]]:
        """The rows of a query, as dicts."""
        with self._lock:
            cursor = self._db.execute(sql, parameters)
            names = [column[0] for column in cursor.description]
            return [dict(zip(names, row, strict=True)) for row in cursor]

    def write[Outcome](self, work: Callable[[sqlite3.Connection], Outcome]) -> Outcome:
        """Do `work` in a transaction and return what it returns, once that is committed. Raises RLMError where it cannot be.

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
