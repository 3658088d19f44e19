"""Root models without tool calling: whole runs that are driven by blocks of code, with the real sandbox."""

from __future__ import annotations

import json
import threading
from contextlib import ExitStack
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from click.testing import CliRunner
from llm.cli import cli

from llm_rlm import RLM, Limits, RunFailedError
from llm_rlm.runs.asking import begin
from llm_rlm.testing import Reply, Request, ScriptedModel, ScriptedServer, say

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    import llm

both_apis = pytest.mark.parametrize("api", ["chat", "responses"])
both_modes = pytest.mark.parametrize("can_stream", [True, False], ids=["streamed", "whole"])


def block(code: str, language: str = "python") -> Reply:
    """A reply with a block of code in a little prose."""
    return say(f"I look at it.\n\n```{language}\n{code}\n```\n")


class Toolless:
    """A server whose models `chat` and `responses` take no tools. Sub-calls are those without a system prompt."""

    def __init__(self, server: ScriptedServer) -> None:
        self.server = server

    @property
    def asked(self) -> list[Request]:
        """What the root model was asked."""
        return [request for request in self.server.requests if _is_root(request)]

    @property
    def sub(self) -> list[str]:
        """What sub-models were asked."""
        return sorted(request.prompt for request in self.server.requests if not _is_root(request))


def _is_root(request: Request) -> bool:
    return request.messages[0]["role"] == "system"


@pytest.fixture
def serve(user_path: Path) -> Iterator[Callable[..., Toolless]]:
    """Start a server whose root model gives these replies, one a request, the last for ever."""
    with ExitStack() as stack:

        def start(*replies: Reply, can_stream: bool = True, sub: Callable[[Request], Reply] | None = None) -> Toolless:
            left = list(replies)

            def script(request: Request) -> Reply:
                if not _is_root(request):
                    return sub(request) if sub is not None else say(f"sub: {request.prompt}")
                return left.pop(0) if len(left) > 1 else left[0]

            server = stack.enter_context(ScriptedServer(script))
            extra = {"supports_tools": False, "can_stream": can_stream}
            server.write_models_yaml(user_path, "chat", **extra)
            server.write_models_yaml(user_path, "responses", responses=True, **extra)
            return Toolless(server)

        yield start


type Serve = Callable[..., Toolless]


def toolless(*replies: str) -> tuple[ScriptedModel, list[str]]:
    """A model in this process that takes no tools, and what it is told, turn by turn."""
    left, told = list(replies), []

    def script(prompt: llm.Prompt) -> str:
        told.append(prompt.prompt)
        return left.pop(0) if len(left) > 1 else left[0]

    model = ScriptedModel(script, "toolless")
    model.supports_tools = False
    return model, told


@both_apis
@both_modes
def test_a_model_without_tools_answers_through_blocks_of_code(serve: Serve, api: str, can_stream: bool) -> None:
    """Where others break: code in ```python or bare fences does nothing and says nothing."""
    models = serve(
        block("parts = context.splitlines()\nprint(len(parts), 'lines')"),
        block("rs = await llm_batch(parts)\nanswer = ' / '.join(rs['responses'])", "repl"),
        block("submit(answer)", ""),
        can_stream=can_stream,
    )
    result = RLM(api).ask("Join the lines.", context="one\ntwo")
    assert (result.answer, result.finish) == ("sub: one / sub: two", "submitted")
    assert (result.usage.turns, result.usage.calls) == (3, 2)
    assert {request.stream for request in models.asked} == {can_stream}
    assert [message["role"] for message in models.asked[1].messages] == ["system", "user", "assistant", "user"]
    told = models.asked[1].prompt
    assert told.startswith("Output of your code:\n2 lines\n[")
    assert "variables: parts list[2]]" in told
    assert models.sub == ["one", "two"]


