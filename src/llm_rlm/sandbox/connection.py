"""One worker as its session has it: what it sends is kept or answered."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from . import wire
from .client import Worker
from .mailbox import Ended, Mailbox
from .pending import PendingCalls

if TYPE_CHECKING:
    from .types import CallHandler, Offer

_START_LIMIT = 120.0


class Connection:
    """A worker, its mailbox and its calls. Another worker has a connection of its own, and hears nothing of this one."""

    def __init__(self, offer: Offer, seed: str, handler: CallHandler | None) -> None:
        """Start a worker. Returns at once. Raises OSError if there can be no further process."""
        self.replaying = False
        """Whether the cells that run have run before."""
        self.mailbox = Mailbox()
        self.worker = Worker(offer, seed, self)
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
        return None

    def close(self) -> None:
        """End the worker and wait for it. Replies that come later go nowhere."""
        self.worker.close()
        self.calls.forget()

    def received(self, worker: Worker, frame: dict[str, Any], size: int) -> None:
        """Take a frame: calls go to the call handler, the rest to whoever waits."""
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
