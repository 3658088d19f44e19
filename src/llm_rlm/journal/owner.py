"""Who has a run: two must not go on with the same one."""

from __future__ import annotations

import os
import re
import secrets
import socket
import time
from typing import TYPE_CHECKING

from llm_rlm.errors import UsageError

if TYPE_CHECKING:
    import sqlite3

    from .history import PastRun
    from .journal import Journal

_OWNER = re.compile(r"(?P<host>[^:]*):(?P<number>\d{1,9}):(?P<started>\d{1,12}\.\d+)")
_here: set[str] = set()
"""The runs that go on in this process, by their owners' names."""


def claim() -> str:
    """A name for who has a run: this process, told from any that had its number before, and this run of it."""
    import psutil  # noqa: PLC0415 - takes a while to import

    owner = f"{socket.gethostname()}:{os.getpid()}:{psutil.Process().create_time():.2f}:{secrets.token_hex(4)}"
    _here.add(owner)
    return owner


def let_go(owner: str) -> None:
    """The run of that owner has ended."""
    _here.discard(owner)


def refuse_if_owned(past: PastRun) -> None:
    """Raise UsageError if somebody still has the run."""
    if past.process is not None and is_alive(past.process):
        message = f"run {past.id} is still going on, in process {past.process.split(':')[1]}: wait for it, or end it first"
        raise UsageError(message)


def take_over(journal: Journal, past: PastRun, owner: str, settings: str) -> None:
    """Make a run this owner's, to go on with it under these `settings` (JSON text).

    What was under way when it ended may have been paid, and is marked so. Raises UsageError if somebody else has it, or has
    gone on with it since it was read as `past`.
    """
    refuse_if_owned(past)
    where = (past.id,)

    def work(db: sqlite3.Connection) -> bool:
        now_there = db.execute("select process, finish from runs where id = ?", where).fetchone()
        if now_there != (past.process, past.finish):
            return False
        db.execute(
            "update calls set state = 'unknown', unsettled = unsettled + (kind = 'model') where run_id = ? and state = 'sent'",
            where,
        )
        db.execute(
            "update turns set unsettled = unsettled + 1, dropped = 1 where run_id = ? and ended is null and not dropped", where
        )
        db.execute(
            "update runs set process = ?, settings = ?, seconds = ?, life = ?, finish = null, ended = null, error = null,"
            " limit_kind = null, limit_value = null, limit_used = null, answer_hash = null, answer_is_json = null where id = ?",
            (owner, settings, past.seconds, time.time(), past.id),
        )
        return True

    if not journal.write(work):
        message = f"somebody else has gone on with run {past.id} meanwhile: look again"
        raise UsageError(message)


def drop_after(journal: Journal, run_id: str, turn: int, cell: int) -> None:
    """Let turns after `turn` and cells from `cell` on not count as the run's way any more; what they took still does."""

    def work(db: sqlite3.Connection) -> None:
        db.execute("update turns set dropped = 1 where run_id = ? and number > ?", (run_id, turn))
        db.execute("update cells set dropped = 1 where run_id = ? and number >= ?", (run_id, cell))

    journal.write(work)


def is_alive(owner: str) -> bool:
    """Whether the process of that name still has its run."""
    import psutil  # noqa: PLC0415 - see claim

    if (named := _OWNER.match(owner)) is None or named["host"] != socket.gethostname():
        return False
    number, started = named["number"], named["started"]
    if int(number) == os.getpid():
        return owner in _here
    try:
        process = psutil.Process(int(number))
        is_same = abs(process.create_time() - float(started)) < 1
        return is_same and process.status() != psutil.STATUS_ZOMBIE  # one that was killed, and whose parent does not look
    except psutil.Error:
        return False
