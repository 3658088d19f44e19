"""Drop-in models, through LLM's own functions and commands."""

from __future__ import annotations

import asyncio
import gc
import json
import subprocess
import sys
import threading
from typing import TYPE_CHECKING
from unittest.mock import Mock

import llm
import pytest
from click.testing import CliRunner
from llm.cli import cli
from llm.utils import Fragment

from llm_rlm import RLM, RunFailedError, UsageError, registry
from llm_rlm.drop_in import RLMModel
from llm_rlm.journal import Journal
from llm_rlm.model import LONG_PROMPT, _forget, _keep, _live
from llm_rlm.places import journal_path
from llm_rlm.testing import Reply, Request, say
from scripts import run, scripted, submit, submit_variable

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from click.testing import Result

    from conftest import Serve

both = pytest.mark.parametrize("name", ["chat", "responses"])


@pytest.fixture(autouse=True)
def added() -> Iterator[None]:
    """Both scripted models have a drop-in; sessions that a test left end with it."""
    registry.add("chat", registry.Entry())
    registry.add("responses", registry.Entry("chat"))
    yield
    for kept in list(_live):
        _forget(kept)


def llm_command(*arguments: str, given: str | None = None) -> Result:
    return CliRunner().invoke(cli, list(arguments), input=given)


@both
def test_fragments_are_the_context_and_never_sent_to_the_model_behind(serve: Serve, name: str) -> None:
    models = serve(run("n = len(context)"), submit_variable("n"))
    response = llm.get_model(f"rlm/{name}").prompt("How long?", fragments=["a secret line\n" * 1000])
    assert response.text() == "14000"
    assert all("secret" not in json.dumps(request.body) for request in models.root_requests)
    assert models.root_requests[0].prompt == "How long?"
    assert {request.model for request in models.root_requests} == {name}


def test_progress_comes_as_reasoning_and_the_answer_as_text(serve: Serve) -> None:
    serve(run("n = len(context)"), submit("four"))
    events = list(llm.get_model("rlm/chat").prompt("?", fragments=["four"]).stream_events())  # type: ignore[no-untyped-call]
    reasoning = "".join(event.chunk for event in events if event.type == "reasoning")
    assert "cell 1:\nn = len(context)" in reasoning
    assert [event.chunk for event in events if event.type == "text"] == ["four"]


def test_what_is_not_streamed_is_the_answer_alone(serve: Serve) -> None:
    serve(submit("four"))
    response = llm.get_model("rlm/chat").prompt("?", fragments=["four"], stream=False)
    assert list(response) == ["four"]


def test_an_async_model_answers_too(serve: Serve) -> None:
    serve(run("n = len(context)"), submit_variable("n"))

    async def ask() -> str:
        return await llm.get_async_model("rlm/chat").prompt("?", fragments=["four"]).text()

    assert asyncio.run(ask()) == "4"


def test_usage_and_the_run_are_told(serve: Serve) -> None:
    serve(run('r = await llm_query("hi")'), submit("done"))
    response = llm.get_model("rlm/chat").prompt("?", fragments=["x"])
    response.text()
    usage = response.usage()
    assert usage.input
    assert usage.details == {"llm_rlm": {"turns": 2, "sub_calls": 1, "cost": None}}
    assert response.response_json is not None
    assert response.response_json["finish"] == "submitted"


@both
def test_a_conversation_goes_on_in_the_same_session(serve: Serve, name: str) -> None:
    models = serve(run("n = len(context)"), submit("one"), run("print(n * 2)"), submit("two"))
    conversation = llm.get_model(f"rlm/{name}").conversation()
    assert conversation.prompt("How long?", fragments=["four"]).text() == "one"
    assert conversation.prompt("Twice?").text() == "two"
    assert models.tool_results[-1].startswith("8\n")
    assert "How long?" in str(models.root_requests[-1].messages)


def test_a_session_ends_with_its_conversation(serve: Serve) -> None:
    serve(submit("one"))
    conversation = llm.get_model("rlm/chat").conversation()
    conversation.prompt("?", fragments=["x"]).text()
    assert len(_live) == 1
    del conversation
    gc.collect()
    assert not _live


def test_a_session_that_another_conversation_goes_on_with_does_not_end_with_the_first() -> None:
    model, session = scripted("one"), Mock()
    first, other = model.conversation(), model.conversation()
    _keep(session, "1", first)
    _keep(_live.pop("1"), "2", other)
    del first
    gc.collect()
    assert session.close.call_count == 0
    del other
    gc.collect()
    assert session.close.call_count == 1


