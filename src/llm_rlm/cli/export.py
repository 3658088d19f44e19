"""`llm rlm export`: runs in the forms that others read."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import click

from .reading import opened_journal

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from llm_rlm.journal import Journal

_FORMS = {".py": "script", ".jsonl": "messages"}


_HELP = """Write RUN, an id, the beginning of one, or `last`, as a Python script that does the same again.

Or, with --as messages, as JSON lines for training and evaluation: one line for each conversation with a root model, in the
form of OpenAI's chat API. Several runs can be given then.

\b
llm rlm export last -o run.py && python run.py
llm rlm export --all --calls -o runs.jsonl
"""


@click.command(help=_HELP)
@click.argument("runs", nargs=-1, metavar="RUN...")
@click.option("--all", "all_runs", is_flag=True, help="All runs that the journal has, oldest first, as messages")
@click.option(
    "--as", "form", type=click.Choice(["script", "messages"]), help="The form; as OUTPUT ends, .py or .jsonl, if not given"
)
@click.option("--calls", is_flag=True, help="With the messages of sub-calls and child runs, a line each")
@click.option("-o", "--output", type=click.Path(dir_okay=False, path_type=Path), help="The file to write; else stdout")
@click.option("--otel", is_flag=True, help="Send spans to where OTEL_EXPORTER_OTLP_ENDPOINT says, instead")
@click.option("--content", is_flag=True, help="With --otel: send also what was said")
def export(runs: Sequence[str], *, all_runs: bool, output: Path | None, **given: Any) -> None:  # noqa: ANN401 - the options
    """See _HELP."""
    form, calls = given["form"], given["calls"]
    if given["otel"] or given["content"]:
        _check_otel(runs, given | {"all": all_runs, "output": output})
        _send(runs, content=given["content"] or None)
        return
    form = form or _FORMS.get(output.suffix if output is not None else "", "messages" if all_runs else "script")
    _check(runs, all_runs=all_runs, form=form, calls=calls)
    with opened_journal() as journal:
        texts = _script(journal, runs[0]) if form == "script" else _lines(journal, runs, calls=calls)
        _write(texts, output)


def _check(runs: Sequence[str], *, all_runs: bool, form: str, calls: bool) -> None:
    """Raise click.UsageError for options that do not go together."""
    if all_runs == bool(runs):
        message = "give --all or runs, not both" if runs else "give a run, `last` or --all"
        raise click.UsageError(message)
    if form == "script" and (calls or all_runs or len(runs) > 1):
        message = "a script is of one run, without --calls: give --as messages for the others"
        raise click.UsageError(message)


def _check_otel(runs: Sequence[str], given: dict[str, Any]) -> None:
    others = [name for name, value in given.items() if value and name not in {"otel", "content"}]
    if not given["otel"] or not runs or others:
        message = "--otel sends the runs that are named, with --content or without; no other option goes with it"
        raise click.UsageError(message)


def _send(runs: Sequence[str], *, content: bool | None) -> None:
    from llm_rlm.export.otel import send  # noqa: PLC0415 - not needed for --help
    from llm_rlm.journal.history import find_run  # noqa: PLC0415

    with opened_journal() as journal:
        for run in [find_run(journal, run) for run in runs]:
            count = send(journal, run, content=content)
            click.echo(f"Sent {count:,} spans of run {run}.", err=True)


def _script(journal: Journal, run: str) -> Iterator[str]:
    from llm_rlm.export.script import script  # noqa: PLC0415 - not needed for --help
    from llm_rlm.journal.history import find_run  # noqa: PLC0415

    yield script(journal, find_run(journal, run))


def _lines(journal: Journal, runs: Sequence[str], *, calls: bool) -> Iterator[str]:
    """The messages of runs, of all where none is named."""
    from llm_rlm.export.messages import lines  # noqa: PLC0415 - not needed for --help
    from llm_rlm.journal.history import find_run  # noqa: PLC0415

    known = journal.rows("select id from runs where parent is null order by started, id") if not runs else []
    for run in [find_run(journal, run) for run in runs] or [row["id"] for row in known]:
        found = False
        for line in lines(journal, run, calls=calls):
            found = True
            yield f"{json.dumps(line)}\n"
        if runs and not found:
            _refuse(run, calls=calls)


def _refuse(run: str, *, calls: bool) -> NoReturn:
    """Raise click.UsageError for a run of which there is nothing to tell."""
    if calls:
        message = f"run {run} has neither a conversation nor a sub-call that was answered"
    else:
        message = f"run {run} has no conversation with a root model of `llm rlm`: --calls gives its sub-calls"
    raise click.UsageError(message)


def _write(texts: Iterator[str], output: Path | None) -> None:
    from llm_rlm.saving import save  # noqa: PLC0415 - not needed for --help

    if output is not None:
        save(output, texts)
        return
    for text in texts:
        click.echo(text.encode(), nl=False)  # as Python and JSON have it, whatever the terminal
