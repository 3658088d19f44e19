"""LLM's models as the run uses them: whole answers, kept clients, bounds."""

from __future__ import annotations

import gc
import json
import threading
import time
from typing import TYPE_CHECKING, Any

import llm
import openai
import pytest
from hypothesis import given
from hypothesis import strategies as st
from llm.default_plugins.openai_models import Chat, Completion, Responses
from pydantic import Field

from llm_rlm.errors import BrokenReplyError
from llm_rlm.providers import models
from llm_rlm.testing import Reply, Request, ScriptedModel, ScriptedServer, ToolCall, say

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

type Model = Chat | Responses

KINDS = pytest.mark.parametrize("kind", [Chat, Responses])
STREAMED = pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
TEXT = "an answer that is long enough to be cut in the middle"


class Served:
    """Models at servers of their own, their clients kept."""

    def __init__(self) -> None:
        self._servers: list[ScriptedServer] = []
        self._models: list[Any] = []

    def model(self, kind: type[Model], script: Callable[[Request], Reply] | Reply, **keep: Any) -> Any:
        answer = script if callable(script) else lambda _: script
        server = ScriptedServer(answer)
        self._servers.append(server.__enter__())
        model: Any = kind("m", model_name="m", api_base=server.url, supports_tools=True)
        model.needs_key = None
        models.keep_clients(model, **{"count": 1, **keep})
        self._models.append(model)
        return model

    @property
    def server(self) -> ScriptedServer:
        return self._servers[-1]

    def close(self) -> None:
        for model in self._models:
            models._close(model.get_client.kept)
        for server in self._servers:
            server.__exit__(None, None, None)


@pytest.fixture
def served() -> Iterator[Served]:
    made = Served()
    yield made
    made.close()


def sse(*events: dict[str, Any], end: bytes = b"") -> Reply:
    return Reply(raw_body=b"".join(b"data: %b\n\n" % json.dumps(event).encode() for event in events) + end)


def chunk(content: str | None, finish: str | None = None) -> dict[str, Any]:
    choice = {"index": 0, "delta": {"role": "assistant", "content": content}, "finish_reason": finish}
    return {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "m", "choices": [choice]}


def delta(text: str) -> dict[str, Any]:
    return {"type": "response.output_text.delta", "delta": text, "item_id": "i", "output_index": 0, "content_index": 0}


def ended(how: str, **more: Any) -> dict[str, Any]:
    response = {"id": "r", "object": "response", "created_at": 1, "model": "m", "output": [], "status": how} | more
    return {"type": f"response.{how}", "response": response}


def whole(kind: type[Model], **more: Any) -> Reply:
    """An answer that is not streamed, in the words of its API."""
    if kind is Responses:
        text = {"type": "output_text", "text": "abc", "annotations": []}
        message = {"id": "i", "type": "message", "role": "assistant", "status": "completed", "content": [text]}
        return Reply(raw_body=json.dumps(ended("completed", output=[message])["response"] | more).encode())
    choice = {"index": 0, "message": {"role": "assistant", "content": "abc"}, "finish_reason": "stop"} | more
    usage = {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2}
    return Reply(raw_body=json.dumps({"id": "c", "object": "chat.completion", "choices": [choice], "usage": usage}).encode())


@KINDS
@STREAMED
@pytest.mark.parametrize("text", [TEXT, ""])
def test_a_finished_answer_is_its_text_though_it_be_empty(served: Served, kind: type[Model], stream: bool, text: str) -> None:
    assert models.read(served.model(kind, say(text)).prompt("p", stream=stream)) == text


@KINDS
@STREAMED
@pytest.mark.parametrize(
    "reply",
    [
        Reply(TEXT, fault="empty"),
        Reply(TEXT, fault="wrong_type"),
        Reply(TEXT, fault="malformed"),
        Reply(raw_body=b"null"),
        Reply(raw_body=b"[]"),
        Reply(raw_body=b"{}"),
        Reply(raw_body=b'{"error": {"message": "overloaded"}}'),
        Reply(raw_body=b'{"choices": [], "usage": {}}'),
        Reply(raw_body=b"\xff\xfe"),
    ],
    ids=["empty", "html", "half", "null", "list", "object", "error", "no choice", "no text"],
)
def test_what_is_no_answer_of_the_api_could_not_be_read(served: Served, kind: type[Model], stream: bool, reply: Reply) -> None:
    with pytest.raises(BrokenReplyError, match=r"^the reply could not be read: .*HTTP 200\)$"):
        models.read(served.model(kind, reply).prompt("p", stream=stream))


