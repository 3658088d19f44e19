"""What the journal knows of a run: read back, so that the run can go on, or be shown."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from llm_rlm.budget import Bound, Usage
from llm_rlm.errors import UsageError

from . import sound

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from .journal import Journal

_FEWEST_CHARACTERS = 4


@dataclass(frozen=True)
class PastTurn:
    """A turn of the root model that was replied to."""

    number: int
    reply: Mapping[str, Any]
    messages: Sequence[Mapping[str, Any]]
    """What it added to the conversation, as LLM writes messages."""
    last_why: str | None
    """Why it was to be the last, if it was."""
    compacted: int | None = None
    """To how many characters all that was said before had been shortened, if it was, when this turn was asked for."""
    input: int = 0
    """Tokens that its provider counted in what it was sent."""
    output: int = 0


@dataclass(frozen=True)
class PastCell:
    """A cell, finished or not."""

    number: int
    turn: int | None
    call: int | None
    """Which of the tool calls of its turn, from 0."""
    code: str
    output: str | None
    shown: str | None
    """What the root model was shown of it; None if it was not finished."""
    outcome: str | None
    held_up: bool
    """Whether a limit or a stop kept it, or one of its calls, from going on."""
    answer: str | None = None
    """What it submitted, as text or JSON text."""
    answer_is_json: bool = False
    quotes: Sequence[str] = ()
    """What it submitted as quotes."""


@dataclass(frozen=True)
class Document:
    """A source of a run."""

    name: str
    kind: str
    bytes: int
    sha256: str | None
    path: str | None
    """None where it was no file."""
    modified: int | None
    """Nanoseconds since 1970."""
    undecodable: int | None = None
    """Characters that stand for bytes which are not UTF-8."""
    read_bytes: int | None = None
    """How much of it code has read."""
    sent_bytes: int | None = None
    """How much of it reached a model."""
    touched_bytes: int | None = None
    """How much of it one of the two touched."""
    origin: str | None = None
    """What the text was made from, where it was not a file of the user's as it is."""


@dataclass(frozen=True)
class PastRun:
    """A run as far as it came."""

    id: str
    question: str | None
    model: str | None
    sub_model: str | None
    system: str | None
    settings: Mapping[str, Any]
    follows: str | None
    """The run before it in its session, if there is one."""
    process: str | None
    """Who has it, as `owner.claim` names it; None once it has ended."""
    finish: str | None
    limit: Mapping[str, Any] | None
    error: str | None
    answer: str | None
    answer_is_json: bool
    seconds: float
    """Of all its lives together, each to the last thing that was done in it."""
    documents: Sequence[Document]
    skipped: Sequence[Mapping[str, str]]
    """What was named or found and not read, each with `name` and `reason`."""
    citations: Sequence[Mapping[str, Any]]
    """Where the quotes of the answer are."""
    coverage_complete: bool
    """Whether there was time to look for all that was sent."""
    turns: Sequence[PastTurn]
    cells: Sequence[PastCell]
    usage: Usage
    possible: Bound
    """What its unsettled attempts may have taken."""
    parent: str | None = None
    """The run that it is a child of."""


@dataclass(frozen=True)
class Earlier:
    """A run of the same session that another one follows."""

    run_id: str
    last_cell: int
    """The number of its last cell; the cells of a session are numbered through."""


def find_run(journal: Journal, name: str) -> str:
    """The id of the run that `name` is: an id, the beginning of only one, or `last`. Raises UsageError."""
    last = journal.rows("select id from runs where parent is null order by started desc, id desc limit 1")
    if not last:
        message = "the journal has no run yet"
        raise UsageError(message)
    if name == "last":
        return str(last[0]["id"])
    wanted = name.lower()
    escaped = wanted.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
    rows = journal.rows("select id from runs where id like ? escape '\\' order by id limit 3", (f"{escaped}%",))
    found = [str(row["id"]) for row in rows]
    if wanted in found:
        return wanted
    if len(wanted) < _FEWEST_CHARACTERS or not found:
        message = f"there is no run {name!r}: give its id, at least {_FEWEST_CHARACTERS} of its first characters, or `last`"
        raise UsageError(message)
    if len(found) > 1:
        message = f"{name!r} is the beginning of several runs: {', '.join(found)}; give more of the id"
        raise UsageError(message)
    return found[0]


