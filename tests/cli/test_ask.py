"""The command `llm rlm`, through LLM's own entry point."""

from __future__ import annotations

import io
import json
import os
import signal
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Any

import click
import pytest
from click.testing import CliRunner
from llm.cli import cli

from llm_rlm.cli import rlm
from llm_rlm.testing import Reply, say
from scripts import run, submit, submit_variable

if TYPE_CHECKING:
    from pathlib import Path

    from click.testing import Result

    from conftest import Serve

OPTIONS = [option for option in rlm.commands["ask"].params if isinstance(option, click.Option)]


@pytest.fixture
def log(tmp_path: Path) -> str:
    path = tmp_path / "big.log"
    path.write_text("one\ntwo\n")
    return str(path)


def llm_rlm(*arguments: str, given: str | bytes | None = None) -> Result:
    return CliRunner().invoke(cli, ["rlm", *arguments], input=given)


@pytest.mark.parametrize("model", ["chat", "responses"])
@pytest.mark.parametrize("mode", [["--no-stream"], []], ids=["whole", "streamed"])
def test_stdout_is_the_answer_and_nothing_else(serve: Serve, log: str, model: str, mode: list[str]) -> None:
    serve(run("n = len(context.splitlines())"), submit("two lines"))
    result = llm_rlm("How many?", "-c", log, "-m", model, *mode)
    assert (result.exit_code, result.stdout) == (0, "two lines\n")
    assert result.stderr.splitlines()[:2] == ["turn 1: asking the root model", "turn 1: running cell 1"]
    assert result.stderr.splitlines()[-1].startswith("2 turns, 0 sub-calls, ")


def test_quiet_is_quiet(serve: Serve, log: str) -> None:
    serve(submit("done"))
    assert llm_rlm("?", "-c", log, "-m", "chat", "-q").stderr == ""


def test_verbose_shows_each_cell_and_its_output(serve: Serve, log: str) -> None:
    serve(run("n = 6 * 7\nprint('n is', n, '\\x1b[31m')"), submit("done"))
    stderr = llm_rlm("?", "-c", log, "-m", "chat", "-v").stderr
    assert "[1] n = 6 * 7\n    print(" in stderr
    assert "n is 42" in stderr
    assert "\x1b" not in stderr


@pytest.mark.parametrize("arguments", [["-c", "-"], []])
def test_stdin_is_the_context_named_or_piped(serve: Serve, arguments: list[str]) -> None:
    serve(run("submit(context)"))
    result = llm_rlm("?", *arguments, "-m", "chat", "-q", given="päper\r\nand\n")
    assert result.stdout_bytes.decode() == "päper\r\nand\n\n"


def test_options_may_stand_before_the_question_and_ask_may_be_named(serve: Serve, log: str) -> None:
    serve(submit("done"))
    assert llm_rlm("-q", "-m", "chat", "-c", log, "?").stdout == "done\n"
    assert llm_rlm("ask", "-q", "-m", "chat", "-c", log, "?").stdout == "done\n"


def test_an_answer_that_is_not_text_is_json(serve: Serve, log: str) -> None:
    serve(run("a = {'é': [1]}"), submit_variable("a"))
    assert json.loads(llm_rlm("?", "-c", log, "-m", "chat", "-q").stdout) == {"é": [1]}


def test_json_is_one_object_that_says_all(serve: Serve, log: str) -> None:
    serve(run("await llm_query('hi')"), submit("done"))
    told = json.loads(llm_rlm("How?", "-c", log, "-m", "chat", "--sub-model", "responses", "--json", "-q").stdout)
    assert told.pop("run_id")
    assert told.pop("seconds") > 0
    assert told.pop("usage")["input"] > 0
    (source,) = told.pop("sources")
    assert (source["name"], source["bytes"], len(source["sha256"])) == ("big.log", 8, 64)
    assert told == {
        "question": "How?",
        "answer": "done",
        "finish": "submitted",
        "limit": None,
        "error": None,
        "model": "chat",
        "sub_model": "responses",
        "turns": 2,
        "calls": {"total": 1, "cached": 0, "failed": 0, "retried": 0, "unsettled": 0},
        "cost": {"usd": None, "known": False, "possible": 0.0},
        "skipped": [],
        "citations": [],
        "coverage": {
            "read": 0.0,
            "sent": 0.0,
            "either": 0.0,
            "complete": True,
            "untouched": ["big.log"],
            "documents": [{"name": "big.log", "bytes": 8, "read": 0, "sent": 0}],
        },
    }


