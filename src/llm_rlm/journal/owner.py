"""Which process has a run: two must not go on with the same one."""

from __future__ import annotations

import os
import socket
from typing import TYPE_CHECKING

from llm_rlm.errors import UsageError

if TYPE_CHECKING:
    import sqlite3

    from .journal import Journal


def this_process() -> str:
    """The name of this process, unlike that of any other, also of one that had its number before."""
    import psutil  # noqa: PLC0415 - takes a while to import

    return f"{socket.gethostname()}:{os.getpid()}:{psutil.Process().create_time():.2f}"


def take_over(journal: Journal, run_id: str, settings: str) -> None:
    """Make a run this process's, to go on with it under these `settings` (JSON text).

    What was under way when it ended may have been paid, and is marked so. Raises UsageError if another process has the run.
    """
    process = this_process()

    def work(db: sqlite3.Connection) -> str | None:
        (owner,) = db.execute("select process from runs where id = ?", (run_id,)).fetchone()
        if owner is not None and owner != process and _is_alive(owner):
            return str(owner)
        where = (run_id,)
        db.execute("update calls set state = 'unknown', unsettled = unsettled + 1 where run_id = ? and state = 'sent'", where)
        db.execute(
            "update turns set unsettled = unsettled + 1, dropped = 1 where run_id = ? and ended is null and not dropped", where
        )
        db.execute(
            "update runs set process = ?, settings = ?, finish = null, ended = null, error = null, limit_kind = null,"
            " limit_value = null, limit_used = null, answer_hash = null, answer_is_json = null where id = ?",
            (process, settings, run_id),
        )
        return None

    if (owner := journal.write(work)) is not None:
        message = f"run {run_id} is still going on, in process {owner.split(':')[1]}: wait for it, or end it first"
        raise UsageError(message)


def drop_after(journal: Journal, run_id: str, turn: int, cell: int) -> None:
    """Let turns after `turn` and cells from `cell` on not count as the run's way any more; what they took still does."""

    def work(db: sqlite3.Connection) -> None:
        db.execute("update turns set dropped = 1 where run_id = ? and number > ?", (run_id, turn))
        db.execute("update cells set dropped = 1 where run_id = ? and number >= ?", (run_id, cell))

    journal.write(work)


def _is_alive(owner: str) -> bool:
    import psutil  # noqa: PLC0415 - see this_process

    host, number, started = owner.rsplit(":", 2)
    if host != socket.gethostname():
        return False
    try:
        return abs(psutil.Process(int(number)).create_time() - float(started)) < 1
    except psutil.Error:
        return False
