"""HTTP as the scripted server speaks it: requests read from bytes, replies as bytes, whole or broken."""

import asyncio
import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from http.client import responses as REASONS  # noqa: N812 - a constant table

from . import chat_api, responses_api
from .exchange import BAD_REQUEST, Api, Json, Reply, Request
from .parts import dump

MAX_BODY = 512 * 1024 * 1024
HEAD_END = b"\r\n\r\n"
APIS: Mapping[str, Api] = {
    "POST /v1/chat/completions": "chat",
    "POST /v1/responses": "responses",
}
_JSON_TYPE = "application/json"
_SSE_TYPE = "text/event-stream"


class RefusedError(Exception):
    """A request that never reaches the script."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


@dataclass(frozen=True, slots=True)
class Head:
    """The head of a request."""

    route: str
    headers: dict[str, str]
    keep_alive: bool

    @property
    def length(self) -> int:
        """The bytes of body that follow; refuses what is not a plain, bounded length."""
        if "transfer-encoding" in self.headers:
            raise RefusedError(411, "send a content-length")
        text = self.headers.get("content-length", "0")
        if not (text.isascii() and text.isdigit()):
            raise RefusedError(400, f"not a content-length: {text!r}")
        if int(text) > MAX_BODY:
            raise RefusedError(413, f"more than {MAX_BODY} bytes")
        return int(text)


def parse_head(head: bytes) -> Head:
    """Read the bytes up to the empty line. Raises RefusedError."""
    first, *lines = head[: -len(HEAD_END)].decode("latin-1").split("\r\n")
    parts = first.split(" ")
    if len(parts) != 3:  # noqa: PLR2004 - method, target and version
        raise RefusedError(400, "not an HTTP request")
    method, target, version = parts
    pairs = (line.partition(":") for line in lines)
    headers = {name.lower(): value.strip() for name, _, value in pairs}
    keep_alive = version == "HTTP/1.1" and headers.get("connection", "").lower() != "close"
    return Head(f"{method} {target.partition('?')[0]}", headers, keep_alive)


async def read_body(head: Head, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bytes:
    """Read what follows a head, asked to go on if the client waits for that. Raises RefusedError."""
    length = head.length
    if "expect" in head.headers:
        writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
    return await reader.readexactly(length) if length else b""


def read_request(head: Head, raw: bytes) -> Request:
    """What is asked of one of the two APIs. Raises RefusedError."""
    if (api := APIS.get(head.route)) is None:
        raise RefusedError(404, f"no such endpoint: {head.route}")
    try:
        return _interpret(api, json.loads(raw), head.headers)
    except (ValueError, LookupError, TypeError, AttributeError) as error:
        raise RefusedError(400, f"cannot read the request: {error!r}") from error


def _interpret(api: Api, body: Json, headers: dict[str, str]) -> Request:
    messages = chat_api.messages(body) if api == "chat" else responses_api.messages(body)
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


_BODIES: Mapping[Api, Callable[[Request, Reply], Json]] = {
    "chat": chat_api.body,
    "responses": responses_api.body,
}
_EVENTS: Mapping[Api, Callable[[Request, Reply], list[bytes]]] = {
    "chat": chat_api.events,
    "responses": responses_api.events,
}


def answer(request: Request, reply: Reply) -> tuple[bytes, bool]:
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
    failed = reply.status >= BAD_REQUEST
    streaming = request.stream and not failed
    if reply.raw_body is not None:
        return [reply.raw_body], _SSE_TYPE if streaming else _JSON_TYPE
    if failed:
        return [_error(reply.status, reply.text)], _JSON_TYPE
    if streaming:
        return _EVENTS[request.api](request, reply), _SSE_TYPE
    return [dump(_BODIES[request.api](request, reply))], _JSON_TYPE


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
    return dump({"error": {"message": text, "type": kind, "param": None, "code": None}})


def refuse(refusal: RefusedError) -> bytes:
    """What a request is told that never reaches the script."""
    body = _error(refusal.status, str(refusal))
    headers = {"content-type": _JSON_TYPE, "content-length": str(len(body)), "connection": "close"}
    return _head(refusal.status, headers) + body


def models(model_ids: Sequence[str]) -> bytes:
    """The list of models."""
    entry = {"object": "model", "created": 0, "owned_by": "scripted"}
    body = dump({"object": "list", "data": [{"id": name} | entry for name in model_ids]})
    return _head(200, {"content-type": _JSON_TYPE, "content-length": str(len(body))}) + body
