"""What the page's own script reads of runs: rows of numbers, and the numbers of texts."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from llm_rlm.journal import sound

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from llm_rlm.journal.records import Call, Record, Records, Took

    from .texts import Pool

_READ_AT_ONCE = 200

type _Clock = Callable[[float | None], int | None]
"""Milliseconds since the first run began."""


def payload_of(runs: Sequence[Record], pool: Pool, records: Records) -> dict[str, Any]:
    """Runs, turns, cells and calls as rows of numbers; times in ms since the first run began, texts by their numbers."""
    begun = runs[0].started
    last = max(moment for run in runs for moment in (run.started, run.ended, run.latest) if moment is not None)
    numbers = {run.run.id: at for at, run in enumerate(runs)}

    def ms(moment: float | None) -> int | None:
        return round((moment - begun) * 1000) if moment is not None else None

    return {
        "runs": [
            {
                "id": run.run.id,
                "call": run.parent_call,
                "model": pool.add(run.run.model or "?"),
                "question": pool.add(run.run.question or ""),
                "state": run.state,
                "started": ms(run.started),
                "ended": ms(run.ended if run.ended is not None else last),
                "turns": [[turn.number, *_span(turn.took, ms), turn.dropped] for turn in run.turns],
                "cells": [
                    [cell.number, ms(cell.started), ms(cell.ended), cell.running, cell.outcome, cell.dropped]
                    for cell in run.cells
                ],
            }
            for run in runs
        ],
        "calls": [row for at, run in enumerate(runs) for row in _rows(run.calls, at, numbers, pool, records, ms)],
        "last": ms(last),
    }


def _span(took: Took, ms: _Clock) -> tuple[int | None, int | None]:
    return ms(took.started), ms(took.ended)


def _rows(
    calls: Sequence[Call], run: int, numbers: Mapping[str, int], pool: Pool, records: Records, ms: _Clock
) -> Iterator[list[Any]]:
    """Calls as rows, whose columns report.js names; their texts are read some at a time, for they may be large."""
    for at in range(0, len(calls), _READ_AT_ONCE):
        part = calls[at : at + _READ_AT_ONCE]
        texts = records.texts(text for call in part for text in (call.request, call.response) if text is not None)
        for call in part:
            asked = sound.parsed(texts[call.request], sound.REQUEST)
            response = texts.get(call.response) if call.response is not None else None
            named = [asked.get("prompt"), asked.get("system"), _text(asked.get("schema")), _text(asked.get("payload"))]
            named += [_text(asked.get("attachments")), response, call.error, call.shown_error, call.model]
            took = call.took
            yield [
                *(call.id, run, call.cell, call.kind, call.state, call.occurrence),
                *(pool.add(text) for text in named),
                numbers.get(call.child) if call.child is not None else None,
                *(took.input, took.output, took.cached_input, took.cost, took.attempts, took.unsettled),
                *_span(took, ms),
            ]


def _text(value: object) -> str | None:
    """A value of a request, as text."""
    if value is None or value == []:
        return None
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
