"""What a root model is told and offered before its first turn: the same for a run at the top and for a child."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from . import models, prompts
from .errors import amount
from .root import Root
from .run import EXECUTE, SUBMIT
from .tools import tools_for

if TYPE_CHECKING:
    from collections.abc import Mapping

    import llm

    from .budget import Limits
    from .run import Start


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


def conversation(brief: Brief, start: Start) -> Root:
    """The conversation with the root model, its system prompt and its tools. A run that is resumed keeps its system prompt."""
    resumed, shown = start.resumed, start.settings.output_limit
    system = resumed.past.system if resumed is not None else None
    root = Root(
        brief.model,
        key=models.key_for(brief.model, brief.key),
        system=system if system is not None else _system(brief, start),
        stream=brief.stream,
    )
    root.tools = tools_for(start.context, shown, _not_called, _not_called, cite=brief.cite)
    return root


def _system(brief: Brief, start: Start) -> str:
    model, sub_model = brief.model.model_id, brief.sub_model.model_id
    system = prompts.render(
        "system",
        context=start.context.describe(),
        execute=EXECUTE,
        submit=SUBMIT,
        shown=f"{start.settings.output_limit:,}",
        limits=_described(brief.limits),
        sub_model=sub_model,
        same=", the same model as you, at the same price" if sub_model == model else "",
        children="\n" + prompts.render("children") if brief.children else "",
    )
    cite = prompts.render("cite", submit=SUBMIT) if brief.cite else ""
    return "\n\n".join(part for part in (system, cite, brief.more) if part)


def _described(limits: Limits) -> str:
    """The limits as the root model is told them."""
    all_of = {"turns": limits.turns, "sub-calls": limits.calls, "tokens": limits.tokens, "cost": limits.cost}
    told = [amount(kind, limit) for kind, limit in all_of.items() if limit is not None]
    return ", ".join(told) or "none"


def _not_called(*_: object, **__: object) -> str:
    """The loop runs the tools itself, so that it can mend a malformed call and stop at the answer."""
    raise AssertionError
