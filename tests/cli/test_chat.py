"""`llm rlm chat`, as a process and through the command itself."""

from __future__ import annotations

import signal
import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from typing import TYPE_CHECKING, Any

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


@pytest.mark.parametrize("option", [["-m", "responses"], ["--schema", "n int"], ["--cite"], ["-n"], ["-s", "x"]])
def test_what_a_followed_run_has_already_is_refused_and_not_ignored(serve: Serve, log: Path, option: list[str]) -> None:
    serve(submit("so"))
    CliRunner().invoke(cli, ["rlm", "How long?", "-c", str(log), "-m", "chat"])
    result = chat("And?\n", "--follow", "last", *option)
    assert (result.exit_code, "--follow goes on with the models" in result.stderr) == (2, True)


class Talk:
    """`llm rlm chat` in a process of its own."""

    def __init__(self, *arguments: str) -> None:
        command = [sys.executable, "-m", "llm", "rlm", "chat", *arguments]
        pipes: Any = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.PIPE)
        self.process = subprocess.Popen(command, text=True, **pipes)  # noqa: S603 - our own

    def say(self, line: str) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(f"{line}\n")
        self.process.stdin.flush()

    def hear(self, words: str) -> None:
        assert self.process.stderr is not None
        for line in self.process.stderr:
            if words in line:
                return
        pytest.fail(f"{words!r} was not said")

    def stop(self) -> None:
        self.process.send_signal(signal.SIGINT)


@pytest.mark.skipif(sys.platform == "win32", reason="sends SIGINT")
def test_the_first_ctrl_c_ends_a_question_and_the_next_is_asked_in_the_same_session(
    serve: Serve, log: Path, temporary: Path
) -> None:
    spinning = run("await llm_query('hi')\nwhile True: pass")
    models = serve(run("a = 1"), spinning, submit("so far"), run("print(a)"), submit("second"))
    talk = Talk("-c", str(log), "-m", "chat")
    talk.say("one?")
    talk.hear("running cell 2")
    while not models.sub_requests:
        time.sleep(0.05)
    talk.stop()
    talk.hear("To go on: llm rlm resume")
    talk.say("two?")
    stdout, _ = talk.process.communicate(timeout=60)
    assert (talk.process.returncode, stdout) == (0, "so far\nsecond\n")
    assert models.tool_results[-1].startswith("1\n")
    assert list(temporary.iterdir()) == []


@pytest.mark.skipif(sys.platform == "win32", reason="sends SIGINT")
def test_the_second_ctrl_c_ends_the_chat_and_the_run_can_be_followed(serve: Serve, log: Path, temporary: Path) -> None:
    models = serve(run("a = 1"), Reply(fault="stall"), run("print(a)"), submit("followed"))
    talk = Talk("-c", str(log), "-m", "chat")
    talk.say("one?")
    while len(models.root_requests) < 2:
        time.sleep(0.05)
    talk.stop()
    talk.hear("Stopping")
    talk.stop()
    talk.process.communicate(timeout=60)
    assert talk.process.returncode == 130
    assert list(temporary.iterdir()) == []
    result = chat("And?\n", "--follow", "last")
    assert (result.exit_code, result.stdout) == (0, "followed\n")
    assert models.tool_results[-1].startswith("1\n")