def test_json_is_printed_for_a_run_that_failed(serve: Serve, log: str) -> None:
    serve(Reply(status=400, text="no such thing"))
    result = llm_rlm("?", "-c", log, "-m", "chat", "--json", "-q")
    told = json.loads(result.stdout)
    assert (result.exit_code, told["finish"], told["answer"]) == (1, "error", None)
    assert "no such thing" in told["error"]
    assert result.stderr == f"Error: {told['error']}\n"


def test_a_limit_is_exit_code_3_with_the_best_answer(serve: Serve, log: str) -> None:
    serve(run("1"), say("nearly"))
    result = llm_rlm("?", "-c", log, "-m", "chat", "--max-turns", "2")
    assert (result.exit_code, result.stdout) == (3, "nearly\n")
    assert "; the limit of 2 turns was reached" in result.stderr


def test_a_limit_without_an_answer_says_so(serve: Serve, log: str) -> None:
    serve(run("1"))
    result = llm_rlm("?", "-c", log, "-m", "chat", "--max-turns", "2", "-q")
    assert (result.exit_code, result.stdout) == (3, "")
    assert result.stderr == "Error: the limit of 2 turns is reached, and there is no answer yet\n"


def test_the_closing_line_says_that_prose_was_taken(serve: Serve, log: str) -> None:
    serve(say("four"))
    result = llm_rlm("?", "-c", log, "-m", "chat")
    assert (result.exit_code, result.stdout) == (0, "four\n")
    assert result.stderr.endswith("; taken from prose, not submitted\n")


def test_options_reach_the_models_they_are_for(serve: Serve, log: str) -> None:
    models = serve(run("await llm_query('hi')"), submit("done"))
    llm_rlm("?", "-c", log, "-m", "chat", "-o", "temperature", "0.5", "--sub-option", "top_p", "0.25", "-s", "Be brief.")
    assert {request.body.get("temperature") for request in models.root_requests} == {0.5}
    assert [(request.body.get("temperature"), request.body.get("top_p")) for request in models.sub_requests] == [(None, 0.25)]
    assert "Be brief." in models.root_requests[0].messages[0]["content"]


def test_concurrency_bounds_the_calls_at_once(serve: Serve, log: str) -> None:
    models = serve(run("await llm_batch(list('abcdefghij'))"), submit("done"), sub=lambda _: Reply(text="x", delay=0.05))
    llm_rlm("?", "-c", log, "-m", "chat", "--concurrency", "2")
    assert models.server.peak == 2


