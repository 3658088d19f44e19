"""A worker that is sent for one thing and runs no guest, and how any worker is started."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from llm_rlm.errors import SandboxError

from . import frames

if TYPE_CHECKING:
    from collections.abc import Mapping

_LIMIT = 120.0

# The worker needs no more than the interpreter's own paths: no environment, no site, no current directory.
_MAIN = "import sys, json; sys.path[:] = json.loads(sys.argv[1]); from llm_rlm.sandbox.worker import main; main()"


def command() -> list[str]:
    """What starts a worker."""
    return [sys.executable, "-I", "-S", "-c", _MAIN, json.dumps(_import_path())]


def environment(variables: Mapping[str, str]) -> dict[str, str]:
    """Nothing but these, and what Windows cannot start a process without."""
    return {name: os.environ[name] for name in ("SYSTEMROOT",) if name in os.environ} | dict(variables)


def run(what: str, variables: Mapping[str, str]) -> dict[str, Any]:
    """What a worker reports that is sent to `unpack` or to `measure`. Raises SandboxError, OSError."""
    with tempfile.TemporaryDirectory(prefix="llm-rlm-worker-", ignore_cleanup_errors=True) as directory:
        try:
            done = subprocess.run(  # noqa: S603 - our own interpreter and code
                command(),
                input=frames.to_worker(json.dumps({"do": what}).encode("ascii")),
                capture_output=True,
                env=environment(variables),
                cwd=directory,
                timeout=_LIMIT,
                check=False,
            )
        except subprocess.TimeoutExpired:
            message = f"the sandbox's process did not {what} within {_LIMIT:g} s"
            raise SandboxError(message) from None
    try:
        read = frames.read_from_worker(io.BytesIO(done.stdout))
    except frames.FrameError:
        read = None
    if read is None:
        told = done.stderr.decode("utf-8", "replace").strip().rpartition("\n")[2]
        message = f"the sandbox's process could not {what}: {told or f'it ended with code {done.returncode}'}"
        raise SandboxError(message)
    report: dict[str, Any] = json.loads(read[1])
    return report


def _import_path() -> list[str]:
    package = str(Path(__file__).parents[2])
    return [package, *(entry for entry in sys.path if entry and entry != package)]
