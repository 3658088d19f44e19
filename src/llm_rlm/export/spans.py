"""Runs as spans, named as OpenTelemetry's conventions for generative AI name them. OpenTelemetry itself is not needed for that.

A run is `invoke_agent`, a turn `chat`, a cell `execute_tool`, a call of a cell `chat`, a child run `invoke_agent` again. What
has no name in the conventions begins with `llm_rlm.`. Texts are in spans only where they are asked for.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from llm_rlm.journal import sound
from llm_rlm.journal.history import runs_before
from llm_rlm.journal.records import ENDED, RUNNING, Records
from llm_rlm.root.names import EXECUTE

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from llm_rlm.journal import Journal
    from llm_rlm.journal.records import Call, Cell, Record, Took, Turn

AGENT = "llm-rlm"
_FINE_OUTCOMES = frozenset({"ok", "exit", None})
_FINE_STATES = frozenset({"answered", "cached", "sent"})
_FINE_FINISHES = frozenset({"submitted", "prose", "limit", RUNNING, ENDED})

type Attributes = Mapping[str, str | int | float | bool]


@dataclass(frozen=True)
class Span:
    """Something that took a while."""

    name: str
    id: int
    """Of 64 bits, the same whenever the same run is exported."""
    parent: int | None
    started: float
    """Seconds since 1970."""
    ended: float
    kind: Literal["client", "internal"]
    """`client`: a provider was asked."""
    error: str | None = None
    """What went wrong, if anything did."""
    attributes: Attributes = field(default_factory=dict)


class Spans:
    """Makes spans of runs."""

    def __init__(self, journal: Journal, provider: Callable[[str], str], *, content: bool = False) -> None:
        """Nothing is read yet. `provider` names the provider of a model; `content` is whether spans hold what was said."""
        self._journal = journal
        self._records = Records(journal)
        self._provider = provider
        self._content = content

    def of_run(self, run_id: str, parent: int | None = None) -> Iterator[Span]:
        """The spans of a run and of all below it, each after its parent. `run_id` is whole."""
        record = self._records.record(run_id)
        run = self._run(record, parent)
        yield run
        yield from (self._turn(record, turn, run.id) for turn in record.turns)
        cells = {cell.number: self._cell(record, cell, run.id) for cell in record.cells}
        yield from cells.values()
        for call in record.calls:
            above = cells[call.cell].id if call.cell in cells else run.id
            if call.child is not None:
                yield from self.of_run(call.child, above)
            else:
                yield self._call(record, call, above)

    def _run(self, record: Record, parent: int | None) -> Span:
        past = record.run
        session = runs_before(self._journal, past)
        model = past.model or past.sub_model or ""
        attributes = self._chat_attributes(model) | {
            "gen_ai.operation.name": "invoke_agent",
            "gen_ai.agent.name": AGENT,
            "gen_ai.conversation.id": session[0].id if session else past.id,
            "llm_rlm.run.id": past.id,
            "llm_rlm.run.state": record.state,
            "llm_rlm.run.depth": record.depth,
            "llm_rlm.sub_calls": past.usage.calls,
            "llm_rlm.sub_calls.cached": past.usage.cached,
            "llm_rlm.cost_usd": past.usage.cost,
            "llm_rlm.cost_known": not past.usage.unpriced,
        }
        if self._content:
            attributes |= _said("gen_ai.input.messages", "user", past.question)
            attributes |= _said("gen_ai.output.messages", "assistant", past.answer)
        bad = past.error or (record.state if record.state not in _FINE_FINISHES else None)
        ended = record.ended if record.ended is not None else record.latest
        return _span(f"invoke_agent {AGENT}", (past.id,), parent, (record.started, ended), bad, attributes)

    def _turn(self, record: Record, turn: Turn, parent: int) -> Span:
        model = record.run.model or ""
        attributes = self._chat_attributes(model) | _took(turn.took) | {"llm_rlm.turn": turn.number}
        attributes |= {"llm_rlm.turn.dropped": True} if turn.dropped else {}
        if self._content:
            attributes |= _turn_content(record, turn)
        failed = turn.reply is None and (turn.dropped or record.state != RUNNING)
        bad = "no reply" if failed else "a reply that could not be read" if (turn.reply or {}).get("malformed") else None
        took = (turn.took.started, turn.took.ended)
        return _span(f"chat {model}", (record.run.id, "turn", turn.number), parent, took, bad, attributes)

    def _cell(self, record: Record, cell: Cell, parent: int) -> Span:
        attributes: dict[str, Any] = {
            "gen_ai.operation.name": "execute_tool",
            "gen_ai.tool.name": EXECUTE,
            "gen_ai.tool.type": "function",
            "llm_rlm.cell": cell.number,
        }
        attributes |= {"llm_rlm.cell.outcome": cell.outcome} if cell.outcome is not None else {}
        attributes |= {"llm_rlm.cell.running_seconds": cell.running} if cell.running is not None else {}
        attributes |= {"llm_rlm.cell.dropped": True} if cell.dropped else {}
        if self._content:
            attributes["gen_ai.tool.call.arguments"] = json.dumps({"code": cell.code}, ensure_ascii=False)
            attributes["gen_ai.tool.call.result"] = cell.shown or cell.output or ""
        bad = cell.outcome if cell.outcome not in _FINE_OUTCOMES else None
        took = (cell.started, cell.ended)
        return _span(f"execute_tool {EXECUTE}", (record.run.id, "cell", cell.number), parent, took, bad, attributes)

    def _call(self, record: Record, call: Call, parent: int) -> Span:
        """A call that began no child run: of a model, of a function of the user, or what was refused."""
        attributes: dict[str, Any] = {"llm_rlm.call": call.id, "llm_rlm.call.state": call.state}
        place, took = (record.run.id, "call", call.id), (call.took.started, call.took.ended)
        bad = None if call.state in _FINE_STATES else call.error or call.shown_error or call.state
        if call.kind != "model":
            name = "rlm_query" if call.kind == "run" else str(self._request(call)["prompt"])
            attributes |= {"gen_ai.operation.name": "execute_tool", "gen_ai.tool.name": name, "gen_ai.tool.type": "function"}
            return _span(f"execute_tool {name}", place, parent, took, bad, attributes)
        attributes |= self._chat_attributes(call.model) | _took(call.took)
        if self._content:
            asked = self._request(call)
            attributes |= _said("gen_ai.input.messages", "user", asked["prompt"])
            attributes |= _said("gen_ai.output.messages", "assistant", self._text(call.response))
            attributes |= _instructions(asked.get("system"))
        return _span(f"chat {call.model}", place, parent, took, bad, attributes)

    def _chat_attributes(self, model: str) -> dict[str, Any]:
        named = {"gen_ai.operation.name": "chat", "gen_ai.provider.name": self._provider(model)}
        return named | ({"gen_ai.request.model": model} if model else {})

    def _request(self, call: Call) -> dict[str, Any]:
        asked: dict[str, Any] = sound.parsed(self._text(call.request), sound.REQUEST)
        return asked

    def _text(self, name: str | None) -> str | None:
        return self._records.texts((name,)).get(name) if name is not None else None


def _span(
    name: str,
    place: tuple[object, ...],
    parent: int | None,
    took: tuple[float, float | None],
    bad: str | None,
    attributes: dict[str, Any],
) -> Span:
    """A span; one without an end ends where it begins, and says so."""
    started, ended = took
    attributes |= {"llm_rlm.unfinished": True} if ended is None else {}
    attributes |= {"error.type": _kind_of(bad, attributes)} if bad is not None else {}
    kind: Literal["client", "internal"] = "client" if attributes["gen_ai.operation.name"] == "chat" else "internal"
    return Span(name, _id(place), parent, started, max(started, ended or started), kind, bad, attributes)


def _kind_of(bad: str, attributes: Mapping[str, Any]) -> str:
    """One of few words for what went wrong: a message may have anything in it."""
    names = ("llm_rlm.call.state", "llm_rlm.cell.outcome", "llm_rlm.run.state")
    return next((str(attributes[name]) for name in names if name in attributes), bad.replace(" ", "_"))


def _id(place: tuple[object, ...]) -> int:
    """An id that follows from what it is of; never 0, which is none."""
    digest = hashlib.sha256(json.dumps(place).encode()).digest()
    return int.from_bytes(digest[:8]) or 1


def _took(took: Took) -> dict[str, Any]:
    known = {
        "gen_ai.usage.input_tokens": took.input,
        "gen_ai.usage.output_tokens": took.output,
        "gen_ai.usage.cache_read.input_tokens": took.cached_input,
        "llm_rlm.cost_usd": took.cost,
        "llm_rlm.attempts": took.attempts,
    }
    return {name: value for name, value in known.items() if value is not None}


# What was said


def _turn_content(record: Record, turn: Turn) -> dict[str, Any]:
    """What is new in a turn: the whole conversation with each would be as many times as long as there are turns."""
    sent: list[dict[str, Any]] = [
        {"role": "tool", "parts": [{"type": "tool_call_response", "result": result}]} for result in turn.results
    ]
    sent += [{"role": "user", "parts": [{"type": "text", "content": turn.say}]}] if turn.say else []
    attributes: dict[str, Any] = {"gen_ai.input.messages": json.dumps(sent, ensure_ascii=False)}
    if turn.number == record.turns[0].number:
        attributes |= _instructions(record.run.system)
    if turn.reply is not None:
        parts = [{"type": "text", "content": turn.reply["text"]}] if turn.reply["text"] else []
        parts += [
            {"type": "tool_call", "name": call["name"], "arguments": call["arguments"]}
            | ({"id": call["id"]} if call.get("id") else {})
            for call in turn.reply["calls"]
        ]
        reason = "tool_call" if turn.reply["calls"] else "stop"
        said = [{"role": "assistant", "parts": parts, "finish_reason": reason}]
        attributes["gen_ai.output.messages"] = json.dumps(said, ensure_ascii=False)
    return attributes


def _said(name: str, role: str, text: str | None) -> dict[str, Any]:
    if text is None:
        return {}
    message: dict[str, Any] = {"role": role, "parts": [{"type": "text", "content": text}]}
    message |= {"finish_reason": "stop"} if role == "assistant" else {}
    return {name: json.dumps([message], ensure_ascii=False)}


def _instructions(system: str | None) -> dict[str, Any]:
    return (
        {"gen_ai.system_instructions": json.dumps([{"type": "text", "content": system}], ensure_ascii=False)} if system else {}
    )
