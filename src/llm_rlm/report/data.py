"""What a page says of a run: gathered from the journal, and put in the order in which it is read."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from llm_rlm.journal.records import Records
from llm_rlm.root.names import SUBMIT
from llm_rlm.runs.result import result_of

from .areas import areas, folder_of, tiles
from .passages import Passages
from .payload import payload_of
from .texts import MOST, Pool, share

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from llm_rlm.journal import Journal
    from llm_rlm.journal.records import Call, Cell, Record, Took, Turn
    from llm_rlm.runs.result import Result

    from .areas import Area, Tile
    from .passages import Passage

MOST_RUNS = 500
"""Child runs that a page has; of others it says that they are there."""


@dataclass
class Sum:
    """What several turns and calls took."""

    turns: int = 0
    calls: int = 0
    """Those that were sent; child runs are some of them."""
    cached: int = 0
    failed: int = 0
    retries: int = 0
    unsettled: int = 0
    input: int = 0
    output: int = 0
    cached_input: int = 0
    cost: float = 0.0
    """USD, as far as it is known."""
    unpriced: int = 0
    """Answers whose cost is not known."""

    @property
    def tokens(self) -> int:
        """Input and output tokens together."""
        return self.input + self.output

    def add(self, took: Took) -> None:
        """Count what one of them took."""
        self.retries += max(0, took.attempts - 1)
        self.unsettled += took.unsettled
        self.input += took.input or 0
        self.output += took.output or 0
        self.cached_input += took.cached_input or 0
        self.cost += took.cost or 0.0
        self.unpriced += took.input is not None and took.cost is None

    def add_turn(self, turn: Turn) -> None:
        """Count a turn."""
        self.turns += 1
        self.add(turn.took)

    def add_call(self, call: Call) -> None:
        """Count a call as the run's usage does: functions and what was refused are none."""
        self.add(call.took)
        if call.kind != "function" and call.state != "refused":
            self.cached += call.state == "cached"
            self.calls += call.state != "cached"
            self.failed += call.state in {"failed", "unknown", "sent"}


@dataclass(frozen=True)
class CellView:
    """A cell, and the calls it made."""

    cell: Cell
    calls: Sequence[Call]
    children: Sequence[RunView]
    waited: float
    """Seconds in which at least one of its calls was open."""

    @property
    def states(self) -> Mapping[str, int]:
        """How many calls there are of each state."""
        counts: dict[str, int] = defaultdict(int)
        for call in self.calls:
            counts[call.state] += 1
        return counts


@dataclass(frozen=True)
class TurnView:
    """A turn of the root model, and what it had done; without a turn, cells that belong to none."""

    turn: Turn | None
    cells: Sequence[CellView]
    sum: Sum
    """The turn and all that its cells called, child runs too."""

    @property
    def submitted(self) -> Iterator[Mapping[str, Any]]:
        """What it was answered with: the arguments of its calls of that tool, `malformed` if they were no JSON object."""
        calls = (self.turn.reply or {}).get("calls", ()) if self.turn is not None else ()
        for given in (call["arguments"] for call in calls if call["name"] == SUBMIT):
            yield given if isinstance(given, dict) else {"malformed": given}


@dataclass(frozen=True)
class RunView:
    """A run, and the runs below it."""

    record: Record
    result: Result
    turns: Sequence[TurnView]

    @property
    def cells(self) -> Iterator[CellView]:
        """Its own cells."""
        return (cell for turn in self.turns for cell in turn.cells)

    def walk(self) -> Iterator[RunView]:
        """It and all runs below it, each before those below."""
        yield self
        for cell in self.cells:
            for child in cell.children:
                yield from child.walk()


@dataclass(frozen=True)
class Report:
    """All that a page says."""

    run: RunView
    passages: Sequence[Passage | None]
    """For each citation."""
    by_model: Mapping[str, Sum]
    areas: Sequence[Area]
    folder: str
    """What the names of all its documents begin with; empty if nothing."""
    tiles: Sequence[Tile]
    payload: Mapping[str, Any]
    """What the page's own script reads; see `payload_of`."""
    texts: Sequence[str]
    """What the payload names by numbers."""
    most: int | None
    """To how many characters texts outside of calls were cut, if they were."""
    most_of_call: int | None
    """The same for texts of calls."""
    left_out: int
    """Child runs that are not in it."""
    numbers: Mapping[str, int]
    """The numbers of the runs, by their ids."""