@pytest.mark.parametrize(
    ("kind", "reply"),
    [
        (Chat, sse(chunk("abc"))),
        (Chat, sse(chunk("data: [DONE]"), chunk('\n\ndata: [DONE]\n\n"type": "response.completed"'))),
        (Responses, sse(delta("abc"))),
        (Responses, sse(delta('{"type": "response.completed"}'), {"type": "error", "message": "so", "code": "x"})),
    ],
)
def test_a_stream_that_ends_before_the_answer_could_not_be_read(served: Served, kind: type[Model], reply: Reply) -> None:
    with pytest.raises(BrokenReplyError, match="it ends before the answer does"):
        models.read(served.model(kind, reply).prompt("p"))


@pytest.mark.parametrize(
    ("kind", "reply"),
    [
        (Chat, sse(chunk("abc"), chunk(None, "stop"))),
        (Chat, sse(chunk("abc"), end=b"data: [DONE]\n\n")),
        (Responses, sse(delta("abc"), ended("completed"))),
        (Responses, sse(delta("abc"), ended("incomplete", incomplete_details={"reason": "max_output_tokens"}))),
    ],
)
def test_a_stream_that_says_that_it_ends_is_whole(served: Served, kind: type[Model], reply: Reply) -> None:
    assert models.read(served.model(kind, reply).prompt("p")) == "abc"


@pytest.mark.parametrize("size", range(1, 40))
def test_the_end_of_a_stream_is_seen_in_whatever_pieces_it_comes(size: int) -> None:
    body = b'data: {"a": 1, "type": "response.incomplete"}\n\n'
    reply = models._Reply(models._Clients(print, 1, None), "")
    pieces = [body[start : start + size] for start in range(0, len(body), size)]
    assert b"".join(models._watched(lambda: iter(pieces), reply)) == body
    assert reply.end == "incomplete"


@pytest.mark.parametrize(
    ("kind", "reply", "stream"),
    [
        (Responses, whole(Responses, status="failed", error={"code": "server_error", "message": "boom"}), False),
        (Responses, sse(delta("abc"), ended("failed")), True),
        (Chat, whole(Chat, finish_reason="error", error={"message": "boom"}), False),
    ],
)
def test_an_answer_that_the_provider_gave_up_could_not_be_read(
    served: Served, kind: type[Model], reply: Reply, stream: bool
) -> None:
    with pytest.raises(BrokenReplyError, match=r"the provider says it is (failed|error)"):
        models.read(served.model(kind, reply).prompt("p", stream=stream))


@STREAMED
def test_tool_arguments_that_are_not_json_are_the_mistake_of_the_model(served: Served, stream: bool) -> None:
    reply = Reply(tool_calls=(ToolCall("f", '{"a": '),))
    response = served.model(Chat, reply).prompt("p", stream=stream)
    with pytest.raises(json.JSONDecodeError):
        models.read(response)
    response = served.model(Responses, reply).prompt("p", stream=stream)
    assert models.read(response) == ""
    assert response.tool_calls()[0].arguments == {"_raw": '{"a": '}


@KINDS
def test_an_error_of_the_provider_is_its_own_and_is_not_tried_again_unseen(served: Served, kind: type[Model]) -> None:
    with pytest.raises(openai.RateLimitError):
        models.read(served.model(kind, Reply(status=429)).prompt("p"))
    assert served.server.count == 1


@KINDS
@pytest.mark.parametrize("fault", ["drop_before", "drop_mid_stream"])
def test_a_connection_that_is_lost_is_an_error_of_the_client(served: Served, kind: type[Model], fault: Any) -> None:
    with pytest.raises(openai.APIConnectionError):
        models.read(served.model(kind, Reply(TEXT, fault=fault)).prompt("p"))
    assert served.server.count == 1


def test_a_mistake_before_anything_was_sent_is_no_broken_reply(served: Served) -> None:
    model = served.model(Chat, say("abc"))
    models.read(model.prompt("p"))
    model.build_messages = None
    with pytest.raises(TypeError):
        models.read(model.prompt("p"))


