"""What the models are told. Each text is a file of this folder; `WHEN` says when it is sent."""

from __future__ import annotations

from functools import cache
from importlib import resources
from string import Template

WHEN = {
    "system": "System prompt of the root model in `llm rlm` and `RLM.ask`; `--system` adds to it.",
    "acting_tools": "Part of the system prompt, for a model that is offered tools.",
    "acting_code": "Part of the system prompt, for a model that is not: it writes blocks of code.",
    "execute_python": "Description of the tool that runs a cell.",
    "submit_answer": "Description of the tool that ends the run.",
    "no_tool_call": "After the first reply that neither runs code nor submits.",
    "no_code": "The same, for a model that writes blocks of code.",
    "answer_withheld": "After a reply with blocks of code that also gives, in its prose, an answer.",
    "malformed_call": "After a reply whose tool arguments could not be parsed.",
    "functions": "Added to the system prompt where the user has given functions for cells.",
    "children": "Added to the system prompt, among the functions, where cells may start child runs.",
    "cite": "Added to the system prompt where the answer is to come with quotes.",
    "answer_schema": "Added to the system prompt where the answer has to fit a schema.",
    "does_not_fit": "After an answer that does not fit the schema.",
    "no_quotes": "After an answer that came without quotes where they were asked for; once.",
    "quotes_not_found": "After an answer of whose quotes some are not in the input; once.",
    "follow_up": "A further question over the same session, instead of the question alone.",
    "long_prompt": "Instead of a question, where a drop-in model is given a prompt that is too long to be one.",
    "earlier": "Before a question to a drop-in model that comes with other input than the conversation had so far.",
    "earlier_turns": "With the question, in place of old turns, once the conversation comes near the end of the window.",
    "last_turn": "With the last turn that the limits leave.",
    "last_turn_code": "The same, for a model that writes blocks of code.",
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
