"""`llm rlm models`: drop-in models, used as `llm -m rlm/MODEL`."""

from __future__ import annotations

import click

from .running import shown_as_usage


@click.group()
def models() -> None:
    """Drop-in models: `llm -m rlm/MODEL -f huge.txt "QUESTION"`.

    A drop-in model answers as MODEL does, but keeps what it is given as fragments, or a long prompt, out of MODEL's window.
    """


@models.command()
@click.argument("model")
@click.option("--sub-model", help="Model for sub-calls; MODEL if not given")
@click.pass_context
def add(ctx: click.Context, model: str, sub_model: str | None) -> None:
    """Offer MODEL as rlm/MODEL too."""
    from llm_rlm import registry  # noqa: PLC0415 - not needed for --help
    from llm_rlm.errors import UsageError  # noqa: PLC0415
    from llm_rlm.providers.models import find  # noqa: PLC0415

    with shown_as_usage(ctx):
        if model.startswith(registry.PREFIX):
            message = f"{model} is a drop-in model itself: add {model.removeprefix(registry.PREFIX)}"
            raise UsageError(message)
        name = find(model).model_id
        sub = find(sub_model).model_id if sub_model is not None else None
        registry.add(name, registry.Entry(sub))
    click.echo(f'Added. Use it as: llm -m {registry.PREFIX}{name} -f FILE "QUESTION"', err=True)


@models.command("list")
@click.option("--json", "json_output", is_flag=True, help="Print a JSON array")
@click.pass_context
def list_(ctx: click.Context, *, json_output: bool) -> None:
    """List the drop-in models."""
    import json  # noqa: PLC0415 - not needed for --help

    from llm_rlm import registry  # noqa: PLC0415 - likewise

    with shown_as_usage(ctx):
        kept = registry.entries()
    if json_output:
        click.echo(json.dumps([{"name": registry.PREFIX + name, "sub_model": entry.sub_model} for name, entry in kept.items()]))
        return
    for name, entry in kept.items():
        click.echo(f"{registry.PREFIX}{name}" + (f" (sub-model: {entry.sub_model})" if entry.sub_model else ""))
    if not kept:
        click.echo("None yet: llm rlm models add MODEL", err=True)


@models.command()
@click.argument("model")
@click.pass_context
def remove(ctx: click.Context, model: str) -> None:
    """Take rlm/MODEL away."""
    from llm_rlm import registry  # noqa: PLC0415 - not needed for --help

    with shown_as_usage(ctx):
        registry.remove(model)
