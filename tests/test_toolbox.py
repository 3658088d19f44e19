"""RLMToolbox in LLM's own chains: in Python, sync and async, and with `llm -T`."""

from __future__ import annotations

import asyncio
import gc
import json
from typing import TYPE_CHECKING, Any

import llm
import pytest
import sqlite_utils
from click.testing import CliRunner
from llm.cli import cli

from llm_rlm import RLMError, RLMToolbox, UnknownModelError, UsageError
from llm_rlm.root.names import EXECUTE, SUBMIT
from llm_rlm.testing import Reply, ScriptedModel, ToolCall, call, say
from scripts import run, scripted, submit, submit_variable

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from click.testing import Result

    from conftest import Serve

both_apis = pytest.mark.parametrize("api", ["chat", "responses"])
llm_leaves_async_clients_open = pytest.mark.filterwarnings(
    "ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning"
)
SUB = ScriptedModel(lambda prompt: prompt.prompt.upper(), "sub")
STEPS = (run("r = await llm_query('hi')\nprint(r, len(context))"), submit_variable("context"), say("in words"))


@pytest.fixture
def log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    (tmp_path / "big.log").write_text("one\ntwo\n")
    monkeypatch.chdir(tmp_path)
    return "big.log"


def llm_command(*arguments: str, given: str | None = None) -> Result:
    return CliRunner().invoke(cli, arguments, input=given)


@both_apis
@pytest.mark.parametrize("stream", [True, False])
def test_a_chain_runs_cells_and_submits(serve: Serve, api: str, stream: bool) -> None:
    models = serve(*STEPS)
    with RLMToolbox(context="a text", sub_model=SUB) as toolbox:
        response = llm.get_model(api).chain("?", tools=[toolbox], stream=stream)
        assert response.text().endswith("in words")
        assert toolbox.answer == "a text"
        assert toolbox.usage["calls"] == 1
        assert toolbox.run_id
    assert models.tool_results[0] == "HI 6"
    assert models.tool_results[1] == "Submitted. Now reply with this answer:\na text"


@llm_leaves_async_clients_open
@both_apis
def test_an_async_chain_runs_cells_and_submits(serve: Serve, api: str) -> None:
    models = serve(*STEPS)

    async def ask() -> str:
        with RLMToolbox(context="a text", sub_model=SUB) as toolbox:
            return await llm.get_async_model(api).chain("?", tools=[toolbox]).text()

    assert asyncio.run(ask()).endswith("in words")
    assert models.tool_results[0] == "HI 6"


@llm_leaves_async_clients_open
def test_an_async_chain_keeps_the_loop_free_while_a_cell_runs(serve: Serve) -> None:
    serve(run("import time\ntime.sleep(0.5)"), say("done"))
    beats = 0

    async def beat() -> None:
        nonlocal beats
        while True:
            await asyncio.sleep(0.02)
            beats += 1

    async def ask() -> None:
        beating = asyncio.create_task(beat())
        with RLMToolbox(context="x", sub_model=SUB) as toolbox:
            toolbox.execute_python  # noqa: B018 - the session starts with the first use
            await llm.get_async_model("chat").chain("?", tools=[toolbox]).text()
        beating.cancel()

    asyncio.run(ask())
    assert beats > 5


def test_a_sync_chain_works_inside_a_running_loop(serve: Serve) -> None:
    serve(*STEPS)

    async def notebook() -> object:
        with RLMToolbox(context="a text", sub_model=SUB) as toolbox:
            llm.get_model("chat").chain("?", tools=[toolbox]).text()
            return toolbox.answer

    assert asyncio.run(notebook()) == "a text"


def test_code_that_submits_tells_the_model_to_reply() -> None:
    with RLMToolbox(context="x", sub_model=SUB) as toolbox:
        assert toolbox.execute_python("submit([1])").endswith("Submitted. Now reply with this answer:\n[1]")
        assert toolbox.answer == [1]


