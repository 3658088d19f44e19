"""Conversations are shortened by the same rules each time, and stay conversations."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from llm_rlm.root.compaction import Conversation, shortened, shown_limit, weight

if TYPE_CHECKING:
    from collections.abc import Sequence

TRACE = "Traceback (most recent call last):\n  ...\nKeyError: 'x'"


def text(role: str, words: str) -> dict[str, Any]:
    return {"role": role, "parts": [{"type": "text", "text": words}]}


def turn(number: int, code: str, output: str) -> list[dict[str, Any]]:
    """A call, and what came of it."""
    call = {"type": "tool_call", "name": "run", "arguments": {"code": code}, "tool_call_id": f"c{number}"}
    result = {"type": "tool_result", "name": "run", "output": output, "tool_call_id": f"c{number}"}
    return [{"role": "assistant", "parts": [call]}, {"role": "tool", "parts": [result]}]


def said(*cells: tuple[str, str], asked: str = "How many?") -> Conversation:
    turns = [message for number, cell in enumerate(cells) for message in turn(number, *cell)]
    return Conversation([text("system", "You answer."), text("user", asked), *turns, text("assistant", "So it is.")])


def words(conversation: Conversation) -> str:
    return json.dumps(conversation.messages, ensure_ascii=False)


def outputs(conversation: Conversation) -> list[str]:
    return [part["output"] for message in conversation.messages for part in message["parts"] if "output" in part]


def test_first_old_outputs_are_cut_to_their_ends_and_say_so() -> None:
    before = said(*[(f"x{number} = {number}", "a" * 2_000 + "b" * 2_000) for number in range(9)])
    after = shortened(before, weight(before.messages) - 1)
    assert len(after.messages) == len(before.messages)
    assert outputs(after)[0].startswith(
        "a" * 300 + "\n... [3,400 of 4,000 characters of this old output are not shown any more"
    )
    assert outputs(after)[0].endswith("b" * 300)
    assert outputs(after)[-3:] == outputs(before)[-3:]


def test_then_old_turns_become_a_list_of_what_they_ran() -> None:
    before = said(("\nlines = context.splitlines()\nn, m = 1, 2", "fine"), ("d['k'] = 1", TRACE), *[("print(1)", "1" * 99)] * 5)
    after = shortened(before, weight(before.messages) // 2)
    assert [message["role"] for message in after.messages[:3]] == ["system", "user", "assistant"]
    question, listed = after.messages[1]["parts"]
    assert question["text"] == "How many?"
    assert "- `lines = context.splitlines()`: ok; sets lines, n, m\n- `d['k'] = 1`: error\n- `print(1)`: ok" in listed["text"]


def test_the_list_goes_on_when_it_is_shortened_again_and_drops_its_oldest() -> None:
    conversation = said()
    for number in range(60):
        cells = turn(number, f"cell_{number} = {number}", "o" * 400)
        conversation = Conversation([*conversation.messages[:-1], *cells, text("assistant", "So.")], conversation.question)
        if weight(conversation.messages) > 6_000:
            conversation = shortened(conversation, 3_000)
            assert weight(conversation.messages) <= 3_000
    listed = conversation.messages[1]["parts"][1]["text"].splitlines()
    numbers = [int(line.split("_")[1].split(" ")[0]) for line in listed if line.startswith("- `")]
    assert numbers == list(range(numbers[0], numbers[-1] + 1))
    assert f"- ({numbers[0]} more before)" in listed


def test_blocks_of_code_are_listed_as_calls_are() -> None:
    pairs = [
        (text("assistant", f"Now:\n```python\nx{n} = {n}\n```"), text("user", f"Output of your code:\n{n}")) for n in range(9)
    ]
    before = Conversation([text("system", "s"), text("user", "How many?"), *(message for pair in pairs for message in pair)])
    after = shortened(before, 900)
    listed = after.messages[1]["parts"][1]["text"]
    assert "- `x0 = 0`: ok; sets x0\n- `x1 = 1`: ok; sets x1" in listed
    assert "Output of your code" not in listed


def test_what_was_said_in_prose_is_kept_short() -> None:
    before = Conversation(
        [
            *said().messages,
            text("user", "That reply neither ran code nor submitted."),
            *(message for n in range(6) for message in turn(n, "1", "1")),
            text("assistant", "."),
        ]
    )
    listed = words(shortened(before, 1_100))
    assert "- You said: So it is." in listed
    assert "- You were told: That reply neither ran code" in listed


@pytest.mark.parametrize("room", [0, 100, 10**9])
def test_a_conversation_that_has_hardly_begun_is_left_alone(room: int) -> None:
    before = Conversation([text("system", "s"), text("user", "q" * 5_000)])
    assert shortened(before, room).messages == before.messages
    assert shortened(Conversation(), room).messages == []


cell_texts = st.text(st.sampled_from("ab`\n =1"), max_size=2_000)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(cell_texts, cell_texts), max_size=20), st.integers(0, 30_000), st.integers(0, 40))
def test_calls_keep_their_results_and_the_question_stays_whatever_is_cut(
    cells: Sequence[tuple[str, str]], room: int, question: int
) -> None:
    before = said(*cells)
    before = Conversation(before.messages, min(question, len(before.messages)) if question % 2 else 0)
    after = shortened(before, room)
    assert weight(after.messages) <= max(room, weight(before.messages) + 400)
    assert after == shortened(before, room)
    parts = [part for message in after.messages for part in message["parts"]]
    called = [part["tool_call_id"] for part in parts if part["type"] == "tool_call"]
    assert called == [part["tool_call_id"] for part in parts if part["type"] == "tool_result"]
    assert after.messages[1]["parts"][0]["text"] == "How many?"
    assert after.messages[0] == before.messages[0]
    assert 0 <= after.question <= len(after.messages)


def test_the_limit_of_what_is_shown_falls_in_steps_and_not_below_a_thousand() -> None:
    assert [shown_limit(8_192, fill) for fill in (0.0, 0.49, 0.5, 0.74, 0.75, 2.0)] == [
        8_192,
        8_192,
        4_096,
        4_096,
        2_048,
        2_048,
    ]
    assert [shown_limit(2_000, fill) for fill in (0.6, 0.9)] == [1_000, 1_000]
    assert shown_limit(500, 0.9) == 500
