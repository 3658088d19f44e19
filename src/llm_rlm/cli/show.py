"""`llm rlm show`: what happened in a run."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from .output import print_all, print_json
from .reading import opened_journal

if TYPE_CHECKING:
    from llm_rlm.journal.records import Record
    from llm_rlm.showing.one import View


@click.command()
@click.argument("run", default="last")
@click.option("--turn", type=click.IntRange(min=1), metavar="N", help="Only this turn")
@click.option("--calls", is_flag=True, help="Each call, with what was asked and said")
@click.option("--full", is_flag=True, help="Cut nothing")
@click.option("--json", "json_output", is_flag=True, help="Print a JSON object; texts of calls with --calls")
def show(run: str, turn: int | None, *, calls: bool, full: bool, json_output: bool) -> None:
    """Show what happened in RUN: an id, the beginning of one, or `last`.

    What the root model said, each cell with its output and its calls, the answer and what it rests on, how much of the input
    was looked at, what it took. Also of a run that goes on, or that a crash has ended.
    """
    from llm_rlm.journal.history import find_run  # noqa: PLC0415 - not needed for --help
    from llm_rlm.journal.records import Records  # noqa: PLC0415
    from llm_rlm.showing.one import View  # noqa: PLC0415

    with opened_journal() as journal:
        records = Records(journal)
        record = records.record(find_run(journal, run))
        if turn is not None:
            _check(record, turn)
            record = record.of_turn(turn)
        wanted = [text for call in record.calls for text in (call.request, call.response) if text] if calls else []
        texts = records.texts(wanted) if calls else None
        _print(record, View(turn is None, texts, full), json_output=json_output)


def _print(record: Record, view: View, *, json_output: bool) -> None:
    if not json_output:
        print_all(view.of(record))
        return
    from llm_rlm.showing import whole  # noqa: PLC0415 - not needed for --help

    print_json(whole.as_json(record, view.texts))


def _check(record: Record, turn: int) -> None:
    """Raise UsageError for a turn that there is not."""
    from llm_rlm.errors import UsageError  # noqa: PLC0415 - not needed for --help

    numbers = [each.number for each in record.turns]
    if turn not in numbers:
        there = f"{numbers[0]} to {numbers[-1]}" if numbers else "none"
        message = f"run {record.run.id} has no turn {turn}; there are {there}"
        raise UsageError(message)