def test_a_long_answer_is_shown_in_part() -> None:
    with RLMToolbox(context="y" * 500, sub_model=SUB, max_output_chars=100) as toolbox:
        shown = toolbox.submit_answer(variable_name="context")
    assert shown.endswith("y" * 100 + "\n... [500 characters in all]")


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ({}, "not neither"),
        ({"answer": "a", "variable_name": "b"}, "not both"),
        ({"variable_name": "b"}, "there is no variable 'b'. Variables: a int."),
    ],
)
def test_a_wrong_submission_is_told_what_to_do(arguments: dict[str, str], says: str) -> None:
    with RLMToolbox(sub_model=SUB) as toolbox:
        toolbox.execute_python("a = 1")
        assert says.removesuffix(" int.") in toolbox.submit_answer(**arguments)
        assert toolbox.answer is None


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ({"context": {1}}, "context is a set"),
        ({"context": "a", "context_file": "b"}, "`context` or `context_file`, not both"),
        ({"context_file": "nowhere"}, "nowhere: there is no such file"),
        ({"context_file": 5}, "context_file must be the path of a file, not int"),
        ({"max_output_chars": 1}, "max_output_chars must be a whole number of at least 100, not 1"),
        ({"execution_timeout_ms": "1"}, "execution_timeout_ms must be a whole number from 1 to 2,000,000,000, not '1'"),
        ({"concurrency": 0}, "concurrency must be a whole number of at least 1, not 0"),
        ({"max_calls": -1}, "max_calls must be a whole number of at least 0, or None for no limit, not -1"),
        ({"max_cost": -1}, "max_cost must be a number of at least 0, or None for no limit, not -1"),
        ({"max_cost": float("nan")}, "max_cost must be a number of at least 0, or None for no limit, not nan"),
        ({"max_tokens": 0}, "max_tokens must be a whole number of at least 1, or None for no limit, not 0"),
        (
            {"max_tokens": 10**400},
            "max_tokens must be a whole number of at least 1, or None for no limit, not a number that long",
        ),
        (
            {"execution_timeout_ms": 10**400},
            "execution_timeout_ms must be a whole number from 1 to 2,000,000,000, not a number that long",
        ),
        ({"sub_model": 5}, "a model must be a name or an llm.Model, not int"),
        ({"contxt": "a"}, "RLMToolbox has no argument 'contxt'; it has context, sub_model"),
    ],
)
def test_a_wrong_argument_is_an_error_that_names_it(temporary: Path, arguments: dict[str, Any], says: str) -> None:
    with pytest.raises(UsageError, match=says):
        RLMToolbox(**arguments)
    assert list(temporary.iterdir()) == []


def test_an_unknown_sub_model_is_refused_at_once() -> None:
    with pytest.raises(UnknownModelError, match="LLM knows no model 'nowhere'"):
        RLMToolbox(sub_model="nowhere")


def test_a_closed_toolbox_says_so_and_closing_twice_is_harmless(temporary: Path) -> None:
    toolbox = RLMToolbox(context="x", sub_model=SUB)
    toolbox.execute_python("1")
    toolbox.close()
    toolbox.close()
    with pytest.raises(UsageError, match="this RLMToolbox is closed"):
        toolbox.execute_python("1")
    assert list(temporary.iterdir()) == []


@pytest.mark.parametrize("used", [True, False])
def test_a_toolbox_that_is_forgotten_leaves_nothing_behind(temporary: Path, used: bool) -> None:
    toolbox = RLMToolbox(context="x", sub_model=SUB)
    if used:
        toolbox.execute_python("1")
    assert list(temporary.iterdir()) != []
    del toolbox
    gc.collect()
    assert list(temporary.iterdir()) == []


def test_a_toolbox_goes_on_after_a_session_that_could_not_be_recorded(user_path: Path, temporary: Path) -> None:
    with RLMToolbox(context="x", sub_model=SUB) as toolbox:
        (user_path / "rlm.db").mkdir()
        with pytest.raises(RLMError, match="journal"):
            toolbox.execute_python("context")
        (user_path / "rlm.db").rmdir()
        assert toolbox.execute_python("print(context)") == "x"
    assert list(temporary.iterdir()) == []


