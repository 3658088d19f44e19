"""What asks: models, limits, settings, and what else a question can be asked with."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from llm_rlm.budget import Limits

from .start import Settings

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    import llm
    from pydantic import BaseModel

    from llm_rlm.config import Rate


@dataclass(frozen=True)
class Engine:
    """Everything about an RLM but what it can do: see `RLM`."""

    model: str | llm.Model | None = None
    """The root model: a name or alias that LLM knows, a model, or None for LLM's default."""
    sub_model: str | llm.Model | None = None
    """The model that cells call; None for the root model."""
    limits: Limits = field(default_factory=Limits)
    settings: Settings = field(default_factory=Settings)
    system: str | None = None
    """Added to the root model's system prompt."""
    options: Mapping[str, object] = field(default_factory=dict)
    """Options of the root model, as `llm -o` takes them."""
    sub_options: Mapping[str, object] = field(default_factory=dict)
    """Options of the sub-model."""
    key: str | None = field(default=None, repr=False)
    """The root model's key, used for the sub-model as well where that needs the same one."""
    stream: bool = True
    """Whether the root model's replies are streamed, where it can."""
    log: bool = True
    """Whether the run is kept in the journal on disk."""
    llm_log: Path | None = None
    """The database of LLM's own log that gets the root model's responses; None for none."""
    prices: Mapping[str, Rate] = field(default_factory=dict)
    """Prices of models by name, before those that are known."""
    windows: Mapping[str, int] = field(default_factory=dict)
    """Windows of models by name, in tokens, before those that are known: near its end the conversation is shortened."""
    default_cost: float | None = None
    """USD: the limit of cost where `limits` has none and the prices of both models are known."""
    functions: Sequence[Callable[..., Any]] = ()
    """Your own functions, which cells can call: `await f(...)`. They run on this machine with all your rights, with arguments
    that a model chose, which may have read text that nobody vetted: give only what you would let a stranger call.
    """
    tools: Sequence[str] = ()
    """Tools and toolboxes of LLM, as `llm -T` takes them, likewise."""
    cite: bool = False
    """Whether answers are to come with verbatim quotes, which are looked up in the input."""
    protocol: Literal["tools", "code"] | None = None
    """How the root model runs code: by calling a tool, or by writing blocks of code. None: by tools, where it supports them."""
    depth: int = 1
    """How deep child runs go that cells start with `rlm_query`, each with a session of its own; 0 for none."""
    schema: Mapping[str, object] | str | type[BaseModel] | None = None
    """What answers have to fit: a JSON Schema as a dict or JSON text, LLM's concise schema string, or a pydantic class."""
