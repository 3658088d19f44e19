"""`llm rlm report`: a run as a page."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import click

from .reading import opened_journal

if TYPE_CHECKING:
    from pathlib import Path

_STDOUT = "-"


@click.command()
@click.argument("run")
@click.option("-o", "--output", metavar="FILE", help="The file to write, - for stdout (default: rlm-ID.html)")
@click.option("--open", "open_it", is_flag=True, help="Open it in the browser")
@click.option("--full", is_flag=True, help="Have every text whole, however long")
@click.option("--force", is_flag=True, help="Replace FILE also if it is no report")
def report(run: str, output: str | None, *, open_it: bool, full: bool, force: bool) -> None:
    """Write RUN, an id, the beginning of one, or `last`, as a page: one file that opens in any browser, without a network.

    The question and the answer with its citations, a timeline, each cell and each call, cost and tokens, and what of the input
    was looked at. Also of runs that failed or still go on. The file has what the run has read: only you may read it. Its path
    is printed.
    """
    if output == _STDOUT and open_it:
        message = "--open needs a file: -o - writes to stdout"
        raise click.UsageError(message)
    from llm_rlm.report import writing  # noqa: PLC0415 - not needed for --help

    with opened_journal() as journal:
        if output == _STDOUT:
            for piece in writing.pieces(journal, run, full=full):
                click.echo(piece.encode(), nl=False)
            return
        path = writing.write_from(journal, run, output, full=full, force=force)
    click.echo(os.fsencode(path) if os.name == "posix" else path)  # any name is bytes there, not all are text
    if open_it:
        _show(path)


def _show(path: Path) -> None:
    import webbrowser  # noqa: PLC0415 - slow to import

    if not webbrowser.open(path.resolve().as_uri()):
        click.echo("No browser could be opened.", err=True)
