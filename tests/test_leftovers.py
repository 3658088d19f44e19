from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from llm_rlm import leftovers
from llm_rlm.context.document import Spool
from llm_rlm.sandbox.window import Window

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such locks; nothing is removed there")

_HOURS = 7200

_KILLED = """
import os, signal
from llm_rlm.context.document import Spool
spool = Spool()
spool.new().write_text("much")
print(spool._folder.path, flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""


def aged(path: Path) -> Path:
    """Not changed for hours."""
    long_ago = time.time() - _HOURS
    os.utime(path, (long_ago, long_ago))
    return path


def left_by_one_that_was_killed(temporary: Path) -> Path:
    host = subprocess.run(  # noqa: S603 - our own interpreter and code
        [sys.executable, "-c", _KILLED],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "TMPDIR": str(temporary)},
    )
    assert host.returncode == -signal.SIGKILL
    return aged(Path(host.stdout.strip()))


def test_texts_of_a_process_that_was_killed_are_removed_by_a_later_one(temporary: Path) -> None:
    left = left_by_one_that_was_killed(temporary)
    assert list(left.iterdir())
    spool = Spool()
    own = spool.new().parent
    assert [path for path in temporary.iterdir() if path.is_dir()] == [own]
    spool.discard()
    assert list(temporary.iterdir()) == []


def test_what_is_in_use_stays_however_old_it_is(temporary: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("llm_rlm.sandbox.window._IN_MEMORY", str(temporary))
    spool, window = Spool(), Window()
    folder, file = aged(spool.new().parent), aged(Path(window.path))
    assert leftovers.sweep(temporary) == []
    assert folder.exists()
    assert file.exists()
    spool.discard()
    window.close()


def test_what_nobody_holds_and_nobody_changed_for_long_is_removed(tmp_path: Path) -> None:
    file = aged_file(tmp_path / f"{leftovers.HELD}window-a")
    assert leftovers.sweep(tmp_path) == [file]
    assert not file.exists()


def test_what_is_new_stays(tmp_path: Path) -> None:
    (tmp_path / f"{leftovers.HELD}window-a").touch()
    assert leftovers.sweep(tmp_path) == []


def test_files_of_others_stay(tmp_path: Path) -> None:
    aged_file(tmp_path / "llm-rlm-report")
    assert leftovers.sweep(tmp_path) == []


def test_a_link_is_not_followed(tmp_path: Path) -> None:
    precious = tmp_path / "precious"
    precious.mkdir()
    link = tmp_path / f"{leftovers.HELD}texts-a"
    link.symlink_to(precious)
    long_ago = time.time() - _HOURS
    os.utime(link, (long_ago, long_ago), follow_symlinks=False)
    assert leftovers.sweep(tmp_path) == []
    assert precious.exists()


def aged_file(path: Path) -> Path:
    path.touch()
    return aged(path)