def test_the_tools_are_two_and_described_for_the_context() -> None:
    with RLMToolbox(context={"a": 1}, sub_model=SUB) as toolbox:
        execute, submission = toolbox.tools()
    assert (execute.name, submission.name) == (EXECUTE, SUBMIT)
    assert execute.description is not None
    assert "`context` is a dict of 1 items" in execute.description


def test_what_llm_records_of_the_arguments_is_short_and_never_the_context() -> None:
    toolbox = RLMToolbox(context="secret" * 1000, sub_model=SUB, max_calls=7)
    assert toolbox._config == {"sub_model": "sub", "max_calls": 7}
    toolbox.close()


@llm_leaves_async_clients_open
@both_apis
@pytest.mark.parametrize("mode", [[], ["--no-stream"], ["--async"], ["--async", "--no-stream"]], ids=" ".join)
def test_llm_t_answers(serve: Serve, log: str, api: str, mode: list[str]) -> None:
    serve(*STEPS)
    result = llm_command("-T", f'RLMToolbox(context_file="{log}")', "?", "-m", api, "--td", *mode)
    assert (result.exit_code, result.stdout.endswith("in words\n")) == (0, True)
    assert "sub: hi 8" in result.stderr


def test_the_log_holds_no_context_and_nothing_long(serve: Serve, log: str, user_path: Path) -> None:
    serve(run("n = len(context)"), say("done"))
    llm_command("-T", 'RLMToolbox("secret text")', "?", "-m", "chat")
    llm_command("-T", f'RLMToolbox(context_file="{log}", max_calls=9)', "?", "-m", "chat")
    database = sqlite_utils.Database(user_path / "logs.db")
    assert {row["arguments"] for row in database["tool_instances"].rows} == {
        "{}",
        json.dumps({"context_file": log, "max_calls": 9}),
    }
    assert b"secret text" not in (user_path / "logs.db").read_bytes()
    database.close()


def test_the_limit_of_five_rounds_is_lifted(serve: Serve, log: str) -> None:
    models = serve(*[run(str(n)) for n in range(7)], say("done"))
    result = llm_command("-T", f'RLMToolbox(context_file="{log}")', "?", "-m", "chat")
    assert (result.exit_code, result.stdout) == (0, "done\n")
    assert models.tool_results == [str(n) if n else "0" for n in range(7)]


def test_the_limit_of_other_tools_stays(serve: Serve) -> None:
    serve(call("llm_version"))
    result = llm_command("-T", "llm_version", "?", "-m", "chat")
    assert (result.exit_code, result.stderr) == (1, "Error: Chain limit of 5 exceeded.\n")


def test_a_limit_that_was_asked_for_is_kept_and_told_to_the_model(serve: Serve, log: str) -> None:
    models = serve(run("1"))
    result = llm_command("-T", f'RLMToolbox(context_file="{log}")', "?", "-m", "chat", "--cl", "3")
    assert (result.exit_code, result.stderr) == (1, "Error: Chain limit of 3 exceeded.\n")
    assert models.tool_results == ["1\n[rounds of tools for a question: 1 (--cl 3); then give the answer]"] * 2


def test_as_many_rounds_as_the_model_is_told_are_allowed_whatever_was_called_in_one_and_for_each_question(
    serve: Serve, log: str
) -> None:
    three = Reply(tool_calls=tuple(ToolCall(EXECUTE, {"code": str(n)}) for n in range(3)))
    models = serve(three, run("4"), run("5"), say("first"), run("6"), three, run("7"), say("second"))
    command = ("chat", "-T", f'RLMToolbox(context_file="{log}")', "-m", "chat", "--cl", "5")
    result = llm_command(*command, given="?\nand?\nquit\n")
    assert ("first" in result.stdout, "second" in result.stdout, result.exit_code) == (True, True, 0)
    told = "[rounds of tools for a question: 3 (--cl 5); then give the answer]"
    assert {text.partition("\n")[2] for text in models.tool_results} == {told}


