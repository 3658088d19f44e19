"""Whether somebody still has a run."""

from __future__ import annotations

import subprocess
import sys

import pytest

from llm_rlm.journal.owner import is_alive
from scripts import alive, until

CLAIM = "from llm_rlm.journal.owner import claim; print(claim(), flush=True); input()"


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no processes that are dead and not yet gone")
def test_a_process_that_was_killed_has_no_run_though_nobody_has_looked_what_became_of_it() -> None:
    command = [sys.executable, "-c", CLAIM]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:  # noqa: S603 - our own
        assert process.stdout is not None
        owner = process.stdout.readline().strip()
        assert is_alive(owner)
        process.kill()
        assert until(lambda: not is_alive(owner))
        assert alive(process.pid), "its parent, this test, has not looked yet"
    assert not is_alive(owner)
