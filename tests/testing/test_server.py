"""The scripted server, driven by llm's own OpenAI model classes and by plain sockets."""

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import ExitStack, suppress
from datetime import UTC, datetime, timedelta, timezone
from email.utils import parsedate_to_datetime
from http.client import HTTPConnection, HTTPMessage
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import llm
import openai
import pytest
from llm.default_plugins.openai_models import AsyncChat, AsyncResponses, Chat, Responses

from llm_rlm.testing import (
    Reply,
    Request,
    Script,
    ScriptedServer,
    ToolCall,
    call,
    echo,
    needle,
    refuse,
    say,
)

SYNC = {"chat": Chat, "responses": Responses}
ASYNC = {"chat": AsyncChat, "responses": AsyncResponses}
SCHEMA = {"type": "object", "properties": {"name": {"type": "string"}}}

Serve = Callable[..., ScriptedServer]

both_apis = pytest.mark.parametrize("api", ["chat", "responses"])
both_modes = pytest.mark.parametrize("stream", [True, False], ids=["streamed", "whole"])


@pytest.fixture(autouse=True)
def no_certificates(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Spare each client the reading of certificates, most of the time these tests would take."""
    monkeypatch.delenv("SSL_CERT_FILE", raising=False)
    monkeypatch.setenv("SSL_CERT_DIR", str(tmp_path))


@pytest.fixture
def serve() -> Iterator[Serve]:
    """Start servers that are closed when the test ends."""
    with ExitStack() as stack:
        yield lambda script, **options: stack.enter_context(ScriptedServer(script, **options))


def build(kind: Any, server: ScriptedServer, *, timeout: float = 10.0, model_id: str = "m") -> Any:
    """Make an llm model of the class `kind` that needs no key and never tries twice."""

    class Once(kind):  # type: ignore[misc]
        needs_key = None
        clients: list[Any]

        def get_client(self, key: str | None, *, async_: bool = False) -> Any:
            client = super().get_client(key, async_=async_)
            self.clients.append(client)
            return client.with_options(max_retries=0, timeout=timeout)

    model = Once(
        model_id=model_id,
        model_name=model_id,
        api_base=server.url,
        supports_tools=True,
        supports_schema=True,
    )
    model.clients = []
    return model


def run_async[T](model: Any, ask: Callable[[Any], Awaitable[T]]) -> T:
    """Run `ask(model)` in a loop, and close the clients, which llm leaves open, before it ends."""

    async def run() -> T:
        try:
            return await ask(model)
        finally:
            for client in model.clients:
                await client.close()

    return asyncio.run(run())


def ask_over_http(server: ScriptedServer, method: str, path: str, body: bytes | None = None) -> tuple[int, Any]:
    """Send one plain request and return its status and its JSON."""
    connection = HTTPConnection(urlsplit(server.url).netloc, timeout=10)
    try:
        connection.request(method, path, body)
        response = connection.getresponse()
        return response.status, json.loads(response.read())
    finally:
        connection.close()


def chat_bytes(prompt: str, extra_head: str = "") -> bytes:
    """Write one chat request as it goes over the wire."""
    body = json.dumps({"model": "m", "messages": [{"role": "user", "content": prompt}]}).encode()
    head = f"POST /v1/chat/completions HTTP/1.1\r\n{extra_head}content-length: {len(body)}\r\n\r\n"
    return head.encode() + body


def connect(server: ScriptedServer) -> socket.socket:
    """Open a plain connection to the server."""
    parts = urlsplit(server.url)
    assert parts.hostname is not None
    return socket.create_connection((parts.hostname, parts.port or 0), timeout=10)


def exchange(server: ScriptedServer, raw: bytes) -> bytes:
    """Send bytes, half-close, and return everything that comes back."""
    with connect(server) as link:
        link.sendall(raw)
        link.shutdown(socket.SHUT_WR)
        return b"".join(iter(lambda: link.recv(65536), b""))


def add(a: int, b: int) -> str:
    """Add two numbers."""
    return str(a + b)


def add_then_report(request: Request) -> Reply:
    """Call `add` first, and tell its result after that."""
    if request.tool_results:
        return say(f"it is {request.tool_results[0]}")
    return call("add", a=2, b=40)


@both_apis
@both_modes
@pytest.mark.parametrize("text", ["hello", "", "x", "näïve ☃ 𝄞 \n\t\"'\\ " * 300])
def test_text_arrives_as_it_was_written(serve: Serve, api: str, stream: bool, text: str) -> None:
    server = serve(lambda _: say(text))
    assert build(SYNC[api], server).prompt("hi", stream=stream).text() == text


@both_apis
@both_modes
def test_async_models_get_the_text_too(serve: Serve, api: str, stream: bool) -> None:
    model = build(ASYNC[api], serve(echo))
    assert run_async(model, lambda m: m.prompt("hi", stream=stream).text()) == "echo: hi"


@both_apis
def test_a_streamed_text_comes_in_several_pieces(serve: Serve, api: str) -> None:
    server = serve(lambda _: say("abcdefgh"))
    assert list(build(SYNC[api], server).prompt("hi")) == ["ab", "cd", "ef", "gh"]


@both_apis
@both_modes
def test_usage_given_by_the_script_reaches_the_response(serve: Serve, api: str, stream: bool) -> None:
    reply = Reply(text="x", input_tokens=1000, output_tokens=7, cached_tokens=900)
    response = build(SYNC[api], serve(lambda _: reply)).prompt("hi", stream=stream)
    usage = response.usage()
    assert (usage.input, usage.output) == (1000, 7)
    assert "'cached_tokens': 900" in str(usage.details)


@both_apis
@both_modes
def test_usage_left_out_is_estimated_from_the_characters(serve: Serve, api: str, stream: bool) -> None:
    server = serve(lambda _: say("y" * 80))
    usage = build(SYNC[api], server).prompt("x" * 400, stream=stream, system="s" * 40).usage()
    assert (usage.input, usage.output) == (110, 20)


@both_apis
@both_modes
def test_a_tool_is_called_and_its_result_comes_back(serve: Serve, api: str, stream: bool) -> None:
    server = serve(add_then_report)
    chain = build(SYNC[api], server).chain("sum?", tools=[add], system="be brief", stream=stream)
    assert chain.text() == "it is 42"
    first, second = server.requests
    assert (first.tools, first.tool_results) == (["add"], [])
    assert second.tool_results == ["42"]
    assert second.messages == [
        {"role": "system", "content": "be brief"},
        {"role": "user", "content": "sum?"},
        {"role": "assistant", "content": ""},
        {"role": "tool", "content": "42"},
    ]


@both_apis
@both_modes
def test_async_models_call_tools_too(serve: Serve, api: str, stream: bool) -> None:
    model = build(ASYNC[api], serve(add_then_report))

    async def ask(model: Any) -> str:
        return str(await model.chain("sum?", tools=[add], stream=stream).text())

    assert run_async(model, ask) == "it is 42"


@both_apis
@both_modes
def test_one_reply_may_hold_text_and_several_calls(serve: Serve, api: str, stream: bool) -> None:
    def script(request: Request) -> Reply:
        if request.tool_results:
            return say(" ".join(request.tool_results))
        calls = tuple(ToolCall("add", {"a": n, "b": 1}) for n in (1, 2, 3))
        return Reply(text="adding: ", tool_calls=calls)

    server = serve(script)
    chain = build(SYNC[api], server).chain("sum?", tools=[add], stream=stream)
    assert chain.text() == "adding: 2 3 4"
    assert server.requests[1].messages[1:] == [
        {"role": "assistant", "content": "adding: "},
        *({"role": "tool", "content": text} for text in "234"),
    ]


@both_apis
def test_a_conversation_sends_what_was_said_before(serve: Serve, api: str) -> None:
    server = serve(add_then_report)
    conversation = build(SYNC[api], server).conversation()
    assert conversation.chain("sum?", tools=[add]).text() == "it is 42"
    conversation.prompt("thanks").text()
    last = server.requests[-1]
    assert [m["role"] for m in last.messages] == ["user", "assistant", "tool", "assistant", "user"]
    assert last.messages[3]["content"] == "it is 42"
    assert (last.prompt, last.tool_results) == ("thanks", [])


@both_apis
@both_modes
def test_the_schema_asked_for_reaches_the_script(serve: Serve, api: str, stream: bool) -> None:
    server = serve(lambda _: say('{"name": "Rex"}'))
    response = build(SYNC[api], server).prompt("a dog", schema=SCHEMA, stream=stream)
    assert json.loads(response.text()) == {"name": "Rex"}
    assert server.requests[0].schema == SCHEMA


@both_apis
@both_modes
def test_a_request_is_recorded_with_all_its_parts(serve: Serve, api: str, stream: bool) -> None:
    server = serve(echo)
    before = time.monotonic()
    build(SYNC[api], server, model_id="some-model").prompt("hi", stream=stream).text()
    (request,) = server.requests
    assert (request.api, request.model, request.stream) == (api, "some-model", stream)
    assert (request.prompt, request.schema, request.tools) == ("hi", None, [])
    assert request.headers["content-type"] == "application/json"
    assert request.body["model"] == "some-model"
    assert before <= request.started <= time.monotonic()


def test_requests_are_recorded_in_the_order_they_came(serve: Serve) -> None:
    server = serve(echo)
    model = build(Chat, server)
    for number in range(5):
        model.prompt(str(number)).text()
    assert [request.prompt for request in server.requests] == list("01234")
    assert server.count == 5


@pytest.mark.parametrize(("keep", "kept"), [(0, []), (2, ["1", "2"])])
def test_only_the_latest_requests_are_kept(serve: Serve, keep: int, kept: list[str]) -> None:
    server = serve(echo, keep=keep)
    for number in range(3):
        exchange(server, chat_bytes(str(number)))
    assert [request.prompt for request in server.requests] == kept
    assert server.count == 3


@both_modes
def test_chat_models_raise_on_malformed_tool_arguments(serve: Serve, stream: bool) -> None:
    server = serve(lambda _: Reply(tool_calls=(ToolCall("add", '{"a": '),)))
    with pytest.raises(json.JSONDecodeError):
        build(Chat, server).chain("sum?", tools=[add], stream=stream).text()


@both_modes
def test_responses_models_hand_malformed_tool_arguments_on(serve: Serve, stream: bool) -> None:
    server = serve(lambda _: Reply(tool_calls=(ToolCall("add", '{"a": '),)))
    (tool_call,) = build(Responses, server).prompt("?", tools=[add], stream=stream).tool_calls()
    assert tool_call.arguments == {"_raw": '{"a": '}


@both_apis
@both_modes
@pytest.mark.parametrize(
    ("status", "error"),
    [
        (400, openai.BadRequestError),
        (401, openai.AuthenticationError),
        (404, openai.NotFoundError),
        (429, openai.RateLimitError),
        (503, openai.InternalServerError),
    ],
)
def test_an_error_status_raises_the_exception_of_the_client(
    serve: Serve, api: str, stream: bool, status: int, error: type[openai.APIStatusError]
) -> None:
    server = serve(lambda _: Reply(status=status, text="not today"))
    with pytest.raises(error, match="not today") as raised:
        build(SYNC[api], server).prompt("hi", stream=stream).text()
    assert raised.value.status_code == status


def test_a_client_that_retries_gets_the_second_reply(serve: Serve) -> None:
    replies = iter([refuse(503, 0.001), say("at last")])
    server = serve(lambda _: next(replies))
    kind: Any = Chat
    model = kind(model_id="m", model_name="m", api_base=server.url, key="k")
    assert model.prompt("hi").text() == "at last"
    assert server.count == 2
    assert server.requests[0].headers["authorization"] == "Bearer k"


@both_apis
@both_modes
def test_a_connection_dropped_before_the_answer_is_a_connection_error(serve: Serve, api: str, stream: bool) -> None:
    server = serve(lambda _: Reply(text="hello", fault="drop_before"))
    with pytest.raises(openai.APIConnectionError):
        build(SYNC[api], server).prompt("hi", stream=stream).text()


@both_apis
def test_a_connection_dropped_mid_stream_has_sent_some_text(serve: Serve, api: str) -> None:
    server = serve(lambda _: Reply(text="abcdefgh", fault="drop_mid_stream"))
    pieces: list[str] = []
    response = build(SYNC[api], server).prompt("hi")
    with pytest.raises(openai.APIConnectionError):
        pieces.extend(response)
    assert 0 < len("".join(pieces)) < 8


@both_apis
def test_a_whole_answer_can_be_dropped_half_way(serve: Serve, api: str) -> None:
    server = serve(lambda _: Reply(text="hello", fault="drop_mid_stream"))
    with pytest.raises(openai.APIConnectionError):
        build(SYNC[api], server).prompt("hi", stream=False).text()


@both_apis
@both_modes
def test_a_stalled_request_times_out(serve: Serve, api: str, stream: bool) -> None:
    server = serve(lambda _: Reply(fault="stall"))
    with pytest.raises(openai.APITimeoutError):
        build(SYNC[api], server, timeout=0.1).prompt("hi", stream=stream).text()


def test_a_stalled_request_ends_with_the_server() -> None:
    arrived = threading.Event()

    def stall(_: Request) -> Reply:
        arrived.set()
        return Reply(fault="stall")

    with ScriptedServer(stall) as server, connect(server) as link:
        link.sendall(chat_bytes("hi"))
        assert arrived.wait(10)
        server.__exit__(None, None, None)
        assert link.recv(1) == b""


@both_apis
def test_an_empty_or_html_answer_is_an_error_unless_streamed(serve: Serve, api: str) -> None:
    model = build(SYNC[api], serve(lambda request: Reply(fault=request.prompt)))
    with pytest.raises(json.JSONDecodeError):
        model.prompt("empty", stream=False).text()
    with pytest.raises(AttributeError, match="'str' object"):
        model.prompt("wrong_type", stream=False).text()
    assert model.prompt("empty").text() == ""
    assert model.prompt("wrong_type").text() == ""


def post(server: ScriptedServer, api: str, prompt: str = "hi", *, stream: bool = False) -> tuple[int, HTTPMessage, bytes]:
    """Ask over plain HTTP by one of the two APIs; return the status, the headers and the body."""
    path = {"chat": "/v1/chat/completions", "responses": "/v1/responses"}[api]
    asked = [{"role": "user", "content": prompt}]
    body = json.dumps({"model": "m", "stream": stream, "messages" if api == "chat" else "input": asked})
    connection = HTTPConnection(urlsplit(server.url).netloc, timeout=10)
    try:
        connection.request("POST", path, body)
        response = connection.getresponse()
        return response.status, response.headers, response.read()
    finally:
        connection.close()


def sse_data(body: bytes) -> list[bytes]:
    """The data of the events of a stream."""
    assert body.endswith(b"\n\n")
    return [event.rpartition(b"data: ")[2] for event in body.removesuffix(b"\n\n").split(b"\n\n")]


@both_apis
def test_a_malformed_answer_is_an_ok_whose_json_breaks_off(serve: Serve, api: str) -> None:
    server = serve(lambda request: Reply("hello", fault=None if request.prompt == "well" else "malformed"))
    status, headers, body = post(server, api)
    assert (status, headers["content-type"]) == (200, "application/json")
    assert body.startswith(b'{"id":"')
    with pytest.raises(json.JSONDecodeError):
        json.loads(body)
    assert json.loads(post(server, api, "well")[2])["model"] == "m"


@both_apis
def test_a_malformed_stream_breaks_off_inside_the_json_of_an_event(serve: Serve, api: str) -> None:
    status, headers, body = post(serve(lambda _: Reply("hello", fault="malformed")), api, stream=True)
    assert (status, headers["content-type"]) == (200, "text/event-stream")
    *whole, last = sse_data(body)
    assert len(whole) >= 2
    assert all(json.loads(data) for data in whole)
    with pytest.raises(json.JSONDecodeError):
        json.loads(last)


@both_apis
@both_modes
def test_a_malformed_answer_is_a_json_error_to_the_client(serve: Serve, api: str, stream: bool) -> None:
    server = serve(lambda _: Reply("hello", fault="malformed"))
    with pytest.raises(json.JSONDecodeError):
        build(SYNC[api], server).prompt("hi", stream=stream).text()


@both_modes
def test_tool_calls_and_raw_bodies_can_be_malformed_too(serve: Serve, stream: bool) -> None:
    replies = [
        Reply(tool_calls=(ToolCall("add", {"a": 1, "b": 2}),), fault="malformed"),
        Reply(raw_body=b'{"a": "b"}', fault="malformed"),
    ]
    server = serve(lambda request: replies[int(request.prompt)])
    with pytest.raises(json.JSONDecodeError):
        json.loads(post(server, "chat", "0", stream=stream)[2].rpartition(b"data: ")[2])
    assert post(server, "chat", "1", stream=stream)[2] == b'{"a":'


def test_a_connection_outlives_a_malformed_answer(serve: Serve) -> None:
    server = serve(lambda request: Reply("fine", fault=None if request.prompt == "two" else "malformed"))
    answer = exchange(server, chat_bytes("one") + chat_bytes("two"))
    assert (answer.count(b"HTTP/1.1 200 OK"), answer.count(b'"usage"')) == (2, 1)


@both_apis
@both_modes
@pytest.mark.parametrize("status", [429, 500, 502, 503])
def test_a_refusal_says_when_to_try_again(serve: Serve, api: str, stream: bool, status: int) -> None:
    server = serve(lambda _: refuse(status, 1.5, "not now"))
    got, headers, body = post(server, api, stream=stream)
    assert (got, headers["retry-after"], headers["content-type"]) == (status, "1.5", "application/json")
    assert json.loads(body)["error"]["message"] == "not now"


@pytest.mark.parametrize(
    ("seconds", "written"), [(0, "0"), (7, "7"), (100.0, "100"), (1e7, "10000000"), (0.02, "0.02"), (0.00001, "0")]
)
def test_seconds_to_wait_are_written_as_a_plain_number(seconds: float, written: str) -> None:
    assert refuse(429, seconds).headers == {"Retry-After": written}


@pytest.mark.parametrize("zone", [UTC, timezone(timedelta(hours=5)), None], ids=["utc", "elsewhere", "local"])
def test_a_time_to_try_again_is_written_as_an_http_date(serve: Serve, zone: timezone | None) -> None:
    when = datetime(2031, 3, 9, 23, 4, 5, 999_999, tzinfo=zone)
    _, headers, _ = post(serve(lambda _: refuse(503, when)), "chat")
    written = headers["retry-after"]
    assert parsedate_to_datetime(written).timestamp() == int(when.timestamp())
    assert written.endswith(" GMT")


def test_an_http_date_has_the_form_that_http_asks_for() -> None:
    when = datetime(1994, 11, 6, 8, 49, 37, tzinfo=UTC)
    assert refuse(429, when).headers == {"Retry-After": "Sun, 06 Nov 1994 08:49:37 GMT"}


def test_a_refusal_need_not_say_when_to_try_again(serve: Serve) -> None:
    status, headers, body = post(serve(lambda _: refuse()), "chat")
    assert (status, headers["retry-after"]) == (429, None)
    assert json.loads(body)["error"]["message"] == "scripted error 429"


@pytest.mark.parametrize("seconds", [-1, float("nan"), float("inf")])
def test_a_refusal_cannot_ask_to_wait_for_no_time_at_all(seconds: float) -> None:
    with pytest.raises(ValueError, match="cannot retry after"):
        refuse(429, seconds)


def test_a_refusal_has_an_error_status() -> None:
    with pytest.raises(ValueError, match="200 is no error status"):
        refuse(200)


@both_apis
@both_modes
def test_requests_dropped_unread_never_reach_the_script(serve: Serve, api: str, stream: bool) -> None:
    server = serve(echo, unread=lambda number: number in {0, 2})
    for prompt, gets_through in [("a", False), ("b", True), ("c", False), ("d", True)]:
        if gets_through:
            assert f"echo: {prompt}" in build(SYNC[api], server).prompt(prompt, stream=stream).text()
        else:
            with pytest.raises(openai.APIConnectionError):
                build(SYNC[api], server).prompt(prompt, stream=stream).text()
    assert [request.prompt for request in server.requests] == ["b", "d"]
    assert (server.count, server.dropped) == (2, 2)


def test_a_request_is_dropped_unread_before_its_body_was_sent(serve: Serve) -> None:
    server = serve(echo, unread=lambda _: True)
    head, end, _ = chat_bytes("hi", "Expect: 100-continue\r\n").partition(b"\r\n\r\n")
    with connect(server) as link:
        link.sendall(head + end)
        assert link.recv(65536) == b""
    assert (server.count, server.dropped) == (0, 1)


def test_a_request_is_dropped_unread_while_a_large_body_is_on_its_way(serve: Serve) -> None:
    server = serve(echo, unread=lambda _: True)
    with connect(server) as link, pytest.raises((ConnectionResetError, BrokenPipeError)):
        link.sendall(chat_bytes("x" * 50_000_000))
    assert (server.count, server.dropped) == (0, 1)


def test_a_kept_connection_can_be_dropped_at_a_later_request(serve: Serve) -> None:
    server = serve(echo, unread=lambda number: number == 1)
    with connect(server) as link:
        link.sendall(chat_bytes("one"))
        assert b"echo: one" in link.recv(65536)
        link.sendall(chat_bytes("two"))
        with suppress(ConnectionResetError):
            assert link.recv(65536) == b""
    assert [request.prompt for request in server.requests] == ["one"]
    assert server.dropped == 1


def test_only_requests_to_the_two_apis_are_numbered_and_dropped(serve: Serve) -> None:
    numbers: list[int] = []

    def note(number: int) -> bool:
        numbers.append(number)
        return False

    server = serve(echo, unread=note)
    assert ask_over_http(server, "GET", "/v1/models")[0] == 200
    assert ask_over_http(server, "POST", "/v1/embeddings", b"{}")[0] == 404
    for api in ("chat", "responses", "chat"):
        post(server, api)
    assert numbers == [0, 1, 2]
    assert server.dropped == 0


def test_what_unread_raises_is_raised_on_leaving() -> None:
    def broken(_: int) -> bool:
        raise LookupError("a mistake in unread")  # noqa: EM101, TRY003

    with (
        pytest.raises(LookupError, match="a mistake in unread"),
        ScriptedServer(echo, unread=broken) as server,
        suppress(OSError),
    ):
        exchange(server, chat_bytes("hi"))


def test_an_unknown_fault_is_refused() -> None:
    with pytest.raises(ValueError, match="unknown fault 'drop_befor'"):
        Reply(fault="drop_befor")  # type: ignore[arg-type]


def test_a_raw_body_and_headers_are_sent_as_they_are(serve: Serve) -> None:
    server = serve(lambda _: Reply(raw_body=b"{nonsense", headers={"X-Mark": "7"}, status=202))
    head, _, body = exchange(server, chat_bytes("hi")).partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 202 Accepted\r\n")
    assert b"x-mark: 7" in head
    assert body == b"{nonsense"


@pytest.mark.parametrize(("own", "wanted"), [(None, 0.1), (0.0, 0.0)], ids=["the server's", "the reply's own"])
def test_an_answer_waits_for_its_delay(serve: Serve, own: float | None, wanted: float) -> None:
    server = serve(lambda _: Reply(delay=own), delay=0.1 if own is None else 30)
    begun = time.monotonic()
    exchange(server, chat_bytes("hi"))
    assert wanted <= time.monotonic() - begun < 10


def test_requests_at_the_same_time_are_counted(serve: Serve) -> None:
    server = serve(echo, delay=30)
    with ExitStack() as stack:
        for number in range(20):
            stack.enter_context(connect(server)).sendall(chat_bytes(str(number)))
        wait_for(lambda: server.count == 20)
    assert server.peak == 20
    assert {request.prompt for request in server.requests} == {str(n) for n in range(20)}


def wait_for(condition: Callable[[], bool]) -> None:
    """Return once the condition holds; fail after ten seconds."""
    end = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.005)


def test_requests_after_each_other_never_overlap(serve: Serve) -> None:
    server = serve(echo)
    for _ in range(10):
        exchange(server, chat_bytes("hi"))
    assert (server.peak, server.count) == (1, 10)


def test_many_async_calls_run_in_parallel(serve: Serve) -> None:
    server = serve(echo, delay=0.5)

    async def ask(model: Any) -> list[str]:
        return list(await asyncio.gather(*(model.prompt(str(n)).text() for n in range(10))))

    answers = run_async(build(AsyncChat, server), ask)
    assert answers == [f"echo: {n}" for n in range(10)]
    assert server.count == 10
    assert server.peak > 1


def test_one_connection_serves_many_requests(serve: Serve) -> None:
    server = serve(echo)
    answer = exchange(server, chat_bytes("one") + chat_bytes("two") + chat_bytes("three"))
    assert [answer.count(word) for word in (b"HTTP/1.1 200 OK", b"echo: two")] == [3, 1]


def test_a_client_may_ask_for_the_connection_to_close(serve: Serve) -> None:
    server = serve(echo)
    answer = exchange(server, chat_bytes("one", "Connection: close\r\n") + chat_bytes("two"))
    assert answer.count(b"HTTP/1.1") == 1


def test_a_client_that_waits_to_send_its_body_is_told_to(serve: Serve) -> None:
    answer = exchange(serve(echo), chat_bytes("hi", "Expect: 100-continue\r\n"))
    assert answer.startswith(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK")


def test_a_large_body_is_read_whole(serve: Serve) -> None:
    server = serve(lambda request: say(str(len(request.prompt))))
    assert b'"20000000"' in exchange(server, chat_bytes("x" * 20_000_000))


@pytest.mark.parametrize(
    ("raw", "status"),
    [
        (b"nonsense\r\n\r\n", 400),
        (b"POST /v1/responses HTTP/1.1\r\ncontent-length: -1\r\n\r\n", 400),
        (b"POST /v1/responses HTTP/1.1\r\ncontent-length: 999999999999\r\n\r\n", 413),
        (b"POST /v1/responses HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n", 411),
        (b"POST /v1/responses HTTP/1.1\r\ncontent-length: 2\r\n\r\n[]", 400),
        (b"POST /v1/responses HTTP/1.1\r\ncontent-length: 2\r\n\r\n{}", 400),
        (b"POST /v1/chat/completions HTTP/1.1\r\n\r\n", 400),
    ],
)
def test_a_request_that_cannot_be_read_is_refused(serve: Serve, raw: bytes, status: int) -> None:
    server = serve(echo)
    head, _, body = exchange(server, raw).partition(b"\r\n\r\n")
    assert head.startswith(f"HTTP/1.1 {status} ".encode())
    assert json.loads(body)["error"]["message"]
    assert server.count == 0


def test_a_client_that_hangs_up_is_no_failure(serve: Serve) -> None:
    server = serve(echo)
    with connect(server) as link:
        link.sendall(chat_bytes("hi")[:40])
    assert b"echo: hi" in exchange(server, chat_bytes("hi"))


def test_an_unknown_path_is_not_found(serve: Serve) -> None:
    status, answer = ask_over_http(serve(echo), "POST", "/v1/embeddings", b"{}")
    assert status == 404
    assert answer["error"]["message"] == "no such endpoint: POST /v1/embeddings"


def test_the_responses_api_takes_a_plain_string_as_input(serve: Serve) -> None:
    body = b'{"model": "m", "input": "hi"}'
    status, answer = ask_over_http(serve(echo), "POST", "/v1/responses?x=1", body)
    assert status == 200
    assert answer["output"][0]["content"][0]["text"] == "echo: hi"


def test_text_parts_are_joined_and_other_parts_left_out(serve: Serve) -> None:
    server = serve(echo)
    image = {"type": "image_url", "image_url": {"url": "data:"}}
    parts = [{"type": "text", "text": "a"}, image, {"type": "text", "text": "b"}]
    body = {"model": "m", "messages": [{"role": "user", "content": parts}]}
    ask_over_http(server, "POST", "/v1/chat/completions", json.dumps(body).encode())
    assert server.requests[0].prompt == "ab"


@pytest.mark.parametrize("responses", [False, True])
def test_models_written_to_yaml_are_found_by_llm(
    serve: Serve, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, responses: bool
) -> None:
    server = serve(add_then_report)
    home = tmp_path / "home"
    server.write_models_yaml(home, "fake-one", responses=responses)
    server.write_models_yaml(home, "fake-two", "fake-three", aliases=[])
    monkeypatch.setenv("LLM_USER_PATH", str(home))
    model: Any = llm.get_model("fake-one")
    assert model.chain("sum?", tools=[add]).text() == "it is 42"
    assert server.requests[0].api == ("responses" if responses else "chat")
    assert llm.get_async_model("fake-two").model_id == "fake-two"
    assert llm.get_model("fake-three").supports_schema
    listed = ask_over_http(server, "GET", "/v1/models")[1]["data"]
    assert [entry["id"] for entry in listed] == ["fake-one", "fake-two", "fake-three"]


def test_a_file_without_a_last_newline_is_appended_to(serve: Serve, tmp_path: Path) -> None:
    path = tmp_path / "extra-openai-models.yaml"
    path.write_text("- model_id: mine\n  model_name: mine")
    assert serve(echo).write_models_yaml(tmp_path, "fake") == path
    lines = path.read_text().splitlines()
    assert lines[1] == "  model_name: mine"
    assert json.loads(lines[2].removeprefix("- "))["model_id"] == "fake"


def test_what_the_script_raises_is_raised_on_leaving() -> None:
    def broken(_: Request) -> Reply:
        raise LookupError("a mistake in the script")  # noqa: EM101, TRY003

    with (
        pytest.raises(LookupError, match="a mistake in the script"),
        ScriptedServer(broken) as server,
    ):
        assert exchange(server, chat_bytes("hi")) == b""


def test_an_error_in_the_block_is_not_hidden_by_one_of_the_script() -> None:
    def broken(_: Request) -> Reply:
        raise LookupError

    def use() -> None:
        with ScriptedServer(broken) as server:
            exchange(server, chat_bytes("hi"))
            raise TimeoutError

    with pytest.raises(TimeoutError):
        use()


def test_nothing_is_left_when_the_server_has_stopped() -> None:
    script: Script = lambda request: Reply(delay=float(request.prompt))  # noqa: E731
    with ScriptedServer(script) as server, ExitStack() as stack:
        idle, waiting = (stack.enter_context(connect(server)) for _ in range(2))
        idle.sendall(chat_bytes("0"))
        assert idle.recv(65536)
        waiting.sendall(chat_bytes("30"))
        wait_for(lambda: server.count == 2)
        port = urlsplit(server.url).port or 0
        server.__exit__(None, None, None)
        assert [idle.recv(1), waiting.recv(1)] == [b"", b""]
        assert "scripted-server" not in {thread.name for thread in threading.enumerate()}
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", port), timeout=10)
        with pytest.raises(RuntimeError, match="not running"):
            _ = server.url


def test_a_connection_made_while_the_server_stops_is_closed() -> None:
    for _ in range(20):
        with ExitStack() as stack:
            with ScriptedServer(echo) as server:
                links = [stack.enter_context(connect(server)) for _ in range(5)]
            for link in links:
                # The kernel resets those that were never accepted.
                with suppress(ConnectionResetError):
                    assert link.recv(1) == b""


def test_a_port_in_use_is_an_error_on_entering(serve: Serve) -> None:
    port = urlsplit(serve(echo).url).port or 0
    with pytest.raises(OSError, match="in use"), ScriptedServer(echo, port=port):
        pass


def test_a_tool_call_gets_an_id_of_its_own() -> None:
    first, second = (call("f", name="x", a=1).tool_calls[0] for _ in range(2))
    assert first.arguments == {"name": "x", "a": 1}
    assert first.id != second.id


@pytest.mark.parametrize(
    ("prompt", "answer"),
    [("hay\nNeedle: 4711 hay", "4711"), ("needle=a needle=b", "b"), ("hay", "none")],
)
def test_the_needle_script_finds_the_needle(serve: Serve, prompt: str, answer: str) -> None:
    assert build(Chat, serve(needle)).prompt(prompt).text() == answer


@pytest.fixture
def launch() -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """Start `python -m llm_rlm.testing.server`, with warnings as errors."""
    with ExitStack() as stack:

        def start(*arguments: str) -> subprocess.Popen[str]:
            command = [sys.executable, "-W", "error", "-m", "llm_rlm.testing.server", *arguments]
            pipe = subprocess.PIPE
            process = subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe, text=True)  # noqa: S603
            stack.enter_context(process)
            stack.callback(process.kill)
            return process

        yield start


def first_line(process: subprocess.Popen[str]) -> str:
    """Read the URL that the process prints."""
    assert process.stdout is not None
    return process.stdout.readline().strip()


def finish(process: subprocess.Popen[str]) -> tuple[int, str]:
    """Wait for the process, which closes its stdin; return its code and what it complained of."""
    _, complaint = process.communicate(timeout=20)
    return process.returncode, complaint


def test_the_command_serves_until_its_stdin_closes(launch: Callable[..., subprocess.Popen[str]], tmp_path: Path) -> None:
    script = tmp_path / "mine.py"
    script.write_text("from llm_rlm.testing import say\n\n\ndef shout(r):\n    return say(r.prompt.upper())\n")
    process = launch("--script", f"{script}:shout", "--delay", "0.01")
    url = urlsplit(first_line(process))
    with socket.create_connection((url.hostname or "", url.port or 0), timeout=10) as link:
        link.sendall(chat_bytes("hi", "Connection: close\r\n"))
        assert b'"HI"' in b"".join(iter(lambda: link.recv(65536), b""))
    assert finish(process) == (0, "")


@pytest.mark.parametrize("signum", [signal.SIGTERM, signal.SIGINT])
def test_the_command_stops_on_a_signal(launch: Callable[..., subprocess.Popen[str]], signum: signal.Signals) -> None:
    process = launch()
    first_line(process)
    os.kill(process.pid, signum)
    assert process.wait(20) == 0
    assert finish(process) == (0, "")


def test_the_command_stops_by_itself(launch: Callable[..., subprocess.Popen[str]]) -> None:
    process = launch("--max-seconds", "0.05")
    assert first_line(process).startswith("http://127.0.0.1:")
    assert process.wait(20) == 0


def test_the_command_refuses_a_script_it_cannot_load(
    launch: Callable[..., subprocess.Popen[str]],
) -> None:
    code, complaint = finish(launch("--script", "no/such/file.py:f"))
    assert code == 2
    assert "is not echo, needle or path/to/file.py:function" in complaint


def test_the_command_makes_the_faults_of_its_seed(launch: Callable[..., subprocess.Popen[str]]) -> None:
    process = launch("--fault-share", "1", "--seed", "7")
    url = urlsplit(first_line(process))
    statuses: list[bytes] = []
    for _ in range(4):
        with socket.create_connection((url.hostname or "", url.port or 0), timeout=10) as link:
            link.sendall(chat_bytes("hi", "Connection: close\r\n"))
            statuses.append(b"".join(iter(lambda: link.recv(65536), b""))[9:12])
    # With seed 0 they would be 502, 500, 200 and 200.
    assert statuses == [b"500", b"429", b"500", b"200"]
    assert finish(process) == (0, "")


def test_the_command_refuses_a_share_above_one(launch: Callable[..., subprocess.Popen[str]]) -> None:
    code, complaint = finish(launch("--fault-share", "1.5"))
    assert code == 2
    assert "a share is from 0 to 1, not 1.5" in complaint
