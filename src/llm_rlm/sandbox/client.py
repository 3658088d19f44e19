"""The host's end of one worker process: start it, send and receive checked frames, kill it."""

from __future__ import annotations

import json
import os
import re
import select
import subprocess
import sys
import tempfile
import threading
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Any, NoReturn, Protocol

from llm_rlm import leftovers

from . import errand, frames, shipping, unpacked

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import IO

_FROM_OUTSIDE = (-9, -15)
"""What a process ends with that somebody else has ended, by SIGKILL or SIGTERM."""

_MEMORY = (4 << 30) - (1 << 16)
_STDERR_KEPT = 2000
_REASON_KEPT = 2000

# Seconds that a worker has to take a frame from its pipe, and the bytes a second beyond: its reading thread does nothing else.
_TAKE_LIMIT = 30.0
_SLOWEST = 1e6

_PIPE_LIMIT = 1.0
"""Seconds that an ended worker's pipe may stay open: a process that it has left behind would keep it so for ever."""


class Listener(Protocol):
    """Takes what a worker sends. Called from the worker's reading thread; must not block."""

    def received(self, worker: Worker, frame: dict[str, Any], size: int) -> None:
        """A checked frame of the guest, and its size in bytes."""

    def ended(self, worker: Worker, reason: str) -> None:
        """The worker is gone; the last call."""


class Worker:
    """One worker process."""

    def __init__(self, volumes: Sequence[tuple[str, str]], listener: Listener) -> None:
        """Start the process with these files for its guest, pairs of host path and guest path. Returns at once.

        The guest loads while the caller goes on, and then waits for its first frame, the setup. The first time on a machine
        pyeryx is unpacked before. Raises OSError, SandboxError.
        """
        folder = unpacked.folder(lambda variables: errand.run("unpack", variables))
        self._listener = listener
        self._directory = leftovers.Folder("worker")
        self._stderr = tempfile.TemporaryFile()  # noqa: SIM115 - read when the process has ended
        self._process = subprocess.Popen(  # noqa: S603 - our own interpreter and code
            errand.command(),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._stderr,
            env=errand.environment(unpacked.environment(folder)),
            cwd=self._directory.path,
            start_new_session=True,
            creationflags=getattr(subprocess, "CREATE_NEW_PROCESS_GROUP", 0),
        )
        self._sending = threading.Lock()
        self._killed: str | None = None
        self._ended_by_worker = ""
        self._spoke = self._came_up = False
        self._shipment = shipping.shipment()
        self._wants_compiled = not self._shipment.compiled
        self._reader = threading.Thread(target=self._read, name="llm-rlm-sandbox", daemon=True)
        self._ending = threading.Lock()
        """Guards that the end is told once."""
        self._over = threading.Event()
        self.send({"do": "run", "volumes": volumes, "memory": _MEMORY, "code": self._shipment.code})

    def start(self) -> None:
        """Begin to listen. Apart from the constructor, so that a listener knows its worker before it hears of it."""
        self._reader.start()

    def send(self, frame: Mapping[str, object]) -> None:
        """Send a frame. To a worker that is gone it is not an error: `ended` tells."""
        data = frames.to_worker(json.dumps(frame).encode("ascii"))
        try:
            with self._sending:
                _write(self._input, data)
        except TimeoutError:
            self.kill("it does not take what it is sent")
        except (OSError, ValueError):
            return

    def kill(self, reason: str) -> None:
        """End the process at once."""
        first, self._killed = self._killed is None, self._killed or reason
        self._process.kill()
        if first:
            threading.Thread(target=self._end_without_reader, name="llm-rlm-sandbox-end", daemon=True).start()

    def close(self) -> None:
        """End the process and wait for it."""
        self.kill("closed")
        self._over.wait()

    def cpu_seconds(self) -> float:
        """Processor time that the process has used so far; 0.0 once it is gone."""
        import psutil  # noqa: PLC0415 - only needed for cells that run while calls are open

        try:
            used = psutil.Process(self._process.pid).cpu_times()
        except psutil.Error:  # it is gone, or the system does not let us look
            return 0.0
        return float(used.user + used.system)

    @property
    def failed_to_start(self) -> bool:
        """Whether it ended of itself before its guest said anything: what is kept for the start is then made anew."""
        return self._killed is None and not self._came_up

    @property
    def pid(self) -> int:
        """The process id."""
        return self._process.pid

    @property
    def _input(self) -> IO[bytes]:
        assert self._process.stdin is not None
        return self._process.stdin

    def _read(self) -> None:
        """Pass frames on until the process is gone. Whatever happens here, the listener is told of the end."""
        try:
            self._pass_all_on()
        except frames.FrameError as problem:
            self.kill(f"it broke the protocol: {problem}")
        finally:
            self._end()

    def _end_without_reader(self) -> None:
        """See to the end of a worker whose pipe does not end with it."""
        self._process.wait()
        if not self._over.wait(_PIPE_LIMIT):
            self._end()

    def _end(self) -> None:
        """The process ends, if it has not yet, and the listener is told."""
        self._process.kill()
        code = self._process.wait()
        with self._ending:
            if self._over.is_set():
                return
            try:
                if self.failed_to_start and code not in _FROM_OUTSIDE:
                    # What was kept may be what is broken: first what we made, and if it was not that, what pyeryx made.
                    (shipping if self._shipment.compiled else unpacked).forget()
                self._listener.ended(self, self._reason(code))
                self._clean_up()
            finally:
                self._over.set()

    def _pass_all_on(self) -> None:
        assert self._process.stdout is not None
        with self._process.stdout as pipe:
            # What a worker said after it was given up does not count.
            while (read := frames.read_from_worker(pipe)) is not None and self._killed is None:  # type: ignore[arg-type]
                self._pass_on(*read)

    def _clean_up(self) -> None:
        with self._sending, suppress(OSError):
            self._input.close()
        self._stderr.close()
        self._directory.remove()

    def _pass_on(self, sender: int, body: bytes) -> None:
        frame = check(body)
        wanted, self._wants_compiled = self._wants_compiled, False
        if frame["t"] == "compiled":
            # Kept for other sessions, so taken only as the first frame: none of this session's cells can have made it.
            if not wanted or not frame["modules"].isascii():
                message = "compiled modules that were not wanted"
                raise frames.FrameError(message)
            shipping.keep(frame["modules"])
        elif frame["t"] == "broken" or (sender, frame["t"]) == (frames.WORKER, "ended"):
            self._came_up = self._came_up or frame["t"] == "broken"
            self._ended_by_worker = self._ended_by_worker or frame["reason"][-_REASON_KEPT:]
        elif sender == frames.WORKER:
            message = f"a frame {frame['t']!r} in the worker's own name"
            raise frames.FrameError(message)
        else:
            self._spoke = self._came_up = True
            self._listener.received(self, frame, len(body))

    def _reason(self, code: int) -> str:
        if self._killed is not None:
            return self._killed
        self._stderr.seek(0)
        error = self._stderr.read()[-_STDERR_KEPT:].decode("utf-8", "replace")
        for sign, meaning in _CRASHES.items():
            if sign in error or sign in self._ended_by_worker:
                return meaning
        if code < 0 and not self._ended_by_worker:
            return "it crashed, as too deep recursion or nesting makes it"
        if self._spoke:
            # What the worker says may hold what the guest wrote, and reads as a crash report.
            return _BROKEN
        return self._ended_by_worker or f"its process ended with code {code}"


