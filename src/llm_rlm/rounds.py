"""A limit of rounds that RLMToolbox can work with.

LLM's default of five rounds (`--cl`) leaves three for tools. Where RLMToolbox is among them it is 100: a model that never comes
to an end does not spend for ever. An explicit `--cl`, `--cl 0` too, is respected.

The smallest wrapping that works for templates, `-c` and `chat` alike: the callbacks of `prompt` and `chat` put, for the time of
the command, a function around `llm.cli._tool_chain_kwargs`, which makes the tools. Where LLM has changed, this does nothing,
and the tool results say how many rounds are allowed instead.

What RLMToolbox is told stands in the `meta` of click's context: `llm_rlm.unlimited`, that the default is not applied, and
`llm_rlm.model`, the name of the model that LLM found, from a template or an earlier conversation too.
"""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource

if TYPE_CHECKING:
    from collections.abc import Callable

MOST_ROUNDS = 100
"""Rounds of a chain with RLMToolbox, unless the user says otherwise."""

_MAKER = "_tool_chain_kwargs"


def lift_chain_limit(cli: click.Group) -> None:
    """Wrap the commands that run chains."""
    for name in ("prompt", "chat"):
        command = cli.commands.get(name)
        if command is not None and command.callback is not None:
            command.callback = _lifted(command.callback)


def _lifted(callback: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(callback)
    def wrapped(*args: Any, **kwargs: Any) -> Any:  # noqa: ANN401 - click's
        import llm.cli  # noqa: PLC0415 - it is what called us

        context = click.get_current_context(silent=True)
        original = getattr(llm.cli, _MAKER, None)
        if context is None or original is None:
            return callback(*args, **kwargs)
        setattr(llm.cli, _MAKER, _unlimited(original, context))
        try:
            return callback(*args, **kwargs)
        finally:
            setattr(llm.cli, _MAKER, original)

    return wrapped


def _unlimited(make: Callable[..., Any], context: click.Context) -> Callable[..., Any]:
    @functools.wraps(make)
    def made(*args: Any, **kwargs: Any) -> Any:  # noqa: ANN401 - LLM's
        context.meta["llm_rlm.model"] = getattr(kwargs.get("model"), "model_id", None)
        chain = make(*args, **kwargs)
        chosen = context.get_parameter_source("chain_limit") is not ParameterSource.DEFAULT
        if not chosen and any(type(tool).__name__ == "RLMToolbox" for tool in chain.get("tools", ())):
            chain["chain_limit"] = MOST_ROUNDS
            context.meta["llm_rlm.unlimited"] = True
        return chain

    return made
