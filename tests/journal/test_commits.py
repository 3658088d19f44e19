"""Writes of many threads to one connection: each is told what came of it, also where the file is locked or closed."""

from __future__ import annotations

import sqlite3
import threading
import time
from typing import Any

import pytest

from llm_rlm import RLMError
from llm_rlm.journal.commits import Commits


def connect(kind: type[sqlite3.Connection]) -> Any:
    return sqlite3.connect(":memory:", factory=kind, check_same_thread=False, isolation_level=None)


class Locked(sqlite3.Connection):
    """Waits a while for its lock, in vain."""

    begun = 0

    def execute(self, sql: str, *parameters: Any) -> sqlite3.Cursor:
        if sql == "begin immediate":
            self.begun += 1
            time.sleep(0.2)
            message = "database is locked"
            raise sqlite3.OperationalError(message)
        return super().execute(sql, *parameters)


def test_a_locked_file_is_waited_for_by_all_who_write_together() -> None:
    db = connect(Locked)
    commits = Commits(db)
    said: list[str] = []

    def write() -> None:
        with pytest.raises(RLMError) as caught:
            commits.write(lambda db: db.execute("select 1"))
        said.append(str(caught.value))

    threads = [threading.Thread(target=write) for _ in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    commits.close()
    assert said == ["the journal cannot be written: database is locked"] * 16
    assert db.begun < 10


class Slow(sqlite3.Connection):
    """Is closed only once somebody has tried to write meanwhile."""

    closing = threading.Event()
    tried = threading.Event()

    def close(self) -> None:
        self.closing.set()
        assert self.tried.wait(20)
        super().close()


def test_whoever_writes_while_it_closes_is_told() -> None:
    commits = Commits(connect(Slow))

    def late() -> None:
        assert Slow.closing.wait(20)
        with pytest.raises(RLMError, match="the journal cannot be written: it is closed"):
            commits.write(lambda db: db.execute("select 1"))
        Slow.tried.set()

    thread = threading.Thread(target=late, daemon=True)
    thread.start()
    commits.close()
    thread.join(20)
    assert Slow.tried.is_set()


def test_one_whose_work_fails_keeps_nobody_else_from_writing() -> None:
    db = connect(sqlite3.Connection)
    db.execute("create table t (n)")
    commits = Commits(db)
    failed: list[int] = []

    def write(number: int) -> None:
        try:
            commits.write(lambda db: db.execute("insert into t values (?)" if number % 2 else "nonsense", (number,)))
        except RLMError:
            failed.append(number)

    threads = [threading.Thread(target=write, args=(number,)) for number in range(10)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    rows = commits.rows("select n from t order by n")
    commits.close()
    assert [row["n"] for row in rows] == [1, 3, 5, 7, 9]
    assert sorted(failed) == [0, 2, 4, 6, 8]
