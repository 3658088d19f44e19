"""A whole run: a scripted model behind both APIs, streamed and not, with the real sandbox."""

from __future__ import annotations

import asyncio
import json
import sqlite3
import threading
import time
from collections import OrderedDict
from contextlib import closing
from typing import TYPE_CHECKING, Any

import llm
import pytest

from llm_rlm import RLM, Limits, MissingKeyError, RunFailedError, UnknownModelError, UsageError
from llm_rlm.events import CellStarted, Event, TurnStarted
from llm_rlm.root.names import EXECUTE, SUBMIT
from llm_rlm.testing import Reply, ScriptedModel, ToolCall, call, say
from scripts import raw, run, scripted, submit, submit_variable

if TYPE_CHECKING:
    from pathlib import Path

    from conftest import Serve

both_apis = pytest.mark.parametrize("api", ["chat", "responses"])
both_modes = pytest.mark.parametrize("stream", [True, False], ids=["streamed", "whole"])


@both_apis
@both_modes
def test_a_question_is_answered_through_cells_sub_calls_and_a_variable(serve: Serve, api: str, stream: bool) -> None:
    models = serve(
        run("parts = context.splitlines()\nprint(len(parts), 'lines')"),
        run('rs = await llm_batch(parts)\nanswer = " / ".join(rs["responses"])'),
        submit_variable("answer"),
    )
    result = RLM(api, stream=stream).ask("Join the lines.", context="one\ntwo")
    assert result.answer == "sub: one / sub: two"
    assert result.finish == "submitted"
    assert (result.usage.turns, result.usage.calls, result.usage.failed) == (3, 2, 0)
    assert models.tool_results[0].startswith("2 lines\n")
    assert {request.stream for request in models.root_requests} == {stream}
    assert sorted(request.prompt for request in models.sub_requests) == ["one", "two"]


@both_apis
def test_the_context_is_never_sent_to_the_root_model(serve: Serve, api: str) -> None:
    models = serve(run("n = len(context)"), submit("done"))
    RLM(api).ask("How long is it?", context="a secret line\n" * 50)
    assert all("secret" not in json.dumps(request.body) for request in models.root_requests)


@both_apis
def test_no_model_is_called_after_the_answer(serve: Serve, api: str) -> None:
    models = serve(submit("42"), say("never asked for"))
    assert RLM(api).ask("?", context="x").answer == "42"
    assert len(models.server.requests) == 1


def test_the_root_model_is_told_after_each_cell_where_it_stands(serve: Serve) -> None:
    models = serve(run('r = await llm_query("hi")\nnames = ["a", "b"]'), submit("done"))
    RLM("chat", limits=Limits(calls=9, turns=7, seconds=300)).ask("?", context="x")
    status = models.tool_results[0].splitlines()[-1]
    assert "turn 1 of 7; 1 sub-call so far; 8 sub-calls left; " in status
    assert status.endswith("names list[2]]")


def test_the_system_prompt_names_the_limits_and_the_users_own_words(serve: Serve) -> None:
    models = serve(submit("done"))
    RLM("chat", "responses", Limits(calls=0, turns=None), system="Answer in French.").ask("?", context="x")
    system = models.root_requests[0].messages[0]["content"]
    assert "Limits: 0 sub-calls. The sub-model is responses." in system
    assert system.endswith("\n\nAnswer in French.")


@both_apis
@both_modes
def test_arguments_that_are_not_json_are_asked_for_again_with_the_question(serve: Serve, api: str, stream: bool) -> None:
    models = serve(raw(EXECUTE, '{"code": "print('), submit("mended"))
    assert RLM(api, stream=stream).ask("What is it?", context="x").answer == "mended"
    second = models.root_requests[1].messages
    assert any("What is it?" in message["content"] for message in second)
    assert any("not valid JSON" in m["content"] or "not a JSON object" in m["content"] for m in second)


def test_tool_results_are_told_again_after_a_reply_that_could_not_be_read(serve: Serve) -> None:
    models = serve(run("print('seen')"), raw(EXECUTE, "{"), submit("mended"))
    RLM("chat").ask("?", context="x")
    assert any(message["role"] == "tool" and "seen" in message["content"] for message in models.root_requests[2].messages)


def test_a_model_that_never_sends_readable_arguments_is_given_up(serve: Serve) -> None:
    models = serve(raw(EXECUTE, "{"))
    with pytest.raises(RunFailedError, match="3 replies that could not be read"):
        RLM("chat").ask("?", context="x")
    assert len(models.root_requests) == 3


