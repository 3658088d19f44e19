"""A run as one JSON object: see docs/schemas/show.schema.json."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from llm_rlm.display import words
from llm_rlm.journal import sound
from llm_rlm.runs.result import result_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from llm_rlm.journal.records import Call, Cell, Record, Took, Turn


def as_json(record: Record, texts: Mapping[str, str] | None = None) -> dict[str, Any]:
    """The run with its turns, cells and calls; with `texts`, by hash, calls have what was asked and said."""
    return {
        "run_id": record.run.id,
        "state": record.state,
        "started": words.iso(record.started),
        "ended": words.iso(record.ended),
        "depth": record.depth,
        "parent": record.run.parent,
        "parent_call": record.parent_call,
        "follows": record.run.follows,
        "children": list(record.children),
        "result": result_of(record.run).as_dict(),
        "turns": [_turn(turn) for turn in record.turns],
        "cells": [_cell(cell) for cell in record.cells],
        "calls": [_call(call, texts) for call in record.calls],
    }


def asked(call: Call, texts: Mapping[str, str]) -> dict[str, Any]:
    """What a call asked: `prompt`, and what it has of `system`, `schema`, `payload`."""
    found: dict[str, Any] = sound.parsed(texts[call.request], sound.REQUEST)
    return found


def _turn(turn: Turn) -> dict[str, Any]:
    return {
        "number": turn.number,
        "say": turn.say,
        "results": list(turn.results),
        "reply": turn.reply,
        "last_why": turn.last_why,
        "compacted": turn.compacted,
        "dropped": turn.dropped,
        **_took(turn.took),
    }


def _cell(cell: Cell) -> dict[str, Any]:
    same = ("number", "turn", "code", "output", "shown", "outcome", "running", "dropped", "answer", "answer_is_json")
    times = {"started": words.iso(cell.started), "ended": words.iso(cell.ended)}
    return {name: getattr(cell, name) for name in same} | {"quotes": list(cell.quotes)} | times


def _call(call: Call, texts: Mapping[str, str] | None) -> dict[str, Any]:
    same = ("id", "cell", "kind", "model", "state", "occurrence", "error", "shown_error", "child")
    known = {name: getattr(call, name) for name in same} | _took(call.took)
    if texts is None:
        return known
    return known | {"request": asked(call, texts), "response": texts.get(call.response or "")}


def _took(took: Took) -> dict[str, Any]:
    same = ("input", "output", "cached_input", "cost", "attempts", "unsettled", "seconds")
    times = {"started": words.iso(took.started), "ended": words.iso(took.ended)}
    return {name: getattr(took, name) for name in same} | times
