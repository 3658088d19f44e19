"""One worker as its session has it: what it sends is kept or answered."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from . import wire
from .client import Setup, Worker
from .mailbox import Ended, Mailbox
from .pending import PendingCalls
from .questions import Questions

if TYPE_CHECKING:
    from .types import CallHandler, Helpers, Offer

_START_LIMIT = 120.0


class Connection:
    """A worker, its mailbox, its calls and questions. Another worker has a connection of its own, and hears nothing of this."""

    def __init__(self, offer: Offer, seed: str, handler: CallHandler | None, helpers: Helpers) -> None:
        """Start a worker. Returns at once. Raises OSError if there can be no further process."""
        self.replaying = False
        """Whether the cells that run have run before."""
        self.mailbox = Mailbox()
        self.questions = Questions(helpers)
        try:
            self.worker = Worker(Setup(offer, seed, self.questions.window.path), self)
        except BaseException:
            self.questions.close()
            raise
        self.calls = PendingCalls(handler, self.worker.send)
        self._ready = False
        self.worker.start()

    def why_not_ready(self) -> str | None:
        """Wait until the guest can take cells; if it will not, why."""
        while not self._ready:
            event = self.mailbox.get(_START_LIMIT)
            if event is None:
                return f"not ready after {_START_LIMIT:g} s"
            if isinstance(event, Ended):
                return event.reason
            self._ready = event["t"] == "ready"
        self.mailbox.ignore()
        self.questions.window.unlink()
        return None

    def stop(self, why: str) -> None:
        """Ask the cell that runs to end."""
        self.worker.send({"t": "stop", "why": why})
        self.questions.stop(why)

    def close(self) -> None:
        """End the worker and wait for it. Replies that come later go nowhere."""
        self.worker.close()
        self.calls.forget()
        self.questions.close()

    def received(self, worker: Worker, frame: dict[str, Any], size: int) -> None:
        """Take a frame: calls go to the call handler, questions and touched texts to the helpers, the rest to whoever waits."""
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
        try:
            requests = [wire.to_request(call, replay=self.replaying) for call in frame["calls"]]
        except (TypeError, KeyError):
            worker.kill("it broke the protocol: a malformed call")
            return
        self.calls.ask(requests)

    def ended(self, _: Worker, reason: str) -> None:
        """Note that the worker is gone."""
        self.mailbox.end(reason)
