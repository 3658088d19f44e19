"""`llm rlm runs`: the runs there are."""

from __future__ import annotations

import re
import sys
import time
from datetime import datetime
from typing import TYPE_CHECKING, Any

import click

from .options import AtLeastZero
from .output import console_for, print_all, print_json
from .reading import opened_journal

if TYPE_CHECKING:
    from collections.abc import Sequence

    from llm_rlm.journal.sound import DamagedError

_STATES = ("submitted", "prose", "limit", "interrupted", "error", "running", "crashed", "ended")
_UNITS = {"m": 60, "h": 3_600, "d": 86_400, "w": 604_800}
_AGO = re.compile(r"(\d+(?:\.\d+)?)([mhdw])")


class _Moment(click.ParamType[float]):
    """A time: a date, a date with a time, or how long ago. Its value is in seconds since 1970."""

    name = "time"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:  # noqa: ANN401 - click's
        """Read it; local time where no zone is given."""
        if (ago := _AGO.fullmatch(str(value))) is not None:
            return time.time() - float(ago[1]) * _UNITS[ago[2]]
        try:
            return datetime.fromisoformat(str(value)).timestamp()
        except (ValueError, OverflowError, OSError):
            self.fail(f"{value!r} is no time: write 2026-11-28, 2026-11-28T16:04, or 2d, 3h, 30m, 1w ago", param, ctx)


@click.command()
@click.option("-n", "--count", type=click.IntRange(min=0), default=20, show_default=True, help="How many; 0 for all")
@click.option("-q", "--query", "words", metavar="TEXT", help="Only runs in which one text has all these words")
@click.option("-m", "--model", help="Only runs with this model, or with it as sub-model")
@click.option("--finish", "states", type=click.Choice(_STATES), multiple=True, help="Only runs that ended so; repeatable")
@click.option("--since", type=_Moment(), help="Only runs begun since then: 2026-11-28, 2026-11-28T16:04, 2d, 3h")
@click.option("--until", type=_Moment(), help="Only runs begun before then")
@click.option("--source", metavar="NAME", help="Only runs over a source whose name has this in it")
@click.option("--cost-over", "dearer_than", type=AtLeastZero(), metavar="USD", help="Only runs that cost more")
@click.option("--children", is_flag=True, help="Child runs too")
@click.option("--json", "json_output", is_flag=True, help="Print a JSON array")
def runs(count: int, *, json_output: bool, **given: Any) -> None:  # noqa: ANN401 - the options
    """List runs, the newest first.

    On a pipe, one run a line, its fields between tabs: id, when it began, how it ended, turns, calls, input tokens, output
    tokens, cost in USD, seconds, model, question.

    TEXT is looked for in questions, answers, code, output, prompts and what models said; words between double quotes are one.
    """
    from llm_rlm.journal.listing import Wanted, listed, shortest  # noqa: PLC0415 - not needed for --help
    from llm_rlm.showing import lists  # noqa: PLC0415

    with opened_journal() as journal:
        found = listed(journal, Wanted(count or None, **given))
        ids = shortest(journal, [run.id for run in found.runs])
        (known,) = journal.rows("select count(*) as runs from runs")
    if json_output:
        print_json(lists.as_json(found.runs))
    elif not found.runs and not found.damaged:
        none = "No runs yet: llm rlm QUESTION -c FILE makes the first, llm rlm demo shows one."
        click.echo("No runs like that." if known["runs"] else none, err=True)
    elif sys.stdout.isatty():
        print_all([lists.as_table(found.runs, ids, console_for(terminal=True).width)])
    else:
        for run in found.runs:
            click.echo(lists.as_line(run))
    if found.damaged:
        raise click.ClickException(_left_out(found.damaged))


def _left_out(damaged: Sequence[DamagedError]) -> str:
    """What is said of runs that cannot be listed."""
    from llm_rlm.display.clean import clean  # noqa: PLC0415 - likewise
    from llm_rlm.places import journal_path  # noqa: PLC0415 - not needed for --help

    more = f"; so are {len(damaged) - 1:,} more" if len(damaged) > 1 else ""
    cure = f"ask anew what was asked there; {journal_path()} can be moved away, with all runs in it"
    return clean(f"{damaged[0]}{more}. Damaged runs are left out: {cure}")