def test_the_errors_of_other_models_stay_as_they_are(served: Served) -> None:
    inner = served.model(Chat, say("abc"))

    def script(_: llm.Prompt) -> str:
        models.read(inner.prompt("p", stream=False))
        message = "so"
        raise AttributeError(message)

    with pytest.raises(AttributeError, match="so"):
        models.read(ScriptedModel(script).prompt("p"))
    assert models.read(ScriptedModel(lambda _: models.read(inner.prompt("p", stream=False))).prompt("p")) == "abc"


@pytest.mark.parametrize(
    ("kind", "reply", "cut"),
    [
        (Chat, whole(Chat), False),
        (Chat, whole(Chat, finish_reason="length"), True),
        (Responses, whole(Responses), False),
        (Responses, whole(Responses, status="incomplete", incomplete_details={"reason": "max_output_tokens"}), True),
        (Responses, whole(Responses, status="incomplete", incomplete_details={"reason": "content_filter"}), False),
    ],
)
def test_it_is_known_whether_an_answer_was_cut(served: Served, kind: type[Model], reply: Reply, cut: bool) -> None:
    completion = models.complete(served.model(kind, reply), "p", key=None, options={})
    assert (completion.text, completion.cut) == ("abc", cut)


def test_a_model_that_does_not_say_was_not_cut() -> None:
    assert not models.complete(ScriptedModel(lambda _: "abc"), "p", key=None, options={}).cut


def test_kept_clients_wait_no_longer_than_the_time_out(served: Served) -> None:
    model = served.model(Chat, Reply(fault="stall"), timeout=0.05)
    with pytest.raises(openai.APITimeoutError):
        models.read(model.prompt("p", stream=False))
    assert served.server.count == 1


def test_all_kept_clients_are_alike(served: Served) -> None:
    model = served.model(Chat, say("abc"), count=3, timeout=7.0)
    model.get_client(None)
    end = time.monotonic() + 20
    while len(model.get_client.kept[None]) < 3:
        assert time.monotonic() < end
        time.sleep(0.01)
    clients = model.get_client.kept[None]
    assert {(client.max_retries, client.timeout.read, client.timeout.connect) for client in clients} == {(0, 7.0, 7.0)}
    assert [model.get_client(None) for _ in range(6)] == [*clients[1:], *clients, clients[0]]
    for client in clients:
        with pytest.raises(BrokenReplyError):
            served_by(model, client, Reply(fault="empty"))


def served_by(model: Any, client: Any, reply: Reply) -> str:
    """Ask through that one of the kept clients."""
    kept = model.get_client.kept
    before, kept[None] = kept[None], [client]
    try:
        with ScriptedServer(lambda _: reply) as server:
            client.base_url = server.url
            return models.read(model.prompt("p", stream=False))
    finally:
        kept[None] = before


def test_a_client_of_another_make_is_kept_as_it_is() -> None:
    model: Any = ScriptedModel(lambda _: "abc")
    client = object()
    model.get_client = lambda _key: client
    models.keep_clients(model, 1, timeout=1.0)
    assert model.get_client("k") is client
    models.cancel(model)


def stalling(request: Request) -> Reply:
    return Reply(fault="stall") if request.prompt == "stall" else say("abc")


@KINDS
@STREAMED
def test_cancelling_ends_all_requests_under_way_and_later_ones_work(served: Served, kind: type[Model], stream: bool) -> None:
    model = served.model(kind, stalling)
    problems: list[Exception] = []

    def ask() -> None:
        try:
            models.read(model.prompt("stall", stream=stream))
        except openai.APIConnectionError as problem:
            problems.append(problem)

    for _ in range(2):
        assert models.read(model.prompt("p", stream=stream)) == "abc"
        threads = [threading.Thread(target=ask, daemon=True) for _ in range(8)]
        before = served.server.count
        for thread in threads:
            thread.start()
        end = time.monotonic() + 20
        while served.server.count < before + 8:
            assert time.monotonic() < end
            time.sleep(0.001)
        models.cancel(model)
        for thread in threads:
            thread.join(20)
    assert len(problems) == 16
    models.cancel(model)
    models.cancel(model)
    assert models.read(model.prompt("p", stream=stream)) == "abc"