def gather(journal: Journal, run_id: str, *, full: bool = False) -> Report:
    """Read all of a run. `run_id` is whole; with `full` no text is cut."""
    records = Records(journal)
    tree = _Tree(records)
    run = tree.read(run_id)
    runs = list(run.walk())
    most = None if full else share(_count_texts(runs))
    pool = Pool(most)
    payload = payload_of([each.record for each in runs], pool, records)
    with Passages.of(run.record.run.documents) as passages:
        shown = [passages.of_citation(citation) for citation in run.result.citations]
    coverage = run.result.coverage
    found = areas(coverage.documents) if coverage is not None else []
    return Report(
        run,
        passages=shown,
        by_model=_by_model(runs),
        areas=found,
        folder=folder_of([area.name for area in found]),
        tiles=tiles(found),
        payload=payload,
        texts=pool.texts,
        most=None if full else MOST,
        most_of_call=most if pool.was_cut else None,
        left_out=tree.left_out,
        numbers={each.record.run.id: at for at, each in enumerate(runs)},
    )


class _Tree:
    """Reads a run and those below it, no more than a page can have."""

    def __init__(self, records: Records) -> None:
        self._records = records
        self._room = MOST_RUNS
        self.left_out = 0

    def read(self, run_id: str) -> RunView:
        record = self._records.record(run_id)
        calls: dict[int | None, list[Call]] = defaultdict(list)
        for call in record.calls:
            calls[call.cell].append(call)
        cells: dict[int | None, list[CellView]] = defaultdict(list)
        for cell in record.cells:
            mine = calls.get(cell.number, [])
            cells[cell.turn].append(CellView(cell, mine, list(self._children(mine)), waited(mine)))
        numbers = {turn.number for turn in record.turns}
        turns = [_turn(turn, cells.get(turn.number, [])) for turn in record.turns]
        # Runs of LLM's own chain have cells and no turns.
        turns += [_turn(None, loose) for number, loose in cells.items() if number not in numbers]
        return RunView(record, result_of(record.run), turns)

    def _children(self, calls: Sequence[Call]) -> Iterator[RunView]:
        for child in (call.child for call in calls if call.child is not None):
            if self._room:
                self._room -= 1
                yield self.read(child)
            else:
                self.left_out += 1


def waited(calls: Sequence[Call]) -> float:
    """Seconds in which at least one of these calls was open."""
    total, until = 0.0, 0.0
    for took in sorted((call.took for call in calls), key=lambda took: took.started):
        ended = took.ended or took.started
        total += max(0.0, ended - max(took.started, until))
        until = max(until, ended)
    return total


def _turn(turn: Turn | None, cells: Sequence[CellView]) -> TurnView:
    total = Sum()
    if turn is not None:
        total.add_turn(turn)
    for cell in cells:
        for call in cell.calls:
            total.add_call(call)
        for child in cell.children:
            _add_all(total, child)
    return TurnView(turn, cells, total)


def _add_all(total: Sum, run: RunView) -> None:
    """Count all of a child run; its turns are its own."""
    for below in run.walk():
        for turn in below.record.turns:
            total.add(turn.took)
        for call in below.record.calls:
            total.add_call(call)


def _by_model(runs: Sequence[RunView]) -> dict[str, Sum]:
    """What each model took, root models and sub-models."""
    sums: dict[str, Sum] = defaultdict(Sum)
    for run in runs:
        for turn in run.record.turns:
            sums[run.record.run.model or "?"].add_turn(turn)
        for call in run.record.calls:
            if call.kind == "model" and call.state != "refused":
                sums[call.model].add_call(call)
    return dict(sums)


def _count_texts(runs: Sequence[RunView]) -> int:
    return len({text for run in runs for call in run.record.calls for text in (call.request, call.response) if text})