def test_its_system_prompt_speaks_of_blocks_and_not_of_tools(serve: Serve) -> None:
    models = serve(block("submit('done')"))
    RLM("chat", system="Answer in French.").ask("?", context="x")
    (request,) = models.asked
    system = request.messages[0]["content"]
    assert "begins with ```python on a line of its own" in system
    assert "RLMToolbox" not in system
    assert system.endswith("\n\nAnswer in French.")
    assert request.tools == []
    assert "tools" not in request.body


def test_a_model_with_tools_writes_blocks_if_it_is_told_to() -> None:
    told: list[list[Any]] = []

    def script(prompt: llm.Prompt) -> str:
        told.append(list(prompt.tools))
        return "```python\nsubmit(len(context))\n```"

    result = RLM(ScriptedModel(script), protocol="code").ask("?", context="four")
    assert (result.answer, told) == (4, [[]])


def test_blocks_of_one_reply_run_in_order_and_none_after_the_answer() -> None:
    model, _ = toolless("```python\na = 1\n```\nthen\n```python\na += 1\nsubmit(a)\n```\n```python\nsubmit(99)\n```")
    result = RLM(model).ask("?", context="x")
    assert (result.answer, result.usage.turns) == (2, 1)


def test_what_each_of_several_blocks_showed_is_told_with_its_number() -> None:
    model, told = toolless("```python\nprint('a')\n```\n```python\n1 / 0\n```", "```python\nsubmit('b')\n```")
    RLM(model).ask("?", context="x")
    assert told[1].startswith("Output of your code (block 1 of 2):\na\n[")
    assert "Output of your code (block 2 of 2):\nTraceback" in told[1]


def test_a_fence_in_a_string_of_the_code_does_not_end_the_block() -> None:
    model, _ = toolless('```python\nprompt = """Say:\n```\nx\n```\n"""\nsubmit(prompt.count("```"))\n```')
    assert RLM(model).ask("?", context="x").answer == 2


def test_a_reply_without_code_is_told_what_to_do_then_taken(serve: Serve) -> None:
    models = serve(say("It is four."), say("<think>Hm.</think>\nAs I said: four."))
    result = RLM("chat").ask("?", context="x")
    assert (result.answer, result.finish) == ("As I said: four.", "prose")
    assert models.asked[1].prompt.startswith("That reply had no code to run and submitted nothing.")
    assert len(models.asked) == 2


def test_empty_replies_are_not_an_answer() -> None:
    model, told = toolless("<think>Nothing to say.</think>")
    with pytest.raises(RunFailedError, match="toolless gave no answer: its replies were empty"):
        RLM(model).ask("?", context="x")
    assert len(told) == 2


@pytest.mark.parametrize(
    ("reply", "answer"),
    [
        ("FINAL(It is four.)", "It is four."),
        ("I am sure.\nFINAL_VAR(table)", ["a", "b"]),
        ('```repl\nFINAL_VAR("table")\n```', ["a", "b"]),
        ("```repl\nFINAL(len(table))\n```", 2),
        ("```python\nanswer['content'] = table[0]\nanswer['ready'] = True\n```", "a"),
    ],
)
def test_the_ends_that_models_of_other_rlms_write_end_the_run(reply: str, answer: object) -> None:
    model, told = toolless("```repl\ntable = ['a', 'b']\n```", reply)
    result = RLM(model).ask("?", context="x")
    assert (result.answer, result.finish, len(told)) == (answer, "submitted", 2)


def test_an_answer_beside_code_that_has_not_run_is_not_taken_and_the_model_is_told() -> None:
    model, told = toolless("```python\nn = len(context)\nn\n```\nFINAL(It is 3.)", "```python\nsubmit(n)\n```")
    assert RLM(model).ask("?", context="four").answer == 4
    assert told[1].startswith("Output of your code:\n4\n[")
    assert "The answer that stood beside it in your text was not taken" in told[1]


def test_an_answer_beside_code_is_taken_in_the_last_turn_once_the_code_has_run() -> None:
    model, _ = toolless("```python\nn = len(context)\n```\nFINAL_VAR(n)")
    result = RLM(model, limits=Limits(turns=1)).ask("?", context="four")
    assert (result.answer, result.finish) == (4, "limit")


