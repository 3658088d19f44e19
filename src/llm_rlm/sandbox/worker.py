"""The worker process: one guest, and two threads that carry frames. Knows nothing of cells or models.

It is a process because a guest can abort the one that embeds it. It ends when the host closes its pipe.
"""

from __future__ import annotations

import json
import os
import queue
import sys
import threading
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from . import frames

if TYPE_CHECKING:
    from typing import BinaryIO

_ADDRESS_SPACE = 10 << 30
_MOST_CALLBACKS = 4_000_000_000


def main() -> None:
    """Run the guest that the first frame on stdin describes."""
    _limit_process()
    _leave_no_directory()
    pipe_in = os.fdopen(os.dup(0), "rb")
    pipe_out = os.dup(1)
    _silence_standard_streams()
    setup = frames.read_to_worker(pipe_in)
    if setup is None:
        return
    inbox: queue.SimpleQueue[str] = queue.SimpleQueue()
    threading.Thread(target=_read, args=(pipe_in, inbox), daemon=True).start()
    reason = _execute(json.loads(setup), inbox, pipe_out)
    _write(pipe_out, frames.WORKER, json.dumps({"t": "ended", "reason": reason}).encode())
    os._exit(0)


def _execute(setup: dict[str, Any], inbox: queue.SimpleQueue[str], pipe_out: int) -> str:
    """Run the guest to its end and say why it ended."""
    import eryx  # noqa: PLC0415 - after the process has been limited

    def next_frames() -> str:
        """Wait for frames for the guest; a JSON list of all that there are."""
        waiting = [inbox.get()]
        while not inbox.empty():
            waiting.append(inbox.get())
        return f"[{','.join(waiting)}]"

    limits = eryx.ResourceLimits(
        execution_timeout_ms=None,
        callback_timeout_ms=None,
        max_memory_bytes=setup["memory"],
        max_callback_invocations=_MOST_CALLBACKS,
    )
    try:
        sandbox = eryx.Sandbox(
            resource_limits=limits,
            callbacks=[{"name": "_next", "fn": next_frames, "description": ""}],
            volumes=[(host, guest, True) for host, guest in setup["volumes"]],
            on_stdout=lambda data: _write(pipe_out, frames.GUEST, data),
            on_stderr=lambda _: None,
        )
        sandbox.execute(setup["code"])
    except eryx.EryxError as problem:
        return f"{type(problem).__name__}: {problem}"[-2000:]
    return "the guest returned"


def _read(pipe: BinaryIO, inbox: queue.SimpleQueue[str]) -> None:
    """Pass frames on until the host closes the pipe, then end the process, whatever the guest is doing."""
    while (frame := frames.read_to_worker(pipe)) is not None:
        inbox.put(frame.decode("utf-8"))
    os._exit(0)


def _write(pipe: int, sender: int, body: bytes) -> None:
    try:
        rest = memoryview(frames.from_worker(sender, body))
        while rest:
            rest = rest[os.write(pipe, rest) :]
    except (OSError, frames.FrameError):
        # The host is gone, or the guest sent what no host would take.
        os._exit(1)


def _silence_standard_streams() -> None:
    null = os.open(os.devnull, os.O_RDWR)
    os.dup2(null, 0)
    os.dup2(null, 1)
    os.close(null)


def _leave_no_directory() -> None:
    """Remove the empty directory that the host started this process in, so that none is left if the host is killed."""
    if sys.platform != "win32":
        with suppress(OSError):
            os.rmdir(os.getcwd())  # noqa: PTH106, PTH109 - pathlib is slow to import


def _limit_process() -> None:
    """No core dumps, and an end to the address space, where the system knows such limits."""
    if sys.platform == "win32":
        return
    import resource  # noqa: PLC0415 - not on Windows

    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    _, hard = resource.getrlimit(resource.RLIMIT_AS)
    wanted = _ADDRESS_SPACE if hard == resource.RLIM_INFINITY else min(_ADDRESS_SPACE, hard)
    with suppress(ValueError, OSError):  # macOS refuses it
        resource.setrlimit(resource.RLIMIT_AS, (wanted, hard))