def test_continuing_starts_a_fresh_session_and_says_so_once(serve: Serve, log: str) -> None:
    models = serve(run("a = 1"), say("first"), run("print(len(context))\na"), run("2"), say("second"))
    llm_command("-T", f'RLMToolbox(context_file="{log}")', "?", "-m", "responses")
    result = llm_command("-c", "And now?")
    assert (result.exit_code, result.stdout) == (0, "second\n")
    assert "RLMToolbox: this is a fresh session" in result.stderr
    assert models.tool_results[1].startswith("[this is a fresh session: the variables of the earlier one are gone")
    assert "8\n" in models.tool_results[1]
    assert "NameError" in models.tool_results[1]
    assert models.tool_results[2] == "2"
    assert {request.model for request in models.root_requests} == {"responses"}


def test_the_model_of_a_continued_conversation_is_the_sub_model(serve: Serve, log: str) -> None:
    models = serve(run("1"), say("first"), run("await llm_query('hi')"), say("second"))
    llm_command("-T", f'RLMToolbox(context_file="{log}")', "?", "-m", "responses")
    llm_command("-c", "And now?")
    assert [request.model for request in models.sub_requests] == ["responses"]


def test_chat_keeps_its_session_and_its_rounds(serve: Serve, log: str) -> None:
    models = serve(*[run(f"a{n} = {n}") for n in range(6)], say("first"), run("a0 + a5"), say("second"))
    typed = "?\nand?\nquit\n"
    result = llm_command("chat", "-T", f'RLMToolbox(context_file="{log}")', "-m", "chat", given=typed)
    assert result.exit_code == 0
    assert "second" in result.stdout
    assert models.tool_results[-1] == "5"


@pytest.mark.parametrize(
    ("spec", "says"),
    [
        ('RLMToolbox(context_file="nowhere")', "nowhere: there is no such file"),
        ('RLMToolbox({"k": 1})', "RLMToolbox has no argument 'k'"),
        ('RLMToolbox(max_calls="x")', "max_calls must be a whole number of at least 0, or None for no limit, not 'x'"),
        ('RLMToolbox(sub_model="nowhere")', "LLM knows no model 'nowhere'"),
    ],
)
def test_a_wrong_argument_on_the_command_line_is_bad_usage(serve: Serve, temporary: Path, spec: str, says: str) -> None:
    serve(say("never"))
    result = llm_command("-T", spec, "?", "-m", "chat")
    assert result.exit_code == 2
    assert says in result.stderr.splitlines()[-1]
    assert list(temporary.iterdir()) == []


def test_the_key_of_the_command_is_the_key_of_the_sub_calls(serve: Serve, log: str, user_path: Path) -> None:
    models = serve(run("await llm_query('hi')"), say("done"), api_key_name="mine")
    llm_command("-T", f'RLMToolbox(context_file="{log}")', "?", "-m", "chat", "--key", "k-secret")
    assert [request.headers["authorization"] for request in models.sub_requests] == ["Bearer k-secret"]
    assert not [path for path in user_path.iterdir() if b"k-secret" in path.read_bytes()]


def test_calls_beyond_the_limit_fail_and_the_chain_goes_on() -> None:
    with RLMToolbox(context="x", sub_model=SUB, max_calls=2) as toolbox:
        shown = toolbox.execute_python("rs = await llm_batch(list('abcd'))\nprint(len(rs.errors), rs.errors[0])")
        assert shown.startswith("2 ")
        assert "the limit of 2 calls is reached" in shown
        assert toolbox.usage["calls"] == 2


def test_two_calls_in_one_reply_share_the_session() -> None:
    both = Reply(tool_calls=(ToolCall(EXECUTE, {"code": "a = 2"}), ToolCall(EXECUTE, {"code": "a * 21"})))
    with RLMToolbox(sub_model=SUB) as toolbox:
        chain = scripted(both, submit("42"), say("42")).chain("?", tools=[toolbox])
        assert chain.text().endswith("42")
        assert toolbox.answer == "42"


@pytest.fixture(autouse=True)
def collected() -> Iterator[None]:
    """A chain and its toolbox refer to each other: collect them while the test's own folder is there."""
    yield
    gc.collect()