def test_a_request_whose_connection_is_made_after_the_cancelling_fails_too(served: Served) -> None:
    model = served.model(Chat, stalling, timeout=20.0)
    client = model.get_client(None)
    hooks = client._client.event_hooks
    # The request has been told where to note its connection, and has not made it yet.
    client._client.event_hooks = {"request": [*hooks["request"], lambda _: models.cancel(model)]}
    with pytest.raises(openai.APIConnectionError) as raised:
        models.read(model.prompt("stall", stream=False))
    assert not isinstance(raised.value, openai.APITimeoutError)


def test_sockets_that_are_gone_are_not_kept(served: Served) -> None:
    model = served.model(Chat, say("abc"))
    models.read(model.prompt("p", stream=False))
    assert len(model.get_client._sockets) == 1
    model.get_client(None).close()
    gc.collect()
    assert len(model.get_client._sockets) == 0
    models.cancel(model)


def test_cancelling_a_model_without_kept_clients_does_nothing() -> None:
    models.cancel(ScriptedModel(lambda _: "abc"))
    models.cancel(made(Chat))


def made(kind: Any, **more: Any) -> Any:
    return kind("m", **more)


class Plain(ScriptedModel):
    """A model of another plugin."""


class Other(Plain):
    class Options(llm.Options):
        num_predict: int | None = None


class Bounded(Other):
    default_max_tokens = 9


class Narrow(Plain):
    class Options(llm.Options):
        max_tokens: int | None = Field(default=None, le=50)


@pytest.mark.parametrize(
    ("model", "options", "expected"),
    [
        (made(Responses), {}, ({"max_tokens": 100}, 100, True)),
        (made(Responses, reasoning=True), {"seed": 1}, ({"seed": 1, "max_tokens": 100}, 100, True)),
        (made(Responses, reasoning=True), {"chat_completions": True}, ({"chat_completions": True}, None, False)),
        (made(Responses), {"chat_completions": True}, ({"chat_completions": True, "max_tokens": 100}, 100, True)),
        (made(Responses), {"max_tokens": 7}, ({"max_tokens": 7}, 7, False)),
        (made(Chat), {}, ({"max_tokens": 100}, 100, True)),
        (made(Chat, reasoning=True), {}, ({}, None, False)),
        (made(Chat, reasoning=True), {"max_tokens": 7}, ({"max_tokens": 7}, 7, False)),
        (made(Chat, model_name="openai/o3-mini"), {}, ({}, None, False)),
        (made(Completion, default_max_tokens=256), {}, ({}, 256, False)),
        (made(Other), {}, ({"num_predict": 100}, 100, True)),
        (made(Other), {"num_predict": "7"}, ({"num_predict": "7"}, 7, False)),
        (made(Other), {"num_predict": -1}, ({"num_predict": -1}, None, False)),
        (made(Other), {"num_predict": None}, ({"num_predict": 100}, 100, True)),
        (made(Bounded), {}, ({}, 9, False)),
        (made(Plain), {}, ({}, None, False)),
        (made(Narrow), {}, ({}, None, False)),
    ],
)
def test_output_is_bounded_where_it_is_certain_how(
    model: Any, options: dict[str, object], expected: tuple[dict[str, object], int | None, bool]
) -> None:
    cap = models.capped(model, options, 100)
    assert (cap.options, cap.tokens, cap.ours) == expected


def test_the_bound_is_what_the_api_takes_at_least() -> None:
    assert models.capped(made(Responses), {}, 5).tokens == 16
    assert models.capped(made(Chat), {}, 5).tokens == 5


@KINDS
def test_the_bound_reaches_the_provider(served: Served, kind: type[Model]) -> None:
    model = served.model(kind, say("abc"))
    cap = models.capped(model, {}, 100)
    models.complete(model, "p", key=None, options=cap.options)
    body = served.server.requests[0].body
    assert (body.get("max_tokens") or body.get("max_output_tokens")) == 100


@given(st.lists(st.text() | st.none()))
def test_texts_have_no_more_tokens_than_bytes(texts: list[str | None]) -> None:
    assert models.input_bound(*texts) == 256 + sum(len((text or "").encode()) for text in texts)


def test_a_text_that_is_no_unicode_is_bounded_too() -> None:
    assert models.input_bound("\ud800") == 256 + 3