@both_apis
@pytest.mark.parametrize(
    ("reply", "told"),
    [
        (raw(EXECUTE, "[1]"), f"the arguments are not a JSON object. Send {EXECUTE}"),
        (call("search", query="x"), f"there is no tool 'search'. The tools are {EXECUTE} and {SUBMIT}"),
        (call(EXECUTE, source="1"), f"{EXECUTE} has no argument 'source'. Send {EXECUTE}"),
        (call(EXECUTE, code="  "), "needs `code`, Python source as one string"),
        (call(EXECUTE, code=5), "needs `code`, Python source as one string"),
        (call(SUBMIT), "either `answer` or `variable_name`, not neither"),
        (call(SUBMIT, answer="", variable_name=None), "either `answer` or `variable_name`, not neither"),
        (call(SUBMIT, answer="a", variable_name="b"), "either `answer` or `variable_name`, not both"),
        (call(SUBMIT, variable_name=["b"]), "`variable_name` must be the name of a variable"),
        (call(SUBMIT, variable_name="b"), "there is no variable 'b'. Variables: "),
    ],
)
def test_a_wrong_tool_call_is_told_what_to_do_and_the_run_goes_on(serve: Serve, api: str, reply: Reply, told: str) -> None:
    models = serve(reply, submit("mended"))
    assert RLM(api).ask("?", context="x").answer == "mended"
    assert told in models.tool_results[0]


def test_a_reply_without_a_tool_call_is_asked_once_to_submit_then_taken(serve: Serve) -> None:
    models = serve(say("It is four."), say("As I said: four."))
    result = RLM("chat").ask("?", context="x")
    assert (result.answer, result.finish) == ("As I said: four.", "prose")
    assert "neither ran code nor submitted" in models.root_requests[1].prompt
    assert len(models.root_requests) == 2


def test_prose_then_a_submission_is_submitted(serve: Serve) -> None:
    serve(say("Four?"), submit("four"))
    assert RLM("chat").ask("?", context="x").finish == "submitted"


@both_apis
def test_empty_replies_are_not_an_answer(serve: Serve, api: str) -> None:
    serve(say(""))
    with pytest.raises(RunFailedError, match=f"{api} gave no answer: its replies were empty"):
        RLM(api).ask("?", context="x")


@both_apis
@both_modes
@pytest.mark.parametrize("fault", ["empty", "wrong_type", "malformed"])
def test_a_body_that_is_no_completion_is_an_error_of_the_provider(serve: Serve, api: str, stream: bool, fault: Any) -> None:
    models = serve(Reply(fault=fault))
    with pytest.raises(RunFailedError, match=f"{api} did not answer: BrokenReplyError: the reply could not be read"):
        RLM(api, stream=stream).ask("?", context="x")
    assert len(models.root_requests) == 4


@both_apis
@both_modes
def test_the_root_model_is_asked_again_after_a_fault(serve: Serve, api: str, stream: bool) -> None:
    faults = [Reply(status=503), Reply(fault="drop_mid_stream"), Reply(status=429, headers={"retry-after": "0"})]
    models = serve(run("x = 1"), *faults, submit("done"))
    result = RLM(api, stream=stream).ask("?", context="x")
    assert (result.answer, result.usage.turns, result.usage.retried, result.usage.unsettled) == ("done", 2, 3, 1)
    assert len({str(request.messages) for request in models.root_requests[1:]}) == 1


def test_several_calls_in_one_reply_are_run_in_order_and_none_after_the_answer(serve: Serve) -> None:
    calls = [("a = 1", EXECUTE), ("a += 1", EXECUTE), (None, SUBMIT), ("a = 99", EXECUTE)]
    made = [ToolCall(name, {"code": code} if code else {"variable_name": "a"}) for code, name in calls]
    models = serve(Reply(tool_calls=tuple(made)))
    result = RLM("chat").ask("?", context="x")
    assert result.answer == 2
    assert len(models.root_requests) == 1


def test_an_answer_submitted_from_code_ends_the_run_with_its_own_shape(serve: Serve) -> None:
    models = serve(run('submit({"a": [1, None]})'))
    result = RLM("chat").ask("?", context="x")
    assert result.answer == {"a": [1, None]}
    assert json.loads(result.text) == {"a": [1, None]}
    assert len(models.root_requests) == 1


def test_an_error_in_a_cell_is_a_result_and_the_variables_stay(serve: Serve) -> None:
    models = serve(run("a = 'kept'\n1 / 0"), submit_variable("a"))
    assert RLM("chat").ask("?", context="x").answer == "kept"
    assert "ZeroDivisionError" in models.tool_results[0]


def test_json_as_context_keeps_its_shape(serve: Serve) -> None:
    serve(run("submit([type(context).__name__, context['rows'][1], context['n']])"))
    assert RLM("chat").ask("?", context={"rows": [1, {"é": None}], "n": 1.5}).answer == ["dict", {"é": None}, 1.5]


