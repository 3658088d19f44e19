"""The Chat Completions API."""

import secrets
import time

from .exchange import Json, Reply, Request, ToolCall, tokens
from .parts import dump, pieces, text


def messages(body: Json) -> list[dict[str, str]]:
    """The messages of a request."""
    return [{"role": m["role"], "content": text(m.get("content"))} for m in body["messages"]]


def body(request: Request, reply: Reply) -> Json:
    """A reply that is not streamed."""
    message: Json = {"role": "assistant", "content": reply.text, "refusal": None}
    if reply.tool_calls:
        message["content"] = reply.text or None
        message["tool_calls"] = [_call(c, c.wire_arguments) for c in reply.tool_calls]
    choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": _finish(reply)}
    base = _base(request, "chat.completion")
    return base | {"choices": [choice], "usage": _usage(request, reply)}


def _base(request: Request, kind: str) -> Json:
    name = f"chatcmpl-{secrets.token_hex(8)}"
    return {"id": name, "object": kind, "created": int(time.time()), "model": request.model}


def _call(call: ToolCall, arguments: str) -> Json:
    function = {"name": call.name, "arguments": arguments}
    return {"id": call.id, "type": "function", "function": function}


def _finish(reply: Reply) -> str:
    return "tool_calls" if reply.tool_calls else "stop"


def _usage(request: Request, reply: Reply) -> Json:
    given, made = tokens(request, reply)
    return {
        "prompt_tokens": given,
        "completion_tokens": made,
        "total_tokens": given + made,
        "prompt_tokens_details": {"cached_tokens": reply.cached_tokens, "audio_tokens": 0},
        "completion_tokens_details": {"reasoning_tokens": 0, "audio_tokens": 0},
    }


def events(request: Request, reply: Reply) -> list[bytes]:
    """A streamed reply, event by event."""
    base = _base(request, "chat.completion.chunk")
    chunks = [_chunk(base, {"role": "assistant", "content": ""})]
    chunks += [_chunk(base, {"content": piece}) for piece in pieces(reply.text, 4)]
    for index, tool_call in enumerate(reply.tool_calls):
        chunks += [_chunk(base, {"tool_calls": [d]}) for d in _call_deltas(index, tool_call)]
    chunks.append(_chunk(base, {}, _finish(reply)))
    if (request.body.get("stream_options") or {}).get("include_usage"):
        chunks.append(base | {"choices": [], "usage": _usage(request, reply)})
    return [b"data: %b\n\n" % dump(chunk) for chunk in chunks] + [b"data: [DONE]\n\n"]


def _chunk(base: Json, delta: Json, finish: str | None = None) -> Json:
    choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}
    return base | {"choices": [choice]}


def _call_deltas(index: int, call: ToolCall) -> list[Json]:
    opening = {"index": index} | _call(call, "")
    return [opening, *({"index": index, "function": {"arguments": piece}} for piece in pieces(call.wire_arguments, 2))]
