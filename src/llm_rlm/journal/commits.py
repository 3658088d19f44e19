"""Writes of many threads to one SQLite connection, committed together by a thread of its own."""

from __future__ import annotations

import queue
import sqlite3
import threading
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from llm_rlm.errors import RLMError, UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

_MOST = 1_000
"""Writes that are committed together."""


class Commits:
    """A connection shared by all threads of a run.

    One thread does all that has come in one transaction: a thousand calls at once need a few commits, not two each. And one who
    is interrupted while it waits, by a signal, interrupts nobody else.
    """

    def __init__(self, db: sqlite3.Connection) -> None:
        """Take over the connection."""
        self._db = db
        self._lock = threading.Lock()
        """Guards the connection."""
        self._queue: queue.SimpleQueue[_Entry | None] = queue.SimpleQueue()
        self._coming = threading.Lock()
        """Guards what follows: what is put before it is set is still written."""
        self._closed = False
        self._writer = threading.Thread(target=self._work, name="llm-rlm-journal", daemon=True)
        self._writer.start()

    def close(self) -> None:
        """Close the connection, once all that has come is written."""
        with self._coming:
            self._closed = True
            self._queue.put(None)
        if threading.current_thread() is not self._writer:
            self._writer.join()

    def rows(self, sql: str, parameters: Sequence[object] | Mapping[str, object] = ()) -> list[dict[str, Any]]:
        """The rows of a query, as dicts. Raises RLMError where it cannot be read, UsageError for what is no text."""
        try:
            with self._lock:
                cursor = self._db.execute(sql, parameters)
                names = [column[0] for column in cursor.description]
                return [dict(zip(names, row, strict=True)) for row in cursor]
        except UnicodeEncodeError as problem:  # arguments of a command may hold bytes that are no text
            message = f"{problem.object!r} is no text that the journal could have"
            raise UsageError(message) from problem
        except sqlite3.Error as problem:
            message = f"the journal cannot be read: {problem}"
            raise RLMError(message) from problem

    def write[Outcome](self, work: Callable[[sqlite3.Connection], Outcome]) -> Outcome:
        """Do `work` in a transaction and return what it returns, once that is committed. Raises RLMError where it cannot be."""
        entry = _Entry(work)
        with self._coming:
            if self._closed:
                message = "the journal cannot be written: it is closed"
                raise RLMError(message)
            self._queue.put(entry)
        entry.done.acquire()
        if isinstance(entry.problem, sqlite3.Error):
            message = f"the journal cannot be written: {entry.problem}"
            raise RLMError(message) from entry.problem
        if entry.problem is not None:
            raise entry.problem
        outcome: Outcome = entry.outcome
        return outcome

    def _work(self) -> None:
        while (entry := self._queue.get()) is not None:
            entries, last = [entry], False
            with suppress(queue.Empty):
                while len(entries) < _MOST and not last:
                    following = self._queue.get_nowait()
                    last = following is None
                    entries += [following] if following is not None else []
            with self._lock:
                _commit(self._db, entries)
            for each in entries:
                each.done.release()
            if last:
                break
        with self._lock:
            self._db.close()


class _Entry:
    """Something to write, and what came of it."""

    def __init__(self, work: Callable[[sqlite3.Connection], Any]) -> None:
        self.work = work
        self.done = threading.Lock()
        """Released when it is."""
        self.done.acquire()
        self.outcome: Any = None
        self.problem: Exception | None = None


def _commit(db: sqlite3.Connection, entries: Sequence[_Entry]) -> None:
    """Do the work of all entries in one transaction; where one cannot be done, each in its own."""
    try:
        db.execute("begin immediate")
    except sqlite3.Error as problem:
        # Somebody else has locked it for as long as is waited for: that is so for all.
        for entry in entries:
            entry.problem = problem
        return
    try:
        for entry in entries:
            entry.outcome = entry.work(db)
        db.execute("commit")
    except Exception as problem:  # noqa: BLE001 - raised again by the thread that waits
        with suppress(sqlite3.Error):
            db.execute("rollback")
        if len(entries) == 1:
            entries[0].problem = problem
            return
        for entry in entries:
            _commit(db, [entry])
