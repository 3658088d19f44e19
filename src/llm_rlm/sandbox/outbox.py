"""Replies on their way to one worker."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from llm_rlm.calls import CallReply

from . import wire
from .frames import FrameError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

_MOST_TOGETHER = 1 << 22
"""Characters of replies that go in one frame; a longer one goes by itself."""


class Outbox:
    """Sends replies. Those that come while one is being sent go together in the next frames."""

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
        try:
            while taken := self._take():
                self._send_all(taken)
        except BaseException:
            with self._lock:
                self._sending = False
            raise

    def _send_all(self, replies: Sequence[CallReply]) -> None:
        try:
            self._send([wire.from_reply(reply) for reply in replies])
        except FrameError:
            size = max(_size(reply) for reply in replies)
            too_long = f"the reply has {size:,} characters, more than a cell can be given: ask for less at a time"
            self._send([wire.from_reply(CallReply(reply.id, error=too_long)) for reply in replies])

    def _take(self) -> list[CallReply]:
        """Replies for a frame; none once all are sent."""
        with self._lock:
            room, count = _MOST_TOGETHER, 0
            for reply in self._replies:
                room -= _size(reply)
                if count and room < 0:
                    break
                count += 1
            taken, self._replies = self._replies[:count], self._replies[count:]
            self._sending = bool(taken)
            return taken


def _size(reply: CallReply) -> int:
    return sum(len(text) for text in (reply.text, reply.data, reply.error) if text is not None)
