"""`llm rlm demo`."""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING

from click.testing import CliRunner
from llm.cli import cli

if TYPE_CHECKING:
    from pathlib import Path

    import pytest


def test_the_demo_answers_and_says_that_no_language_model_is_involved(user_path: Path, temporary: Path) -> None:
    result = CliRunner().invoke(cli, ["rlm", "demo", "--megabytes", "1"])
    assert (result.exit_code, result.stdout) == (0, "charged twice: 9 of 18 complaints (50%)\n")
    assert "NO LANGUAGE MODEL IS INVOLVED" in result.stderr
    assert "5 turns, 1 sub-call, " in result.stderr
    assert not (user_path / "rlm.db").exists()
    assert list(temporary.iterdir()) == []


def test_a_demo_that_cannot_go_on_says_why_in_a_line(temporary: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_path: Path, _megabytes: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("llm_rlm.demo.write_log", full)
        result = CliRunner().invoke(cli, ["rlm", "demo", "-q"])
    assert (result.exit_code, result.stderr.startswith("Error: ")) == (1, True)
    assert "No space left on device; set TMPDIR to another folder" in result.stderr
    monkeypatch.setattr("sys.executable", "/bin/false")
    result = CliRunner().invoke(cli, ["rlm", "demo", "--megabytes", "1", "-q"])
    assert (result.exit_code, result.stderr.startswith("Error: the sandbox")) == (1, True), result.stderr
    assert list(temporary.iterdir()) == []


def test_the_quiet_demo_is_its_answer_only() -> None:
    result = CliRunner().invoke(cli, ["rlm", "demo", "--megabytes", "1", "-q"])
    assert (result.stdout, result.stderr) == ("charged twice: 9 of 18 complaints (50%)\n", "")
