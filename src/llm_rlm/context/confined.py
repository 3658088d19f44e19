"""Work on hostile files in a child process that has limits: what takes too long or too much is killed, and the host goes on."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections import deque
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn, Self

from llm_rlm import leftovers
from llm_rlm.errors import RLMError

from .confined_process import OUT_OF_MEMORY

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import IO

MOST_REPLY = 64 << 20
"""Bytes of a reply."""

_MANY_VALUES = 2_000_000
_STRING = re.compile(rb'"(?:[^"\\]++|\\.)*+"')
_TICK = 0.02
_GRACE = 1.0
_STDERR_KEPT = 4000
_STDERR_PIECE = 4096
_NO_MEMORY = ("MemoryError", "bad_alloc", "memory allocation", "Cannot allocate memory", "Out of memory")

_MAIN = (
    "import sys, json; setup = json.loads(sys.argv[1]); sys.path[:] = setup['path'];"
    " from llm_rlm.context.confined_process import main; main(setup)"
)


class ConfinedError(RLMError):
    """The process gave no reply. Its text is short words for the user: `took longer than 60 s`."""

    def __init__(self, reason: str, detail: str = "") -> None:
        """`detail` is the end of what the process wrote to stderr: for a developer, and of hostile origin."""
        super().__init__(reason)
        self.reason = reason
        self.detail = detail


@dataclass(frozen=True, slots=True)
class Bounds:
    """What one process may take. Memory, files and processor time are limited where the system does so."""

    memory: int = 2 << 30
    """Bytes of address space."""
    seconds: float = 120.0
    """Seconds that a request may take by the clock."""
    cpu_seconds: float = 120.0
    """Seconds of processor time that a request may take, in all threads."""
    written: int = 1 << 30
    """Bytes of the largest file it may write."""


class Confined:
    """A process that answers requests by `serve(request: dict) -> dict` of one of our modules.

    With the first request, before the process is confined, `prepare(request) -> list[str]` imports what is needed, and
    names the folders in which requests write.

    It starts with the first request, and anew with the next one after it was killed or broke. What holds:

    * Time: it is killed with all processes of its group when a request takes longer than its seconds. Everywhere.
    * Memory, size of files, processor time, 256 open files, no core dump: by `setrlimit`. On Linux all of them; macOS refuses
      the limit of memory; Windows has none of them.
    * It has no environment but a private, empty working folder, which HOME and TMPDIR name too, and which is removed with it.
    * It ends when the host ends, however that happens.
    * Python code in it cannot open sockets or start programs (an audit hook). On Linux, x86-64 and arm64, native code that a
      hostile file has taken over cannot either, and writes nowhere but in its own folder and those that `prepare` names
      (seccomp, Landlock); it can still read all files that the user can. Elsewhere it can do what the user can, on the
      network and in the user's files.
    """

    def __init__(self, module: str, bounds: Bounds) -> None:
        """`module` is imported in the process; see that it imports nothing heavy before its `serve` is called."""
        self._module = module
        self._bounds = bounds
        self._asking = threading.Lock()
        self._child: _Child | None = None
        self._closed = False

    def ask(
        self, request: dict[str, object], seconds: float | None = None, cancelled: Callable[[], bool] | None = None
    ) -> dict[str, object]:
        """The reply to a request; both are JSON objects. One request is under way at a time: others wait.

        `seconds` is a limit other than that of the bounds. `cancelled` is looked at every 20 ms. Raises ConfinedError.
        """
        seconds = self._bounds.seconds if seconds is None else seconds
        line = json.dumps(request).encode("ascii") + b"\n"
        with self._asking:
            if self._closed:
                raise ConfinedError(_CLOSED)
            if self._child is None:
                self._child = _Child(self._module, self._bounds)
            try:
                return self._child.ask(line, seconds, cancelled)
            except BaseException:
                self._child.end()
                self._child = None
                raise

    def memory(self) -> int:
        """Bytes of memory that the process takes now; 0 where there is none."""
        import psutil  # noqa: PLC0415 - not always asked

        child = self._child
        try:
            return int(psutil.Process(child.pid).memory_info().rss) if child is not None else 0
        except psutil.Error:
            return 0

    def close(self) -> None:
        """End the process. A request that is under way in another thread fails. A closed one stays closed."""
        self._closed = True
        child = self._child
        if child is not None:
            child.kill(_CLOSED)
        with self._asking:
            if self._child is not None:
                self._child.end()
                self._child = None

    def __enter__(self) -> Self:
        """Itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close it."""
        self.close()


_CLOSED = "was closed"


class _Child:
    """One process, from its start to its end."""

    def __init__(self, module: str, bounds: Bounds) -> None:
        self._bounds = bounds
        self._folder = leftovers.Folder("confined")
        setup = {"path": _import_path(), "module": module, **asdict(bounds)}
        try:
            self._process = subprocess.Popen(  # noqa: S603 - our own interpreter and code
                [sys.executable, "-I", "-S", "-X", "utf8", "-c", _MAIN, json.dumps(setup)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                env=_environment(self._folder.path),
                cwd=self._folder.path,
                start_new_session=True,
                creationflags=getattr(subprocess, "CREATE_NEW_PROCESS_GROUP", 0),
            )
        except OSError as problem:
            self._folder.remove()
            reason = f"could not start a process: {problem.strerror}"
            raise ConfinedError(reason) from None
        self._killed: str | None = None
        self._stderr: deque[bytes] = deque(maxlen=2)
        self._talking: threading.Thread | None = None
        self._draining = threading.Thread(target=self._drain, name="llm-rlm-confined-stderr", daemon=True)
        self._draining.start()

    def ask(self, line: bytes, seconds: float, cancelled: Callable[[], bool] | None) -> dict[str, object]:
        """Send a request and wait for the reply, in a thread: either may block for as long as the child likes."""
        replies: list[bytes] = []
        self._talking = threading.Thread(target=self._talk, args=(line, replies), name="llm-rlm-confined", daemon=True)
        end = time.monotonic() + seconds
        self._talking.start()
        while self._talking.is_alive():
            left = end - time.monotonic()
            if left <= 0:
                self.kill(f"took longer than {seconds:g} s")
                break
            if cancelled is not None and cancelled():
                self.kill("was cancelled")
                break
            self._talking.join(left if cancelled is None else min(left, _TICK))
        if self._killed is None and replies and replies[0].endswith(b"\n"):
            return _checked(replies[0])
        if self._killed is None and replies and len(replies[0]) > MOST_REPLY:
            self.kill("gave too much")
        raise self._error()

    @property
    def pid(self) -> int:
        return self._process.pid

    def kill(self, reason: str) -> None:
        """End the process and all of its group at once."""
        self._killed = self._killed or reason
        if hasattr(os, "killpg"):
            # Before the process is waited for, its number belongs to nobody else.
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(self._process.pid, signal.SIGKILL)
        else:
            self._process.kill()

    def end(self) -> None:
        """Kill it and leave nothing of it."""
        self.kill(_CLOSED)
        self._process.wait()
        for thread in (self._talking, self._draining):
            if thread is not None:
                thread.join(_GRACE)
        for pipe, thread in self._pipes():
            # A process that has left its group may still hold the other end; to close this one would then wait for it.
            if thread is None or not thread.is_alive():
                with suppress(OSError):
                    pipe.close()
        self._folder.remove()

    def _pipes(self) -> list[tuple[IO[bytes], threading.Thread | None]]:
        process = self._process
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stderr is not None
        return [(process.stdin, self._talking), (process.stdout, self._talking), (process.stderr, self._draining)]

    def _talk(self, line: bytes, replies: list[bytes]) -> None:
        (stdin, _), (stdout, _), _ = self._pipes()
        with suppress(OSError, ValueError):  # the child is gone: there is no reply, and its exit code says why
            stdin.write(line)
            stdin.flush()
            replies.append(stdout.readline(MOST_REPLY + 1))

    def _drain(self) -> None:
        _, _, (stderr, _) = self._pipes()
        with suppress(OSError, ValueError):
            while piece := os.read(stderr.fileno(), _STDERR_PIECE):
                self._stderr.append(piece)

    def _error(self) -> ConfinedError:
        """Why there was no reply."""
        try:
            code = self._process.wait(_GRACE)
        except subprocess.TimeoutExpired:
            self.kill("closed its pipe")
            code = self._process.wait()
        self._draining.join(_GRACE)
        detail = b"".join(self._stderr)[-_STDERR_KEPT:].decode("utf-8", "replace")
        return ConfinedError(self._killed or self._reason(code, detail), detail)

    def _reason(self, code: int, detail: str) -> str:
        if code == -getattr(signal, "SIGXCPU", 0):
            return f"took longer than {self._bounds.cpu_seconds:g} s of processor time"
        if code == OUT_OF_MEMORY or any(sign in detail for sign in _NO_MEMORY):
            return "ran out of memory"
        if code == -getattr(signal, "SIGKILL", 0):
            return "was killed, maybe for want of memory"
        return "crashed"


def _checked(line: bytes) -> dict[str, object]:
    """A reply as a dict. What the child sends may be hostile: it must be JSON, and not explode when it is parsed."""
    if line.count(b",") > _MANY_VALUES and _STRING.sub(b"", line).count(b",") > _MANY_VALUES:
        raise ConfinedError(_BROKEN)
    try:
        reply = json.loads(line, parse_constant=_refuse_constant)
    except (ValueError, RecursionError):
        raise ConfinedError(_BROKEN) from None
    if not isinstance(reply, dict):
        raise ConfinedError(_BROKEN)
    return reply


_BROKEN = "gave a broken reply"


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(name)


_QUIET = {"ORT_DISABLE_TELEMETRY": "1", "OPENBLAS_NUM_THREADS": "1"}
"""For libraries that start threads as they are imported, before the process is confined: Landlock does not hold for those, and
onnxruntime, which comes with markitdown, would send what it knows of the machine to its maker.
"""


def _import_path() -> list[str]:
    package = str(Path(__file__).parents[2])
    return [package, *(entry for entry in sys.path if entry and entry != package)]


def _environment(folder: str) -> dict[str, str]:
    """Where it may write, what keeps libraries quiet, and what Windows cannot start a process without."""
    kept = {name: os.environ[name] for name in ("SYSTEMROOT",) if name in os.environ}
    return kept | _QUIET | dict.fromkeys(("HOME", "USERPROFILE", "TMPDIR", "TEMP", "TMP"), folder)
