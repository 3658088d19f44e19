"""The fields of the guest's frames as values. Frames are checked for their types when they are read; here for the rest."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from llm_rlm.calls import CallReply, CallRequest

from .guest.calls import MOST_PROMPT_CHARACTERS
from .types import Answer, MissingVariableError, NotAnAnswerError, Variable

if TYPE_CHECKING:
    from collections.abc import Iterable

    from llm_rlm.calls import CallKind

_LONGEST_NAME = 100
_LONGEST_ERROR = 500


def clean(text: str) -> str:
    """Text that can be encoded: lone surrogates are shown as escapes."""
    return text if text.isascii() else text.encode("utf-8", "backslashreplace").decode("utf-8")


def to_request(call: object, *, replay: bool) -> CallRequest:
    """A call that the guest asks for. Raises TypeError, KeyError or ValueError for what no driver would send."""
    if not isinstance(call, dict) or not isinstance(call["id"], int):
        raise TypeError
    return CallRequest(
        call["id"],
        _text(call["prompt"]),
        system=_maybe_text(call.get("system")),
        model=_maybe_text(call.get("model")),
        schema=_maybe_text(call.get("schema")),
        each=call.get("each") is True,
        kind=_kind(call.get("kind", "model")),
        payload=_maybe_text(call.get("payload")),
        attachments=tuple(_text(name) for name in call.get("attachments") or ()),
        replay=replay,
    )


def from_reply(reply: CallReply) -> dict[str, object]:
    """A reply as the guest takes it."""
    if reply.error is not None:
        return {"id": reply.id, "error": reply.error}
    return {"id": reply.id, "text": reply.text, **({"data": reply.data} if reply.data is not None else {})}


def to_variables(news: Iterable[object]) -> list[Variable]:
    """The variables that a cell made; what is none is left out."""
    found = []
    for item in news:
        match item:
            case [str(name), str(kind), int() | None as length]:
                found.append(Variable(_label(name), _label(kind), length))
    return found


def to_value(name: str, frame: dict[str, Any], text: str) -> Answer:
    """The value of a variable, of its last frame and its whole text. Raises MissingVariableError and NotAnAnswerError."""
    if frame.get("error") == "missing":
        names = [_label(other) for other in frame.get("names") or () if isinstance(other, str)]
        raise MissingVariableError(name, names)
    if frame.get("error"):
        message = f"the variable {name!r} is not an answer: {clean(frame['error'][:_LONGEST_ERROR])}"
        raise NotAnAnswerError(message)
    return to_answer(frame.get("kind"), text)


def to_answer(kind: object, text: str, quotes: Iterable[object] | None = None) -> Answer:
    """An answer as the guest gave it. What it calls JSON is checked: whoever reads the answer relies on it."""
    text = clean(text)
    given = tuple(clean(quote) for quote in quotes or () if isinstance(quote, str))
    return Answer(text, is_json=kind == "json" and _is_json(text), quotes=given)


def _label(name: str) -> str:
    """A name as it may stand in a sentence: cells can make names of anything."""
    return "".join(sign if sign.isprintable() else "?" for sign in clean(name[:_LONGEST_NAME]))


def _is_json(text: str) -> bool:
    try:
        json.loads(text)
    except (ValueError, RecursionError):
        return False
    return True


def _kind(value: object) -> CallKind:
    match value:
        case "model" | "run" | "function":
            return value
    raise TypeError


def _text(value: object) -> str:
    """Text of no more characters than the guest lets through, which code in it can pass by."""
    if not isinstance(value, str):
        raise TypeError
    if len(value) > MOST_PROMPT_CHARACTERS:
        raise ValueError
    return clean(value)


def _maybe_text(value: object) -> str | None:
    return None if value is None else _text(value)
