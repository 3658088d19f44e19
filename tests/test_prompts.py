"""What the models are told, word for word. Each rendered prompt stands in tests/prompts/, to be read when it changes."""

from __future__ import annotations

import os
from dataclasses import replace
from importlib import resources
from pathlib import Path

import pytest

from llm_rlm import prompts
from llm_rlm.context import Context, Document
from llm_rlm.context.document import Table
from llm_rlm.context.media import Attachable
from llm_rlm.root.names import EXECUTE, SUBMIT
from llm_rlm.runs.tools import tools_for

SNAPSHOTS = Path(__file__).parent / "prompts"
VALUES = {
    "acting": prompts.render("acting_tools", execute=EXECUTE, submit=SUBMIT),
    "context": "`context` is a str of 1,234 bytes of text (big.log).",
    "execute": EXECUTE,
    "submit": SUBMIT,
    "shown": "8,192",
    "limits": "30 turns, 1,000 sub-calls, $1.00",
    "sub_model": "small-model",
    "same": "",
    "question": "And when was it?",
    "functions": "- `await lookup(name: str)`: Who that is.",
    "size": "123,456",
    "begin": "Read this:",
    "end": "Who did it?",
    "conversation": "user: Who?\nassistant: Nobody.",
    "children": "\n- CHILDREN",
    "turns": "- `print(len(context))`: ok\n- `parts = context.split()`: ok; sets parts",
    "why": "the limit of 30 turns is reached",
    "quotes": "- 'no such words': not in the input",
    "problem": "Expecting value: line 1 column 1 (char 0)",
    "prompt": "Who is it?",
    "schema": '{"type": "string"}',
    "answer": "Somebody",
    "error": "the answer is not JSON (JSONDecodeError): 'Somebody'",
    "instruction": "Which tone has it?",
    "count": "2",
    "items": "<item 417>\nGreat!\n</item 417>\n\n<item 230>\nNever again.\n</item 230>",
    "numbers": "417, 230",
    "labels": ' RESULT is one of these, word for word: ["good", "bad"].',
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


def held(name: str = "context", size: int = 10**12) -> tuple[Document, ...]:
    return (Document(name, "/x", size),)


CONTEXTS = [
    Context(),
    *(Context("json", kind, documents=held()) for kind in ("int", "bool", "float")),
    *(Context("json", kind, 10**9, held()) for kind in ("list", "dict")),
    *(Context("text", documents=held(name)) for name in ("context", "stdin", "n" * 255, "a\nname\u202e.log")),
    Context("large", documents=held("n" * 255)),
    Context("many", documents=held("n" * 255) * 1_000, tables=(Table("t" * 255, "/t", 1, "parquet"),) * 1_000),
    Context("many", tables=(Table("t.parquet", "/t", 1, "parquet"),)),
    *(
        replace(context, attachable=(Attachable("a.png", "/a.png", "image/png"),) * 1_000)
        for context in (
            Context("text", documents=held("n" * 255)),
            Context("large", documents=held("n" * 255)),
            Context("many", documents=held("n" * 255) * 1_000, tables=(Table("t" * 255, "/t", 1, "parquet"),) * 1_000),
        )
    ),
]


@pytest.mark.parametrize("context", CONTEXTS, ids=lambda context: f"{context.kind} {context.type} {len(context.documents)}")
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
        (Context("text", documents=held("big.log", 1234)), "`context` is a str of 1,234 bytes of text (big.log). Do not"),
        (Context("text", documents=held(size=5)), "`context` is a str of 5 bytes of text. Do not print it whole"),
        (Context("json", "list", 3, held(size=50)), "`context` is a list of 3 items (50 bytes as JSON). Do not print it"),
        (Context("json", "int", documents=held(size=1)), "`context` is a int."),
        (Context(), "`context` is None: this question came without input."),
        (Context("text", documents=held("a\nb\u202e.log", 1)), "`context` is a str of 1 bytes of text (ab.log). Do not"),
        (Context("large", documents=held("big.log")), "`context` is a text of 1,000,000,000,000 bytes (big.log), not a str"),
        (
            Context("many", documents=(*held("a.py", 1), *held("b.py", 2), *held("c.py", 3), *held("d.py", 4))),
            "`context` is a read-only mapping from name to text: 4 texts, 10 bytes (a.py, b.py, c.py, …); `context.names`,",
        ),
        (
            Context("many", attachable=(Attachable("a.png", "/a.png", "image/png"),)),
            "`context` holds no text. `attachable`: 1 images etc. for `llm_query(attachments=[…])`.",
        ),
        (Context("many", tables=(Table("t", "/t", 1, "sqlite"),)), "`context` holds no text. `sql` can query 1 of its files."),
    ],
)
def test_a_context_is_described_by_type_and_size(context: Context, says: str) -> None:
    assert context.describe().startswith(says)
