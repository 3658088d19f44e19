"""`llm rlm export`."""

from __future__ import annotations

import ast
import json
import stat
import sys
from typing import TYPE_CHECKING

import pytest
from click.testing import CliRunner
from llm.cli import cli

from llm_rlm import RLM
from llm_rlm.testing import ScriptedModel
from scripts import run, scripted, submit

if TYPE_CHECKING:
    from pathlib import Path

    from click.testing import Result


def export(*arguments: str) -> Result:
    return CliRunner().invoke(cli, ["rlm", "export", *arguments])


def ask(question: str) -> str:
    return RLM(scripted(run("a = 1"), submit("done")), depth=0).ask(question, "x").run_id


def kinds(text: str) -> list[tuple[str, str]]:
    return [(line["kind"], line["run_id"]) for line in map(json.loads, text.splitlines())]


def test_a_run_is_a_script_unless_the_file_or_the_option_says_messages(tmp_path: Path) -> None:
    run_id = ask("?")
    ast.parse(export("last").stdout)
    assert kinds(export(run_id, "--as", "messages").stdout) == [("run", run_id)]
    for name in ("a.py", "a.jsonl"):
        done = export("last", "-o", str(tmp_path / name))
        assert (done.exit_code, done.output) == (0, "")
    assert (tmp_path / "a.py").read_text("utf-8") == export("last").stdout
    assert (tmp_path / "a.jsonl").read_text("utf-8") == export("last", "--as", "messages").stdout


def test_all_runs_are_lines_oldest_first_and_those_without_a_conversation_have_none() -> None:
    first, second = ask("1?"), ask("2?")
    with RLM(sub_model=ScriptedModel(lambda _: "yes", "sub")).cells() as cells:
        cells.run("await llm_query('a')")
    assert kinds(export("--all").stdout) == [("run", first), ("run", second)]
    assert kinds(export("--all", "--calls").stdout)[2:] == [("call", cells.run_id)]
    assert kinds(export(second, first, "--as", "messages").stdout) == [("run", second), ("run", first)]


def test_a_run_without_a_conversation_is_refused_and_no_file_is_touched(tmp_path: Path) -> None:
    good = ask("?")
    with RLM(sub_model=ScriptedModel(lambda _: "yes", "sub")).cells() as cells:
        cells.run("1")
    (tmp_path / "of").mkdir()
    path = tmp_path / "of" / "out.jsonl"
    path.write_text("before")
    for runs in ([cells.run_id], [good, cells.run_id], [good, "nothing"]):
        done = export(*runs, "--as", "messages", "-o", str(path))
        assert (done.exit_code, path.read_text()) == (2, "before")
    assert [each.name for each in path.parent.iterdir()] == ["out.jsonl"]
    done = export(cells.run_id, "-o", str(path))
    assert "--calls gives its sub-calls" in done.stderr
    assert "neither" in export(cells.run_id, "-o", str(path), "--calls").stderr


@pytest.mark.parametrize(
    "arguments",
    [
        (),
        ("last", "--all"),
        ("last", "last"),
        ("last", "--calls"),
        ("--all", "--as", "script"),
        ("last", "--content"),
        ("--all", "--otel"),
        ("last", "--otel", "--all"),
        ("last", "--otel", "--calls"),
        ("last", "--otel", "--as", "messages"),
        ("last", "--otel", "-o", "x.py"),
    ],
)
def test_options_that_do_not_go_together_are_refused(arguments: tuple[str, ...]) -> None:
    ask("?")
    done = export(*arguments)
    assert (done.exit_code, done.stdout) == (2, "")


def test_a_run_that_is_not_there_and_a_file_that_cannot_be_written_are_errors(tmp_path: Path) -> None:
    assert "no run yet" in export("last").stderr
    ask("?")
    done = export("last", "-o", str(tmp_path / "no" / "folder.py"))
    assert (done.exit_code, "cannot be written" in done.stderr) == (2, True)


@pytest.mark.skipif(sys.platform == "win32", reason="has no such modes")
def test_only_its_owner_may_read_what_is_exported(tmp_path: Path) -> None:
    ask("?")
    path = tmp_path / "run.py"
    export("last", "-o", str(path))
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
