"""The finished cells of a session, and how they bring its variables back where a worker was lost."""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING

from . import notes
from .cell import Cell

if TYPE_CHECKING:
    from collections.abc import Sequence

    from .cell import Attempt
    from .types import CellResult, Past, Sent, Variable
    from .workers import Workers

_REPLAY_GRACE = 10.0

# The cell that shows whether cells can still run.
_NOBODY = 0
_PROBE_LIMIT = 4.0
_PROBE_OUTPUT = 4096


class History:
    """What a worker must run to have all that the cells before have made."""

    def __init__(self, workers: Workers, past: Sequence[Past], cell_limit: float, output_limit: int) -> None:
        """`past` are cells that finished in an earlier life of the session; no worker has run them yet."""
        self._workers = workers
        self._past = list(past)
        self._cell_limit = cell_limit
        self._output_limit = output_limit
        self._restored = not past
        self._names: dict[str, Variable] = {}

    def prepare(self) -> tuple[str, ...]:
        """Have a worker that is ready, with all that the finished cells made. Says what was lost since the last cell."""
        self._workers.await_ready()
        ended = self._workers.ended()
        if not self._restored:
            if ended is not None:
                self._workers.replace()
            told = notes.of_restart(self._replay())
            self._restored = True
            return told
        return (f"The sandbox was ended between two cells: {ended.reason}.", *self.rebuild()) if ended is not None else ()

    def note(self, result: CellResult) -> None:
        """A cell has run: its variables are there."""
        self._names.update({variable.name: variable for variable in result.variables})

    def add(self, past: Past) -> None:
        """A cell has finished: from now on it is run again."""
        self._past.append(past)

    def rebuild(self) -> tuple[str, ...]:
        """Start a new worker and run the finished cells again. Says what came of it."""
        return self.rebuild_for(None)[0]

    def rebuild_for(self, name: str | None) -> tuple[tuple[str, ...], Sent | None]:
        """Rebuild the session, and have the value of a variable before anything goes on that a cell has begun.

        Says what came of it. The value is None where it could not be had even so.
        """
        before, self._names = self._names, {}
        self._workers.replace()
        replay = self._replay(name)
        return notes.of_loss(before, self._names, replay), replay.value

    def rebuild_without_last(self) -> tuple[str, ...]:
        """Rebuild the session without the last finished cell: what it began may go on between cells."""
        del self._past[-1:]
        return self.rebuild()

    def forget_all(self) -> tuple[str, ...]:
        """Start a new worker with nothing in it. Says which variables that costs."""
        gone = list(self._names.values())
        self._past.clear()
        self._names.clear()
        self._workers.replace()
        return notes.of_gone(gone)

    def _replay(self, wanted: str | None = None) -> notes.Replay:
        """Run the finished cells in a new worker, their calls answered from the journal.

        Where one fails, it is forgotten with all that came after it, and those before are run in another worker. The first
        time all are run again instead where a value is wanted and has not come: that it is wanted may be to blame.
        """
        replay = notes.Replay()
        while (left := self._run_past(replay, wanted)) < len(self._past):
            if wanted is None or replay.value is not None:
                del self._past[left:]
            else:
                replay = notes.Replay()
            wanted = None
            replay.changed.clear()
            self._names.clear()
            self._workers.replace()
        self._workers.connection.replaying = False
        replay.restored = bool(self._past)
        return replay

    def _run_past(self, replay: notes.Replay, wanted: str | None) -> int:
        """Run the finished cells; how many of them brought their variables back and leave the session working."""
        self._workers.connection.replaying = True
        for index, past in enumerate(self._past):
            # It was within its time once. It is not interrupted: it brings the variables back.
            value = wanted if index == len(self._past) - 1 else None
            cell = Cell(past.number, past.code, 2 * self._cell_limit + _REPLAY_GRACE, self._output_limit, value)
            done = self._workers.attempt(cell)
            if (why := self._why_not_restored(done)) is not None:
                # One that does not begin is kept from it by the one before.
                return self._give_up(replay, index if done.began else max(0, index - 1), why)
            self.note(done.result)
            if value is not None:
                replay.value = done.value
            if done.result.output != past.shown:
                replay.changed.append(past.number)
        if self._past and not self._still_works():
            return self._give_up(replay, len(self._past) - 1, "no cell could run after it")
        return len(self._past)

    def _why_not_restored(self, done: Attempt) -> str | None:
        if done.lost is not None:
            return done.lost
        if self._workers.connection.calls.met_unknown:
            return "it asked for another call than the first time"
        return "it ran too long" if done.result.outcome == "timeout" else None

    def _still_works(self) -> bool:
        """Whether a cell can run after the last of the finished ones. It is nobody's cell, and leaves nothing behind."""
        shown = secrets.token_hex(8)  # tasks of earlier cells may print before and after it
        done = self._workers.attempt(Cell(_NOBODY, f"print({shown!r})", min(self._cell_limit, _PROBE_LIMIT), _PROBE_OUTPUT))
        handler = self._workers.connection.calls.handler
        assert handler is not None
        handler.begin_cell(self._past[-1].number)  # what tasks of cells ask between two cells is asked by the last
        return done.lost is None and shown in done.result.output

    def _give_up(self, replay: notes.Replay, index: int, why: str) -> int:
        """Note which cell is the first that is not restored, and why; how many finished cells are left."""
        replay.broken_at = self._past[index].number
        replay.broken = f"cell {replay.broken_at} failed when it was run again ({why})"
        return index
