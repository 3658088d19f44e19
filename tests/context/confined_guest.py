"""What the tests of `confined` let a process do."""

from __future__ import annotations

import ctypes
import os
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable


def prepare(request: dict[str, object]) -> list[str]:
    if request["do"] == "fork":
        _start_another(request)
    return [str(request["folder"])] if "folder" in request else []


def serve(request: dict[str, object]) -> dict[str, object]:
    do = str(request["do"])
    return _ACTIONS[do](request) or {}


def _echo(request: dict[str, object]) -> dict[str, object]:
    return request


def _where(_: dict[str, object]) -> dict[str, object]:
    return {
        "pid": os.getpid(),
        "folder": str(Path.cwd()),
        "environment": dict(os.environ),
        "files": [path.name for path in Path.cwd().iterdir()],
    }


def _sleep(_: dict[str, object]) -> None:
    time.sleep(60)


def _spin(_: dict[str, object]) -> None:
    while True:
        pass


def _memory(_: dict[str, object]) -> None:
    taken = []
    while True:
        taken.append(bytearray(1 << 24))


def _abort(_: dict[str, object]) -> None:
    os.abort()


def _error(_: dict[str, object]) -> None:
    message = "a detail"
    raise ValueError(message)


def _print(_: dict[str, object]) -> dict[str, object]:
    sys.stdout.write("not a reply\n")
    sys.stdout.flush()
    os.write(1, b"nor this\n")
    for _number in range(1000):
        os.write(2, b"much on stderr" * 100)
    return {"fine": True}


def _large(_: dict[str, object]) -> dict[str, object]:
    return {"text": "x" * (65 << 20)}


def _many(_: dict[str, object]) -> dict[str, object]:
    return {"values": [0] * 3_000_000}


def _pipes() -> list[int]:
    """The host's ends, wherever they were moved to."""
    return [number for number in range(3, 20) if _is_pipe(number)]


def _is_pipe(number: int) -> bool:
    try:
        return str(Path(f"/dev/fd/{number}").readlink()).startswith("pipe:")
    except OSError:
        return False


def _raw(request: dict[str, object]) -> None:
    for number in _pipes():
        try:
            os.write(number, str(request["text"]).encode())
        except OSError:
            continue
    time.sleep(60)


def _endless(_: dict[str, object]) -> None:
    while True:
        for number in _pipes():
            try:
                os.write(number, b"x" * 65536)
            except OSError:
                continue


def _start_another(request: dict[str, object]) -> None:
    """Before it is confined, and the child holds all pipes."""
    child = ctypes.PyDLL(None).fork()
    if child:
        Path(str(request["tell"])).write_text(f"{child}")
    else:
        time.sleep(60)


def _fork(_: dict[str, object]) -> None:
    time.sleep(60)


def _natively(request: dict[str, object]) -> dict[str, object]:
    """Past the audit hook, as native code would: the error numbers of what is tried."""
    libc = ctypes.CDLL(None, use_errno=True)
    tried: dict[str, Callable[[], int]] = {
        "socket": lambda: libc.socket(2, 1, 0),
        "fork": libc.fork,
        "program": lambda: libc.execv(b"/bin/true", None),
        "write": lambda: libc.open(str(request["path"]).encode(), os.O_WRONLY | os.O_CREAT, 0o600),
        "own": lambda: libc.open(b"own.txt", os.O_WRONLY | os.O_CREAT, 0o600),
    }
    return {name: ctypes.get_errno() if action() < 0 else 0 for name, action in tried.items()}


def _write(request: dict[str, object]) -> None:
    with Path("big").open("wb") as file:
        file.writelines(bytes(1 << 20) for _ in range(int(str(request["megabytes"]))))


def _connect(request: dict[str, object]) -> dict[str, object]:
    tried: dict[str, Callable[[], object]] = {
        "connect": lambda: socket.create_connection(("127.0.0.1", int(str(request["port"]))), timeout=5),
        "program": lambda: subprocess.run(["true"], check=False),  # noqa: S607 - is to be refused
        "fork": os.fork,
        "system": lambda: os.system("true"),  # noqa: S605, S607 - is to be refused
    }
    refused: list[str] = []
    for name, action in tried.items():
        try:
            action()
        except PermissionError:
            refused.append(name)
    return {"refused": refused, "tried": list(tried)}


_ACTIONS = {name[1:]: function for name, function in list(globals().items()) if name.startswith("_") and callable(function)}