@both_apis
@pytest.mark.parametrize("reply", [Reply(status=500, text="broken: k-secret"), Reply(fault="drop_before")])
def test_a_provider_that_fails_for_good_ends_the_run_with_what_there_is(serve: Serve, api: str, reply: Reply) -> None:
    serve(run("await llm_query('hi')"), reply, api_key_name="mine")
    with pytest.raises(RunFailedError) as caught:
        RLM(api, key="k-secret").ask("?", context="x")
    result = caught.value.result
    assert (result.finish, result.answer, result.usage.calls, result.usage.turns) == ("error", None, 1, 2)
    assert result.usage.input > 0
    assert result.error is not None
    assert result.error.startswith(f"{api} did not answer: ")
    assert "k-secret" not in json.dumps(result.as_dict())


def test_the_key_stands_in_no_repr_and_no_row(serve: Serve, user_path: Path) -> None:
    serve(run("await llm_query('hi')"), Reply(status=401, text="wrong key: k-secret"), api_key_name="mine")
    rlm = RLM("chat", key="k-secret")
    with pytest.raises(RunFailedError):
        rlm.ask("?", context="x")
    assert "k-secret" not in repr(rlm)
    assert not [path for path in user_path.iterdir() if b"k-secret" in path.read_bytes()]


def test_the_key_is_sent_to_the_root_model_and_the_sub_model(serve: Serve) -> None:
    models = serve(run("await llm_query('hi')"), submit("done"), api_key_name="mine")
    RLM("chat", key="k-secret").ask("?", context="x")
    assert {request.headers["authorization"] for request in models.server.requests} == {"Bearer k-secret"}


@pytest.mark.parametrize(
    ("rlm", "kind", "says"),
    [
        (RLM("nowhere"), UnknownModelError, "LLM knows no model 'nowhere'"),
        (RLM("chat", "nowhere"), UnknownModelError, "LLM knows no model 'nowhere'"),
        (RLM("chat"), MissingKeyError, "chat: No key found - add one using 'llm keys set mine'"),
        (RLM(5), UsageError, "a model must be a name or an llm.Model, not int"),  # type: ignore[arg-type]
        (RLM("chat", key="k", options={"heat": 1}), UsageError, "chat: option heat: there is no such option; there are temp"),
        (RLM("chat", key="k", options={"temperature": 9}), UsageError, "temperature: .* less than or equal to 2, not 9"),
        (RLM("chat", key="k", sub_options={"heat": 1}), UsageError, "chat: option heat: there is no such option"),
    ],
)
def test_what_cannot_work_is_refused_before_anything_is_sent_or_read(
    serve: Serve, temporary: Path, rlm: RLM, kind: type[Exception], says: str
) -> None:
    models = serve(submit("done"), api_key_name="mine")
    with pytest.raises(kind, match=says):
        rlm.ask("?", context="x")
    assert models.server.requests == []
    assert list(temporary.iterdir()) == []


def test_a_model_without_tools_is_not_asked_to_call_them(serve: Serve) -> None:
    serve(submit("done"), supports_tools=False)
    with pytest.raises(UsageError, match="chat does not support tools: leave the protocol out, or let it be 'code'"):
        RLM("chat", protocol="tools").ask("?", context="x")


def test_an_unknown_protocol_is_refused(serve: Serve) -> None:
    serve(submit("done"))
    with pytest.raises(UsageError, match="protocol must be 'tools', 'code' or None, not 'morse'"):
        RLM("chat", protocol="morse").ask("?", context="x")  # type: ignore[arg-type]


def test_an_async_model_is_refused_by_name() -> None:
    model = llm.get_async_model("gpt-4o-mini")
    with pytest.raises(UsageError, match=r"a model must be a name or an llm\.Model, not Async"):
        RLM(model).ask("?", context="x")  # type: ignore[arg-type]


@pytest.mark.parametrize("question", ["", " \n"])
def test_an_empty_question_is_refused(question: str) -> None:
    with pytest.raises(UsageError, match="the question is empty"):
        RLM(scripted("never")).ask(question, context="x")


def _deep(levels: int) -> list[Any]:
    value: list[Any] = []
    for _ in range(levels):
        value = [value]
    return value


def _circle() -> list[Any]:
    value: list[Any] = []
    value.append(value)
    return value


@pytest.mark.parametrize(
    ("context", "says"),
    [
        ({1, 2}, "context is a set, which JSON cannot hold"),
        (b"bytes", "context is a bytes, which JSON cannot hold"),
        ({"a": [{3: "x"}]}, r"context\['a'\]\[0\] has the key 3, a int"),
        (_deep(200), "nests more than 100 deep"),
        (_circle(), "nests more than 100 deep"),
    ],
)
def test_a_context_that_json_cannot_hold_is_refused_and_says_where(temporary: Path, context: Any, says: str) -> None:
    with pytest.raises(UsageError, match=says):
        RLM(scripted("never")).ask("?", context=context)
    assert list(temporary.iterdir()) == []


