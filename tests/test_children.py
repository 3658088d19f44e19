"""Child runs: a session each, one budget, their own rows in the journal."""

from __future__ import annotations

import json
import threading
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from llm_rlm import RLM, Limits, Rate, RLMToolbox, RunFailedError, Settings, UsageError
from llm_rlm.journal import Journal
from llm_rlm.testing import Reply, Request, ScriptedModel, say, tool_outputs
from scripts import run, scripted, submit, submit_variable

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    import llm

    from conftest import Serve
    from llm_rlm import Result

both_apis = pytest.mark.parametrize("api", ["chat", "responses"])


def ask(cell: str, child: Callable[[llm.Prompt], Reply | str], context: Any = "some text", **engine: Any) -> Result:
    """Ask with a root model that runs one cell and submits `x`, and a sub-model that is `child`."""
    root = scripted(run(cell), submit_variable("x"))
    return RLM(root, ScriptedModel(child, "sub"), **engine).ask("?", context)


def question(prompt: llm.Prompt) -> str:
    """What a run was asked, whose root model gets this prompt."""
    texts = [
        part.text for message in prompt.messages if message.role == "user" for part in message.parts if hasattr(part, "text")
    ]
    return str(texts[0]) if texts else ""


def answers(prompt: llm.Prompt) -> Reply:
    """A child that submits what it was asked and what its context is; without tools, a plain answer."""
    if not prompt.tools:
        return say(f"plain: {prompt.prompt}")
    return run(f"submit({question(prompt)!r} + ' ' + repr(context))")


def runs(path: Path) -> list[dict[str, Any]]:
    journal = Journal(path / "rlm.db")
    try:
        return journal.rows(
            "select readable_runs.*, calls.kind as call_kind from readable_runs"
            " left join calls on calls.id = parent_call order by readable_runs.started, readable_runs.id"
        )
    finally:
        journal.close()


def test_a_child_answers_with_a_session_of_its_own(user_path: Path) -> None:
    result = ask("y = 1\nr = await rlm_query('What?', context='part')\nx = [r['response'], r + '!', 'y' in r]", answers)
    assert result.answer == ["What? 'part'", "What? 'part'!", False]
    top, child = runs(user_path)
    assert (child["parent"], child["depth"], child["call_kind"], child["question"]) == (top["id"], 1, "run", "What?")
    assert (child["finish"], child["answer"], child["ended"] is not None) == ("submitted", "What? 'part'", True)
    assert (top["parent"], top["depth"]) == (None, 0)


@pytest.mark.parametrize(
    ("context", "shown"),
    [
        ("['a', {'b': 1}]", "['a', {'b': 1}]"),
        ("{'k': [1, 2.5, None]}", "{'k': [1, 2.5, None]}"),
        ("7", "7"),
        ("'é\\U0001f600\\n'", "'é😀\\n'"),
        ("None", "None"),
        ("context", "'some text'"),
        ("context[5:]", "'text'"),
    ],
)
def test_the_context_of_a_child_is_what_the_cell_gives_in_the_same_shape(context: str, shown: str) -> None:
    assert ask(f"x = await rlm_query('Q', {context})", answers).answer == f"Q {shown}"
