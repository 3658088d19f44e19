"""`llm rlm doctor`: whether all that a run needs is there."""

from __future__ import annotations

import click

from .output import print_json
from .running import FAILED

_MARKS = {"ok": ("ok", "green"), "note": ("note", "yellow"), "problem": ("PROBLEM", "red")}


@click.command()
@click.option("-m", "--model", help="Look at this model; LLM's default if not given")
@click.option("--json", "json_output", is_flag=True, help="Print a JSON array")
@click.pass_context
def doctor(ctx: click.Context, model: str | None, *, json_output: bool) -> None:
    """See whether all that a run needs is there, and what to do where it is not.

    Asks no model and needs no network. Exit code 1 if something is broken.
    """
    from llm_rlm.display.clean import clean  # noqa: PLC0415 - not needed for --help
    from llm_rlm.doctor import checks  # noqa: PLC0415 - likewise

    found = []
    for check in checks(model):
        found.append(check)
        if not json_output:
            mark, color = _MARKS[check.state]
            click.echo(f"{click.style(f'{mark:<7}', fg=color)} {check.name}: {clean(check.found)}")
            if check.cure is not None:
                click.echo(f"        → {clean(check.cure)}")
    if json_output:
        print_json([vars(check) for check in found])
    ctx.exit(FAILED if any(check.state == "problem" for check in found) else 0)
