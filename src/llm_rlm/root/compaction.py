"""A conversation that comes near the end of its model's window, shortened without asking any model.

First what old cells have shown is cut to its ends; if that does not do, old turns become a list of what they ran. The system
prompt, the question and the last turns stay, and so does what the variables of the session hold. What comes of a conversation
follows from the size that it is shortened to, so the journal keeps no more than that.
"""

from __future__ import annotations

import ast
import json
import re
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from llm_rlm import prompts

from . import blocks

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

BEGIN, TO = 0.8, 0.4
"""Shares of the window: from the first on a conversation is shortened, to the second. Seldom and by much, because whatever a
provider's cache has of it is lost by that.
"""

STEPS = ((0.5, 1.0), (0.75, 0.5), (float("inf"), 0.25))
"""Up to which share of the window the conversation fills, what share of its usual length the output of a cell may have."""

LEAST_SHOWN = 1_000
"""Characters of output that are shown in any case."""

_WHOLE = 4
"""Turns at the end that stay as they are, as long as it can be."""
_END = 300
"""Characters that are left of each end of an old output."""
_MOST_CUT = 3 * _END
_MOST_LINE = 100
_MOST_SAID = 300
_MOST_NAMES = 8
_LISTED = "\n\n[Earlier turns"
"""What the list of old turns begins with."""
_LEFT_OUT = re.compile(r"- \(([\d,]+) more before\)")

type Message = Mapping[str, Any]
"""As LLM writes messages: `role` and `parts`."""


@dataclass(frozen=True)
class Conversation:
    """All that was said."""

    messages: Sequence[Message] = ()
    question: int = 0
    """The number of messages that came before the turn in which the question of the run is asked."""


def weight(messages: Sequence[Message]) -> int:
    """Characters of messages as JSON, which go with their tokens."""
    return sum(len(json.dumps(message, ensure_ascii=False)) for message in messages)


def shown_limit(usual: int, fill: float) -> int:
    """Characters that are shown of a cell's output, of `usual` ones, where the conversation fills that share of the window."""
    share = next(share for up_to, share in STEPS if fill < up_to)
    return min(usual, max(LEAST_SHOWN, int(usual * share)))


