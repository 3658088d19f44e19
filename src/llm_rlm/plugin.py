"""What LLM loads: the hooks. Every `llm` command imports this, so it imports next to nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING

from llm import hookimpl

if TYPE_CHECKING:
    from collections.abc import Callable

    import click


@hookimpl
def register_tools(register: Callable[..., None]) -> None:
    """Offer RLMToolbox to `llm -T`."""
    from .toolbox import RLMToolbox  # noqa: PLC0415 - only when tools are asked for

    register(RLMToolbox)


@hookimpl
def register_commands(cli: click.Group) -> None:
    """Add `llm rlm`, and lift LLM's limit of rounds where RLMToolbox is among the tools."""
    from .cli import add_command  # noqa: PLC0415 - light: its options, not what they do
    from .rounds import lift_chain_limit  # noqa: PLC0415 - likewise

    add_command(cli)
    lift_chain_limit(cli)