def past_run(journal: Journal, run_id: str) -> PastRun:
    """All that is needed to go on with a run. `run_id` is whole. Raises DamagedError for one that no run has written."""
    sound.check(journal, [run_id])
    rows = journal.rows(
        "select runs.*, answers.text as answer, systems.text as system from runs"
        " left join texts as answers on answers.hash = answer_hash"
        " left join texts as systems on systems.hash = system_hash where id = ?",
        (run_id,),
    )
    if not rows:
        message = f"run {run_id} is named, and not there"
        raise sound.damaged(message)
    run = rows[0]
    usage, possible = usages(journal, [run_id])[run_id]
    limit = {"kind": run["limit_kind"], "limit": run["limit_value"], "used": run["limit_used"]}
    return PastRun(
        id=run_id,
        question=run["question"],
        model=run["model"],
        sub_model=run["sub_model"],
        system=run["system"],
        settings=sound.parsed(run["settings"], sound.SETTINGS),
        follows=run["follows"],
        process=run["process"],
        finish=run["finish"],
        limit=limit if run["limit_kind"] is not None else None,
        error=run["error"],
        answer=run["answer"],
        answer_is_json=bool(run["answer_is_json"]),
        seconds=durations(journal, [run_id])[run_id],
        documents=tuple(_documents(journal, run_id)),
        skipped=journal.rows("select name, reason from skipped where run_id = ? order by rowid", (run_id,)),
        citations=_citations(journal, run_id),
        coverage_complete=run["coverage_complete"] != 0,
        turns=tuple(_turns(journal, run_id)),
        cells=tuple(_cells(journal, run_id)),
        usage=usage,
        possible=possible,
        parent=run["parent"],
    )


def runs_before(journal: Journal, past: PastRun) -> list[PastRun]:
    """The runs before it in its session, oldest first. Raises DamagedError if one of them follows itself, or is not there."""
    found = [past]
    ids = {past.id}
    while (before := found[-1].follows) is not None:
        if before in ids:
            message = f"run {before} follows itself"
            raise sound.damaged(message)
        ids.add(before)
        found.append(past_run(journal, before))
    return found[:0:-1]


def child_run(journal: Journal, run_id: str, call: int) -> PastRun | None:
    """The child run that the call with that id, of that run, has begun, if it has."""
    rows = journal.rows("select id from runs where parent = ? and parent_call = ?", (run_id, call))
    return past_run(journal, str(rows[0]["id"])) if rows else None


def _documents(journal: Journal, run_id: str) -> list[Document]:
    columns = "name, kind, bytes, sha256, path, modified, undecodable, read_bytes, sent_bytes, touched_bytes, origin"
    rows = journal.rows(f"select {columns} from documents where run_id = ? order by rowid", (run_id,))  # noqa: S608 - our own names
    return [Document(**row) for row in rows]


def _citations(journal: Journal, run_id: str) -> list[dict[str, Any]]:
    rows = journal.rows("select * from citations where run_id = ? order by number", (run_id,))
    return [{name: value for name, value in row.items() if name not in {"run_id", "number"}} for row in rows]


def _turns(journal: Journal, run_id: str) -> list[PastTurn]:
    rows = journal.rows(
        "select number, replies.text as reply, said.text as messages, last_why, compacted, coalesce(input, 0) as input,"
        " coalesce(output, 0) as output from turns"
        " join texts as replies on replies.hash = reply_hash join texts as said on said.hash = messages_hash"
        " where run_id = ? and not dropped order by number",
        (run_id,),
    )
    shapes = {"reply": sound.REPLY, "messages": sound.MESSAGES}
    return [PastTurn(**row | {name: sound.parsed(row[name], shape) for name, shape in shapes.items()}) for row in rows]


def _cells(journal: Journal, run_id: str) -> list[PastCell]:
    rows = journal.rows(
        "select number, turn, call, code, output, shown.text as shown, outcome, held_up, answer.text as answer, answer_is_json,"
        " quotes from readable_cells as cells left join texts as shown on shown.hash = shown_hash"
        " left join texts as answer on answer.hash = answer_hash where run_id = ? and not dropped order by number",
        (run_id,),
    )
    return [
        PastCell(
            **row
            | {"held_up": bool(row["held_up"]), "answer_is_json": bool(row["answer_is_json"])}
            | {"quotes": sound.parsed(row["quotes"] or "[]", sound.QUOTES)}
        )
        for row in rows
    ]