_BROKEN = "the code broke the interpreter"

_CRASHES = {
    "call stack exhausted": "its stack overflowed (too deep recursion or nesting)",
    "stack overflow": "its stack overflowed (too deep recursion or nesting)",
    "memory allocation": "it ran out of memory",
    "proc_exit": "the code ended its process",
    "Exited with i32 exit status": "the code ended its process",
    "signal_raise": "the code ended its process",
    "pthread_cond_wait": "it waited for a lock that nobody can release",
}

_MAYBE_TEXT = (str, type(None))
_FRAME_TYPES: dict[str, dict[str, type | tuple[type, ...]]] = {
    "compiled": {"modules": str},
    "ready": {},
    "begun": {"key": str},
    "out": {"text": str},
    "done": {"key": str, "error": _MAYBE_TEXT, "tail": str, "total": int, "running": float, "variables": list},
    "calls": {"calls": list},
    "touched": {"documents": list},
    "ask": {"n": int, "name": str, "arguments": dict},
    "submit": {"text": str, "last": bool, "kind": _MAYBE_TEXT, "quotes": (list, type(None))},
    "value": {"text": str, "last": bool, "kind": _MAYBE_TEXT, "error": _MAYBE_TEXT, "names": (list, type(None))},
    "broken": {"reason": str},
    "ended": {"reason": str},
}

_MANY_VALUES = 1_000_000
_STRING = re.compile(rb'"(?:[^"\\]++|\\.)*+"')


def check(body: bytes) -> dict[str, Any]:
    """Parse and check a frame; what it has besides is left out. Raises FrameError for one that no driver would send."""
    # Parsed, the smallest values take fifty times the memory of their text.
    if body.count(b",") > _MANY_VALUES and _STRING.sub(b"", body).count(b",") > _MANY_VALUES:
        message = f"a frame of more than {_MANY_VALUES:,} values"
        raise frames.FrameError(message)
    try:
        # As text: of bytes the parser would guess the encoding, and the commas of UTF-16 are not counted above.
        frame = json.loads(body.decode("ascii"), parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as problem:
        message = f"not JSON: {type(problem).__name__}"
        raise frames.FrameError(message) from None
    if not isinstance(frame, dict) or not isinstance(frame.get("t"), str) or frame["t"] not in _FRAME_TYPES:
        message = "a frame of unknown type"
        raise frames.FrameError(message)
    for name, wanted in _FRAME_TYPES[frame["t"]].items():
        if not isinstance(frame.get(name), wanted):
            message = f"a frame {frame['t']!r} whose {name!r} is a {type(frame.get(name)).__name__}"
            raise frames.FrameError(message)
    return {name: frame[name] for name in ("t", *_FRAME_TYPES[frame["t"]]) if name in frame}


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(name)


def _write(pipe: IO[bytes], data: bytes) -> None:
    """Write all of it. Raises TimeoutError once it has not been taken for long, where the system can tell."""
    if sys.platform == "win32":
        pipe.write(data)
        pipe.flush()
        return
    os.set_blocking(pipe.fileno(), False)
    room = select.poll()
    room.register(pipe, select.POLLOUT)
    rest = memoryview(data)
    until = time.monotonic() + _TAKE_LIMIT + len(data) / _SLOWEST
    while rest:
        if not room.poll(max(0.0, until - time.monotonic()) * 1000):
            raise TimeoutError
        with suppress(BlockingIOError):  # some systems say there is room where there is less than they want
            rest = rest[os.write(pipe.fileno(), rest) :]