def test_a_final_variable_that_is_not_there_is_told_with_those_there_are() -> None:
    model, told = toolless("```python\nn = 1\n```", "FINAL_VAR(m)", "FINAL_VAR(n)")
    assert RLM(model).ask("?", context="x").answer == 1
    assert told[2] == "Your answer:\nError: there is no variable 'm'. Variables: n."


def test_final_in_prose_is_prose_where_tools_are_called() -> None:
    model = ScriptedModel(lambda _: "FINAL(4)")
    assert RLM(model).ask("?", context="x").finish == "prose"


@both_apis
def test_calls_never_go_over_their_limit_and_the_last_turn_is_told_how_to_answer(serve: Serve, api: str) -> None:
    models = serve(block("rs = await llm_batch([f'p{i}' for i in range(300)])\nprint(len(rs.errors))"), block("submit('best')"))
    result = RLM(api, limits=Limits(calls=50)).ask("?", context="x")
    assert (result.answer, result.finish, len(models.sub)) == ("best", "limit", 50)
    assert "This is your last turn: the limit of 50 calls is reached. Reply with one block of code" in models.asked[1].prompt


@both_apis
@both_modes
def test_a_run_goes_on_after_a_limit_that_is_raised_as_if_it_had_not_met_it(
    serve: Serve, tmp_path: Path, api: str, can_stream: bool
) -> None:
    log = tmp_path / "big.log"
    log.write_text("one\ntwo\n")
    batch = block("rs = await llm_batch([f'p{i}' for i in range(20)])\nprint(len(rs.errors), 'failed')")
    replies = (block("x = len(context)\nprint(x)"), batch, block("submit('a guess')"), block("submit(x)"))
    models = serve(*replies, can_stream=can_stream)
    first = RLM(api, limits=Limits(calls=12)).ask("How long?", log)
    assert (first.finish, first.answer, len(models.sub)) == ("limit", "a guess", 12)
    engine = RLM.of_run(first.run_id)
    assert engine.protocol == "code"
    second = replace(engine, limits=replace(engine.limits, calls=100)).resume(first.run_id)
    assert (second.finish, second.answer, second.usage.calls) == ("submitted", 8, 20)
    assert models.sub == sorted(f"p{i}" for i in range(20))
    conversation = str(models.asked[3].messages)
    assert [message["role"] for message in models.asked[3].messages] == ["system", *["user", "assistant"] * 2, "user"]
    assert "0 failed" in models.asked[3].prompt
    assert "last turn" not in conversation


def test_a_withheld_answer_is_not_forgotten_when_the_run_goes_on(serve: Serve, tmp_path: Path) -> None:
    log = tmp_path / "big.log"
    log.write_text("one")
    held = say("```python\nn = 1\n```\nFINAL(2)")
    models = serve(held, Reply(status=401), block("submit(n)"))
    with pytest.raises(RunFailedError):
        RLM("chat").ask("?", log)
    assert RLM.of_run("last").resume("last").answer == 1
    assert "was not taken" in models.asked[2].prompt


def test_a_run_of_a_protocol_keeps_it_when_it_goes_on() -> None:
    told: list[bool] = []

    def script(prompt: llm.Prompt) -> str:
        told.append(bool(prompt.tools))
        return "hm" if len(told) == 1 else "```python\nsubmit('b')\n```"

    model = ScriptedModel(script)
    first = RLM(model, protocol="code", limits=Limits(turns=1)).ask("?", ["x"])
    engine = replace(RLM.of_run(first.run_id), model=model, sub_model=model, limits=Limits(turns=9))
    assert (engine.resume(first.run_id, ["x"]).answer, any(told)) == ("b", False)


