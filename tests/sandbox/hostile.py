"""A process in the worker's place, through which a test says to the host whatever it likes."""

from __future__ import annotations

import json
import queue
import socket
import struct
import threading
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from llm_rlm.sandbox import errand, frames

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    import pytest

# Both pipes are carried through one socket; the process ends with either.
_RELAY = """
import os, socket, threading
test = socket.create_connection(("127.0.0.1", {port}))
def to_test():
    while data := os.read(0, 65536):
        test.sendall(data)
    os._exit(0)
threading.Thread(target=to_test, daemon=True).start()
while data := test.recv(65536):
    while data:
        data = data[os.write(1, data):]
"""
_DEAF = "import time\nwhile True: time.sleep(9)"

READY: dict[str, object] = {"t": "ready"}


def speaks_only(data: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    """Workers from now on say these bytes, whatever they are told, and end."""
    monkeypatch.setattr(errand, "_MAIN", f"import os\nos.write(1, {data!r})")


def never_reads(monkeypatch: pytest.MonkeyPatch) -> None:
    """Workers from now on take nothing from their pipe."""
    monkeypatch.setattr(errand, "_MAIN", _DEAF)


def framed(frame: object, sender: int = frames.GUEST) -> bytes:
    """A frame as it goes over the pipe; bytes are a body as it is."""
    return frames.from_worker(sender, frame if isinstance(frame, bytes) else json.dumps(frame).encode("ascii"))


def done(key: str, **other: object) -> dict[str, object]:
    """The end of a cell as a driver says it."""
    end: dict[str, object] = {"t": "done", "key": key, "error": None, "tail": "", "total": 0, "running": 0.0, "variables": []}
    return {**end, **other}


type React = Callable[[dict[str, Any]], Iterable[bytes]]
"""What to answer to a frame of the host."""


class Puppets:
    """Stands in for workers as long as it is open: each says what `react` answers to what its host sends."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, react: React) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0))
        monkeypatch.setattr(errand, "_MAIN", _RELAY.format(port=self._listener.getsockname()[1]))
        self.react = react
        self.problems: queue.SimpleQueue[BaseException] = queue.SimpleQueue()
        self._latest: socket.socket | None = None
        threading.Thread(target=self._accept, daemon=True).start()

    def say(self, *data: bytes) -> None:
        """Say this now, from the worker that came last."""
        with suppress(OSError):
            assert self._latest is not None
            self._latest.sendall(b"".join(data))

    def close(self) -> None:
        """Take no further workers."""
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                connection, _ = self._listener.accept()
                self._latest = connection
                threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        with connection, connection.makefile("rb") as pipe, suppress(OSError, ValueError):
            next_frame(pipe)  # what a guest would run
            while (frame := next_frame(pipe)) is not None:
                for data in self.react(frame):
                    connection.sendall(data)


def next_frame(pipe: Any) -> dict[str, Any] | None:
    """What the host sends next; None at its end."""
    head = pipe.read(4)
    if len(head) < 4:
        return None
    (size,) = struct.unpack(">I", head)
    frame: dict[str, Any] = json.loads(pipe.read(size))
    return frame
