"""Replies on their way to one worker."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from . import wire

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from llm_rlm.calls import CallReply


class Outbox:
    """Sends replies. Those that come while one is being sent go together in the next frame."""

    def __init__(self, send: Callable[[Sequence[Mapping[str, object]]], None]) -> None:
        """`send` takes the replies of a frame; it is called by one thread at a time."""
        self._send = send
        self._lock = threading.Lock()
        self._replies: list[CallReply] = []
        self._sending = False

    def post(self, *replies: CallReply) -> None:
        """Send replies, now or with the next. Called from any thread."""
        with self._lock:
            self._replies.extend(replies)
            if self._sending:
                return
            self._sending = True
        while taken := self._take():
            self._send([wire.from_reply(reply) for reply in taken])

    def _take(self) -> list[CallReply]:
        with self._lock:
            taken, self._replies = self._replies, []
            self._sending = bool(taken)
            return taken
