"""One sandbox session as the run sees it: cells in, results out, whatever happens to the worker in between."""

from __future__ import annotations

import threading
import time
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING

from . import wire
from .cell import Cell
from .history import History
from .mailbox import Ended
from .types import NotAnAnswerError, Past
from .workers import Workers

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from .cell import Attempt
    from .connection import Connection
    from .types import Answer, CallHandler, CellResult, Helpers, Offer, Sent

_LEAST_FOR_VALUE = 2.0
"""Seconds in which a value has to be turned into text, also where a cell may take less: tasks of cells go on meanwhile."""
_SLOWEST = 4e6
"""Characters of a value that come in a second at least, beyond the time of a cell."""


class Session:
    """A Python session in a sandbox. Starts its worker at once and loads the context while the caller goes on.

    Methods may be called from any thread; cells run one after another.
    """

    def __init__(  # noqa: PLR0913 - by keyword, but for the first two
        self,
        offer: Offer,
        calls: CallHandler | None = None,
        *,
        cell_limit: float = 120.0,
        output_limit: int = 8192,
        seed: str = "",
        past: Sequence[Past] = (),
        spare: Connection | None = None,
    ) -> None:
        """Start the session. `cell_limit` is in seconds of a cell's own time, `output_limit` in characters.

        `random` draws the same for the same `seed`. `past` are cells that finished in an earlier life of the session, under the
        same `output_limit`; they are run again before anything else.
        `spare` is a worker that is up already, with the offer.
        """
        self._cell_limit = cell_limit
        self._output_limit = output_limit
        self._running = threading.Lock()
        self._untold: tuple[str, ...] = ()
        """What the next cell's result is to say of losses before it."""
        self._interrupted: str | None = None
        self._workers = Workers(offer, calls, seed, spare)
        self._history = History(self._workers, past, cell_limit, output_limit)

    def serve(self, calls: CallHandler, helpers: Helpers | None = None) -> None:
        """Let `calls` make the calls of the cells, and `helpers` answer what they ask of the sources. Between two cells."""
        self._interrupted = None
        self._workers.serve(calls, helpers)

    def run_cell(self, number: int, code: str, on_output: Callable[[str], None] | None = None) -> CellResult:
        """Run a cell and wait for its result. `on_output` gets the first part of what it prints as it comes.

        Raises SandboxError if the sandbox cannot be started, or is closed meanwhile.
        """
        with self._running, self._not_interrupted_after():
            started = time.monotonic()
            self._untold += self._history.prepare()
            done, told = self._begin_somehow(Cell(number, code, self._cell_limit, self._output_limit), on_output or _ignore)
            result = done.result
            if done.lost is not None:
                told = (*told, f"The sandbox was ended: {done.lost}.", *self._history.rebuild())
                result = replace(result, outcome="lost")
            elif result.outcome not in {"timeout", "interrupted"}:
                self._history.add(Past(number, code, result.output))
            self._history.note(result)
            untold, self._untold = self._untold, ()
            return replace(result, seconds=time.monotonic() - started, notes=(*untold, *told))

    def value(self, name: str) -> Answer:
        """The value of a variable, of any size.

        Raises MissingVariableError and NotAnAnswerError, which the root model can mend, and SandboxError.
        """
        with self._running:
            self._untold += self._history.prepare()
            sent = self._ask_for_value(name)
            if sent is None:
                # What cells left running may be to blame.
                told, sent = self._history.rebuild_for(name)
                self._untold += told
            if sent is None:
                message = f"the value of {name!r} could not be turned into text"
                raise NotAnAnswerError(message)
            return wire.to_value(name, *sent)

    def interrupt(self, why: str) -> None:
        """Stop the cell that runs now, if any, its variables kept. Called from any thread.

        One that does not end when told, in a long call into C say, loses its worker: what those before it made is brought back.
        """
        self._interrupted = why

    def close(self) -> None:
        """End the worker. A cell that runs meanwhile raises SandboxError."""
        self._workers.close()

    @contextmanager
    def _not_interrupted_after(self) -> Iterator[None]:
        """An interrupt is for the cell that runs, or waits to; not for the next."""
        try:
            yield
        finally:
            self._interrupted = None

    def _begin_somehow(self, cell: Cell, on_output: Callable[[str], None]) -> tuple[Attempt, tuple[str, ...]]:
        """Run a cell. Where what earlier cells left behind keeps it from beginning, rebuild the session with less and less."""
        told: tuple[str, ...] = ()
        for start_over in (self._history.rebuild, self._history.rebuild_without_last, self._history.forget_all):
            done = self._workers.attempt(cell, on_output, lambda: self._interrupted)
            if done.began:
                return done, told
            told = (f"The sandbox was ended before this cell: {done.lost}.", *start_over())
        return self._workers.attempt(cell, on_output, lambda: self._interrupted), told

    def _ask_for_value(self, name: str) -> Sent | None:
        """The value of a variable, as it was sent.

        None if the worker is lost over it, or it takes longer than a cell may and it is long.
        """
        connection, pieces = self._workers.connection, list[str]()
        until = time.monotonic() + max(self._cell_limit, _LEAST_FOR_VALUE)
        connection.mailbox.listen()
        connection.worker.send({"t": "value", "name": wire.clean(name)})
        try:
            while (left := until - time.monotonic()) > 0:
                event = connection.mailbox.get(left)
                if event is None or isinstance(event, Ended):
                    break
                if event["t"] == "value":
                    pieces.append(event["text"])
                    until += len(event["text"]) / _SLOWEST
                    if event["last"]:
                        return event, "".join(pieces)
        finally:
            connection.mailbox.ignore()
        self._workers.raise_if_closed()
        return None


def _ignore(_: str) -> None:
    """Take output that nobody watches."""
