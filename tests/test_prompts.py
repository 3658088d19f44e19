"""What the models are told, word for word. Each rendered prompt stands in tests/prompts/, to be read when it changes."""

from __future__ import annotations

import os
from importlib import resources
from pathlib import Path

import pytest

from llm_rlm import prompts
from llm_rlm.context import Context, no_context
from llm_rlm.run import EXECUTE, SUBMIT
from llm_rlm.tools import tools_for

SNAPSHOTS = Path(__file__).parent / "prompts"
VALUES = {
    "context": "`context` is a str of 1,234 bytes of text (big.log).",
    "execute": EXECUTE,
    "submit": SUBMIT,
    "shown": "8,192",
    "limits": "30 turns, 1,000 sub-calls, $1.00",
    "sub_model": "small-model",
    "same": "",
    "why": "the limit of 30 turns is reached",
    "problem": "Expecting value: line 1 column 1 (char 0)",
    "prompt": "Who is it?",
    "schema": '{"type": "string"}',
}


@pytest.mark.parametrize("name", prompts.WHEN)
def test_a_prompt_is_as_it_was_last_read(name: str) -> None:
    path = SNAPSHOTS / f"{name}.txt"
    rendered = prompts.render(name, **VALUES) + "\n"
    if os.environ.get("UPDATE_PROMPTS"):
        path.parent.mkdir(exist_ok=True)
        path.write_text(rendered)
    assert path.read_text() == rendered, "if it is meant: UPDATE_PROMPTS=1 pytest tests/test_prompts.py"


def test_every_prompt_says_when_it_is_sent() -> None:
    files = {Path(file.name).stem for file in resources.files(prompts).iterdir() if file.name.endswith(".md")}
    assert files == set(prompts.WHEN)


def test_a_field_that_is_not_filled_in_is_an_error() -> None:
    with pytest.raises(KeyError):
        prompts.render("last_turn", why="x")


CONTEXTS = [
    no_context(),
    *(Context("context", "json", kind, 10**12, path=Path("x")) for kind in ("int", "bool", "float")),
    *(Context("context", "json", kind, 10**12, 10**9, path=Path("x")) for kind in ("list", "dict")),
    *(Context(name, "text", "str", 10**12, path=Path("x")) for name in ("context", "stdin", "n" * 255, "a\nname\u202e.log")),
]


@pytest.mark.parametrize("context", CONTEXTS, ids=lambda context: f"{context.type} {context.name[:7].split()[0]}")
def test_the_description_of_a_tool_is_whole_and_within_what_providers_take(context: Context) -> None:
    execute, submit = tools_for(context, 1_000_000_000, print, print)
    for tool in (execute, submit):
        assert tool.description is not None
        assert len(tool.description) <= 1024
    assert str(execute.description).endswith(f"call {SUBMIT}.")
    assert context.describe() in str(execute.description)


@pytest.mark.parametrize(
    ("context", "says"),
    [
        (Context("big.log", "text", "str", 1234, path=Path("x")), "`context` is a str of 1,234 bytes of text (big.log)."),
        (Context("context", "text", "str", 5, path=Path("x")), "`context` is a str of 5 bytes of text."),
        (Context("context", "json", "list", 50, 3, path=Path("x")), "`context` is a list of 3 items (50 bytes as JSON)."),
        (Context("context", "json", "int", 1, path=Path("x")), "`context` is a int."),
        (no_context(), "`context` is None: this question came without input."),
        (Context("a\nb\u202e.log", "text", "str", 1, path=Path("x")), "`context` is a str of 1 bytes of text (ab.log)."),
    ],
)
def test_a_context_is_described_by_type_and_size(context: Context, says: str) -> None:
    advice = " Do not print it whole: look at parts, compute in code what code can, and let sub-models read the rest."
    large = context.type in {"str", "list", "dict"}
    assert context.describe() == says + (advice if large else "")
