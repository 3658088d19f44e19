"""One worker as its session has it: what it sends is kept or answered."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from . import wire
from .client import Worker
from .mailbox import Ended, Mailbox
from .pending import PendingCalls
from .questions import Questions
from .types import NoHelpers
from .window import MOUNTED_AT

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from .types import CallHandler, Helpers

_START_LIMIT = 120.0


class Connection:
    """A worker, its mailbox, its calls and questions. Another worker has a connection of its own, and hears nothing of this."""

    def __init__(self, volumes: Sequence[tuple[str, str]]) -> None:
        """Start a worker with these files. Returns at once.

        Raises OSError if there can be no further process, SandboxError if what a guest needs cannot be unpacked.
        """
        self.replaying = False
        """Whether the cells that run have run before."""
        self.mailbox = Mailbox()
        self.questions = Questions(NoHelpers())
        try:
            self.worker = Worker([*volumes, (self.questions.window.path, MOUNTED_AT)], self)
        except BaseException:
            self.questions.close()
            raise
        self.calls = PendingCalls(None, self.worker.send)
        self._ready = False
        self.when_ready: Callable[[], None] = lambda: None
        """Called once the guest has read its context, and when the worker is given up: its files are not needed any more."""
        self.worker.start()

    def begin(self, setup: Mapping[str, object], handler: CallHandler | None, helpers: Helpers) -> None:
        """Let the session begin: `setup` is what its guest needs to know of it."""
        self.calls.handler, self.questions.helpers = handler, helpers
        self.worker.send({"t": "setup", "window": MOUNTED_AT, **setup})

    def why_not_ready(self) -> str | None:
        """Wait until the guest can take cells; if it will not, why."""
        until = time.monotonic() + _START_LIMIT
        while not self._ready:
            event = self.mailbox.get(max(0.0, until - time.monotonic()))
            if event is None:
                return f"not ready after {_START_LIMIT:g} s"
            if isinstance(event, Ended):
                return event.reason
            self._ready = event["t"] == "ready"
        self.mailbox.ignore()
        self.questions.window.unlink()
        self.when_ready()
        return None

    def stop(self, key: str, why: str) -> None:
        """Ask the cell of that key, which runs, to end."""
        self.worker.send({"t": "stop", "why": why})
        self.questions.stop(key, why)

    def close(self) -> None:
        """End the worker and wait for it. Replies that come later go nowhere."""
        self.worker.close()
        self.calls.forget()
        self.questions.close()
        self.when_ready()

    def received(self, worker: Worker, frame: dict[str, Any], size: int) -> None:
        """Take a frame: calls go to the call handler, questions and touched texts to the helpers, the rest to whoever waits."""
        if frame["t"] in {"ask", "touched"} and not self.mailbox.count():
            worker.kill("it asked more than it may")
            return
        if frame["t"] == "ask":
            if not self.questions.ask(frame["n"], frame["name"], frame["arguments"]):
                worker.kill("it broke the protocol: a question before the last was answered")
            return
        if frame["t"] == "touched":
            self.questions.helpers.touched(frame["documents"])
            return
        if frame["t"] != "calls":
            if not self.mailbox.put(frame, size):
                worker.kill("it sent more output than it may")
            return
        if self.calls.handler is None:
            worker.kill("it broke the protocol: a call before the session began")
            return
        try:
            requests = [wire.to_request(call, replay=self.replaying) for call in frame["calls"]]
        except (TypeError, KeyError, ValueError):
            worker.kill("it broke the protocol: a malformed call")
            return
        if not self.calls.ask(requests):
            worker.kill("it asked for too many calls at once, again and again")

    def ended(self, _: Worker, reason: str) -> None:
        """Note that the worker is gone."""
        self.mailbox.end(reason)
