"""One cell, run once on one worker."""

from __future__ import annotations

import secrets
import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from . import wire
from .mailbox import Ended
from .meter import Meter
from .transcript import Transcript

if TYPE_CHECKING:
    from collections.abc import Callable

    from .connection import Connection
    from .types import CellResult, Sent

# Seconds: between looks at the time, until a cell must have begun, from its time to asking it to stop, and from that until its
# worker is ended. Cells that can be stopped gently are done 0.06 s after they are asked, at a load of three processes a core;
# another worker starts meanwhile, so that a result comes in a second, though variables have to be brought back.
_TICK = 0.1
_BEGIN_LIMIT = 5.0
_LATE = 0.1
_GRACE = 0.3


@dataclass(frozen=True)
class Cell:
    """What to run, and within which limits."""

    number: int
    code: str
    limit: float
    """Seconds of its own time."""
    output_limit: int
    """Characters that it may show."""
    value: str | None = None
    """The name of a variable whose value is wanted too, as it is at the end of the cell."""


@dataclass(frozen=True)
class Attempt:
    """What came of running a cell once."""

    result: CellResult
    lost: str | None = None
    """Why the worker was lost, if it was."""
    began: bool = True
    """Whether the cell was seen to begin."""
    value: Sent | None = None
    """What was sent of the value that was wanted."""


@dataclass(frozen=True)
class _Stop:
    """The cell was asked to stop."""

    why: str
    interrupted: bool
    at: float


def attempt(
    connection: Connection,
    cell: Cell,
    on_output: Callable[[str], None],
    interrupted: Callable[[], str | None],
    on_late: Callable[[], None],
) -> Attempt:
    """Run a cell until it is done, is stopped, or its worker is lost.

    `interrupted` says why it is to stop, if it is. `on_late` is called when its time is up: its worker may be lost soon.
    """
    calls = connection.calls.handler
    assert calls is not None
    key = secrets.token_hex(8)
    known = calls.begin_cell(cell.number)
    connection.questions.begin_cell()
    connection.mailbox.listen(cell.output_limit)
    connection.calls.begin_cell()
    connection.worker.send(
        {
            "t": "cell",
            "n": cell.number,
            "key": key,
            "code": wire.clean(cell.code),
            "limit": cell.limit,
            "output": cell.output_limit,
            "budget": calls.left(),
            "known": known,
            "replay": connection.replaying,
            "value": wire.clean(cell.value) if cell.value is not None else None,
        }
    )
    try:
        transcript = Transcript(cell.number, key, cell.output_limit, on_output)
        return _follow(connection, cell, transcript, interrupted, on_late)
    finally:
        connection.calls.end_cell()
        connection.mailbox.ignore()


def _follow(
    connection: Connection,
    cell: Cell,
    transcript: Transcript,
    interrupted: Callable[[], str | None],
    on_late: Callable[[], None],
) -> Attempt:
    """Take what a cell sends until it is done, and stop it when its time is up."""
    worker = connection.worker
    meter = Meter(worker.cpu_seconds)
    stop: _Stop | None = None
    while True:
        event = connection.mailbox.get(_TICK)
        used = meter.read(calls_open=bool(connection.calls) or bool(connection.questions))
        if isinstance(event, Ended):
            return Attempt(transcript.lost(used), event.reason, began=transcript.began)
        if event is None:
            # A guest that has ended is found out only when it is spoken to.
            worker.send({"t": "tick"})
        elif (done := transcript.take(event)) is not None:
            was_interrupted = done.outcome == "timeout" and stop is not None and stop.interrupted
            return Attempt(replace(done, outcome="interrupted") if was_interrupted else done, value=transcript.value)
        if not transcript.began and used > _BEGIN_LIMIT:
            worker.kill("what an earlier cell started keeps it from answering")
        if stop is None:
            stop = _why_stop(cell, used, interrupted())
            if stop is not None:
                connection.stop(transcript.key, stop.why)
                if not stop.interrupted:
                    on_late()
        elif time.monotonic() - stop.at > _GRACE:
            worker.kill(f"{stop.why}, and could not be stopped more gently")


def _why_stop(cell: Cell, used: float, interrupted: str | None) -> _Stop | None:
    if interrupted is not None:
        return _Stop(interrupted, interrupted=True, at=time.monotonic())
    late = used > cell.limit + _LATE
    return _Stop(f"stopped after {cell.limit:g} s", interrupted=False, at=time.monotonic()) if late else None
