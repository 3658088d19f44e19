"""`llm rlm demo`: a whole run, without a key or a network."""

from __future__ import annotations

import click

from .running import shown_as_usage


@click.command()
@click.option("--megabytes", type=click.IntRange(1, 500), default=50, show_default=True, help="Size of the log to make")
@click.option("-q", "--quiet", is_flag=True, help="Only the answer")
@click.pass_context
def demo(ctx: click.Context, megabytes: int, *, quiet: bool) -> None:
    """Show a whole run, without a key, a network or a language model.

    A scripted model works through a large log that the demo makes, with real cells in the real sandbox and sub-calls to a
    scripted sub-model.
    """
    from llm_rlm.demo import run_demo  # noqa: PLC0415 - not needed for --help

    with shown_as_usage(ctx):
        run_demo(megabytes, quiet=quiet)