def test_a_prompt_without_a_conversation_leaves_no_session(serve: Serve) -> None:
    serve(submit("one"))
    llm.get_model("rlm/chat").prompt("?", fragments=["x"]).text()
    assert not _live


def test_other_input_in_a_conversation_begins_a_session_that_knows_what_was_said(serve: Serve) -> None:
    models = serve(submit("one"), run("print(context)"), submit("two"))
    conversation = llm.get_model("rlm/chat").conversation()
    conversation.prompt("First?", fragments=["first input"]).text()
    assert conversation.prompt("Second?", fragments=["second input"]).text() == "two"
    asked = models.root_requests[-1].messages[1]["content"]
    assert "assistant: one" in asked
    assert asked.endswith("Second?")
    assert models.tool_results[-1].startswith("second input")


def test_a_fragment_is_what_it_was_when_its_file_is_another_by_now(serve: Serve, tmp_path: Path) -> None:
    path = tmp_path / "notes.txt"
    path.write_text("the code is 2222")
    serve(submit_variable("context"))
    fragment: str | Fragment = Fragment("the code is 1111", str(path))  # type: ignore[no-untyped-call]
    assert llm.get_model("rlm/chat").prompt("?", fragments=[fragment]).text() == "the code is 1111"


def test_several_fragments_are_texts_by_name(serve: Serve, tmp_path: Path) -> None:
    path = tmp_path / "a.log"
    path.write_text("from a file")
    models = serve(run("print(dict(context))"), submit("done"))
    texts = {"from a file": str(path), "from nowhere": "", "changed": str(path)}
    fragments: list[str | Fragment] = [Fragment(text, source) for text, source in texts.items()]  # type: ignore[no-untyped-call]
    llm.get_model("rlm/chat").prompt("?", fragments=fragments).text()
    shown = models.tool_results[0]
    assert f"{path}': 'from a file'" in shown
    assert "'fragment-2': 'from nowhere'" in shown
    assert "'changed'" in shown


def test_a_long_prompt_is_the_context(serve: Serve) -> None:
    text = "begin " + "x" * LONG_PROMPT + " What is it?"
    models = serve(run("print(len(context))"), submit("done"))
    events = list(llm.get_model("rlm/chat").prompt(text).stream_events())  # type: ignore[no-untyped-call]
    assert (
        events[0].chunk
        == f"The prompt of {len(text):,} characters is the context; its beginning and its end are the question.\n"
    )
    assert models.tool_results[0].startswith(f"{len(text)}\n")
    assert "What is it?" in models.root_requests[0].prompt
    assert "x" * 1100 not in models.root_requests[0].prompt


def test_a_question_without_input_is_asked_as_it_is(serve: Serve) -> None:
    models = serve(submit("hello"))
    assert llm.get_model("rlm/chat").prompt("Hello?").text() == "hello"
    assert models.root_requests[0].prompt == "Hello?"


def test_options_are_limits_of_the_run_or_options_of_the_model_behind(serve: Serve) -> None:
    models = serve(run("1"), submit("in time"))
    model = llm.get_model("rlm/chat")
    assert model.prompt("?", fragments=["x"], max_turns=2, temperature=0.5).text() == "in time"
    assert models.root_requests[0].body["temperature"] == 0.5
    with pytest.raises(UsageError, match="option nonsense: there is no such option"):
        model.prompt("?", fragments=["x"], nonsense=1).text()


def test_a_schema_is_kept_by_the_answer(serve: Serve) -> None:
    models = serve(submit("many"), submit('{"n": 4}'))
    response = llm.get_model("rlm/chat").prompt("How long?", fragments=["four"], schema=llm.schema_dsl("n int"))
    assert json.loads(response.text()) == {"n": 4}
    assert "not JSON" in models.tool_results[0]


def test_quotes_are_looked_up_and_stand_below_the_answer(serve: Serve, tmp_path: Path) -> None:
    (path := tmp_path / "big.log").write_text("one\ntwo lines\n")
    serve(run("submit('two', quotes=['two lines'])"))
    fragment: str | Fragment = Fragment("one\ntwo lines\n", str(path))  # type: ignore[no-untyped-call]
    text = llm.get_model("rlm/chat").prompt("?", fragments=[fragment], cite=True).text()
    assert text == 'two\n\n[1] big.log:2: "two lines"'


def test_a_failed_run_raises_and_says_why(serve: Serve) -> None:
    serve(Reply(status=401))
    with pytest.raises(RunFailedError, match="chat did not answer"):
        llm.get_model("rlm/chat").prompt("?", fragments=["x"]).text()


def test_an_empty_prompt_is_refused(serve: Serve) -> None:
    serve(submit("never"))
    with pytest.raises(UsageError, match="the question is empty"):
        llm.get_model("rlm/chat").prompt("", fragments=["x"]).text()