def test_no_log_keeps_no_record(serve: Serve, log: str, user_path: Path) -> None:
    serve(submit("done"))
    llm_rlm("?", "-c", log, "-m", "chat", "-n")
    assert not (user_path / "rlm.db").exists()


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["?", "-c", "missing"], "missing: there is no such file"),
        (["?", "-c", ""], "a source is empty: name a file, a folder, a URL or an LLM fragment"),
        (["?", "-c", "folder"], "folder/ has no file in it: there is nothing to ask about"),
        (["?", "-c", "*.nothing"], "*.nothing: no file matches"),
        (["?", "-c", "text", "--min-coverage", "200%"], "'200%' is no share: give one from 0% to 100%"),
        (["?", "-c", "-", "--paths-from-stdin"], "give -c - or --paths-from-stdin, not both"),
        (["?", "-c", "binary"], "binary is a binary file: give text"),
        (["?", "-c", "empty"], "empty is empty: there is nothing to ask about"),
        (["?", "-c", "-"], "stdin is empty"),
        (["?"], "stdin is empty"),
        (["", "-c", "text"], "the question is empty"),
        (["?", "-c", "-", "-c", "-"], "-c - is given more than once"),
        (["?", "-c", "text", "-c", "missing"], "missing: there is no such file"),
        (["?", "-c", "text", "-m", "nowhere"], "LLM knows no model 'nowhere'"),
        (["?", "-c", "text", "--sub-model", "nowhere"], "LLM knows no model 'nowhere'"),
        (["?", "-c", "text", "-o", "heat", "1"], "option heat: there is no such option"),
        (["?", "-c", "text", "-o", "temperature", "9"], "option temperature: Input should be less than or equal to 2"),
        (["?", "-c", "text", "--max-calls", "-1"], "'--max-calls'"),
        (["?", "-c", "text", "--max-turns", "0"], "'--max-turns'"),
        (["?", "-c", "text", "--timeout", "0"], "'--timeout'"),
        (["?", "-c", "text", "--timeout", "nan"], "the limit of seconds must be a number"),
        (["?", "-c", "text", "--concurrency", "x"], "'--concurrency'"),
        (["-c", "text"], "Missing argument 'QUESTION'"),
    ],
)
def test_bad_usage_is_exit_code_2_and_one_line_that_says_why(
    serve: Serve, tmp_path: Path, temporary: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str], says: str
) -> None:
    models = serve(submit("done"))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "folder").mkdir()
    for name, content in (("binary", b"a\0b"), ("empty", b""), ("text", b"text")):
        (tmp_path / name).write_bytes(content)
    result = llm_rlm("-m", "chat", *arguments, given="")
    assert result.exit_code == 2
    assert says in result.stderr.splitlines()[-1]
    assert (result.stdout, models.server.requests, list(temporary.iterdir())) == ("", [], [])


def test_a_question_without_a_context_at_a_terminal_is_refused_with_advice(monkeypatch: pytest.MonkeyPatch) -> None:
    stdin = io.StringIO()
    monkeypatch.setattr(stdin, "isatty", lambda: True)
    monkeypatch.setattr(sys, "stdin", stdin)
    with pytest.raises(click.UsageError, match=r'llm rlm "QUESTION" -c FILE, or -c - for stdin'):
        rlm.commands["ask"].main(["ruins"], standalone_mode=False)


def test_a_missing_key_is_said_before_anything_is_sent(serve: Serve, log: str) -> None:
    models = serve(submit("done"), api_key_name="mine")
    result = llm_rlm("?", "-c", log, "-m", "chat")
    assert (result.exit_code, models.server.requests) == (1, [])
    assert result.stderr.startswith("Error: chat: No key found - add one using 'llm keys set mine'")


def test_a_key_that_the_provider_repeats_is_not_shown(serve: Serve, log: str) -> None:
    serve(Reply(status=401, text="Incorrect API key: k-secret"), api_key_name="mine")
    result = llm_rlm("?", "-c", log, "-m", "chat", "--key", "k-secret", "--json")
    assert (result.exit_code, "k-secret" in result.output) == (1, False)


def test_the_help_of_rlm_shows_the_options_of_ask_and_the_commands() -> None:
    text = llm_rlm("--help").output
    assert all(option.opts[0] in text for option in OPTIONS)
    assert "ask*" in text
    assert "demo" in text
    assert '\n  llm rlm "Which user had' in text


@pytest.mark.parametrize("option", OPTIONS, ids=lambda option: str(option.name))
def test_every_option_has_help(option: click.Option) -> None:
    assert option.help


def test_llm_lists_the_command_the_plugin_and_the_tools() -> None:
    runner = CliRunner()
    assert "rlm " in runner.invoke(cli, ["--help"]).output
    plugins = json.loads(runner.invoke(cli, ["plugins"]).output)
    assert next(p["hooks"] for p in plugins if p["name"] == "llm-rlm") == [
        "register_commands",
        "register_models",
        "register_tools",
    ]
    tools = runner.invoke(cli, ["tools"]).output
    assert "RLMToolbox_execute_python(" in tools
    assert "RLMToolbox_submit_answer(" in tools
    assert "RLMToolbox_close" not in tools


def _start(*arguments: str, **more: Any) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "llm", "rlm", *arguments]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **more)  # noqa: S603