def test_an_ordered_dict_and_a_tuple_are_contexts() -> None:
    root = scripted(run("submit([type(context).__name__, context])"))
    assert RLM(root).ask("?", context=OrderedDict(a=(1, 2))).answer == ["dict", {"a": [1, 2]}]


def test_nothing_is_left_behind(serve: Serve, temporary: Path) -> None:
    serve(run("len(context)"), submit("done"))
    RLM("chat").ask("?", context="x" * 1000)
    assert list(temporary.iterdir()) == []


def test_aask_answers_in_a_running_loop() -> None:
    root = scripted(run("r = str(await llm_query('hi'))"), submit_variable("r"))
    result = asyncio.run(RLM(root, scripted("sub", model_id="sub")).aask("?", context="x"))
    assert result.answer == "sub"


def test_ask_answers_inside_a_running_loop() -> None:
    async def notebook() -> object:
        return RLM(scripted(submit("here"))).ask("?", context="x").answer

    assert asyncio.run(notebook()) == "here"


def test_cancelling_aask_ends_the_run_and_asks_no_further(temporary: Path) -> None:
    asked: list[int] = []
    in_cell = threading.Event()

    def watch(event: Event) -> None:
        match event:
            case TurnStarted():
                asked.append(event.number)
            case CellStarted():
                in_cell.set()
            case _:
                pass

    async def cancelled() -> None:
        task = asyncio.create_task(RLM(scripted(run("while True: pass"))).aask("?", context="x", observer=watch))
        await asyncio.to_thread(in_cell.wait, 20)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(cancelled())
    assert asked == [1]
    assert list(temporary.iterdir()) == []


def test_cancelling_aask_does_not_wait_for_a_root_model_that_hangs(serve: Serve) -> None:
    models = serve(Reply(fault="stall"))

    async def cancelled() -> None:
        task = asyncio.create_task(RLM("chat").aask("?", context="x"))
        while not models.root_requests:  # noqa: ASYNC110 - the server has no event to await
            await asyncio.sleep(0.05)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(cancelled())


def test_models_of_this_process_need_no_name_and_no_key() -> None:
    seen: list[str] = []

    def sub(prompt: llm.Prompt) -> str:
        seen.append(prompt.prompt)
        return str(prompt.prompt).upper()

    root = scripted(run('rs = await llm_batch(["a", "b"])\nsubmit([str(r) for r in rs])'))
    result = RLM(root, ScriptedModel(sub, "sub")).ask("?", context="x")
    assert result.answer == ["A", "B"]
    assert sorted(seen) == ["a", "b"]


def test_one_of_two_runs_side_by_side_knows_nothing_of_the_other() -> None:
    answers: dict[str, object] = {}

    def one(text: str) -> None:
        answers[text] = RLM(scripted(run("submit(context)"))).ask("?", context=text).answer

    threads = [threading.Thread(target=one, args=(text,)) for text in ("left", "right")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert answers == {"left": "left", "right": "right"}


def test_a_call_that_is_under_way_when_the_run_ends_is_recorded_when_it_is_answered(user_path: Path) -> None:
    code = "import asyncio\nlate = asyncio.create_task(llm_query('late'))\nawait asyncio.sleep(0.2)\nsubmit('early')"
    sub_model = ScriptedModel(lambda _: "paid", "sub", delay=1.0)
    result = RLM(scripted(run(code)), sub_model).ask("?", "x")
    assert result.answer == "early"
    with closing(sqlite3.connect(user_path / "rlm.db")) as db:
        states = "select state, text from calls left join texts on hash = response_hash"
        assert db.execute(states).fetchall() == [("sent", None)]
        until = time.monotonic() + 20
        while db.execute(states).fetchall() != [("answered", "paid")] and time.monotonic() < until:
            time.sleep(0.05)
        assert db.execute(states).fetchall() == [("answered", "paid")]


def test_a_server_that_does_not_say_what_an_answer_took_is_asked_for_streams(serve: Serve) -> None:
    message = {"role": "assistant", "content": "no usage here"}
    choices = [{"index": 0, "finish_reason": "stop", "message": message}]
    whole = json.dumps({"id": "x", "object": "chat.completion", "created": 1, "model": "chat", "choices": choices}).encode()
    code = run("rs = [str(await llm_query(f'p{i}')) for i in range(3)]")
    models = serve(code, submit_variable("rs"), sub=lambda request: say("fine") if request.stream else Reply(raw_body=whole))
    result = RLM("chat").ask("?", context="x")
    assert (result.answer, len(models.sub_requests), result.usage.retried) == (["fine"] * 3, 4, 1)
