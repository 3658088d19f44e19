"""What a scripted server and its script say to each other: the request that arrived, the reply to send."""

import json
import math
import re
import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import format_datetime
from typing import Any, Literal, get_args

type Api = Literal["chat", "responses"]
type Json = dict[str, Any]

Fault = Literal["drop_before", "drop_mid_stream", "stall", "empty", "wrong_type", "malformed"]

BAD_REQUEST = 400
"""The first status that is an error."""
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
    if status < BAD_REQUEST:
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


def tokens(request: Request, reply: Reply) -> tuple[int, int]:
    """How many tokens the request and the reply have, as the script says or estimated."""
    given, made = reply.input_tokens, reply.output_tokens
    if given is None:
        given = sum(len(message["content"]) for message in request.messages) // 4
    if made is None:
        called = sum(len(c.name) + len(c.wire_arguments) for c in reply.tool_calls)
        made = (len(reply.text) + called) // 4
    return given, made
