"""A worker whose pipe somebody else holds, as one might that broke out."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

import psutil
import pytest

from llm_rlm.errors import SandboxError
from llm_rlm.sandbox import Offer, errand, pipes, shipping, unpacked
from llm_rlm.sandbox.connection import Connection
from scripts import until

from .fakes import Answering, Notebook

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="Windows has no poll for pipes")

_HOLDS = """
import os, struct, subprocess, sys, time
other = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"], start_new_session=True, stdout=1)
with open({path!r} + ".new", "w") as file: file.write(str(other.pid))
os.rename({path!r} + ".new", {path!r})
def read(n):
    data = b""
    while len(data) < n: data += os.read(0, n - len(data))
    return data
def take(): return read(struct.unpack(">I", read(4))[0])
take()
"""
_SITS = "while True: time.sleep(1)\n"


@pytest.fixture
def holder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Where the number of the process that holds the pipe is written; it is ended afterwards."""
    path = tmp_path / "holder"
    monkeypatch.setattr(pipes, "_LOOK_EVERY", 0.05)
    # These workers need nothing unpacked, and what is there for others is not to blame for their end.
    monkeypatch.setattr(unpacked, "folder", lambda _: tmp_path)
    monkeypatch.setattr(unpacked, "forget", lambda: None)
    monkeypatch.setattr(shipping, "forget", lambda: None)
    yield path
    psutil.Process(int(path.read_text())).kill()


def test_a_connection_closes_though_a_process_that_its_worker_started_holds_the_pipe(
    holder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(errand, "_MAIN", _HOLDS.format(path=str(holder)) + _SITS)
    made = Connection([])
    assert until(holder.exists)
    made.close()
    assert not psutil.pid_exists(made.worker.pid)
    assert psutil.pid_exists(int(holder.read_text()))


def test_a_worker_that_has_ended_is_found_out_though_its_pipe_is_held(holder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(errand, "_MAIN", _HOLDS.format(path=str(holder)) + "os._exit(3)\n")
    session = Notebook(Offer(), Answering())
    with pytest.raises(SandboxError, match="its process ended with code 3"):
        session.run("1")
    session.close()


def test_what_is_in_the_pipe_is_read_though_its_writer_is_gone() -> None:
    out, into = os.pipe()
    os.write(into, b"some bytes")
    with os.fdopen(out, "rb") as pipe:
        said = pipes.reader(pipe, lambda: True)
        assert said.read(4) == b"some"
        os.close(into)
        assert said.read(100) == b" bytes"