def test_who_stops_reading_ends_the_run(serve: Serve) -> None:
    asked = threading.Event()

    def sub(_: object) -> Reply:
        asked.set()
        return Reply(fault="stall")

    serve(run('r = await llm_query("slow")'), submit("never"), sub=sub)
    response = llm.get_model("rlm/chat").prompt("?", fragments=["x"])
    events = response.stream_events()  # type: ignore[no-untyped-call]
    next(events)
    assert asked.wait(30)
    events.close()
    for thread in threading.enumerate():
        if thread.name == "llm-rlm-model":
            thread.join(30)
    journal = Journal(journal_path())
    (row,) = journal.rows("select finish from runs")
    journal.close()
    assert row["finish"] == "interrupted"


# The command


def test_llm_asks_a_drop_in_model_of_a_file(serve: Serve, tmp_path: Path) -> None:
    path = tmp_path / "big.log"
    path.write_text("one\ntwo\n")
    serve(run("n = len(context)"), submit_variable("n"))
    result = llm_command("-m", "rlm/chat", "-f", str(path), "How long?")
    assert (result.exit_code, result.stdout.strip()) == (0, "8")


def test_llm_goes_on_with_a_conversation_in_another_process(serve: Serve, tmp_path: Path) -> None:
    path = tmp_path / "big.log"
    path.write_text("one\ntwo\n")
    serve(run("n = len(context)"), submit("one"), run("print(n + 1)"), submit("two"))
    llm_command("-m", "rlm/chat", "-f", str(path), "How long?")
    done = subprocess.run(
        [sys.executable, "-m", "llm", "-c", "And one more?"],
        capture_output=True,
        text=True,
        check=False,
        stdin=subprocess.DEVNULL,
    )
    assert (done.returncode, done.stdout.strip()) == (0, "two")
    journal = Journal(journal_path())
    outputs = journal.rows("select output from readable_cells order by number")
    journal.close()
    assert [row["output"] for row in outputs] == ["", "9\n"]


def test_a_conversation_whose_input_is_not_there_any_more_says_what_to_give(serve: Serve, tmp_path: Path) -> None:
    serve(submit("one"))
    (path := tmp_path / "a.txt").write_text("text")
    assert llm_command("-m", "rlm/chat", "-f", str(path), "How long?").exit_code == 0
    path.unlink()
    for kept in list(_live):  # as in another process
        _forget(kept)
    result = llm_command("-c", "And one more?")
    assert result.exit_code == 1
    assert "Give its input again with -f" in result.stderr


def test_long_stdin_is_the_context_and_the_argument_the_question(serve: Serve) -> None:
    text = "a line\n" * 5000
    models = serve(run("print(len(context))"), submit("done"))
    result = llm_command("-m", "rlm/chat", "How long?", given=text)
    assert result.exit_code == 0
    assert "35,000 characters of stdin are the context" in result.stderr
    assert models.root_requests[0].prompt == "How long?"
    assert models.tool_results[0].startswith("35000\n")


def test_llm_chat_asks_follow_up_questions_over_the_same_live_session(serve: Serve, tmp_path: Path) -> None:
    path = tmp_path / "big.log"
    path.write_text("four")
    models = serve(run("n = len(context)"), submit("one"), run("print(n)"), submit("two"))
    result = llm_command("chat", "-m", "rlm/chat", "-f", str(path), given="How long?\nAgain?\nexit\n")
    assert result.exit_code == 0
    assert models.tool_results[-1].startswith("4\n")


def test_models_are_added_listed_and_removed(serve: Serve) -> None:
    serve(say("never"))
    registry.remove("responses")
    assert "rlm/responses" not in llm_command("models").stdout
    assert llm_command("rlm", "models", "add", "responses", "--sub-model", "chat").exit_code == 0
    assert "rlm/responses" in llm_command("models").stdout
    assert llm_command("rlm", "models", "list").stdout == "rlm/chat\nrlm/responses (sub-model: chat)\n"
    assert json.loads(llm_command("rlm", "models", "list", "--json").stdout)[1] == {
        "name": "rlm/responses",
        "sub_model": "chat",
    }
    assert llm_command("rlm", "models", "remove", "rlm/responses").exit_code == 0
    assert "rlm/responses" not in llm_command("models").stdout


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["add", "nowhere"], "LLM knows no model 'nowhere'"),
        (["add", "rlm/chat"], "rlm/chat is a drop-in model itself: add chat"),
        (["remove", "nowhere"], "there is no drop-in model rlm/nowhere"),
    ],
)
def test_a_model_that_cannot_be_added_or_removed_is_told(serve: Serve, arguments: list[str], message: str) -> None:
    serve(say("never"))
    result = llm_command("rlm", "models", *arguments)
    assert result.exit_code == 2
    assert message in result.stderr


