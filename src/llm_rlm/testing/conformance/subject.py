"""What is held to the suite: a sandbox, and how one is made."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Protocol

from llm_rlm.calls import CallReply, CallRequest

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from llm_rlm.sandbox import Answer, CallHandler, CellResult, Offer

type Deliver = Callable[[CallReply], None]

HELD = "hang"
"""A prompt with this in it is not answered."""


class Sandbox(Protocol):
    """A Python session: cells in, results out. `llm_rlm.sandbox.Session` says what each of these does."""

    def run_cell(self, number: int, code: str, on_output: Callable[[str], None] | None = None) -> CellResult:
        """Run a cell and wait for its result."""

    def value(self, name: str) -> Answer:
        """The value of a variable. Raises MissingVariableError and NotAnAnswerError."""

    def interrupt(self, why: str) -> None:
        """Stop the cell that runs now. Of one that waits the variables are kept. Called from any thread."""

    def close(self) -> None:
        """End the session, and all that it started."""


class Maker(Protocol):
    """Makes the sandboxes that are held to the suite; `llm_rlm.sandbox.Session` is one."""

    def __call__(self, offer: Offer, calls: CallHandler, *, cell_limit: float, output_limit: int) -> Sandbox:
        """A new session. `cell_limit` is in seconds of a cell's own time, `output_limit` in characters."""


class Echo:
    """Answers each call with its own prompt, `re: PROMPT`, from a thread of its own. It is no model.

    A replay is answered with what was asked before, and with nothing else.
    """

    def __init__(self) -> None:
        """Nothing has been asked."""
        self._lock = threading.Lock()
        self._known: set[str] = set()
        self.asked = 0
        """How many calls there were, without those of replays."""

    def ask(self, requests: Sequence[CallRequest], deliver: Deliver) -> None:
        """Answer these calls."""
        threading.Thread(target=self._deliver, args=(requests, deliver), daemon=True).start()

    def begin_cell(self, number: int) -> int:  # noqa: ARG002 - the protocol's
        """Nothing is kept for a cell."""
        return 0

    def left(self) -> dict[str, float | None]:
        """A thousand calls, whatever was asked."""
        return {"calls": 1000.0, "seconds": None}

    def _deliver(self, requests: Sequence[CallRequest], deliver: Deliver) -> None:
        for request in requests:
            if HELD not in request.prompt:
                deliver(self._answer(request))

    def _answer(self, request: CallRequest) -> CallReply:
        start = request.prompt[:100]
        with self._lock:
            if request.replay and start not in self._known:
                return CallReply(request.id, error="it was not asked before", unknown=True)
            self._known.add(start)
            self.asked += not request.replay
        return CallReply(request.id, text=f"re: {start}")
