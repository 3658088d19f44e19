"""A scripted OpenAI-compatible server on loopback.

A script is a plain function from the `Request` that arrived to the `Reply` to send. The server
speaks `POST /v1/chat/completions` and `POST /v1/responses`, streaming and not, and
`GET /v1/models`:

    with ScriptedServer(lambda request: say("hello")) as server:
        model = Chat(model_id="m", model_name="m", api_base=server.url)

By hand: `python -m llm_rlm.testing.server --script echo`, and with `--fault-share 0.3` to have
faults in it (see `llm_rlm.testing.Faulty`).
"""

import argparse
import asyncio
import contextlib
import importlib.util
import json
import math
import os
import re
import secrets
import select
import signal
import socket
import stat
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import format_datetime
from http.client import responses as REASONS  # noqa: N812 - a constant table
from itertools import count
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, Self, get_args

type Api = Literal["chat", "responses"]
type Json = dict[str, Any]

Fault = Literal["drop_before", "drop_mid_stream", "stall", "empty", "wrong_type", "malformed"]

HOST = "127.0.0.1"
MAX_BODY = 512 * 1024 * 1024
_BACKLOG = 2048
_READ_LIMIT = 1024 * 1024
_HEAD_END = b"\r\n\r\n"
_BAD_REQUEST = 400
_APIS: Mapping[str, Api] = {
    "POST /v1/chat/completions": "chat",
    "POST /v1/responses": "responses",
}
_JSON_TYPE = "application/json"
_SSE_TYPE = "text/event-stream"
_NEEDLE = re.compile(r"needle[:=]\s*(\S+)", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Request:
    """One request as the script sees it, in the same shape whichever API it came by.

    `messages` are dicts with a string `role` and a string `content`, in order: instructions come
    first as role "system", tool outputs are role "tool", and an assistant turn that only called
    tools has content "". `prompt` is the text of the last user message or "". `tool_results` are
    the outputs of the tool messages that end the list. `tools` are the names offered. `schema` is
    the JSON schema asked for. `headers` have lower-case names. `body` is the JSON as it was sent.
    `started` is `time.monotonic()` when the request had been read.
    """

    api: Api
    model: str
    messages: list[dict[str, str]]
    prompt: str
    tool_results: list[str]
    tools: list[str]
    stream: bool
    schema: Json | None
    headers: dict[str, str]
    body: Json
    started: float


@dataclass(frozen=True, slots=True)
class ToolCall:
    """A call for the client to make; `arguments` given as a string are sent as they are."""

    name: str
    arguments: Mapping[str, Any] | str
    id: str = field(default_factory=lambda: f"call_{secrets.token_hex(8)}")

    @property
    def wire_arguments(self) -> str:
        """The arguments as the string that goes over the wire."""
        return self.arguments if isinstance(self.arguments, str) else json.dumps(self.arguments)


@dataclass(frozen=True, slots=True)
class Reply:
    """What the server sends back.

    `text` comes before `tool_calls`. `delay` is in seconds and overrides the server's. With a
    `status` of 400 or more, `text` is the message of a JSON error object. Token counts left as
    None are estimated as characters // 4; `cached_tokens` is a part of the input tokens.
    `raw_body` replaces the whole body, whichever API was asked.

    `fault` breaks the exchange: "drop_before" closes the connection without an answer, once the
    request has been read, "drop_mid_stream" closes it after about half of the events (half of
    the bytes when not streaming), "stall" never answers until the server or the client closes,
    "empty" sends an empty body, "wrong_type" sends HTML, "malformed" sends a body that is
    complete for HTTP but whose JSON is broken off half way: half of the events and then one with
    broken JSON, or half of the bytes when not streaming. Raises `ValueError` for any other fault.
    """

    text: str = ""
    tool_calls: tuple[ToolCall, ...] = ()
    delay: float | None = None
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    input_tokens: int | None = None
    output_tokens: int | None = None
    cached_tokens: int = 0
    raw_body: bytes | None = None
    fault: Fault | None = None

    def __post_init__(self) -> None:
        """Refuse a misspelt fault, which would otherwise break nothing."""
        if self.fault is not None and self.fault not in get_args(Fault):
            msg = f"unknown fault {self.fault!r}; one of {', '.join(get_args(Fault))}"
            raise ValueError(msg)


type Script = Callable[[Request], Reply]


def say(text: str) -> Reply:
    """Reply with `text`."""
    return Reply(text=text)


def call(name: str, /, **arguments: object) -> Reply:
    """Reply with one call of the tool `name`."""
    return Reply(tool_calls=(ToolCall(name, arguments),))


def refuse(status: int = 429, retry_after: float | datetime | None = None, text: str = "") -> Reply:
    """Reply with the error `status` and, unless it is None, with `retry_after` as the header Retry-After.

    A number is written as seconds, to the millisecond; a `datetime` as an HTTP date, which is cut
    to whole seconds. A `datetime` without a time zone is in local time. `text` is the message of
    the error. Raises `ValueError` for a status below 400 and for seconds that are negative or
    not finite.
    """
    if status < _BAD_REQUEST:
        msg = f"{status} is no error status"
        raise ValueError(msg)
    headers = {} if retry_after is None else {"Retry-After": _retry_after(retry_after)}
    return Reply(text=text, status=status, headers=headers)


def _retry_after(when: float | datetime) -> str:
    if isinstance(when, datetime):
        return format_datetime(when.astimezone(UTC), usegmt=True)
    if not (math.isfinite(when) and when >= 0):
        msg = f"cannot retry after {when} seconds"
        raise ValueError(msg)
    return f"{when:.3f}".rstrip("0").rstrip(".")


def echo(request: Request) -> Reply:
    """Reply "echo: " and the first 100 characters of the prompt."""
    return say(f"echo: {request.prompt[:100]}")


def needle(request: Request) -> Reply:
    """Reply with the word after the latest "needle:" or "needle=", or with "none"."""
    for message in reversed(request.messages):
        if found := _NEEDLE.findall(message["content"]):
            return say(found[-1])
    return say("none")


class ScriptedServer:
    """An OpenAI-compatible HTTP/1.1 server on 127.0.0.1, in a thread of its own.

    Use it as a context manager. `script` is called in the server's thread, one request at a time,
    and must not block. `delay` is the seconds between having read a request and answering it.
    `keep` bounds `requests`: the oldest are forgotten, 0 keeps none. `port` 0 picks a free one.

    `unread` drops requests that certainly were not handled: it is called with the number of each
    request to the two APIs, from 0 in the order they arrive, and where it is true the connection
    is closed with the head read, the body not, and the script not called. It runs in the server's
    thread and must not block.

    A script (or `unread`) that raises has its connection closed unanswered, and the first such
    exception is raised again on leaving the context. Entering raises `OSError` if the port cannot
    be had.
    """

    def __init__(
        self,
        script: Script,
        *,
        delay: float = 0.0,
        keep: int = 10_000,
        port: int = 0,
        unread: Callable[[int], bool] | None = None,
    ) -> None:
        """Prepare the server; nothing listens until the context is entered."""
        self._script = script
        self._unread = unread
        self._arrived = 0
        self._dropped = 0
        self._delay = delay
        self._port = port
        self._recorded: deque[Request] = deque(maxlen=keep)
        self._lock = threading.Lock()
        self._count = 0
        self._in_flight = 0
        self._peak = 0
        self._model_ids: list[str] = []
        self._connections: dict[asyncio.Task[None], asyncio.StreamWriter] = {}
        self._failures: list[BaseException] = []
        self._bound: int | None = None
        self._exit = contextlib.ExitStack()

    @property
    def url(self) -> str:
        """The base URL for clients, like "http://127.0.0.1:PORT/v1".

        Raises `RuntimeError` when the server is not running.
        """
        if self._bound is None:
            msg = "the server is not running"
            raise RuntimeError(msg)
        return f"http://{HOST}:{self._bound}/v1"

    @property
    def requests(self) -> list[Request]:
        """A copy of the requests given to the script, in the order they arrived."""
        with self._lock:
            return list(self._recorded)

    @property
    def count(self) -> int:
        """How many requests were given to the script."""
        return self._count

    @property
    def dropped(self) -> int:
        """How many requests were dropped because `unread` said so; `count` leaves them out."""
        return self._dropped

    @property
    def peak(self) -> int:
        """The highest number of requests that were being answered at once."""
        return self._peak

    def write_models_yaml(self, directory: Path, *model_ids: str, responses: bool = False, **extra: object) -> Path:
        """Add models at this server to `directory`/extra-openai-models.yaml; returns its path.

        `directory` is what LLM_USER_PATH names, and is made if need be. `extra` are further JSON
        values for each entry, replacing the defaults. A file that is there already is appended
        to and must hold a list with its dashes in the first column.
        """
        shared = {"api_base": self.url, "supports_tools": True, "supports_schema": True}
        shared |= {"responses": True} if responses else {}
        entries = [{"model_id": name, "model_name": name} | shared | extra for name in model_ids]
        directory.mkdir(parents=True, exist_ok=True)
        path = directory / "extra-openai-models.yaml"
        before = path.read_text(encoding="utf-8") if path.exists() else ""
        before += "\n" if before and not before.endswith("\n") else ""
        # JSON is YAML, so an entry needs no YAML library.
        lines = [f"- {json.dumps(entry, ensure_ascii=False)}\n" for entry in entries]
        path.write_text(before + "".join(lines), encoding="utf-8")
        self._model_ids.extend(model_ids)
        return path

    def __enter__(self) -> Self:
        """Listen, and serve in the background."""
        # Bound here so that a failure is raised here and the port is known at once.
        listener = socket.create_server((HOST, self._port), backlog=_BACKLOG)
        self._bound = listener.getsockname()[1]
        loop = asyncio.new_event_loop()
        stop = asyncio.Event()
        thread = threading.Thread(target=self._run, args=(loop, listener, stop), name="scripted-server", daemon=True)
        thread.start()
        self._exit.callback(thread.join)
        self._exit.callback(loop.call_soon_threadsafe, stop.set)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Close every connection, end the thread, and raise what the script raised."""
        self._exit.close()
        self._bound = None
        if self._failures and error is None:
            raise self._failures[0]

    def _run(self, loop: asyncio.AbstractEventLoop, listener: socket.socket, stop: asyncio.Event) -> None:
        with asyncio.Runner(loop_factory=lambda: loop) as runner:
            runner.run(self._serve(listener, stop))

    async def _serve(self, listener: socket.socket, stop: asyncio.Event) -> None:
        # asyncio sets TCP_NODELAY on every accepted connection itself.
        server = await asyncio.start_server(self._connected, sock=listener, limit=_READ_LIMIT, backlog=_BACKLOG)
        await stop.wait()
        # Stop accepting, but close the server last: a connection that asyncio is just setting up
        # would be lost unclosed. Those have tasks of asyncio's own, and turn up in a moment.
        asyncio.get_running_loop().remove_reader(listener.fileno())
        while others := asyncio.all_tasks() - {asyncio.current_task()}:
            for task, writer in self._connections.items():
                writer.transport.abort()
                task.cancel()
            await asyncio.wait(others)
        server.close()
        await server.wait_closed()

    def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        # Not left to asyncio, which mishandles the cancelling of its tasks before Python 3.12.2.
        task = asyncio.get_running_loop().create_task(self._connection(reader, writer))
        self._connections[task] = writer
        task.add_done_callback(self._disconnected)

    def _disconnected(self, task: asyncio.Task[None]) -> None:
        del self._connections[task]
        if not task.cancelled() and (error := task.exception()):
            self._failures.append(error)

    async def _connection(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            # These three are how a client that went away, or talks nonsense, shows itself.
            with contextlib.suppress(EOFError, OSError, asyncio.LimitOverrunError):
                while await self._exchange(reader, writer):
                    pass
        finally:
            await _close(writer)

    async def _exchange(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        """Read one request and answer it; false when the connection is to be closed."""
        try:
            head = _parse_head(await reader.readuntil(_HEAD_END))
            if head.route in _APIS and self._drops():
                return False
            body = await _read_body(head, reader, writer)
            if head.route == "GET /v1/models":
                writer.write(_models(self._model_ids or ["scripted"]))
                return head.keep_alive
            request = _read_request(head, body)
        except _RefusedError as refusal:
            writer.write(_refuse(refusal))
            return False
        return await self._perform(request, reader, writer) and head.keep_alive

    def _drops(self) -> bool:
        number = self._arrived
        self._arrived += 1
        if self._unread is None or not self._unread(number):
            return False
        self._dropped += 1
        return True

    async def _perform(self, request: Request, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        self._begin(request)
        try:
            reply = self._script(request)
            if reply.fault == "stall":
                await _until_gone(reader)
                return False
            wire, keep_alive = _answer(request, reply)
            await _sleep_until(request.started + _first(reply.delay, self._delay))
            writer.write(wire)
            await writer.drain()
            return keep_alive
        finally:
            self._in_flight -= 1

    def _begin(self, request: Request) -> None:
        with self._lock:
            self._recorded.append(request)
        self._count += 1
        self._in_flight += 1
        self._peak = max(self._peak, self._in_flight)


class _RefusedError(Exception):
    """A request that never reaches the script."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


@dataclass(frozen=True, slots=True)
class _Head:
    route: str
    headers: dict[str, str]
    keep_alive: bool

    @property
    def length(self) -> int:
        """The bytes of body that follow; refuses what is not a plain, bounded length."""
        if "transfer-encoding" in self.headers:
            raise _RefusedError(411, "send a content-length")
        text = self.headers.get("content-length", "0")
        if not (text.isascii() and text.isdigit()):
            raise _RefusedError(400, f"not a content-length: {text!r}")
        if int(text) > MAX_BODY:
            raise _RefusedError(413, f"more than {MAX_BODY} bytes")
        return int(text)


def _first(given: float | None, default: float) -> float:
    return default if given is None else given


async def _sleep_until(moment: float) -> None:
    if (seconds := moment - time.monotonic()) > 0:
        await asyncio.sleep(seconds)


async def _until_gone(reader: asyncio.StreamReader) -> None:
    while await reader.read(_READ_LIMIT):
        pass


async def _close(writer: asyncio.StreamWriter) -> None:
    writer.close()
    with contextlib.suppress(OSError):
        await writer.wait_closed()


# Reading requests.


def _parse_head(head: bytes) -> _Head:
    first, *lines = head[: -len(_HEAD_END)].decode("latin-1").split("\r\n")
    parts = first.split(" ")
    if len(parts) != 3:  # noqa: PLR2004 - method, target and version
        raise _RefusedError(400, "not an HTTP request")
    method, target, version = parts
    pairs = (line.partition(":") for line in lines)
    headers = {name.lower(): value.strip() for name, _, value in pairs}
    keep_alive = version == "HTTP/1.1" and headers.get("connection", "").lower() != "close"
    return _Head(f"{method} {target.partition('?')[0]}", headers, keep_alive)


async def _read_body(head: _Head, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bytes:
    length = head.length
    if "expect" in head.headers:
        writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
    return await reader.readexactly(length) if length else b""


def _read_request(head: _Head, raw: bytes) -> Request:
    if (api := _APIS.get(head.route)) is None:
        raise _RefusedError(404, f"no such endpoint: {head.route}")
    try:
        return _interpret(api, json.loads(raw), head.headers)
    except (ValueError, LookupError, TypeError, AttributeError) as error:
        raise _RefusedError(400, f"cannot read the request: {error!r}") from error


def _interpret(api: Api, body: Json, headers: dict[str, str]) -> Request:
    messages = _chat_messages(body) if api == "chat" else _responses_messages(body)
    return Request(
        api=api,
        model=body["model"],
        messages=messages,
        prompt=next((m["content"] for m in reversed(messages) if m["role"] == "user"), ""),
        tool_results=_trailing_results(messages),
        tools=[_tool_name(tool) for tool in body.get("tools") or ()],
        stream=bool(body.get("stream")),
        schema=_schema(body),
        headers=headers,
        body=body,
        started=time.monotonic(),
    )


def _chat_messages(body: Json) -> list[dict[str, str]]:
    return [{"role": m["role"], "content": _text(m.get("content"))} for m in body["messages"]]


def _responses_messages(body: Json) -> list[dict[str, str]]:
    messages: list[dict[str, str]] = []
    if body.get("instructions"):
        messages.append({"role": "system", "content": body["instructions"]})
    given = body["input"]
    items = [{"role": "user", "content": given}] if isinstance(given, str) else given
    for item in items:
        _add_item(messages, item)
    return messages


def _add_item(messages: list[dict[str, str]], item: Json) -> None:
    kind = item.get("type", "message")
    if kind == "message":
        messages.append({"role": item["role"], "content": _text(item.get("content"))})
    elif kind == "function_call_output":
        messages.append({"role": "tool", "content": _text(item["output"])})
    elif kind == "function_call" and (not messages or messages[-1]["role"] != "assistant"):
        # Chat has the calls of a turn inside one assistant message; look the same from here.
        messages.append({"role": "assistant", "content": ""})


def _text(content: object) -> str:
    if isinstance(content, str):
        return content
    if isinstance(content, list):
        return "".join(part.get("text") or "" for part in content)
    return ""


def _trailing_results(messages: Sequence[dict[str, str]]) -> list[str]:
    results: list[str] = []
    for message in reversed(messages):
        if message["role"] != "tool":
            break
        results.append(message["content"])
    return results[::-1]


def _tool_name(tool: Json) -> str:
    name = tool.get("function", tool).get("name") or tool["type"]
    return str(name)


def _schema(body: Json) -> Json | None:
    chat = (body.get("response_format") or {}).get("json_schema") or {}
    responses = (body.get("text") or {}).get("format") or {}
    schema: Json | None = chat.get("schema") or responses.get("schema")
    return schema


# Writing answers.


def _answer(request: Request, reply: Reply) -> tuple[bytes, bool]:
    """Return the bytes to send, and whether the connection can be used again."""
    if reply.fault == "drop_before":
        return b"", False
    pieces, content_type = _content(request, reply)
    body = _malformed(pieces) if reply.fault == "malformed" else b"".join(pieces)
    headers = {"content-type": content_type, "content-length": str(len(body))}
    headers |= {name.lower(): value for name, value in reply.headers.items()}
    head = _head(reply.status, headers)
    if reply.fault == "drop_mid_stream":
        return head + _half(pieces), False
    return head + body, True


def _content(request: Request, reply: Reply) -> tuple[list[bytes], str]:
    """Return the body in the pieces it may be cut between, and its type."""
    if reply.fault == "empty":
        return [b""], _JSON_TYPE
    if reply.fault == "wrong_type":
        return [b"<html><body>Not what you asked for</body></html>"], "text/html"
    failed = reply.status >= _BAD_REQUEST
    streaming = request.stream and not failed
    if reply.raw_body is not None:
        return [reply.raw_body], _SSE_TYPE if streaming else _JSON_TYPE
    if failed:
        return [_error(reply.status, reply.text)], _JSON_TYPE
    if streaming:
        return _EVENTS[request.api](request, reply), _SSE_TYPE
    return [_dump(_BODIES[request.api](request, reply))], _JSON_TYPE


def _half(pieces: Sequence[bytes]) -> bytes:
    if len(pieces) == 1:
        return pieces[0][: len(pieces[0]) // 2]
    return b"".join(pieces[: len(pieces) // 2])


def _malformed(pieces: Sequence[bytes]) -> bytes:
    if len(pieces) == 1:
        return _half(pieces)
    broken = pieces[len(pieces) // 2].rstrip()[:-1]
    return _half(pieces) + broken + b"\n\n"


def _head(status: int, headers: Mapping[str, str]) -> bytes:
    lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    return f"HTTP/1.1 {status} {REASONS.get(status, '')}\r\n{lines}\r\n".encode("latin-1")


def _error(status: int, message: str) -> bytes:
    text = message or f"scripted error {status}"
    kind = "server_error" if status >= 500 else "invalid_request_error"  # noqa: PLR2004
    return _dump({"error": {"message": text, "type": kind, "param": None, "code": None}})


def _refuse(refusal: _RefusedError) -> bytes:
    body = _error(refusal.status, str(refusal))
    headers = {"content-type": _JSON_TYPE, "content-length": str(len(body)), "connection": "close"}
    return _head(refusal.status, headers) + body


def _models(model_ids: Sequence[str]) -> bytes:
    entry = {"object": "model", "created": 0, "owned_by": "scripted"}
    body = _dump({"object": "list", "data": [{"id": name} | entry for name in model_ids]})
    return _head(200, {"content-type": _JSON_TYPE, "content-length": str(len(body))}) + body


def _dump(value: Json) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()


def _tokens(request: Request, reply: Reply) -> tuple[int, int]:
    given, made = reply.input_tokens, reply.output_tokens
    if given is None:
        given = sum(len(message["content"]) for message in request.messages) // 4
    if made is None:
        called = sum(len(c.name) + len(c.wire_arguments) for c in reply.tool_calls)
        made = (len(reply.text) + called) // 4
    return given, made


def _pieces(text: str, most: int) -> list[str]:
    """`text` in at most `most` parts of about the same length, none of them empty."""
    size = -(-len(text) // most) or 1
    return [text[start : start + size] for start in range(0, len(text), size)]


# The Chat Completions API.


def _chat_body(request: Request, reply: Reply) -> Json:
    message: Json = {"role": "assistant", "content": reply.text, "refusal": None}
    if reply.tool_calls:
        message["content"] = reply.text or None
        message["tool_calls"] = [_chat_call(c, c.wire_arguments) for c in reply.tool_calls]
    choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": _finish(reply)}
    base = _chat_base(request, "chat.completion")
    return base | {"choices": [choice], "usage": _chat_usage(request, reply)}


def _chat_base(request: Request, kind: str) -> Json:
    name = f"chatcmpl-{secrets.token_hex(8)}"
    return {"id": name, "object": kind, "created": int(time.time()), "model": request.model}


def _chat_call(call: ToolCall, arguments: str) -> Json:
    function = {"name": call.name, "arguments": arguments}
    return {"id": call.id, "type": "function", "function": function}


def _finish(reply: Reply) -> str:
    return "tool_calls" if reply.tool_calls else "stop"


def _chat_usage(request: Request, reply: Reply) -> Json:
    given, made = _tokens(request, reply)
    return {
        "prompt_tokens": given,
        "completion_tokens": made,
        "total_tokens": given + made,
        "prompt_tokens_details": {"cached_tokens": reply.cached_tokens, "audio_tokens": 0},
        "completion_tokens_details": {"reasoning_tokens": 0, "audio_tokens": 0},
    }


def _chat_events(request: Request, reply: Reply) -> list[bytes]:
    base = _chat_base(request, "chat.completion.chunk")
    chunks = [_chunk(base, {"role": "assistant", "content": ""})]
    chunks += [_chunk(base, {"content": piece}) for piece in _pieces(reply.text, 4)]
    for index, tool_call in enumerate(reply.tool_calls):
        chunks += [_chunk(base, {"tool_calls": [d]}) for d in _call_deltas(index, tool_call)]
    chunks.append(_chunk(base, {}, _finish(reply)))
    if (request.body.get("stream_options") or {}).get("include_usage"):
        chunks.append(base | {"choices": [], "usage": _chat_usage(request, reply)})
    return [b"data: %b\n\n" % _dump(chunk) for chunk in chunks] + [b"data: [DONE]\n\n"]


def _chunk(base: Json, delta: Json, finish: str | None = None) -> Json:
    choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}
    return base | {"choices": [choice]}


def _call_deltas(index: int, call: ToolCall) -> list[Json]:
    opening = {"index": index} | _chat_call(call, "")
    pieces = _pieces(call.wire_arguments, 2)
    return [opening, *({"index": index, "function": {"arguments": p}} for p in pieces)]


# The Responses API.


def _responses_body(request: Request, reply: Reply) -> Json:
    usage = _responses_usage(request, reply)
    return _responses_base(request) | {
        "status": "completed",
        "output": _output(reply),
        "usage": usage,
    }


def _responses_base(request: Request) -> Json:
    return {
        "id": f"resp_{secrets.token_hex(8)}",
        "object": "response",
        "created_at": int(time.time()),
        "status": "in_progress",
        "error": None,
        "incomplete_details": None,
        "instructions": request.body.get("instructions"),
        "metadata": {},
        "model": request.model,
        "output": [],
        "parallel_tool_calls": True,
        "temperature": 1.0,
        "tool_choice": "auto",
        "tools": request.body.get("tools") or [],
        "top_p": 1.0,
        "usage": None,
    }


def _responses_usage(request: Request, reply: Reply) -> Json:
    given, made = _tokens(request, reply)
    return {
        "input_tokens": given,
        "input_tokens_details": {"cached_tokens": reply.cached_tokens, "cache_write_tokens": 0},
        "output_tokens": made,
        "output_tokens_details": {"reasoning_tokens": 0},
        "total_tokens": given + made,
    }


def _output(reply: Reply) -> list[Json]:
    says = [_message_item(reply.text)] if reply.text or not reply.tool_calls else []
    return says + [_call_item(call) for call in reply.tool_calls]


def _message_item(text: str) -> Json:
    return {
        "id": f"msg_{secrets.token_hex(8)}",
        "type": "message",
        "status": "completed",
        "role": "assistant",
        "content": [_text_part(text)],
    }


def _text_part(text: str) -> Json:
    return {"type": "output_text", "text": text, "annotations": [], "logprobs": []}


def _call_item(call: ToolCall) -> Json:
    return {
        "id": f"fc_{secrets.token_hex(8)}",
        "type": "function_call",
        "status": "completed",
        "call_id": call.id,
        "name": call.name,
        "arguments": call.wire_arguments,
    }


def _responses_events(request: Request, reply: Reply) -> list[bytes]:
    done = _responses_body(request, reply)
    begun = done | {"status": "in_progress", "output": [], "usage": None}
    events: list[Json] = [
        {"type": "response.created", "response": begun},
        {"type": "response.in_progress", "response": begun},
    ]
    for index, item in enumerate(done["output"]):
        events += _item_events(index, item)
    events.append({"type": "response.completed", "response": done})
    return [_sse(event, number) for event, number in zip(events, count(), strict=False)]


def _sse(event: Json, number: int) -> bytes:
    data = _dump(event | {"sequence_number": number})
    return b"event: %b\ndata: %b\n\n" % (event["type"].encode(), data)


def _item_events(index: int, item: Json) -> list[Json]:
    is_message = item["type"] == "message"
    empty: Json = {"content": []} if is_message else {"arguments": ""}
    begun = item | {"status": "in_progress"} | empty
    where = {"output_index": index, "item_id": item["id"]}
    return [
        {"type": "response.output_item.added", "output_index": index, "item": begun},
        *(_message_events(where, item) if is_message else _call_events(where, item)),
        {"type": "response.output_item.done", "output_index": index, "item": item},
    ]


def _message_events(where: Json, item: Json) -> list[Json]:
    part = item["content"][0]
    text = part["text"]
    here = where | {"content_index": 0}
    delta = here | {"type": "response.output_text.delta", "logprobs": []}
    return [
        here | {"type": "response.content_part.added", "part": _text_part("")},
        *(delta | {"delta": piece} for piece in _pieces(text, 4)),
        here | {"type": "response.output_text.done", "text": text, "logprobs": []},
        here | {"type": "response.content_part.done", "part": part},
    ]


def _call_events(where: Json, item: Json) -> list[Json]:
    kind = "response.function_call_arguments"
    arguments, name = item["arguments"], item["name"]
    return [
        *(where | {"type": f"{kind}.delta", "delta": piece} for piece in _pieces(arguments, 2)),
        where | {"type": f"{kind}.done", "name": name, "arguments": arguments},
    ]


_BODIES: Mapping[Api, Callable[[Request, Reply], Json]] = {
    "chat": _chat_body,
    "responses": _responses_body,
}
_EVENTS: Mapping[Api, Callable[[Request, Reply], list[bytes]]] = {
    "chat": _chat_events,
    "responses": _responses_events,
}


# The command.


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a server until stdin (if a pipe) closes, SIGTERM or SIGINT; prints the URL first."""
    parser = _parser()
    options = parser.parse_args(arguments)
    try:
        script = _with_faults(options.script, options.fault_share, options.seed)
    except ValueError as error:
        parser.error(str(error))
    for signum in (signal.SIGTERM, signal.SIGINT):
        signal.signal(signum, signal.default_int_handler)
    server = ScriptedServer(script, delay=options.delay, keep=0, port=options.port)
    with contextlib.suppress(KeyboardInterrupt), server:
        print(server.url, flush=True)  # noqa: T201 - this is the command's output
        _wait(options.max_seconds)
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m llm_rlm.testing.server",
        description="A scripted OpenAI-compatible server on 127.0.0.1.",
    )
    add = parser.add_argument
    add("--script", type=_load, default="echo", help="echo, needle or path/to/file.py:function")
    add("--delay", type=float, default=0.0, help="seconds before each answer")
    add("--fault-share", type=float, default=0.0, help="the share of requests that meet a fault, from 0 to 1")
    add("--seed", type=int, default=0, help="which requests meet which faults")
    add("--port", type=int, default=0, help="0 picks a free one")
    add("--max-seconds", type=float, default=3600.0, help="stop after this long")
    return parser


def _with_faults(script: Script, share: float, seed: int) -> Script:
    from llm_rlm.testing.faults import Faulty  # noqa: PLC0415 - it imports this module

    return Faulty(script, share=share, seed=seed) if share else script


def _load(name: str) -> Script:
    built_in: Mapping[str, Script] = {"echo": echo, "needle": needle}
    if name in built_in:
        return built_in[name]
    path, _, function = name.rpartition(":")
    spec = importlib.util.spec_from_file_location("scripted_server_script", path)
    if spec is None or spec.loader is None or not Path(path).is_file():
        msg = f"{name!r} is not echo, needle or path/to/file.py:function"
        raise argparse.ArgumentTypeError(msg)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    script: Script | None = getattr(module, function, None)
    if script is None:
        msg = f"{path} has no {function!r}"
        raise argparse.ArgumentTypeError(msg)
    return script


def _wait(seconds: float) -> None:
    """Return after `seconds`, or before that when stdin is a pipe and its other end closes."""
    end = time.monotonic() + seconds
    watched = [0] if stat.S_ISFIFO(os.fstat(0).st_mode) else []
    while (left := end - time.monotonic()) > 0:
        ready, _, _ = select.select(watched, [], [], left)
        if ready and not os.read(0, _READ_LIMIT):
            return


if __name__ == "__main__":
    # Run the importable module, so that scripts and the server share one set of classes.
    from llm_rlm.testing.server import main as _main

    sys.exit(_main())
