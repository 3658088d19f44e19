"""Functions of the user that cells can call."""

from __future__ import annotations

import json
import sys
import threading
from asyncio import CancelledError
from typing import TYPE_CHECKING, Any

import llm
import pytest
from click.testing import CliRunner
from llm.cli import cli

from llm_rlm import RLM, Limits, UsageError
from llm_rlm.calls import CallReply, CallRequest
from llm_rlm.journal import Journal
from llm_rlm.places import journal_path
from llm_rlm.runs.functions import Performer, as_functions, of_callables, of_tools
from llm_rlm.runs.resume import Following
from llm_rlm.runs.session import Session
from llm_rlm.testing import Reply, ScriptedModel, tool_outputs
from scripts import run, scripted, submit, submit_variable

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from conftest import Serve


def lookup(name: str, *, deep: bool = False) -> dict[str, Any]:
    """Who that is.

    And more.
    """
    return {"name": name, "deep": deep}


async def slowly(x: int) -> int:
    return x + 1


def broken(x: int = 1) -> object:
    message = f"no luck\nwith {x}"
    raise ValueError(message)


def unfit() -> object:
    return {1, 2}


def shown(code: str, *functions: Callable[..., Any]) -> str:
    """What a cell shows to the root model of a run that has these functions."""
    model = scripted(run(code), submit("done"))
    RLM(model, functions=functions).ask("?", "x")
    journal = Journal(journal_path())
    rows = journal.rows("select output from readable_cells order by run_id")
    journal.close()
    return str(rows[-1]["output"])


def performed(function: Callable[..., Any], payload: str = "{}") -> CallReply:
    """What comes of a call of that function."""
    request = CallRequest(1, function.__name__, "function", payload=payload)
    return Performer(of_callables([function])).perform(request, 1, lambda: False)


def test_a_cell_calls_a_function_with_its_real_signature() -> None:
    code = "import inspect\nprint(inspect.signature(lookup), lookup.__doc__[:12])\nprint(await lookup('a', deep=True))"
    assert shown(code, lookup) == "(name, *, deep=None) Who that is.\n{'name': 'a', 'deep': True}\n"


def test_what_is_left_out_has_the_default_of_the_function() -> None:
    assert shown("await lookup(name='a')", lookup) == "{'name': 'a', 'deep': False}\n"


def test_an_argument_that_is_not_there_is_an_error_in_the_cell() -> None:
    assert "got an unexpected keyword argument 'other'" in shown("await lookup('a', other=1)", lookup)
    assert "missing a required argument: 'name'" in shown("await lookup()", lookup)


def test_functions_run_side_by_side() -> None:
    together = threading.Barrier(3, timeout=20)

    def meet(x: int) -> int:
        together.wait()
        return x

    assert shown("import asyncio\nawait asyncio.gather(*[meet(x) for x in range(3)])", meet) == "[0, 1, 2]\n"


def test_an_async_function_is_awaited_on_the_host() -> None:
    assert shown("await slowly(1)", slowly) == "2\n"


def test_what_a_function_raises_is_an_error_in_the_cell_in_one_line() -> None:
    assert "RuntimeError: broken raised ValueError: no luck with 1\n" in shown("await broken()", broken)


@pytest.mark.parametrize("ends", [SystemExit(3), KeyboardInterrupt("3"), GeneratorExit("3"), CancelledError("3")])
def test_a_function_that_would_end_its_thread_is_an_error_in_the_cell(ends: BaseException) -> None:
    def quitting() -> None:
        raise ends

    async def quitting_later() -> None:
        raise ends

    for function in (quitting, quitting_later):
        reply = performed(function)
        assert reply.error == f"{function.__name__} raised {type(ends).__name__}: 3"


def test_a_cell_goes_on_after_a_function_that_exits() -> None:
    def quitting() -> None:
        sys.exit(3)

    code = "try:\n    await quitting()\nexcept RuntimeError as problem:\n    print(problem)\nprint(await slowly(1))"
    assert shown(code, quitting, slowly) == "quitting raised SystemExit: 3\n2\n"


def test_of_what_a_tool_returns_with_attachments_a_cell_has_the_output_and_of_other_objects_no_attribute() -> None:
    class Reading:
        output = "hello"

    def read() -> object:
        return Reading()

    def see() -> object:
        return llm.ToolOutput("seen", [llm.Attachment(content=b"x")])

    assert performed(see) == CallReply(0, '"seen"')
    assert "read returned what JSON cannot hold (Reading)" in (performed(read).error or "")


def test_what_json_cannot_hold_is_an_error_in_the_cell() -> None:
    assert "unfit returned what JSON cannot hold (set)" in shown("await unfit()", unfit)


def test_each_call_is_journaled_and_not_counted_as_a_sub_call() -> None:
    model = scripted(run("r = await lookup('a')"), submit("done"))
    result = RLM(model, functions=[lookup], limits=Limits(calls=0)).ask("?", "x")
    assert result.usage.calls == 0
    journal = Journal(journal_path())
    (row,) = journal.rows("select kind, request, response, state from readable_calls")
    journal.close()
    assert (row["kind"], row["state"]) == ("function", "answered")
    assert json.loads(row["request"])["payload"] == '{"name": "a"}'
    assert json.loads(row["response"]) == {"name": "a", "deep": False}


def test_a_session_that_is_built_up_again_calls_no_function_twice() -> None:
    called: list[str] = []

    def note(text: str) -> int:
        called.append(text)
        return len(called)

    cells = ["n = await note('a')", "import os; os._exit(1)", "print(n)"]
    model = scripted(*map(run, cells), submit_variable("n"))
    assert RLM(model, functions=[note]).ask("?", "x").answer == 1
    assert called == ["a"]


