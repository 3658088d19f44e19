"""A worker that was taken over: Python of its own process, not of its guest, tries what it can reach.

`main` stands in for the worker's: it does all that one does, but answers a call of the guest by trying. So what is tried runs
where code would that had got out of WebAssembly: in a thread that runs the guest, after the process was confined.
"""

from __future__ import annotations

import errno
import json
import os
import socket
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Any

from llm_rlm.confining.kernel import kernel
from llm_rlm.sandbox import worker

if TYPE_CHECKING:
    from collections.abc import Callable


def main() -> None:
    """The worker's own, with a way out of its guest."""
    worker._sandbox = _leaking(worker._sandbox)
    worker.main()


def unconfined() -> None:
    """The same, and the process has given up nothing."""
    worker.confine = lambda _: {}  # type: ignore[attr-defined, assignment]
    main()


def _leaking(make: Callable[..., Any]) -> Callable[..., Any]:
    def sandbox(setup: dict[str, Any], _: Callable[[], str], on_stdout: Callable[[bytes], None]) -> Any:
        def escape() -> str:
            on_stdout(json.dumps(attempts(setup["targets"])).encode())
            return "[]"

        return make(setup, escape, on_stdout)

    return sandbox


def attempts(targets: dict[str, Any]) -> dict[str, str]:
    """Each thing that was tried: `done`, or the error's name."""
    canary, context, port = Path(targets["canary"]), Path(targets["context"]), targets["port"]
    unpacked = Path(os.environ["TMPDIR"])
    tried: dict[str, Callable[[], object]] = {
        "read the context": context.read_bytes,
        "read a canary": canary.read_bytes,
        "read its own environment's file": lambda: Path("/proc/self/environ").read_bytes(),
        "list the root": lambda: os.listdir("/"),  # noqa: PTH208 - the call itself
        "write the context": lambda: context.write_bytes(b"x"),
        "write a new file": lambda: canary.with_name("new").write_bytes(b"x"),
        "write what others run": lambda: next(unpacked.rglob("*.cwasm")).open("ab"),
        "write Python": lambda: Path(os.__file__).with_name("evil.py").write_bytes(b"x"),
        "remove a canary": canary.unlink,
        "truncate a canary": lambda: os.truncate(canary, 0),
        "connect": lambda: socket.create_connection(("127.0.0.1", port), timeout=5),
        "send a datagram": lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b"x", ("127.0.0.1", port)),
        "listen": lambda: socket.create_server(("127.0.0.1", 0)),
        "a local socket": lambda: socket.socket(socket.AF_UNIX),
        "start a program": lambda: subprocess.run(["/bin/true"], check=False),
        "become a program": lambda: os.execv("/bin/true", ["true"]),  # noqa: S606 - is to be refused
        "fork": os.fork,
        "make a file system to mount": lambda: _system_call("fsopen", b"tmpfs", 0),
        "signal its host": lambda: os.kill(os.getppid(), 0),
    }
    return {name: _try(tried[name]) for name in targets["only"] or tried}


def _system_call(name: str, *arguments: object) -> int:
    there = kernel()
    assert not isinstance(there, str)
    return there.call(name, *arguments)


def _try(action: Callable[[], object]) -> str:
    try:
        action()
    except OSError as problem:
        return errno.errorcode.get(problem.errno or 0, repr(problem))
    return "done"