def test_nothing_is_imported_for_drop_ins_where_there_are_none(user_path: Path) -> None:
    (user_path / "rlm-models.json").unlink()
    assert loaded_with_llm() == {"llm_rlm.drop_in": False, "llm_rlm.model": False, "llm_rlm.rlm": False}


def test_little_is_imported_for_a_drop_in_before_it_is_asked() -> None:
    assert loaded_with_llm() == {"llm_rlm.drop_in": True, "llm_rlm.model": False, "llm_rlm.rlm": False}


def loaded_with_llm() -> dict[str, bool]:
    """Which of these modules a process has imported once it knows LLM's models."""
    names = ["llm_rlm.drop_in", "llm_rlm.model", "llm_rlm.rlm"]
    code = f"import json, sys, llm; llm.get_models(); print(json.dumps({{name: name in sys.modules for name in {names}}}))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)  # noqa: S603 - our own
    loaded: dict[str, bool] = json.loads(done.stdout)
    return loaded


def test_a_drop_in_is_a_model_like_any_other() -> None:
    model = RLMModel("chat", registry.Entry())
    assert (model.model_id, str(model)) == ("rlm/chat", "RLM: rlm/chat")
    assert "max_cost" in model.Options.model_fields


# Where drop-in models meet the rest of LLM


def test_a_further_question_has_the_schema_and_the_limits_that_come_with_it(serve: Serve) -> None:
    serve(submit("one"), submit('{"n": 2}'), run("1"), submit("three"))
    conversation = llm.get_model("rlm/chat").conversation()
    conversation.prompt("1?", fragments=["x"]).text()
    response = conversation.prompt("2?", schema=llm.schema_dsl("n int"))
    assert json.loads(response.text()) == {"n": 2}
    response = conversation.prompt("3?", max_turns=2)
    assert response.text() == "three"
    assert response.response_json is not None
    assert response.response_json["limit"] == {"kind": "turns", "limit": 2, "used": 2}


def test_a_question_that_failed_leaves_its_conversation_the_session(serve: Serve) -> None:
    models = serve(run("n = 1"), submit("one"), run("n = 2"), Reply(), run("print(n)"), submit("three"))
    conversation = llm.get_model("rlm/chat").conversation()
    conversation.prompt("1?", fragments=["x"]).text()
    with pytest.raises(RunFailedError, match="the limit of 2 turns is reached, and there is no answer yet"):
        conversation.prompt("2?", max_turns=2).text()
    with pytest.raises(UsageError, match="no such option"):
        conversation.prompt("?", nonsense=1).text()
    assert conversation.prompt("3?").text() == "three"
    assert models.tool_results[-1].startswith("2\n")