@pytest.mark.parametrize("reply", ["```python\nsubmit('so far')\n```", "FINAL(so far)", "```python\nsubmit(found)\n```"])
def test_a_stopped_run_still_gets_its_best_answer_though_no_code_may_run(serve: Serve, reply: str) -> None:
    hang = threading.Event()

    def sub(_: Request) -> Reply:
        hang.set()
        return Reply(fault="stall")

    serve(block("found = 'so far'\nawait llm_query('slow')"), say(reply), sub=sub)
    asking = begin(RLM("chat"), "?", "x")

    def stop() -> None:
        hang.wait(20)
        asking.stop("the user stopped the run")

    threading.Thread(target=stop).start()
    result = asking.finish()
    assert (result.finish, result.answer) == ("interrupted", "so far")


def test_quotes_are_asked_for_looked_up_and_told_of() -> None:
    model, told = toolless(
        "```python\nsubmit('red')\n```",
        "```python\nn = 'red'\nsubmit(n, quotes=['it was blue'])\n```",
        "```python\nsubmit('red', quotes=['it was red'])\n```",
    )
    result = RLM(model, cite=True).ask("?", context="they say\nit was red indeed\n")
    assert [(citation["found"], citation["line"]) for citation in result.citations] == [(False, None)]
    assert told[1].startswith("Your answer:\nNot submitted yet: this question asks for evidence.")
    model, told = toolless("```python\nx = 'red'\nsubmit(x, quotes=[context[9:19]])\n```")
    result = RLM(model, cite=True).ask("?", context="they say\nit was red indeed\n")
    assert [(citation["quote"], citation["line"]) for citation in result.citations] == [("it was red", 2)]


def test_a_reply_that_is_broken_is_asked_for_again(serve: Serve) -> None:
    models = serve(Reply(fault="drop_mid_stream"), Reply(status=503), block("submit('done')"))
    result = RLM("chat").ask("?", context="x")
    assert (result.answer, result.usage.turns, result.usage.retried) == ("done", 1, 2)
    assert len(models.asked) == 3


def test_the_command_takes_the_protocol_and_records_it(serve: Serve, tmp_path: Path) -> None:
    serve(block("n = len(context)"), block("submit(n)"))
    log = tmp_path / "big.log"
    log.write_text("12345")
    arguments = ["rlm", "?", "-c", str(log), "-m", "chat", "--json", "-q", "--protocol"]
    result = CliRunner().invoke(cli, [*arguments, "code"])
    assert (result.exit_code, json.loads(result.stdout)["answer"]) == (0, 5)
    assert RLM.of_run("last").protocol == "code"
    result = CliRunner().invoke(cli, [*arguments, "tools"])
    assert (result.exit_code, "chat does not support tools" in result.stderr) == (2, True)


def test_a_protocol_is_not_given_to_a_run_that_goes_on() -> None:
    result = CliRunner().invoke(cli, ["rlm", "--resume", "last", "--protocol", "code"])
    assert (result.exit_code, "give none of them" in result.stderr) == (2, True)


def test_a_model_is_told_that_its_answer_was_taken_when_it_is_asked_a_further_question() -> None:
    model, told = toolless(
        "```python\nn = 1\n```", "```python\nsubmit(n)\n```", "FINAL_VAR(n)", "```python\nsubmit(n + 1)\n```"
    )
    with RLM(model).session("x") as session:
        assert [session.ask(question).answer for question in ("1?", "2?", "3?")] == [1, 1, 2]
    assert [text.split("\n\n")[:2] for text in told[2:]] == [
        ["Your answer:\nSubmitted.", "2?"],
        ["Your answer:\nSubmitted.", "3?"],
    ]


def test_nothing_that_a_model_without_tools_is_told_names_a_tool() -> None:
    replies = [
        "no code",
        "submit(1)",
        "```python\nsubmit(1)\n```",
        '```python\nsubmit({"n": 1})\n```',
        '```python\nsubmit({"n": 1})\n```',
    ]
    model, told = toolless(*replies)
    result = RLM(model, schema="n int", cite=True, limits=Limits(turns=5)).ask("?", "x")
    assert result.answer == {"n": 1}
    assert "does not fit the JSON Schema" in told[3]
    assert "RLMToolbox" not in " ".join([*told, RLM.of_run("last").system or ""])
