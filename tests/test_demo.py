"""`llm rlm demo`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from click.testing import CliRunner
from llm.cli import cli

if TYPE_CHECKING:
    from pathlib import Path


def test_the_demo_answers_and_says_that_no_language_model_is_involved(user_path: Path, temporary: Path) -> None:
    result = CliRunner().invoke(cli, ["rlm", "demo", "--megabytes", "1"])
    assert (result.exit_code, result.stdout) == (0, "charged twice: 9 of 18 complaints (50%)\n")
    assert "NO LANGUAGE MODEL IS INVOLVED" in result.stderr
    assert "5 turns, 1 sub-call, " in result.stderr
    assert not (user_path / "rlm.db").exists()
    assert list(temporary.iterdir()) == []


def test_the_quiet_demo_is_its_answer_only() -> None:
    result = CliRunner().invoke(cli, ["rlm", "demo", "--megabytes", "1", "-q"])
    assert (result.stdout, result.stderr) == ("charged twice: 9 of 18 complaints (50%)\n", "")