def _read_until(process: subprocess.Popen[str], text: str) -> None:
    assert process.stderr is not None
    while text not in (line := process.stderr.readline()):
        assert line, f"it ended before it said {text!r}"


def test_the_first_ctrl_c_asks_for_the_best_answer_so_far(serve: Serve, log: str) -> None:
    models = serve(run("await llm_query('hi')\nwhile True: pass"), submit("so far"))
    process = _start("?", "-c", log, "-m", "chat", "--json")
    _read_until(process, "running cell 1")
    while not models.sub_requests:
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    stdout, _ = process.communicate(timeout=60)
    told = json.loads(stdout)
    assert (process.returncode, told["answer"], told["finish"]) == (130, "so far", "interrupted")
    assert "This is your last turn: the user stopped the run" in models.root_requests[-1].prompt


def test_the_second_ctrl_c_aborts_and_leaves_nothing_behind(serve: Serve, log: str, temporary: Path) -> None:
    serve(Reply(fault="stall"))
    process = _start("?", "-c", log, "-m", "chat")
    _read_until(process, "asking the root model")
    process.send_signal(signal.SIGINT)
    _read_until(process, "Stopping")
    process.send_signal(signal.SIGINT)
    stdout, stderr = process.communicate(timeout=60)
    assert (process.returncode, stdout) == (130, "")
    assert stderr.startswith("Aborted. To go on: llm rlm resume ")
    assert stderr.count("\n") == 1
    assert list(temporary.iterdir()) == []


@pytest.mark.parametrize("form", ["--json", "--events"])
def test_a_program_is_told_of_a_run_that_was_aborted(serve: Serve, log: str, form: str) -> None:
    serve(run("print(await llm_query('hi'))"), Reply(fault="stall"))
    process = _start("?", "-c", log, "-m", "chat", form)
    _read_until(process, "turn 2: asking the root model")
    process.send_signal(signal.SIGINT)
    _read_until(process, "Stopping")
    process.send_signal(signal.SIGINT)
    stdout, stderr = process.communicate(timeout=60)
    told = json.loads(stdout if form == "--json" else stdout.splitlines()[-1])
    assert (process.returncode, told["finish"], told["answer"]) == (130, "interrupted", None)
    assert told["calls"]["total"] == 1
    assert stderr == f"Aborted. To go on: llm rlm resume {told['run_id']}\n"


def test_sigterm_leaves_nothing_behind(serve: Serve, temporary: Path) -> None:
    serve(run("while True: pass"))
    process = _start("?", "-m", "chat", stdin=subprocess.PIPE)
    assert process.stdin is not None
    process.stdin.write("text")
    process.stdin.close()
    process.stdin = None
    _read_until(process, "running cell 1")
    process.terminate()
    process.communicate(timeout=60)
    assert process.returncode == 143
    assert list(temporary.iterdir()) == []


@pytest.mark.skipif(sys.platform == "win32", reason="a terminal is made with pty")
def test_on_a_terminal_one_live_line_shows_where_the_run_is(serve: Serve, log: str) -> None:
    import pty  # noqa: PLC0415 - not on Windows

    serve(run("await llm_query('hi')\nimport time\ntime.sleep(0.5)"), submit("done \x1b[31m"))
    ours, theirs = pty.openpty()
    environment = os.environ | {"COLUMNS": "150", "TERM": "xterm"}
    command = [sys.executable, "-m", "llm", "rlm", "?", "-c", log, "-m", "chat"]
    process = subprocess.Popen(command, stdin=theirs, stdout=theirs, stderr=theirs, env=environment)  # noqa: S603
    os.close(theirs)
    shown = _read_all(ours)
    assert process.wait(60) == 0
    assert "turn 1: running cell 1 · 1 sub-call done · " in shown
    assert shown.rstrip().endswith("done \N{REPLACEMENT CHARACTER}[31m")


def _read_all(terminal: int) -> str:
    pieces = []
    end = time.monotonic() + 60
    while time.monotonic() < end:
        try:
            piece = os.read(terminal, 65536)
        except OSError:  # how Linux says that the other end is closed
            break
        if not piece:
            break
        pieces.append(piece)
    os.close(terminal)
    return b"".join(pieces).decode()
