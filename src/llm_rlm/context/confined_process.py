"""The child's end of `confined`: it limits itself, then answers each line on stdin with one on stdout."""

from __future__ import annotations

import importlib
import json
import os
import queue
import sys
import threading
import traceback
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from llm_rlm.confining import Reach, confine, limit

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import BinaryIO

OUT_OF_MEMORY = 77
"""The exit code of a process that Python's own memory gave out in."""

_FILES = 256
_REFUSED = ("socket.connect", "socket.bind", "socket.getaddrinfo", "socket.sendto", "subprocess.", "os.fork", "os.exec")
_REFUSED_TOO = (
    "os.system",
    "os.posix_spawn",
    "os.spawn",
    "os.startfile",
    "pty.spawn",
    "webbrowser.open",
    "ftplib.",
    "smtplib.",
)


def main(setup: dict[str, Any]) -> None:
    """Serve until the host closes its pipe. `setup` has `module` and the fields of `Bounds`."""
    limit(_limits(setup))
    pipe_in, pipe_out = os.fdopen(os.dup(0), "rb"), os.dup(1)
    _silence_standard_streams()
    inbox: queue.SimpleQueue[bytes] = queue.SimpleQueue()
    try:
        module = importlib.import_module(setup["module"])
        inbox.put(first := pipe_in.readline())
        if first:
            _confine(module.prepare(json.loads(first)))
        threading.Thread(target=_listen, args=(pipe_in, inbox), daemon=True).start()
        while True:
            request = json.loads(inbox.get())
            _grant_processor(setup["cpu_seconds"])
            _write(pipe_out, json.dumps(module.serve(request), allow_nan=False).encode("ascii") + b"\n")
    except MemoryError:
        os._exit(OUT_OF_MEMORY)
    except BaseException:  # noqa: BLE001 - whatever it was, the host reads of it and starts another process
        traceback.print_exc()
        sys.stderr.flush()
        os._exit(1)


def _confine(writable: Sequence[str]) -> None:
    """Write nowhere but in these folders and its own, and leave nothing of its own; no network, no program."""
    own = os.getcwd()  # noqa: PTH109 - pathlib is slow to import
    confine(Reach(None, (own, *writable, os.devnull), (os.path.dirname(own),)))  # noqa: PTH120 - as above
    sys.addaudithook(_refuse)


def _listen(pipe: BinaryIO, inbox: queue.SimpleQueue[bytes]) -> None:
    """Pass requests on until the host closes the pipe or is gone, then end the process, whatever it is doing."""
    for line in pipe:
        inbox.put(line)
    import shutil  # noqa: PLC0415 - only needed at the end

    shutil.rmtree(os.getcwd(), ignore_errors=True)  # noqa: PTH109 - pathlib is slow to import
    os._exit(0)


def _write(pipe: int, line: bytes) -> None:
    rest = memoryview(line)
    while rest:
        rest = rest[os.write(pipe, rest) :]


def _refuse(event: str, _arguments: tuple[object, ...]) -> None:
    """An audit hook: Python code in this process reaches no network and starts no program."""
    if event.startswith(_REFUSED + _REFUSED_TOO):
        message = f"{event} is not allowed here"
        raise PermissionError(message)


def _silence_standard_streams() -> None:
    """A library that prints must not write into the replies."""
    null = os.open(os.devnull, os.O_RDWR)
    os.dup2(null, 0)
    os.dup2(null, 1)
    os.close(null)


def _limits(setup: dict[str, Any]) -> tuple[tuple[str, int], ...]:
    return (
        ("RLIMIT_CORE", 0),
        ("RLIMIT_AS", setup["memory"]),
        ("RLIMIT_FSIZE", setup["written"]),
        ("RLIMIT_NOFILE", _FILES),
    )


def _grant_processor(seconds: float) -> None:
    """So much processor time for one request, on top of what earlier ones took."""
    if sys.platform == "win32":
        return
    import resource  # noqa: PLC0415 - not on Windows

    used = resource.getrusage(resource.RUSAGE_SELF)
    _, hard = resource.getrlimit(resource.RLIMIT_CPU)
    wanted = int(used.ru_utime + used.ru_stime + seconds) + 1
    with suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_CPU, (wanted if hard == resource.RLIM_INFINITY else min(wanted, hard), hard))
