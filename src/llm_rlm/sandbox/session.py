"""One sandbox session as the run sees it: cells in, results out, whatever happens to the worker in between."""

from __future__ import annotations

import secrets
import threading
import time
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING

from llm_rlm import prompts
from llm_rlm.errors import SandboxError

from . import notes, wire
from .cell import Cell, attempt
from .connection import Connection
from .mailbox import Ended
from .types import NoHelpers, NotAnAnswerError, Past

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from .cell import Attempt
    from .types import Answer, CallHandler, CellResult, Helpers, Offer, Variable

_REPLAY_GRACE = 10.0
_SLOWEST = 4e6
"""Characters of a value that come in a second at least, beyond the time of a cell."""

# The cell that shows whether cells can still run.
_NOBODY = 0
_PROBE_LIMIT = 4.0
_PROBE_OUTPUT = 4096


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
        self._offer = offer
        self._handler = calls
        self._helpers: Helpers = NoHelpers()
        self._cell_limit = cell_limit
        self._output_limit = output_limit
        self._seed = seed
        self._past = list(past)
        self._restored = not past
        self._running = threading.Lock()
        self._lock = threading.Lock()
        """Guards that no worker is started once the session is closed."""
        self._names: dict[str, Variable] = {}
        self._untold: tuple[str, ...] = ()
        """What the next cell's result is to say of losses before it."""
        self._interrupted: str | None = None
        self._closed = False
        self._failed: str | None = None
        self._connect(spare)

    def serve(self, calls: CallHandler, helpers: Helpers | None = None) -> None:
        """Let `calls` make the calls of the cells, and `helpers` answer what they ask of the sources. Between two cells."""
        self._interrupted = None
        self._handler = self._connection.calls.handler = calls
        if helpers is not None:
            self._helpers = self._connection.questions.helpers = helpers

    def run_cell(self, number: int, code: str, on_output: Callable[[str], None] | None = None) -> CellResult:
        """Run a cell and wait for its result. `on_output` gets the first part of what it prints as it comes.

        Raises SandboxError if the sandbox cannot be started, or is closed meanwhile.
        """
        with self._running, self._not_interrupted_after():
            started = time.monotonic()
            self._prepare()
            cell = Cell(number, code, self._cell_limit, self._output_limit)
            done, told = self._begin_somehow(cell, on_output or _ignore)
            result = done.result
            if done.lost is not None:
                told = (*told, f"The sandbox was ended: {done.lost}.", *self._rebuild())
                result = replace(result, outcome="lost")
            elif result.outcome not in {"timeout", "interrupted"}:
                self._past.append(Past(number, code, result.output))
            self._note(result)
            untold, self._untold = self._untold, ()
            return replace(result, seconds=time.monotonic() - started, notes=(*untold, *told))

    def value(self, name: str) -> Answer:
        """The value of a variable, of any size.

        Raises MissingVariableError and NotAnAnswerError, which the root model can mend, and SandboxError.
        """
        with self._running:
            self._prepare()
            answer = self._ask_for_value(name)
            if answer is None:
                self._untold += self._rebuild()
                # What other cells left running may have been to blame, and is gone.
                answer = self._ask_for_value(name)
            if answer is None:
                self._untold += self._rebuild()
                message = f"the value of {name!r} could not be turned into text"
                raise NotAnAnswerError(message)
            return answer

    def interrupt(self, why: str) -> None:
        """Stop the cell that runs now, if any. Of one that waits the variables are kept. Called from any thread."""
        self._interrupted = why

    def close(self) -> None:
        """End the worker. A cell that runs meanwhile raises SandboxError."""
        with self._lock:
            self._closed = True
        self._connection.close()

    # Cells

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
        for start_over in (self._rebuild, self._rebuild_without_last, self._forget_all):
            done = self._attempt(cell, on_output, lambda: self._interrupted)
            if done.began:
                return done, told
            told = (f"The sandbox was ended before this cell: {done.lost}.", *start_over())
        return self._attempt(cell, on_output, lambda: self._interrupted), told

    def _attempt(self, cell: Cell, on_output: Callable[[str], None], interrupted: Callable[[], str | None]) -> Attempt:
        done = attempt(self._connection, cell, on_output, interrupted)
        if done.lost is not None:
            self._raise_if_closed()
        if self._connection.questions.problem is not None:
            raise self._connection.questions.problem
        return done

    def _note(self, result: CellResult) -> None:
        self._names.update({variable.name: variable for variable in result.variables})

    def _ask_for_value(self, name: str) -> Answer | None:
        """The value of a variable; None if the worker is lost over it, or it takes longer than a cell may and it is long."""
        connection, pieces = self._connection, list[str]()
        until = time.monotonic() + self._cell_limit
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
                        return wire.to_value(name, event, "".join(pieces))
        finally:
            connection.mailbox.ignore()
        self._raise_if_closed()
        return None

    # Workers

    def _connect(self, spare: Connection | None = None) -> None:
        with self._lock:
            self._raise_if_closed()
            self._connection = spare if spare is not None else Connection(self._offer.volumes)
            setup = {**self._offer.in_guest, "seed": self._seed, "map": prompts.template("map")}
            self._connection.begin(setup, self._handler, self._helpers)

    def _raise_if_closed(self) -> None:
        if self._closed:
            message = "the session is closed"
            raise SandboxError(message)

    def _await_ready(self) -> None:
        self._raise_if_closed()
        self._failed = self._failed or self._why_not_ready()
        if self._failed is not None:
            self._raise_if_closed()
            message = f"the sandbox could not start: {self._failed}"
            raise SandboxError(message)

    def _why_not_ready(self) -> str | None:
        """Wait until the worker is ready. Where it ends by itself, one more is tried: what was kept is made anew."""
        why = self._connection.why_not_ready()
        if why is None or self._connection.worker.was_killed:
            return why
        self._raise_if_closed()
        self._connection.close()
        self._connect()
        return self._connection.why_not_ready()

    def _prepare(self) -> None:
        """Have a worker that is ready, with all that the finished cells made."""
        self._await_ready()
        ended = self._connection.mailbox.drain()
        if not self._restored:
            if ended is not None:
                self._restart()
            self._untold += notes.of_restart(self._replay())
            self._restored = True
        elif ended is not None:
            self._untold += (f"The sandbox was ended between two cells: {ended.reason}.", *self._rebuild())

    def _restart(self) -> None:
        self._connection.close()
        self._connect()
        self._await_ready()

    def _rebuild(self) -> tuple[str, ...]:
        """Start a new worker and run the finished cells again. Says what came of it."""
        before, self._names = self._names, {}
        self._restart()
        replay = self._replay()
        return notes.of_loss(before, self._names, replay)

    def _rebuild_without_last(self) -> tuple[str, ...]:
        """Rebuild the session without the last finished cell: what it began may go on between cells."""
        del self._past[-1:]
        return self._rebuild()

    def _forget_all(self) -> tuple[str, ...]:
        """Start a new worker with nothing in it. Says which variables that costs."""
        gone = list(self._names.values())
        self._past.clear()
        self._names.clear()
        self._restart()
        return notes.of_gone(gone)

    def _replay(self) -> notes.Replay:
        """Run the finished cells in a new worker, their calls answered from the journal.

        Where one fails, it is forgotten with all that came after it, and those before are run in another worker.
        """
        replay = notes.Replay()
        while (left := self._run_past(replay)) < len(self._past):
            del self._past[left:]
            replay.changed.clear()
            self._names.clear()
            self._restart()
        self._connection.replaying = False
        replay.restored = bool(self._past)
        return replay

    def _run_past(self, replay: notes.Replay) -> int:
        """Run the finished cells; how many of them brought their variables back and leave the session working."""
        self._connection.replaying = True
        for index, past in enumerate(self._past):
            # It was within its time once. It is not interrupted: it brings the variables back.
            cell = Cell(past.number, past.code, 2 * self._cell_limit + _REPLAY_GRACE, self._output_limit)
            done = self._attempt(cell, _ignore, lambda: None)
            if (why := self._why_not_restored(done)) is not None:
                # One that does not begin is kept from it by the one before.
                return self._give_up(replay, index if done.began else max(0, index - 1), why)
            self._note(done.result)
            if done.result.output != past.shown:
                replay.changed.append(past.number)
        if self._past and not self._still_works():
            return self._give_up(replay, len(self._past) - 1, "no cell could run after it")
        return len(self._past)

    def _why_not_restored(self, done: Attempt) -> str | None:
        if done.lost is not None:
            return done.lost
        if self._connection.calls.met_unknown:
            return "it asked for another call than the first time"
        return "it ran too long" if done.result.outcome == "timeout" else None

    def _still_works(self) -> bool:
        """Whether a cell can run after the last of the finished ones. It is nobody's cell, and leaves nothing behind."""
        shown = secrets.token_hex(8)  # tasks of earlier cells may print before and after it
        cell = Cell(_NOBODY, f"print({shown!r})", min(self._cell_limit, _PROBE_LIMIT), _PROBE_OUTPUT)
        done = self._attempt(cell, _ignore, lambda: None)
        handler = self._connection.calls.handler
        assert handler is not None
        handler.begin_cell(self._past[-1].number)  # what tasks of cells ask between two cells is asked by the last
        return done.lost is None and shown in done.result.output

    def _give_up(self, replay: notes.Replay, index: int, why: str) -> int:
        """Note which cell is the first that is not restored, and why; how many finished cells are left."""
        replay.broken_at = self._past[index].number
        replay.broken = f"cell {replay.broken_at} failed when it was run again ({why})"
        return index


def _ignore(_: str) -> None:
    """Take output that nobody watches."""
