"""The workers of a session, one after another: where one is lost, the next takes its place."""

from __future__ import annotations

import threading
from contextlib import suppress
from typing import TYPE_CHECKING

from llm_rlm import prompts
from llm_rlm.errors import SandboxError

from .cell import attempt
from .connection import Connection
from .types import NoHelpers

if TYPE_CHECKING:
    from collections.abc import Callable

    from .cell import Attempt, Cell
    from .mailbox import Ended
    from .types import CallHandler, Helpers, Offer


class Workers:
    """The worker that there is, and how to get another. Starts the first at once, and does not wait for it."""

    def __init__(self, offer: Offer, calls: CallHandler | None, seed: str, spare: Connection | None = None) -> None:
        """Start the first worker, or take `spare`, which is up already and has the offer."""
        self._offer = offer
        self._seed = seed
        self._handler = calls
        self._helpers: Helpers = NoHelpers()
        self._lock = threading.Lock()
        """Guards that no worker is started once all is closed."""
        self._closed = False
        self._failed: str | None = None
        self._stand_in: Connection | None = None
        self._connect(spare)

    def serve(self, calls: CallHandler, helpers: Helpers | None) -> None:
        """Let `calls` make the calls, and `helpers` answer the questions, of this worker and of those after it."""
        self._handler = self.connection.calls.handler = calls
        if helpers is not None:
            self._helpers = self.connection.questions.helpers = helpers

    def await_ready(self) -> None:
        """Wait until the worker is ready for cells, or has been.

        Raises SandboxError if it cannot be started, or all is closed.
        """
        self.raise_if_closed()
        self._failed = self._failed or self._why_not_ready()
        if self._failed is not None:
            self.raise_if_closed()
            message = f"the sandbox could not start: {self._failed}"
            raise SandboxError(message)

    def ended(self) -> Ended | None:
        """The end of a worker that was ready, if it has come between two cells. Forgets what else it has sent there."""
        return self.connection.mailbox.drain()

    def replace(self) -> None:
        """End the worker, and wait until another is ready, with nothing in it but the context."""
        self.connection.close()
        stand_in, self._stand_in = self._stand_in, None
        self._connect(stand_in)
        self.await_ready()

    def attempt(
        self,
        cell: Cell,
        on_output: Callable[[str], None] = lambda _: None,
        interrupted: Callable[[], str | None] = lambda: None,
    ) -> Attempt:
        """Run a cell once. `interrupted` says why it is to stop, if it is.

        Raises SandboxError if all is closed meanwhile, and what went wrong with a question.
        """
        done = attempt(self.connection, cell, on_output, interrupted, self._call_stand_in)
        if done.lost is not None:
            self.raise_if_closed()
        else:
            self._dismiss_stand_in()
        if self.connection.questions.problem is not None:
            raise self.connection.questions.problem
        return done

    def raise_if_closed(self) -> None:
        """Raise SandboxError if there is to be no worker any more."""
        if self._closed:
            message = "the session is closed"
            raise SandboxError(message)

    def close(self) -> None:
        """End the worker. Called from any thread; there is no other after it."""
        with self._lock:
            self._closed = True
        self.connection.close()
        self._dismiss_stand_in()

    def _connect(self, spare: Connection | None = None) -> None:
        with self._lock:
            if self._closed and spare is not None:
                spare.close()
            self.raise_if_closed()
            self.connection = spare if spare is not None else Connection(self._offer.volumes)
            setup = {**self._offer.in_guest, "seed": self._seed, "map": prompts.template("map")}
            self.connection.begin(setup, self._handler, self._helpers)

    def _why_not_ready(self) -> str | None:
        """Wait until the worker is ready. Where it fails to start, one more is tried: what was kept is made anew."""
        why = self.connection.why_not_ready()
        if why is None or not self.connection.worker.failed_to_start:
            return why
        self.raise_if_closed()
        self.connection.close()
        self._connect()
        return self.connection.why_not_ready()

    def _call_stand_in(self) -> None:
        """Start a worker for when this one has to be ended, so that its cell's result need not wait for one then."""
        with self._lock, suppress(OSError, SandboxError):  # then the next one is started when it is needed, and says why not
            if self._stand_in is None and not self._closed:
                self._stand_in = Connection(self._offer.volumes)

    def _dismiss_stand_in(self) -> None:
        with self._lock:
            stand_in, self._stand_in = self._stand_in, None
        if stand_in is not None:
            stand_in.close()