def test_the_root_model_is_told_of_the_functions_and_of_none_where_there_are_none(serve: Serve) -> None:
    models = serve(submit("done"))
    RLM("chat", functions=[lookup]).ask("?", "x")
    RLM("chat").ask("?", "x")
    told, untold = [request.messages[0]["content"] for request in models.root_requests]
    assert "- `await lookup(name: 'str', *, deep: 'bool' = False) -> 'dict[str, Any]'`: Who that is." in told
    assert "lookup" not in untold


def test_a_run_has_no_functions_but_those_given() -> None:
    assert "NameError" in shown("await lookup('a')")
    reply = Performer([]).perform(CallRequest(1, "lookup", "function", payload="{}"), 1, lambda: False)
    assert reply.error == "this run has no function 'lookup'"


@pytest.mark.parametrize("payload", ["", "[]", "{", '{"other": 1}', "1", "[" * 200_000, '{"name": ' * 200_000])
def test_arguments_that_no_driver_would_send_are_an_error(payload: str) -> None:
    reply = performed(lookup, payload)
    assert reply.error is not None
    assert reply.error.startswith("lookup(")


def positional(x: int, /) -> int:
    return x


def many(*xs: int) -> int:
    return len(xs)


def grep() -> None:
    """Is there already."""


@pytest.mark.parametrize(
    ("functions", "message"),
    [
        ([lambda: 1], "needs a name that Python takes"),
        ([positional], "positional takes 'x' by position only"),
        ([many], "many takes 'xs' by position only, or any number of them"),
        ([lookup, lookup], "two functions are named 'lookup'"),
        ([grep], "the name 'grep' is taken in the session"),
    ],
)
def test_a_function_that_cells_could_not_call_is_refused(functions: list[Callable[..., Any]], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        as_functions(functions, ())


def test_a_forgotten_await_is_put_in_for_functions_too() -> None:
    assert shown("n = slowly(1)\nprint(n + 1)", slowly) == "3\n"


# Tools of LLM


def test_tools_of_llm_are_called_by_name() -> None:
    model = scripted(run("v = await llm_version()\nt = await llm_time()\nprint('utc_time' in t)"), submit_variable("v"))
    assert RLM(model, tools=["llm_version", "llm_time"]).ask("?", "x").answer == "0.36"


def test_a_tool_that_is_not_there_is_told_with_those_that_are() -> None:
    with pytest.raises(UsageError, match=r"Tool\(s\) nonsense not found"):
        of_tools(["nonsense"])


def test_a_toolbox_gives_all_its_tools(monkeypatch: pytest.MonkeyPatch) -> None:
    class Box(llm.Toolbox):  # type: ignore[no-untyped-call]
        def __init__(self, start: int = 0) -> None:
            self._total = start

        def add(self, n: int) -> int:
            """Add to the total."""
            self._total += n
            return self._total

    monkeypatch.setattr("llm.cli.get_tools", lambda: {"Box": Box})
    model = scripted(run("await Box_add(1)\nn = await Box_add(n=2)"), submit_variable("n"))
    assert RLM(model, tools=["Box(40)"]).ask("?", "x").answer == 43


def test_the_command_takes_tools(serve: Serve, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("llm.cli.get_tools", lambda: {"lookup": llm.Tool("lookup", implementation=lookup)})
    (tmp_path / "a.txt").write_text("x")
    serve(run("r = await lookup('a')"), submit_variable("r"))
    result = CliRunner().invoke(cli, ["rlm", "?", "-c", str(tmp_path / "a.txt"), "-m", "chat", "--tool", "lookup"])
    assert json.loads(result.stdout) == {"name": "a", "deep": False}
    wrong = CliRunner().invoke(cli, ["rlm", "?", "-c", str(tmp_path / "a.txt"), "-m", "chat", "--tool", "other"])
    assert wrong.exit_code == 2
    assert "Tool(s) other not found. Available tools: lookup" in wrong.stderr


# A run that goes on


def test_a_run_goes_on_with_the_functions_that_it_had_and_says_so_where_they_are_missing(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("x")
    model = scripted(run("a = await slowly(1)"), submit("early"), run("b = await slowly(a)"), submit_variable("b"))
    assert RLM(model, limits=Limits(turns=2), functions=[slowly]).ask("?", tmp_path / "a.txt").finish == "limit"
    with pytest.raises(UsageError, match="had the function slowly, which is not recorded"):
        RLM(model, limits=Limits(turns=9)).resume("last")
    with pytest.raises(UsageError, match="had the function slowly, which is not recorded"):
        Session(RLM(model), following=Following("last"))
    assert RLM(model, limits=Limits(turns=9), functions=[slowly]).resume("last").answer == 3


def test_a_child_run_has_no_functions_and_is_told_so_in_its_cell() -> None:
    seen: list[str] = []

    def script(prompt: llm.Prompt) -> Reply:
        said = [
            part.text
            for message in prompt.messages
            for part in message.parts
            if message.role == "user" and hasattr(part, "text")
        ]
        seen.extend(tool_outputs(prompt))
        cells = [run("r = await rlm_query('part?', context='x')\nn = lookup('a')"), run("lookup('a')")]
        return submit("done") if tool_outputs(prompt) else cells["part?" in said[0]]

    assert RLM(ScriptedModel(script), functions=[lookup]).ask("whole?", "x").answer == "done"
    assert any("NameError: name 'lookup' is not defined" in output for output in seen)
