"""The Responses API."""

import secrets
import time
from itertools import count

from .exchange import Json, Reply, Request, ToolCall, tokens
from .parts import dump, pieces, text


def messages(body: Json) -> list[dict[str, str]]:
    """The messages of a request, in the shape of the other API."""
    found: list[dict[str, str]] = []
    if body.get("instructions"):
        found.append({"role": "system", "content": body["instructions"]})
    given = body["input"]
    items = [{"role": "user", "content": given}] if isinstance(given, str) else given
    for item in items:
        _add_item(found, item)
    return found


def _add_item(messages: list[dict[str, str]], item: Json) -> None:
    kind = item.get("type", "message")
    if kind == "message":
        messages.append({"role": item["role"], "content": text(item.get("content"))})
    elif kind == "function_call_output":
        messages.append({"role": "tool", "content": text(item["output"])})
    elif kind == "function_call" and (not messages or messages[-1]["role"] != "assistant"):
        # Chat has the calls of a turn inside one assistant message; look the same from here.
        messages.append({"role": "assistant", "content": ""})


def body(request: Request, reply: Reply) -> Json:
    """A reply that is not streamed."""
    usage = _usage(request, reply)
    return _base(request) | {
        "status": "completed",
        "output": _output(reply),
        "usage": usage,
    }


def _base(request: Request) -> Json:
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


def _usage(request: Request, reply: Reply) -> Json:
    given, made = tokens(request, reply)
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


def events(request: Request, reply: Reply) -> list[bytes]:
    """A streamed reply, event by event."""
    done = body(request, reply)
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
    data = dump(event | {"sequence_number": number})
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
        *(delta | {"delta": piece} for piece in pieces(text, 4)),
        here | {"type": "response.output_text.done", "text": text, "logprobs": []},
        here | {"type": "response.content_part.done", "part": part},
    ]


def _call_events(where: Json, item: Json) -> list[Json]:
    kind = "response.function_call_arguments"
    arguments, name = item["arguments"], item["name"]
    return [
        *(where | {"type": f"{kind}.delta", "delta": piece} for piece in pieces(arguments, 2)),
        where | {"type": f"{kind}.done", "name": name, "arguments": arguments},
    ]