def test_conversations_side_by_side_keep_to_their_own_sessions(serve: Serve) -> None:
    together = threading.Barrier(3, timeout=60)

    def script(request: Request) -> Reply:
        said = [message for message in request.messages if message["role"] == "assistant"]
        return [
            run("n = len(context)\nr = await llm_query(str(n))"),
            submit_variable("n"),
            run("n += 1"),
            submit_variable("n"),
        ][len(said)]

    models = serve(say("never"))
    models.server._script = lambda request: script(request) if request.tools else say("fine")
    answers: dict[int, list[str]] = {}

    def talk(size: int) -> None:
        conversation = llm.get_model("rlm/chat").conversation()
        first = conversation.prompt("How long?", fragments=["x" * size]).text()
        together.wait()
        answers[size] = [first, conversation.prompt("And one?").text()]

    threads = [threading.Thread(target=talk, args=(size,)) for size in (3, 5, 7)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert answers == {3: ["3", "4"], 5: ["5", "6"], 7: ["7", "8"]}


def test_both_kinds_of_model_answer_within_a_loop_that_runs(serve: Serve) -> None:
    serve(submit("one"), submit("two"))

    async def cell() -> list[str]:
        sync = llm.get_model("rlm/chat").prompt("?", fragments=["x"]).text()
        return [sync, await llm.get_async_model("rlm/chat").prompt("?", fragments=["x"]).text()]

    assert asyncio.run(cell()) == ["one", "two"]


def test_a_task_that_is_cancelled_ends_the_run_and_leaves_nothing(serve: Serve, temporary: Path) -> None:
    asked = threading.Event()

    def sub(_: object) -> Reply:
        asked.set()
        return Reply(fault="stall")

    serve(run('r = await llm_query("slow")'), submit("never"), sub=sub)

    async def cancel() -> None:
        async def ask() -> str:
            return await llm.get_async_model("rlm/chat").prompt("?", fragments=["x"]).text()

        task = asyncio.create_task(ask())
        await asyncio.to_thread(asked.wait, 30)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(cancel())
    for thread in threading.enumerate():
        if thread.name == "llm-rlm-model":
            thread.join(30)
    journal = Journal(journal_path())
    (row,) = journal.rows("select finish from runs")
    journal.close()
    assert (row["finish"], list(temporary.iterdir()), _live) == ("interrupted", [], {})


def test_a_drop_in_as_the_default_model_is_the_model_behind_it_in_a_run(serve: Serve, tmp_path: Path) -> None:
    (path := tmp_path / "a.txt").write_text("text")
    models = serve(submit("done"))
    llm_command("models", "default", "rlm/chat")
    assert llm_command("-f", str(path), "?").stdout == "done\n"
    result = llm_command("rlm", "?", "-c", str(path), "--json")
    assert json.loads(result.stdout)["model"] == "chat"
    assert [request.tools for request in models.server.requests] == [models.root_requests[0].tools] * 2
    given = RLM(llm.get_model("rlm/chat"), "rlm/responses").ask("?", "x")
    assert (given.model, given.sub_model) == ("chat", "responses")


def test_an_alias_of_a_drop_in_adds_no_drop_in_of_a_drop_in(serve: Serve) -> None:
    serve(submit("done"))
    llm_command("aliases", "set", "big", "rlm/chat")
    assert llm_command("-m", "big", "?").stdout == "done\n"
    llm_command("rlm", "models", "add", "big")
    assert list(registry.entries()) == ["chat", "responses"]


def test_a_drop_in_whose_model_is_gone_says_so_and_keeps_no_other_from_the_list(serve: Serve, user_path: Path) -> None:
    serve(say("never"))
    (user_path / "extra-openai-models.yaml").write_text("[]")
    listed = llm_command("models", "--options")
    assert (listed.exit_code, "RLM: rlm/chat" in listed.stdout) == (0, True)
    for command in (["-m", "rlm/chat", "?"], ["-m", "rlm/chat", "?", "--async"]):
        result = llm_command(*command)
        assert (result.exit_code, result.stderr.count("\n")) == (1, 1)
        assert "LLM knows no model 'chat'" in result.stderr


def test_a_template_of_llm_asks_a_drop_in_model_with_its_own_words(serve: Serve, user_path: Path) -> None:
    models = serve(submit("done"))
    (folder := user_path / "templates").mkdir()
    (folder / "sum.yaml").write_text('model: rlm/chat\nsystem: be brief\nprompt: "Sum up in French: $input"\n')
    assert llm_command("-t", "sum", "in two lines", given="a line\n" * 5000).stdout == "done\n"
    asked = models.root_requests[0]
    assert "Sum up in French" in asked.prompt
    assert asked.prompt.endswith("in two lines")
    assert "be brief" in asked.messages[0]["content"]


def test_what_a_drop_in_model_cannot_take_is_refused_before_anything_is_sent(serve: Serve, tmp_path: Path) -> None:
    models = serve(say("never"))
    (image := tmp_path / "x.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    attached, tools = llm_command("-m", "rlm/chat", "-a", str(image), "?"), llm_command("-m", "rlm/chat", "-T", "llm_time", "?")
    assert "does not support attachments" in attached.stderr
    assert "rlm/chat does not support tools" in tools.stderr
    assert models.server.requests == []


def test_an_error_in_llm_chat_is_one_line(serve: Serve, tmp_path: Path) -> None:
    (path := tmp_path / "a.txt").write_text("text")
    serve(submit("one"))
    result = llm_command("chat", "-m", "rlm/chat", given=f"Hello?\n!fragment {path}\nexit\n")
    assert (result.exit_code, result.stderr.splitlines()[-1]) == (
        1,
        "Error: the question is empty: give it as the prompt, and the input as fragments (-f)",
    )


def test_a_fragment_in_the_middle_of_llm_chat_is_the_input_from_then_on(serve: Serve, tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("four")
    (tmp_path / "b.txt").write_text("seven..")
    models = serve(submit("one"), run("print(len(context))"), submit("two"))
    typed = f"How long?\n!multi\nand this?\n!fragment {tmp_path / 'b.txt'}\n!end\nexit\n"
    assert llm_command("chat", "-m", "rlm/chat", "-f", str(tmp_path / "a.txt"), given=typed).exit_code == 0
    assert models.tool_results[-1].startswith("7\n")
