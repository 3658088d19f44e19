"""What a root model is told and offered before its first turn: the same for a run at the top and for a child."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from llm_rlm import prompts
from llm_rlm.errors import amount
from llm_rlm.providers import models
from llm_rlm.root.by_code import ByCode
from llm_rlm.root.by_tools import ByTools
from llm_rlm.root.conversation import Root
from llm_rlm.root.names import SUBMIT

from .functions import prompt_lines
from .tools import tools_for

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    import llm

    from llm_rlm.budget import Limits
    from llm_rlm.root.conversation import Way

    from .start import Start


@dataclass(frozen=True)
class Brief:
    """A root model and what it is to know, besides its question and its context."""

    model: llm.Model
    sub_model: llm.Model
    limits: Limits
    key: str | None = field(default=None, repr=False)
    """As the user gave it."""
    options: Mapping[str, object] = field(default_factory=dict)
    """Options of the root model."""
    stream: bool = True
    cite: bool = False
    """Whether the answer is to come with quotes."""
    more: str | None = None
    """Added to the system prompt."""
    children: int = 0
    """How many levels of child runs there may be below it."""
    protocol: Literal["tools", "code"] | None = None
    """How it runs code: by calling a tool, or by writing blocks of code. None: by tools, where it supports them."""
    schema: object = None
    """The JSON Schema that the answer has to fit, if there is one."""
    window: Callable[[], int | None] | None = None
    """How many tokens the model takes, if that is known."""


def conversation(brief: Brief, start: Start, system: str | None = None) -> Root:
    """The conversation with the root model, its system prompt and its tools. `system` is the prompt that it had before."""
    by_tools = brief.protocol == "tools" or (brief.protocol is None and brief.model.supports_tools)
    way: Way = ByTools(_tools(brief, start)) if by_tools else ByCode()
    key = models.key_for(brief.model, brief.key)
    system = system or _system(brief, start, way)
    return Root(brief.model, way, key=key, system=system, stream=brief.stream, window=brief.window)


def submit_name(way: Way) -> str:
    """What the root model is told to call with its answer."""
    return SUBMIT if way.name == "tools" else "submit"


def _tools(brief: Brief, start: Start) -> list[llm.Tool]:
    return tools_for(start.context, start.settings.output_limit, _not_called, _not_called, cite=brief.cite)


def _system(brief: Brief, start: Start, way: Way) -> str:
    model, sub_model = brief.model.model_id, brief.sub_model.model_id
    system = prompts.render(
        "system",
        context=start.context.describe(),
        acting=way.acting(),
        shown=f"{start.settings.output_limit:,}",
        limits=_described(brief.limits),
        sub_model=sub_model,
        same=", the same model as you, at the same price" if sub_model == model else "",
        children="\n" + prompts.render("children") if brief.children else "",
    )
    own = prompts.render("functions", functions=prompt_lines(start.functions)) if start.functions else ""
    return "\n\n".join(part for part in (system, own, *wanted(way, brief.schema, cite=brief.cite), brief.more) if part)


def wanted(way: Way, schema: object, *, cite: bool) -> list[str]:
    """What the root model is told of the answer that is wanted, besides the question."""
    told = [prompts.render("cite", submit=submit_name(way))] if cite else []
    return told + ([prompts.render("answer_schema", schema=json.dumps(schema, ensure_ascii=False))] if schema else [])


def _described(limits: Limits) -> str:
    """The limits as the root model is told them."""
    all_of = {"turns": limits.turns, "sub-calls": limits.calls, "tokens": limits.tokens, "cost": limits.cost}
    told = [amount(kind, limit) for kind, limit in all_of.items() if limit is not None]
    return ", ".join(told) or "none"


def _not_called(*_: object, **__: object) -> str:
    """The loop runs the tools itself, so that it can mend a malformed call and stop at the answer."""
    raise AssertionError
