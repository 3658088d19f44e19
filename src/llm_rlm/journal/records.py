"""Runs as they are shown: all that the journal has of them, whether they are finished, go on, or were broken off.

`history` reads what is needed to go on with a run; this reads what happened in it, also what did not count in the end.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from . import sound
from .history import past_run
from .owner import is_alive

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from llm_rlm.calls import CallKind

    from .history import PastRun
    from .journal import Journal

RUNNING, CRASHED, ENDED = "running", "crashed", "ended"
"""States of runs without a `finish`: it goes on; its process is gone; LLM's own chain ended it with nothing submitted."""

_AT_ONCE = 500


@dataclass(frozen=True, slots=True)
class Took:
    """What a turn or a call took."""

    input: int | None
    """Tokens; None where it is not known."""
    output: int | None
    cached_input: int | None
    cost: float | None
    """USD; None where it is not known."""
    attempts: int
    unsettled: int
    """Attempts whose outcome is not known: they may have been paid."""
    started: float
    """Seconds since 1970."""
    ended: float | None

    @property
    def seconds(self) -> float | None:
        """How long it took; None where it has no end."""
        return self.ended - self.started if self.ended is not None else None


@dataclass(frozen=True, slots=True)
class Turn:
    """A turn of the root model."""

    number: int
    say: str | None
    """What was said to it that is no result of a tool."""
    results: Sequence[str]
    """The results of tools that it was sent."""
    reply: Mapping[str, Any] | None
    """`text`, `calls` (each with `name`, `arguments`), `malformed`, `withheld`; None where none came."""
    last_why: str | None
    """Why it was to be the last, if it was."""
    compacted: int | None
    """To how many characters what was said before it had been shortened, if it was."""
    dropped: bool
    """Whether it does not count as the run's way: it failed, or the run went on from before it."""
    took: Took


@dataclass(frozen=True, slots=True)
class Cell:
    """A cell, finished or not."""

    number: int
    turn: int | None
    code: str
    output: str | None
    shown: str | None
    """What the root model was shown of it."""
    outcome: str | None
    """As `CellResult.outcome`; None where it was not finished."""
    running: float | None
    """Seconds of its own running time."""
    started: float
    ended: float | None
    dropped: bool
    answer: str | None
    """What it submitted, as text or JSON text."""
    answer_is_json: bool
    quotes: Sequence[str]


@dataclass(frozen=True, slots=True)
class Call:
    """A call of a cell. Its texts may be large, and are read apart: see `Records.texts`."""

    id: int
    cell: int | None
    kind: CallKind
    model: str
    state: str
    """`sent` (no outcome yet), `answered`, `cached`, `failed`, `refused` or `unknown` (may have been paid)."""
    occurrence: int
    """Which of the same calls of the run it is, from 1."""
    error: str | None
    """What happened, for the user."""
    shown_error: str | None
    """What the cell was told."""
    request: str
    """The hash of the request: JSON text with `prompt`, `system`, `schema` and, where there is one, `payload`."""
    response: str | None
    """The hash of the answer."""
    child: str | None
    """The child run that it began."""
    took: Took


@dataclass(frozen=True, slots=True)
class Record:
    """A run and all that happened in it."""

    run: PastRun
    state: str
    """Its `finish`, or `running`, `crashed` or `ended`."""
    started: float
    """Seconds since 1970."""
    ended: float | None
    depth: int
    parent_call: int | None
    turns: Sequence[Turn]
    cells: Sequence[Cell]
    calls: Sequence[Call]
    children: Sequence[str] = field(default=())
    """The runs right below it, oldest first."""

    def of_turn(self, number: int) -> Record:
        """The same with one turn only, its cells and their calls."""
        cells = [cell for cell in self.cells if cell.turn == number]
        numbers = {cell.number for cell in cells}
        calls = [call for call in self.calls if call.cell in numbers]
        return replace(self, turns=[turn for turn in self.turns if turn.number == number], cells=cells, calls=calls)

    @property
    def latest(self) -> float | None:
        """The last moment of which its turns, calls and cells tell; None where there are none."""
        took = [turn.took for turn in self.turns] + [call.took for call in self.calls]
        moments = [each.ended or each.started for each in took] + [cell.ended or cell.started for cell in self.cells]
        return max(moments, default=None)


