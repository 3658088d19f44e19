"""A worker that is up before it is known what for, so that the next session need not wait for one."""

from __future__ import annotations

import os
import shutil
import tempfile
import threading
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from llm_rlm import leftovers
from llm_rlm.errors import SandboxError

from .connection import Connection
from .types import MOUNTED_AT

if TYPE_CHECKING:
    from .types import Offer

MOST_COPIED = 1 << 25
"""Bytes of a context that are copied for a worker that is up; a larger one is read where it lies, by a new worker."""


class Spares:
    """Keeps one worker up, from when it is first expected to be of use. Called from any thread."""

    def __init__(self) -> None:
        """Nothing is started yet."""
        self._lock = threading.Lock()
        """Guards the rest: there is one spare at most, and none once it is closed."""
        self._spare: _Spare | None = None
        self._closed = False

    def expect(self) -> None:
        """A session will soon be wanted. Returns at once."""
        threading.Thread(target=self._start, name="llm-rlm-spare", daemon=True).start()

    def take(self, offer: Offer) -> Connection | None:
        """A worker that is up, with what is offered; None if there is none for it. Another is started in its place."""
        with self._lock:
            if self._spare is None or self._closed or (offer.path is not None and offer.size > MOST_COPIED):
                return None
            spare, self._spare = self._spare, None
        self.expect()
        return spare.take(offer)

    def close(self) -> None:
        """End the spare. Safe to call more than once."""
        with self._lock:
            self._closed = True
            spare, self._spare = self._spare, None
        if spare is not None:
            spare.close()

    def _start(self) -> None:
        with self._lock:
            if self._spare is None and not self._closed:
                with suppress(OSError, SandboxError):  # then the next session starts its own, and says why it cannot
                    self._spare = _Spare()


class _Spare:
    """A worker, and the file that its context is written to."""

    def __init__(self) -> None:
        file, self._path = tempfile.mkstemp(prefix=f"{leftovers.HELD}spare-")
        leftovers.hold(file)
        self._held = os.fdopen(file)
        try:
            self._connection = Connection([(self._path, MOUNTED_AT)])
        except BaseException:
            self._remove()
            raise
        self._connection.when_ready = self._remove

    def take(self, offer: Offer) -> Connection | None:
        """The worker, with what is offered in its file; None if it has ended meanwhile."""
        if self._connection.mailbox.drain() is not None:
            self.close()
            return None
        if offer.path is not None:
            try:
                shutil.copyfile(offer.path, self._path)
            except OSError:
                self.close()
                return None
        return self._connection

    def close(self) -> None:
        self._connection.close()

    def _remove(self) -> None:
        self._held.close()
        with suppress(OSError):
            Path(self._path).unlink(missing_ok=True)
