"""Runs as messages for training and evaluation: each line is a conversation, in the form of OpenAI's chat API.

The conversation of a root model is what it was sent and what it replied. Where it was shortened on the way it is several
conversations, of which each is whole: the line before ends with the last reply that was given to it.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from llm_rlm.journal import sound
from llm_rlm.journal.history import past_run, runs_before
from llm_rlm.journal.records import Records
from llm_rlm.root.compaction import Conversation, shortened
from llm_rlm.runs.result import result_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from llm_rlm.journal import Journal
    from llm_rlm.journal.history import PastRun
    from llm_rlm.journal.records import Call

type Line = dict[str, Any]
"""What docs/schemas/export.schema.json describes."""
type Message = Mapping[str, Any]
"""As LLM writes messages: `role` and `parts`."""


def lines(journal: Journal, run_id: str, *, calls: bool = False) -> Iterator[Line]:
    """The lines of a run; with `calls`, also those of its sub-calls that were answered, and of its child runs with theirs.

    `run_id` is whole. A run that no root model of ours has replied to has no conversation, and no line for it.
    """
    yield from _of_run(journal, past_run(journal, run_id))
    if calls:
        record = Records(journal).record(run_id)
        yield from _of_calls(journal, run_id, record.calls)
        for child in record.children:
            yield from lines(journal, child, calls=True)


# The conversation with a root model


@dataclass(frozen=True)
class _Part:
    """A conversation as it was until it was shortened, or to its end."""

    messages: Sequence[Message]
    known: int
    """How many of the messages at its beginning are no news: they are of an earlier part or run, shortened or not."""


def _of_run(journal: Journal, past: PastRun) -> Iterator[Line]:
    parts = _parts(past, [before.turns for before in runs_before(journal, past)])
    about = _about(past)
    for number, part in enumerate(parts, start=1):
        messages, known = _chat(part.messages, part.known)
        line: Line = {"kind": "run", "messages": messages, "part": number, "parts": len(parts), "known": known}
        if past.settings.get("offered"):
            line["tools"] = [{"type": "function", "function": tool} for tool in past.settings["offered"]]
        yield line | about


def _parts(past: PastRun, before: Sequence[Sequence[Any]]) -> list[_Part]:
    """What was said, as the root model was sent it."""
    parts: list[_Part] = []
    said, known = Conversation(), 0
    for turns in (*before, past.turns):
        said, known = Conversation(said.messages, len(said.messages)), len(said.messages)
        for turn in turns:
            if turn.compacted is not None:
                if turns is past.turns and len(said.messages) > known:
                    parts.append(_Part(said.messages, known))
                said = shortened(said, turn.compacted)
                known = len(said.messages)
            said = Conversation([*said.messages, *turn.messages], said.question)
    return [*parts, _Part(said.messages, known)] if past.turns else []


def _about(past: PastRun) -> Line:
    """What is told of a run besides what was said."""
    result = result_of(past).as_dict()
    names = ("run_id", "question", "answer", "finish", "limit", "error", "model", "sub_model", "usage", "cost")
    return {name: result[name] for name in names} | {"parent": past.parent}


def _chat(messages: Sequence[Message], known: int) -> tuple[list[Line], int]:
    """Messages as the chat API has them, and how many of them `known` ones of LLM's are."""
    made: list[Line] = []
    count = 0
    waiting: list[str] = []
    """The ids of tool calls that have had no result yet."""
    for number, message in enumerate(messages):
        count = len(made) if number == known else count
        match message["role"]:
            case "assistant":
                made.append(_reply(message["parts"], number))
                waiting = [call["id"] for call in made[-1].get("tool_calls", ())]
            case "tool":
                made += _results(message["parts"], waiting)
            case role:
                made.append({"role": role, "content": _text(message["parts"], "text")})
    return made, count if known < len(messages) else len(made)


def _reply(parts: Sequence[Message], number: int) -> Line:
    """What the model said."""
    calls = [part for part in parts if part["type"] == "tool_call"]
    reply: Line = {"role": "assistant", "content": _text(parts, "text") or ("" if not calls else None)}
    if thoughts := _text(parts, "reasoning"):
        reply["reasoning_content"] = thoughts
    if calls:
        reply["tool_calls"] = [
            {
                "id": call.get("tool_call_id") or f"call_{number}_{at}",
                "type": "function",
                "function": {"name": call["name"], "arguments": json.dumps(call["arguments"], ensure_ascii=False)},
            }
            for at, call in enumerate(calls)
        ]
    return reply


def _results(parts: Sequence[Message], waiting: list[str]) -> Iterator[Line]:
    """Results of tools, each for its call: the one it names, else the next that waits for one."""
    for part in parts:
        named = part.get("tool_call_id")
        call = named if named in waiting or not waiting else waiting[0]
        if call in waiting:
            waiting.remove(call)
        yield {"role": "tool", "tool_call_id": call or "", "content": part["output"]}


def _text(parts: Sequence[Message], kind: str) -> str:
    return "".join(part["text"] for part in parts if part["type"] == kind)


# Sub-calls


def _of_calls(journal: Journal, run_id: str, calls: Sequence[Call]) -> Iterator[Line]:
    """The calls of models that were answered. Their texts may be large: one call at a time is read."""
    records = Records(journal)
    for call in calls:
        if call.kind != "model" or call.response is None or call.state not in {"answered", "cached"}:
            continue
        texts = records.texts((call.request, call.response))
        yield _of_call(run_id, call, sound.parsed(texts[call.request], sound.REQUEST), texts[call.response])


def _of_call(run_id: str, call: Call, asked: Mapping[str, Any], answer: str) -> Line:
    system = [{"role": "system", "content": asked["system"]}] if asked.get("system") else []
    took = call.took
    line: Line = {
        "kind": "call",
        "messages": [*system, {"role": "user", "content": asked["prompt"]}, {"role": "assistant", "content": answer}],
        "run_id": run_id,
        "call": call.id,
        "cell": call.cell,
        "model": call.model,
        "cached": call.state == "cached",
        "usage": {"input": took.input, "output": took.output, "cached_input": took.cached_input},
        "cost": {"usd": took.cost, "known": took.cost is not None},
    }
    for name in ("schema", "attachments"):
        if asked.get(name):
            line[name] = asked[name]
    return line
