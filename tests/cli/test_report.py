"""`llm rlm report`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from click.testing import CliRunner
from llm.cli import cli

from llm_rlm import RLM
from llm_rlm.testing import ScriptedModel
from scripts import scripted, submit

if TYPE_CHECKING:
    from pathlib import Path

    from click.testing import Result


@pytest.fixture
def run_id(user_path: Path) -> str:  # noqa: ARG001 - its journal is there
    return RLM(scripted(submit("done")), ScriptedModel(lambda _: "", "sub")).ask("Why?", "x").run_id


def report(*arguments: str) -> Result:
    return CliRunner().invoke(cli, ["rlm", "report", *arguments])


def test_a_report_is_written_and_its_path_printed(run_id: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    result = report("last")
    assert (result.exit_code, result.stdout) == (0, f"rlm-{run_id}.html\n")
    assert "Why?" in (tmp_path / f"rlm-{run_id}.html").read_text("utf-8")


def test_a_report_goes_to_stdout(run_id: str) -> None:
    result = report(run_id, "-o", "-")
    assert result.exit_code == 0
    assert result.stdout.startswith("<!doctype html>")
    assert result.stdout.rstrip().endswith("</html>")


def test_a_file_that_is_no_report_is_kept_unless_forced(run_id: str, tmp_path: Path) -> None:
    path = tmp_path / "mine.html"
    path.write_text("mine")
    result = report(run_id, "-o", str(path))
    assert result.exit_code == 2
    assert "--force" in result.stderr
    assert path.read_text() == "mine"
    assert report(run_id, "-o", str(path), "--force").exit_code == 0
    assert "Why?" in path.read_text("utf-8")


def test_a_report_is_opened_in_the_browser(run_id: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[str] = []

    def fails(address: str) -> bool:
        opened.append(address)
        return False

    monkeypatch.setattr("webbrowser.open", fails)
    path = tmp_path / "a b.html"
    result = report(run_id, "-o", str(path), "--open")
    assert opened == [path.as_uri()]
    assert "No browser could be opened" in result.stderr
    assert report(run_id, "-o", "-", "--open").exit_code == 2


def test_an_unknown_run_is_bad_usage(run_id: str, tmp_path: Path) -> None:
    result = report("nothing", "-o", str(tmp_path / "a.html"))
    assert result.exit_code == 2
    assert "there is no run 'nothing'" in result.stderr
    assert not (tmp_path / "a.html").exists()
    assert run_id