def shortened(conversation: Conversation, room: int) -> Conversation:
    """The conversation in no more than `room` characters (see `weight`), or as few as can be. Calls keep their results."""
    made = _with_old_outputs_cut(conversation, _WHOLE)
    if weight(made.messages) <= room:
        return made
    for turns, whole in ((_WHOLE, _WHOLE), (_WHOLE, 0), (1, 0)):
        made = _with_old_outputs_cut(_with_old_turns_listed(conversation, turns, room // 3), whole)
        if weight(made.messages) <= room:
            break
    return made


# What old cells have shown


def _with_old_outputs_cut(conversation: Conversation, whole: int) -> Conversation:
    """Outputs cut to their ends, but for those of so many turns at the end."""
    end = _last_turns(conversation.messages, whole)
    questions = {_user_from(conversation.messages, 0), _user_from(conversation.messages, conversation.question)}
    cut = [
        _cut_message(message) if at < end and at not in questions else message
        for at, message in enumerate(conversation.messages)
    ]
    return replace(conversation, messages=cut)


def _cut_message(message: Message) -> Message:
    if message["role"] not in {"tool", "user"}:
        return message
    return {**message, "parts": [_cut_part(part) for part in message["parts"]]}


def _cut_part(part: Mapping[str, Any]) -> Mapping[str, Any]:
    for name in ("output", "text"):
        text = part.get(name)
        if isinstance(text, str) and len(text) > _MOST_CUT:
            hidden = f"{len(text) - 2 * _END:,} of {len(text):,}"
            note = f"\n... [{hidden} characters of this old output are not shown any more; variables keep their values] ...\n"
            return {**part, name: f"{text[:_END]}{note}{text[-_END:]}"}
    return part


# Old turns


def _with_old_turns_listed(conversation: Conversation, whole: int, room: int) -> Conversation:
    """All but so many turns at the end as a list, in no more than `room` characters, beside the question."""
    messages = conversation.messages
    # From a reply on: results without the calls that they belong to are no conversation.
    end = _last_turns(messages, whole)
    head = [message for message in messages[:1] if message["role"] == "system"]
    base = _user_from(messages, conversation.question)
    base = base if base is not None and base < end else _user_from(messages, 0)
    if base is None or base >= end:
        return conversation
    lines = list(_lines(messages[len(head) : end], messages[base]))
    if not lines:
        return conversation
    listed = prompts.render("earlier_turns", turns="\n".join(_newest(lines, room)))
    parts = [part for part in messages[base]["parts"] if not _is_list(part)]
    asked = {"role": "user", "parts": [*parts, {"type": "text", "text": f"\n\n{listed}"}]}
    question = len(head) if conversation.question < end else len(head) + 1 + conversation.question - end
    return Conversation([*head, asked, *messages[end:]], question)


def _last_turns(messages: Sequence[Message], count: int) -> int:
    """Where so many turns at the end begin: with a reply. The end for none, the beginning where there are not more."""
    replies = [at for at, message in enumerate(messages) if message["role"] == "assistant"]
    if not count:
        return len(messages)
    return replies[-count] if len(replies) > count else 0


def _user_from(messages: Sequence[Message], start: int) -> int | None:
    """The first message of the user from there on."""
    return next((at for at in range(start, len(messages)) if messages[at]["role"] == "user"), None)


def _lines(messages: Sequence[Message], base: Message) -> Iterator[str]:
    """What was said and run, a line each; what the message that stays says itself is left out."""
    for message, following in pairwise([*messages, {"role": "", "parts": []}]):
        if message["role"] == "assistant":
            yield from _ran(message, following)
        elif message["role"] == "user":
            yield from _said_by_user(message, message is base)


def _said_by_user(message: Message, stays: bool) -> Iterator[str]:  # noqa: FBT001 - private
    for part in message["parts"]:
        if _is_list(part):
            yield from (line for line in part["text"].splitlines() if line.startswith("- "))
        elif not stays and "text" in part and not part["text"].startswith(("Output of your code", "Not submitted")):
            yield f"- You were told: {_short(part['text'], _MOST_SAID)}"


def _ran(reply: Message, following: Message) -> Iterator[str]:
    """What a reply ran, and what came of it."""
    said = "".join(part["text"] for part in reply["parts"] if part["type"] == "text")
    calls = [part for part in reply["parts"] if part["type"] == "tool_call"]
    outputs = {part.get("tool_call_id"): part["output"] for part in following["parts"] if part["type"] == "tool_result"}
    for call in calls:
        given, output = call["arguments"], outputs.get(call.get("tool_call_id"), "")
        code = given.get("code") if isinstance(given, dict) else None
        yield _cell(code, output) if isinstance(code, str) else f"- {call['name']}: {_short(output, _MOST_LINE)}"
    codes = () if calls else blocks.read(said).code
    told = "".join(part.get("text", "") for part in following["parts"])
    yield from (_cell(code, told) for code in codes)
    if not calls and not codes and said.strip():
        yield f"- You said: {_short(said, _MOST_SAID)}"


def _cell(code: str, output: str) -> str:
    """A cell: its first line, how it ended, and the names that it set."""
    first = next((line for line in code.splitlines() if line.strip()), "")
    outcome = "error" if "Traceback (most recent call last)" in output else "ok"
    names = _names(code)
    more = ", …" if len(names) > _MOST_NAMES else ""
    made = f"; sets {', '.join(names[:_MOST_NAMES])}{more}" if names else ""
    return f"- `{_short(first, _MOST_LINE)}`: {outcome}{made}"


def _names(code: str) -> list[str]:
    """The names that a cell's own statements set, in order."""
    try:
        nodes = ast.parse(code).body
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return []
    found: dict[str, None] = {}
    for node in nodes:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            found[node.name] = None
        elif isinstance(node, ast.Assign | ast.AnnAssign | ast.AugAssign):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            names = [each for target in targets for each in ast.walk(target) if isinstance(each, ast.Name)]
            found |= dict.fromkeys(each.id for each in names if isinstance(each.ctx, ast.Store))
    return list(found)


def _newest(lines: Sequence[str], room: int) -> list[str]:
    """As many of the last lines as there is room for, and how many there were before."""
    before = 0
    if (known := _LEFT_OUT.fullmatch(lines[0])) is not None:
        before, lines = int(known[1].replace(",", "")), lines[1:]
    kept: list[str] = []
    for line in reversed(lines):
        room -= len(line) + 1
        if room < 0:
            break
        kept.insert(0, line)
    before += len(lines) - len(kept)
    return [f"- ({before:,} more before)", *kept] if before else kept


def _is_list(part: Mapping[str, Any]) -> bool:
    return str(part.get("text", "")).startswith(_LISTED)


def _short(text: str, most: int) -> str:
    """A text on one line, and not longer than that."""
    line = " ".join(text.split())
    return line if len(line) <= most else f"{line[: most - 1]}…"
