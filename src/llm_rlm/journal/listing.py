"""The runs of a journal, newest first, each in one line."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from . import sound
from .history import durations, usages
from .records import state_of
from .searching import runs_with

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from llm_rlm.budget import Usage

    from .journal import Journal
    from .sound import DamagedError


@dataclass(frozen=True)
class Wanted:
    """Which runs are wanted: those of which all holds that is given."""

    count: int | None = None
    """The newest; None for all."""
    model: str | None = None
    """The root model or the sub-model."""
    states: Sequence[str] = ()
    """One of these."""
    since: float | None = None
    """Begun then or later: seconds since 1970."""
    until: float | None = None
    """Begun before."""
    source: str | None = None
    """Part of the name of a source."""
    words: str | None = None
    """See `searching.runs_with`."""
    dearer_than: float | None = None
    """USD, as far as the cost is known."""
    children: bool = False
    """Also child runs."""


@dataclass(frozen=True)
class Listed:
    """A run in a list."""

    id: str
    question: str
    model: str
    sub_model: str
    state: str
    """As `Record.state`."""
    finish: str | None
    limit: Mapping[str, Any] | None
    error: str | None
    started: float
    """Seconds since 1970."""
    ended: float | None
    seconds: float
    usage: Usage
    parent: str | None
    follows: str | None
    sources: Sequence[Mapping[str, Any]]
    """Each with `name`, `bytes`, `sha256`."""


@dataclass(frozen=True)
class Found:
    """Runs of a journal."""

    runs: Sequence[Listed]
    """Newest first."""
    damaged: Sequence[DamagedError] = ()
    """Why others are left out, which may have been wanted too: an error for each."""


def listed(journal: Journal, wanted: Wanted) -> Found:
    """The runs that are wanted; damaged ones are left out."""
    rows = _rows(journal, wanted)
    damaged = sound.unsound(journal, [row["id"] for row in rows], ("runs",))
    rows = _of_state([row for row in rows if row["id"] not in damaged], wanted.states)
    if wanted.words is not None:
        found = runs_with(journal, wanted.words)
        rows = [row for row in rows if row["id"] in found]
    if wanted.dearer_than is not None:
        used = usages(journal, [row["id"] for row in rows])
        rows = [row for row in rows if used[row["id"]][0].cost > wanted.dearer_than]
    rows = rows[: wanted.count]
    damaged |= sound.unsound(journal, [row["id"] for row in rows], ("documents",))
    rows = [row for row in rows if row["id"] not in damaged]
    ids = [row["id"] for row in rows]
    used, lasted, sources = usages(journal, ids), durations(journal, ids), _sources(journal, ids)
    runs = [_listed(row, used[row["id"]][0], lasted[row["id"]], sources.get(row["id"], [])) for row in rows]
    return Found(runs, list(damaged.values()))


def shortest(journal: Journal, run_ids: Iterable[str], least: int = 10) -> dict[str, str]:
    """For each of the runs the shortest beginning, of at least so many characters, that is that of no other run."""
    everyone = [row["id"] for row in journal.rows("select id from runs where typeof(id) = 'text' order by id")]
    places = {run_id: at for at, run_id in enumerate(everyone)}
    found = {}
    for run_id in run_ids:
        at = places[run_id]
        beside = everyone[max(0, at - 1) : at] + everyone[at + 1 : at + 2]
        found[run_id] = run_id[: max(least, *(_common(run_id, other) + 1 for other in beside), 0)]
    return found


def _common(one: str, other: str) -> int:
    """How many characters both begin with."""
    pairs = enumerate(zip(one, other, strict=False))
    return next((at for at, (here, there) in pairs if here != there), min(len(one), len(other)))


def _rows(journal: Journal, wanted: Wanted) -> list[dict[str, Any]]:
    named = "instr(lower(name), lower(:source)) or instr(lower(coalesce(path, '')), lower(:source))"
    conditions = {
        ":children or parent is null": True,
        ":model in (model, sub_model)": wanted.model is not None,
        "started >= :since": wanted.since is not None,
        "started < :until": wanted.until is not None,
        f"id in (select run_id from documents where {named})": wanted.source is not None,  # noqa: S608 - our own names
    }
    where = " and ".join(f"({condition})" for condition, asked in conditions.items() if asked)
    return journal.rows(f"select * from runs where {where} order by started desc, id desc", vars(wanted) | {"states": None})  # noqa: S608 - our own names


def _of_state(rows: list[dict[str, Any]], states: Sequence[str]) -> list[dict[str, Any]]:
    """The rows with their states, of these states if any are given."""
    rows = [row | {"state": state_of(row["finish"], row["process"], row["ended"])} for row in rows]
    return [row for row in rows if not states or row["state"] in states]


def _sources(journal: Journal, ids: Sequence[str]) -> dict[str, list[dict[str, Any]]]:
    found: dict[str, list[dict[str, Any]]] = {}
    rows = journal.rows(
        "select run_id, name, bytes, sha256 from documents where run_id in (select value from json_each(?)) order by rowid",
        (json.dumps(ids),),
    )
    for row in rows:
        found.setdefault(row.pop("run_id"), []).append(row)
    return found


def _listed(row: Mapping[str, Any], usage: Usage, seconds: float, sources: Sequence[Mapping[str, Any]]) -> Listed:
    limit = {"kind": row["limit_kind"], "limit": row["limit_value"], "used": row["limit_used"]}
    same = ("id", "state", "finish", "error", "started", "ended", "parent", "follows")
    return Listed(
        **{name: row[name] for name in same},
        question=row["question"] or "",
        model=row["model"] or "",
        sub_model=row["sub_model"] or "",
        limit=limit if row["limit_kind"] is not None else None,
        seconds=seconds,
        usage=usage,
        sources=sources,
    )
