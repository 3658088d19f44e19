"""What the models are told. Each text is a file of this folder; `WHEN` says when it is sent."""

from __future__ import annotations

from functools import cache
from importlib import resources
from string import Template

WHEN = {
    "system": "System prompt of the root model in `llm rlm` and `RLM.ask`; `--system` adds to it.",
    "execute_python": "Description of the tool that runs a cell.",
    "submit_answer": "Description of the tool that ends the run.",
    "no_tool_call": "After the first reply that neither runs code nor submits.",
    "malformed_call": "After a reply whose tool arguments could not be parsed.",
    "cite": "Added to the system prompt where the answer is to come with quotes.",
    "answer_schema": "Added to the system prompt where the answer has to fit a schema.",
    "does_not_fit": "After an answer that does not fit the schema.",
    "no_quotes": "After an answer that came without quotes where they were asked for; once.",
    "quotes_not_found": "After an answer of whose quotes some are not in the input; once.",
    "last_turn": "With the last turn that the limits leave.",
    "schema": "Added to a sub-call with a schema, for a model that takes none.",
    "map": "To a sub-model, by `llm_map`: several items at once.",
    "mend": "To a sub-model whose answer does not fit the schema of its call; once.",
}
"""Each prompt, and when it is sent."""


def render(name: str, **values: object) -> str:
    """The prompt of that name, with its `$fields` filled in."""
    return _template(name).substitute({key: str(value) for key, value in values.items()}).strip()


def template(name: str) -> str:
    """The prompt of that name, its `$fields` not filled in."""
    return _template(name).template.strip()


@cache
def _template(name: str) -> Template:
    return Template((resources.files(__name__) / f"{name}.md").read_text("utf-8"))
