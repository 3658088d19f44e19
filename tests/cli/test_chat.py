"""`llm rlm chat`, as a process and through the command itself."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING

import pytest
from click.testing import CliRunner
from llm.cli import cli

from llm_rlm.testing import Reply, say
from scripts import run, submit, submit_variable

if TYPE_CHECKING:
    from pathlib import Path

    from click.testing import Result

    from conftest import Serve


@pytest.fixture
def log(tmp_path: Path) -> Path:
    path = tmp_path / "big.log"
    path.write_text("one\ntwo\n")
    return path


def chat(typed: str, *arguments: object) -> Result:
    return CliRunner().invoke(cli, ["rlm", "chat", *map(str, arguments)], input=typed)


def test_each_line_of_stdin_is_a_question_and_stdout_has_the_answers(serve: Serve, log: Path) -> None:
    serve(run("n = len(context)"), submit_variable("n"), run("print(n)"), submit("the same"))
    result = chat("How long?\n\nAnd now?\nexit\nnever asked\n", "-c", log, "-m", "chat")
    assert (result.exit_code, result.stdout) == (0, "8\nthe same\n")
    assert "And now" not in result.stderr


def test_a_question_of_several_lines_is_typed_between_marks(serve: Serve, log: Path) -> None:
    models = serve(submit("fine"))
    chat("!multi\none\ntwo\n!end\n", "-c", log, "-m", "chat")
    assert models.root_requests[0].prompt == "one\ntwo"


def test_a_run_that_has_ended_is_followed_with_its_variables_and_its_models(serve: Serve, log: Path) -> None:
    serve(run("n = 41"), submit("so"), run("print(n + 1)"), submit("42"))
    first = CliRunner().invoke(cli, ["rlm", "How long?", "-c", str(log), "-m", "chat"])
    assert first.exit_code == 0
    result = chat("And one more?\n", "--follow", "last", "-v")
    assert (result.exit_code, result.stdout) == (0, "42\n")
    assert "\n42\n" in result.stderr


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "give the input with -c: llm rlm chat -c FILE"),
        (["-c", "-"], "stdin is where the questions come from"),
        (["-c", "nowhere.txt"], "nowhere.txt"),
        (["--follow", "last"], "the journal has no run yet"),
    ],
)
def test_what_cannot_be_talked_about_is_refused_before_any_question(arguments: list[str], message: str) -> None:
    result = chat("?\n", *arguments)
    assert result.exit_code == 2
    assert message in result.stderr


def test_a_question_that_fails_is_told_and_the_next_is_asked(serve: Serve, log: Path) -> None:
    serve(Reply(status=401), submit("fine"))
    result = chat("one?\ntwo?\n", "-c", log, "-m", "chat")
    assert (result.exit_code, result.stdout) == (0, "fine\n")
    assert "did not answer" in result.stderr


def test_the_exit_code_is_that_of_the_last_question(serve: Serve, log: Path) -> None:
    serve(submit("fine"), Reply(status=401))
    assert chat("one?\ntwo?\n", "-c", log, "-m", "chat").exit_code == 1


def test_sessions_are_one_conversation_in_the_log_of_llm(serve: Serve, log: Path, user_path: Path) -> None:
    serve(submit("one"), say("two"), say("two"))
    chat("one?\ntwo?\n", "-c", log, "-m", "chat")
    with closing(sqlite3.connect(user_path / "logs.db")) as db:
        assert db.execute("select count(distinct thread_id), count(*) from turns").fetchone() == (1, 3)
