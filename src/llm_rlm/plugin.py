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
def register_models(register: Callable[..., None]) -> None:
    """Offer the drop-in models that the user has added."""
    from .errors import UsageError  # noqa: PLC0415 - light
    from .registry import entries  # noqa: PLC0415 - light: it reads a small file, if there is one

    try:
        kept = entries()
    except UsageError as problem:  # every command of LLM comes by here
        import click  # noqa: PLC0415 - LLM has imported it

        click.echo(f"Warning: {problem}", err=True)
        return
    if kept:
        from .drop_in import AsyncRLMModel, RLMModel  # noqa: PLC0415 - only when there is any

        for name, entry in kept.items():
            register(RLMModel(name, entry), AsyncRLMModel(name, entry))


@hookimpl
def register_commands(cli: click.Group) -> None:
    """Add `llm rlm`, and lift LLM's limit of rounds where RLMToolbox is among the tools."""
    from .cli import add_command  # noqa: PLC0415 - light: its options, not what they do
    from .rounds import lift_chain_limit  # noqa: PLC0415 - likewise

    add_command(cli)
    lift_chain_limit(cli)
