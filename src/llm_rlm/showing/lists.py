"""A list of runs: a table for a terminal, lines for a pipe, an array for programs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from llm_rlm.display import words
from llm_rlm.display.clean import brief
from llm_rlm.runs.result import usage_as_dict

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from rich.table import Table

    from llm_rlm.journal.listing import Listed

_LEAST_QUESTION = 24
_GAP = 2
_COLORS = {"submitted": "green", "prose": "green", "running": "cyan", "limit": "yellow", "interrupted": "yellow"}

_LEAVE_OUT = ("Turns", "Model", "Tokens", "Calls", "Time", "Cost", "When", "Finish")
"""What a narrow terminal does without, the first first."""

_RIGHT = {"Turns", "Calls", "Tokens", "Cost", "Time"}


def as_json(runs: Sequence[Listed]) -> list[dict[str, Any]]:
    """The runs as JSON can hold them: see docs/schemas/runs.schema.json."""
    return [
        {
            "run_id": run.id,
            "question": run.question,
            "model": run.model,
            "sub_model": run.sub_model,
            "state": run.state,
            "finish": run.finish,
            "limit": run.limit,
            "error": run.error,
            "started": words.iso(run.started),
            "ended": words.iso(run.ended),
            "seconds": round(run.seconds, 3),
            **usage_as_dict(run.usage),
            "parent": run.parent,
            "follows": run.follows,
            "sources": list(run.sources),
        }
        for run in runs
    ]


def as_line(run: Listed) -> str:
    """A run in fields between tabs: id, begun, state, turns, calls, tokens in, out, USD, seconds, model, question.

    USD is empty where it is not known. Without control characters, and the same whatever the terminal is.
    """
    usage = run.usage
    usd = "" if usage.unpriced else f"{usage.cost:.6f}"
    numbers = (usage.turns, usage.calls + usage.cached, usage.input, usage.output, usd, f"{run.seconds:.1f}")
    texts = (brief(text) for text in (run.model, run.question))
    return "\t".join((run.id, str(words.iso(run.started)), run.state, *map(str, numbers), *texts))


def as_table(runs: Sequence[Listed], ids: Mapping[str, str], width: int) -> Table:
    """A table of that width; `ids` are the ids in as few characters as they can be told by."""
    from rich.table import Table  # noqa: PLC0415 - slow to import
    from rich.text import Text  # noqa: PLC0415 - likewise

    rows = [_row(run, ids[run.id]) for run in runs]
    table = Table(box=None, pad_edge=False, padding=(0, _GAP, 0, 0), header_style="bold", expand=False)
    columns = _fitting(rows, width)
    left = width - sum(_widest(rows, name) + _GAP for name in columns[:-1])
    for name in columns:
        table.add_column(name, justify="right" if name in _RIGHT else "left", no_wrap=True)
    for run, row in zip(runs, rows, strict=True):
        styles = {"Finish": _COLORS.get(run.state, "red"), "Run": "dim"}
        question = Text(row["Question"])
        question.truncate(max(left, 1), overflow="ellipsis")  # rich would make all columns narrower
        table.add_row(*(Text(row[name], styles.get(name, "")) for name in columns[:-1]), question)
    return table


def _row(run: Listed, short: str) -> dict[str, str]:
    usage = run.usage
    return {
        "Run": short,
        "When": words.when(run.started),
        "Finish": run.state,
        "Turns": f"{usage.turns:,}",
        "Calls": f"{usage.calls + usage.cached:,}",
        "Tokens": words.tokens(usage.tokens),
        "Cost": words.short_cost(usage),
        "Time": words.lasting(run.seconds),
        "Model": brief(run.model, 24),
        "Question": brief(run.question, 1000),
    }


def _fitting(rows: Sequence[Mapping[str, str]], width: int) -> list[str]:
    """The columns that a terminal has room for beside some of the question."""
    columns = list(rows[0])
    needed = {name: _widest(rows, name) + _GAP for name in columns[:-1]}
    for name in _LEAVE_OUT:
        if sum(needed[column] for column in columns[:-1]) + _LEAST_QUESTION <= width:
            break
        columns.remove(name)
    return columns


def _widest(rows: Sequence[Mapping[str, str]], name: str) -> int:
    from rich.cells import cell_len  # noqa: PLC0415 - slow to import

    return max(len(name), *(cell_len(row[name]) for row in rows))
