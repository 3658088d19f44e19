"""Questions to the host that a cell asks without `await`: of the sources, which the host keeps."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING, Any, NoReturn

from .jsontext import decode

if TYPE_CHECKING:
    from collections.abc import Callable

    from .clock import Clock

_DATA, _ERROR = 0, 1
_WORD = 8
_STOP, _KEY, _BODY = 24, 16, 512
_AT_ONCE = 20
_SHORTEST, _LONGEST = 0.0001, 0.005

_pread = os.pread
_sleep = time.sleep


class HelperError(Exception):
    """A helper could not do what was asked. The message says why, and comes from the host."""

    __module__ = "__main__"  # where cells know it


class Asker:
    """Asks, and waits until the answer stands in the file that the host writes (see `sandbox/window.py`)."""

    def __init__(self, path: str, send: Callable[[dict[str, object]], None], stop: Callable[[str], NoReturn]) -> None:
        """`send` takes a frame for the host; `stop` ends the cell, and says why."""
        self._file = os.open(path, os.O_RDONLY)
        self._send = send
        self._stop = stop
        self._last = 0
        self.clock: Clock | None = None
        """The clock of the running cell: it stands still while the host works, as for calls."""

    def ask(self, name: str, **arguments: object) -> bytes:
        """What the host answers. Raises HelperError."""
        self._last += 1
        number = self._last
        self._send({"t": "ask", "n": number, "name": name, "arguments": arguments})
        self._wait(number)
        rest = _pread(self._file, 2 * _WORD, _WORD)
        status, size = int.from_bytes(rest[:_WORD], "little"), int.from_bytes(rest[_WORD:], "little")
        body = _pread(self._file, size, _BODY)
        while len(body) < size:
            body += _pread(self._file, size - len(body), _BODY + len(body))
        if status == _DATA:
            return body
        text = body.decode()
        if status != _ERROR:
            self._stop(text)
        raise HelperError(text)

    def ask_json(self, name: str, **arguments: object) -> Any:  # noqa: ANN401 - any JSON value
        """The value that the host answers. Raises HelperError."""
        return decode(self.ask(name, **arguments).decode())

    def watcher(self) -> Callable[[str], Callable[[], str | None]]:
        """What makes, of the key of a cell, the look whether the host wants it to end, and why.

        It holds what it needs: a cell may strip this object, close its file, and have another one there.
        """
        file, read, number, gone = self._file, _pread, int.from_bytes, OSError

        def watch(key: str) -> Callable[[], str | None]:
            wanted = key.encode()

            def stopped() -> str | None:
                try:
                    if read(file, _KEY, _STOP) != wanted:
                        return None
                    told = read(file, _BODY - _STOP, _STOP)[_KEY:]
                except gone:
                    return None
                return told[_WORD : _WORD + number(told[:_WORD], "little")].decode("utf-8", "replace")

            return stopped

        return watch

    def close(self) -> None:
        """Let go of the file; a guest's own goes with it."""
        os.close(self._file)

    def _wait(self, number: int) -> None:
        wanted = number.to_bytes(_WORD, "little")
        if self.clock is not None:
            self.clock.park()
        looks, pause = 0, _SHORTEST
        while _pread(self._file, _WORD, 0) != wanted:
            looks += 1
            if looks > _AT_ONCE:
                _sleep(pause)
                pause = min(pause * 1.1, _LONGEST)
        if self.clock is not None:
            self.clock.wake()