class Records:
    """Reads runs from a journal."""

    def __init__(self, journal: Journal) -> None:
        """Nothing is read yet."""
        self._journal = journal

    def record(self, run_id: str) -> Record:
        """Everything of a run but the texts of its calls. `run_id` is whole; see `history.find_run`."""
        past = past_run(self._journal, run_id)
        (row,) = self._journal.rows("select started, ended, depth, parent_call from runs where id = ?", (run_id,))
        children = self._journal.rows("select id from runs where parent = ? order by started, id", (run_id,))
        return Record(
            run=past,
            state=state_of(past.finish, past.process, row["ended"]),
            **row,
            turns=[_turn(turn) for turn in self._journal.rows(_TURNS, (run_id,))],
            cells=[_cell(cell) for cell in self._journal.rows(_CELLS, (run_id,))],
            calls=[_call(call) for call in self._journal.rows(_CALLS, (run_id,))],
            children=tuple(child["id"] for child in children),
        )

    def texts(self, hashes: Iterable[str]) -> dict[str, str]:
        """Texts by their hashes: requests and responses of calls."""
        wanted = sorted(set(hashes))
        found: dict[str, str] = {}
        for at in range(0, len(wanted), _AT_ONCE):
            part = wanted[at : at + _AT_ONCE]
            marks = ", ".join("?" * len(part))
            rows = self._journal.rows(f"select hash, text from texts where hash in ({marks})", tuple(part))  # noqa: S608 - marks
            found |= {row["hash"]: row["text"] for row in rows}
        return found


def state_of(finish: str | None, process: str | None, ended: float | None) -> str:
    """What a run is: how it finished, or why it has not."""
    if finish is not None:
        return finish
    if ended is not None:
        return ENDED
    return RUNNING if process is not None and is_alive(process) else CRASHED


_TOOK = "input, output, cached_input, cost, attempts, unsettled, started, ended"
_TURNS = (
    "select number, sent, reply, last_why, compacted, dropped, input, output, cached_input, cost, attempts, unsettled, started,"
    " ended from readable_turns where run_id = ? order by number"
)
_CELLS = (
    "select number, turn, code, output, shown.text as shown, outcome, running, started, ended, dropped, answer.text as answer,"
    " answer_is_json, quotes from readable_cells as cells left join texts as shown on shown.hash = shown_hash"
    " left join texts as answer on answer.hash = answer_hash where run_id = ? order by number"
)
_CALLS = (
    "select calls.id, cell, kind, calls.model, case when cached_from is null then state else 'cached' end as state, occurrence,"
    " calls.error, shown_error, request_hash as request, response_hash as response, runs.id as child, input, output,"
    " cached_input, cost, attempts, unsettled, calls.started, calls.ended"
    " from calls left join runs on runs.parent_call = calls.id and runs.parent = run_id where run_id = ? order by calls.id"
)


def _turn(row: dict[str, Any]) -> Turn:
    sent = sound.parsed(row.pop("sent") or "{}", sound.SENT)
    reply = row.pop("reply")
    took = _took(row)
    return Turn(
        **row | {"dropped": bool(row["dropped"])},
        say=sent.get("say"),
        results=sent.get("results") or (),
        reply=sound.parsed(reply, sound.REPLY) if reply is not None else None,
        took=took,
    )


def _cell(row: dict[str, Any]) -> Cell:
    flags = {"dropped": bool(row["dropped"]), "answer_is_json": bool(row["answer_is_json"])}
    return Cell(**row | flags | {"quotes": sound.parsed(row["quotes"] or "[]", sound.QUOTES)})


def _call(row: dict[str, Any]) -> Call:
    took = _took(row)
    return Call(**row, took=took)


def _took(row: dict[str, Any]) -> Took:
    """What a row says of what was taken; the rest stays in the row."""
    return Took(**{name: row.pop(name) for name in _TOOK.split(", ")})