def usages(journal: Journal, run_ids: Sequence[str]) -> dict[str, tuple[Usage, Bound]]:
    """What each of the runs and all below it have used, and what their unsettled attempts may have taken.

    The turns are each run's own. It takes two queries, however many runs they are.
    """
    asked = {"runs": json.dumps(list(run_ids))}
    calls = journal.rows(
        f"{_FAMILIES} select root, {_COUNTS}, {_SUMS} from families"  # noqa: S608 - our own names
        " join (select *, unsettled + (state = 'sent' and kind = 'model') as open from calls) on run_id = member"
        " where state != 'refused' and kind != 'function' group by root",
        asked,
    )
    turns = journal.rows(
        f"{_FAMILIES} select root, count(*) filter (where run_id = root) as turns, {_SUMS} from families"  # noqa: S608 - likewise
        " join (select *, unsettled + (ended is null and not dropped) as open from turns) on run_id = member group by root",
        asked,
    )
    of_calls, of_turns = ({row["root"]: row for row in rows} for rows in (calls, turns))
    return {run_id: _usage(of_calls.get(run_id, {}), of_turns.get(run_id, {})) for run_id in run_ids}


def durations(journal: Journal, run_ids: Sequence[str]) -> dict[str, float]:
    """Seconds of all lives of each of the runs together.

    Of a life that did not come to its end, to the last thing that was done in it.
    """
    tables = (("runs", "id"), ("turns", "run_id"), ("cells", "run_id"), ("calls", "run_id"))
    moments = " union all ".join(
        f"select root, max(started, coalesce(ended, 0)) as moment from families join {table} on {table}.{column} = member"  # noqa: S608 - our own names
        for table, column in tables
    )
    rows = journal.rows(
        f"{_FAMILIES} select id, seconds, ended, coalesce(life, started) as life, (select max(moment) from ({moments})"  # noqa: S608 - likewise
        " where ended is null and root = id) as last from runs where id in (select root from families)",
        {"runs": json.dumps(list(run_ids))},
    )
    return {row["id"]: row["seconds"] + (0 if row["last"] is None else max(0.0, row["last"] - row["life"])) for row in rows}


_FAMILIES = (
    "with recursive families(root, member) as (select value, value from json_each(:runs)"
    " union select root, runs.id from families join runs on runs.parent = member)"
)
"""Each of the runs `:runs` (a JSON array) with itself and all runs below it."""


def _usage(calls: Mapping[str, Any], turns: Mapping[str, Any]) -> tuple[Usage, Bound]:
    """The sums over calls and those over turns together; empty where there are none."""
    names = ("retried", "unsettled", "input", "output", "cached_input", "cost", "unpriced", "possible_cost")
    both = {name: calls.get(name, 0) + turns.get(name, 0) for name in names}
    counts = {name: calls.get(name, 0) for name in ("calls", "failed", "cached")}
    usage = Usage(**counts, **both, turns=turns.get("turns", 0))
    return usage, sum((Bound(part["possible_tokens"], part["counted_cost"]) for part in (calls, turns) if part), Bound())


_COUNTS = (
    "count(*) filter (where cached_from is null) as calls, count(*) filter (where cached_from not null) as cached,"
    " count(*) filter (where state in ('failed', 'unknown', 'sent')) as failed"
)
_SUMS = (
    "coalesce(sum(attempts - 1), 0) as retried, coalesce(sum(open), 0) as unsettled,"
    " coalesce(sum(input), 0) as input, coalesce(sum(output), 0) as output,"
    " coalesce(sum(cached_input), 0) as cached_input, coalesce(sum(cost), 0.0) as cost,"
    " count(*) filter (where input is not null and cost is null) as unpriced,"
    " coalesce(sum(open * bound_cost), 0.0) as possible_cost,"
    " coalesce(sum((open + (input is not null and cost is null)) * bound_cost), 0.0) as counted_cost,"
    " coalesce(sum((open + (input + output is 0)) * bound_tokens), 0) as possible_tokens"
)
"""What calls and turns have in common. `open` attempts are those whose outcome is not known; what an answer of unknown cost or
size took is counted as the most it can be, as the budget does."""
