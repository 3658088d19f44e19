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
from dataclasses import astuple
from typing import TYPE_CHECKING, Any

from llm_rlm.confining import Reach, confine, measures

from . import frames

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import BinaryIO

    import eryx

UNPACKED_TO = "TMPDIR"
"""The variable by which pyeryx is told where its files are; on Windows two others."""

_MOST_CALLBACKS = 4_000_000_000

_LIMITS = (
    ("RLIMIT_AS", 10 << 30),
    ("RLIMIT_CORE", 0),
    # Of what it may write only the crash report is a file.
    ("RLIMIT_FSIZE", 1 << 20),
    ("RLIMIT_NOFILE", 256),
)


def main() -> None:
    """Do what the first frame on stdin says: run a guest, unpack what guests need, or report what confines this process."""
    _leave_no_directory()
    pipe_in = os.fdopen(os.dup(0), "rb")
    pipe_out = os.dup(1)
    _silence_standard_streams()
    frame = frames.read_to_worker(pipe_in)
    if frame is None:
        return
    setup = json.loads(frame)
    match setup["do"]:
        case "unpack":
            # Not confined yet, as nothing of a session is near.
            _sandbox({"volumes": [], "memory": None}, lambda: "", lambda _: None)
            report: dict[str, object] = {"t": "unpacked"}
        case "measure":
            reach = _reach([])
            report = {"t": "measures", "measures": [astuple(each) for each in measures(reach, confine(reach))]}
        case _:
            report = {"t": "ended", "reason": _run(setup, pipe_in, pipe_out)}
    _write(pipe_out, frames.WORKER, json.dumps(report).encode())
    os._exit(0)


def _run(setup: dict[str, Any], pipe_in: BinaryIO, pipe_out: int) -> str:
    """Run the guest to its end and say why it ended."""
    import eryx  # noqa: PLC0415 - only a worker that runs a guest

    confine(_reach([host for host, _ in setup["volumes"]]))
    inbox: queue.SimpleQueue[str] = queue.SimpleQueue()
    threading.Thread(target=_read, args=(pipe_in, inbox), daemon=True).start()

    def next_frames() -> str:
        """Wait for frames for the guest; a JSON list of all that there are."""
        waiting = [inbox.get()]
        while not inbox.empty():
            waiting.append(inbox.get())
        return f"[{','.join(waiting)}]"

    try:
        _sandbox(setup, next_frames, lambda data: _write(pipe_out, frames.GUEST, data)).execute(setup["code"])
    except eryx.EryxError as problem:
        return f"{type(problem).__name__}: {problem}"[-2000:]
    return "the guest returned"


def _sandbox(setup: dict[str, Any], next_frames: Callable[[], str], on_stdout: Callable[[bytes], None]) -> eryx.Sandbox:
    import eryx  # noqa: PLC0415 - only a worker that runs a guest

    limits = eryx.ResourceLimits(
        execution_timeout_ms=None,
        callback_timeout_ms=None,
        max_memory_bytes=setup["memory"],
        max_callback_invocations=_MOST_CALLBACKS,
    )
    return eryx.Sandbox(
        resource_limits=limits,
        callbacks=[{"name": "_next", "fn": next_frames, "description": ""}],
        volumes=[(host, guest, True) for host, guest in setup["volumes"]],
        on_stdout=on_stdout,
        on_stderr=lambda _: None,
    )


def _reach(mounted: Sequence[str]) -> Reach:
    """The mounted files, what guests were unpacked to, and Python as far as it is imported late."""
    python = os.path.dirname(os.__file__)  # noqa: PTH120 - pathlib is slow to import
    return Reach((*mounted, os.environ.get(UNPACKED_TO, ""), python), limits=_LIMITS)


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
