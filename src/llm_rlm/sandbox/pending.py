"""The calls of one worker that wait for their reply."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from llm_rlm.calls import CallReply

from .outbox import Outbox

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from llm_rlm.calls import CallRequest

    from .types import CallHandler

_MOST = 50_000
_MOST_CHARACTERS = 1 << 28
_MOST_REFUSED = 500_000
_NO_CELL = "calls can be made while a cell runs only"
_TOO_MUCH = f"too many calls at once: at most {_MOST:,}, of {_MOST_CHARACTERS:,} characters in all, may wait"


class PendingCalls:
    """Has calls made, as many as may wait at once, and sends each reply once."""

    def __init__(self, handler: CallHandler | None, send: Callable[[Mapping[str, object]], None]) -> None:
        """`send` takes a frame for the worker."""
        self.handler = handler
        self._cell_runs = False
        self._refused = 0
        self.met_unknown = False
        """Whether a call of a replay was not in the journal."""
        self._send = send
        self._outbox = Outbox(self._send_replies)
        self._lock = threading.Lock()
        """Guards the two below."""
        self._sizes: dict[int, int] = {}
        self._characters = 0

    def __bool__(self) -> bool:
        """Whether any call waits."""
        return bool(self._sizes)

    def begin_cell(self) -> None:
        """From now on calls are those of a cell."""
        self._refused = 0
        self._cell_runs = True

    def end_cell(self) -> None:
        """From now on calls are refused: so nothing is paid that no cell asked for."""
        self._cell_runs = False

    def ask(self, requests: Sequence[CallRequest]) -> bool:
        """Have these calls made; those too many, or of no cell, are answered with an error. False if that never ends."""
        assert self.handler is not None
        taken = self._take_on(requests) if self._cell_runs else 0
        self._refused += len(requests) - taken
        why = _TOO_MUCH if self._cell_runs else _NO_CELL
        self._outbox.post(*[CallReply(request.id, error=why) for request in requests[taken:]])
        if taken:
            self.handler.ask(requests[:taken], self._reply)
        return self._refused <= _MOST_REFUSED

    def forget(self) -> None:
        """Nobody waits any longer."""
        with self._lock:
            self._sizes.clear()

    def _take_on(self, requests: Sequence[CallRequest]) -> int:
        """Note as many of these calls as may wait; how many."""
        with self._lock:
            for taken, request in enumerate(requests):
                texts = (request.prompt, request.system, request.schema, request.payload)
                size = sum(len(text) for text in texts if text is not None)
                full = len(self._sizes) >= _MOST or self._characters + size > _MOST_CHARACTERS
                if full or request.id in self._sizes:
                    return taken
                self._sizes[request.id] = size
                self._characters += size
        return len(requests)

    def _reply(self, reply: CallReply) -> None:
        """Answer a call. Called from any thread, at any time."""
        with self._lock:
            if reply.id not in self._sizes:
                return
            self._characters -= self._sizes.pop(reply.id)
        self.met_unknown = self.met_unknown or reply.unknown
        self._outbox.post(reply)

    def _send_replies(self, replies: Sequence[Mapping[str, object]]) -> None:
        assert self.handler is not None
        self._send({"t": "replies", "replies": replies, "budget": self.handler.left()})
