"""A run as a person reads it: what was asked, each turn with its cells and calls, the answer, and what it took."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

from rich.padding import Padding
from rich.syntax import Syntax
from rich.table import Table
from rich.text import Text

from llm_rlm.budget import Usage
from llm_rlm.display import words
from llm_rlm.display.clean import brief, clean
from llm_rlm.display.closing import going_on, taken, with_references
from llm_rlm.journal.records import CRASHED, RUNNING
from llm_rlm.root.names import SUBMIT
from llm_rlm.runs.result import result_of

from .whole import asked

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from rich.console import RenderableType

    from llm_rlm.journal.records import Call, Cell, Record, Took, Turn
    from llm_rlm.runs.result import Coverage

_LONGEST_OUTPUT = 4_000
_LONGEST_TEXT = 400
_CAN_GO_ON = {CRASHED, "limit", "interrupted", "error"}
_MOST_DOCUMENTS = 20


@dataclass(frozen=True)
class View:
    """What of a run is shown."""

    whole: bool = True
    """With what is of the run, and of none of its turns."""
    texts: Mapping[str, str] | None = None
    """With each call, what was asked and said, by hash; None: calls are summed up."""
    full: bool = False
    """Nothing is cut."""

    def of(self, record: Record) -> Iterator[RenderableType]:
        """The parts of the run that are to be shown, from top to bottom."""
        if self.whole:
            yield from _head(record)
        for turn in record.turns:
            yield from self._turn(turn, record)
        if self.whole:
            for cell in record.cells:
                if cell.turn is None:  # of a chain that is not ours
                    yield from self._cell(cell, record.calls)
            yield from _tail(record, _MOST_DOCUMENTS if not self.full else None)

    def _turn(self, turn: Turn, record: Record) -> Iterator[RenderableType]:
        notes = [_taken([turn.took])]
        notes += ["dropped: it does not count as the run's way"] if turn.dropped else []
        notes += [f"the last, because {turn.last_why}"] if turn.last_why else []
        notes += [f"what came before shortened to {turn.compacted:,} characters"] if turn.compacted is not None else []
        yield Text()
        yield Text.assemble((f"Turn {turn.number}", "bold"), (f" · {clean(' · '.join(notes))}", "dim"))
        said = str((turn.reply or {}).get("text") or "").strip()
        if turn.reply is None:
            yield Text("no reply", "red")
        elif said:
            yield self._cut(said, _LONGEST_OUTPUT)
        for cell in record.cells:
            if cell.turn == turn.number:
                yield from self._cell(cell, record.calls)
        for call in (turn.reply or {}).get("calls", ()):
            if call["name"] == SUBMIT:
                yield Text(f"submits {brief(json.dumps(call['arguments'], ensure_ascii=False), _LONGEST_TEXT)}", "dim")

    def _cell(self, cell: Cell, calls: Sequence[Call]) -> Iterator[RenderableType]:
        end = {"ok": "", None: " · not finished"}.get(cell.outcome, f" · {cell.outcome}")
        took = f" · {words.lasting(cell.running)} of its own" if cell.running is not None else ""
        yield Text.assemble((f"[{cell.number}]", "bold cyan"), (took + end + (" · dropped" if cell.dropped else ""), "dim"))
        yield Padding(
            Syntax(clean(cell.code), "python", theme="ansi_dark", background_color="default", word_wrap=True), (0, 0, 0, 4)
        )
        if cell.output:
            yield self._cut(cell.output.rstrip("\n"), _LONGEST_OUTPUT)
        own = [call for call in calls if call.cell == cell.number]
        if own:
            yield Text(f"    {_calls(own)}", "dim")
        if self.texts is not None:
            for call in own:
                yield from self._call(call, self.texts)

    def _call(self, call: Call, texts: Mapping[str, str]) -> Iterator[RenderableType]:
        child = f" · run {call.child}" if call.child else ""
        head = f"    {call.kind} {call.id} · {clean(call.model)} · {call.state} · {_taken([call.took])}{child}"
        yield Text(head, "cyan")
        yield Padding(self._cut(f"> {asked(call, texts)['prompt']}", _LONGEST_TEXT), (0, 0, 0, 6))
        said = texts.get(call.response or "") if call.response else call.error
        if said is not None:
            yield Padding(self._cut(f"< {said}", _LONGEST_TEXT), (0, 0, 0, 6))

    def _cut(self, text: str, longest: int) -> Text:
        text = clean(text)
        if self.full or len(text) <= longest:
            return Text(text)
        return Text.assemble(text[:longest], (f"… {len(text) - longest:,} more characters: --full", "dim"))


def _head(record: Record) -> Iterator[Text]:
    run = record.run
    models = run.model if run.sub_model in {None, run.model} else f"{run.model}, sub-calls {run.sub_model}"
    yield Text.assemble(
        (f"Run {run.id}", "bold"), f" · {record.state} · {words.when(record.started)} · {clean(models or 'no model known')}"
    )
    for what, other in (("child of", run.parent), ("follows", run.follows)):
        if other is not None:
            yield Text(f"{what} run {other}", "dim")
    if record.state == RUNNING:
        yield Text("It is still going on: this is how far it came.", "cyan")
    if run.question:
        yield Text()
        yield Text(clean(run.question), "italic")


def _tail(record: Record, most: int | None) -> Iterator[RenderableType]:
    result = result_of(record.run)
    if result.answer is not None:
        yield Text()
        yield Text("Answer" if result.error is None else "The last answer, which was not taken", "bold")
        yield Text(clean(with_references(result)))
    if record.run.finish is not None and result.problem is not None:
        yield Text()
        yield Text(f"No answer: {clean(result.problem)}", "red")
    if result.coverage is not None:
        yield Text()
        yield _covered(result.coverage, most)
    for skipped in result.skipped[:most]:
        yield Text(f"skipped: {clean(skipped['name'])} ({clean(skipped['reason'])})", "dim")
    for child in record.children:
        yield Text(f"child run: {child}", "dim")
    yield Text()
    yield Text(taken(result))
    if record.state in _CAN_GO_ON and "asked" in record.run.settings:  # LLM's own chain cannot be gone on with
        tools = record.run.settings["asked"].get("tools") or ()
        yield Text(clean(f"To go on: {going_on(result, tools)}"), "yellow")


def _covered(coverage: Coverage, most: int | None) -> Table:
    table = Table("Document", "Bytes", "Read", "Sent", box=None, pad_edge=False, header_style="bold", padding=(0, 2, 0, 0))
    for column in table.columns[1:]:
        column.justify = "right"
    for share in coverage.documents[:most]:
        read, sent = (words.percent(part, share.size) for part in (share.read, share.sent))
        table.add_row(Text(brief(share.name)), f"{share.size:,}", read, sent)
    more = len(coverage.documents) - len(coverage.documents[:most])
    if more:
        table.add_row(f"… and {more:,} more: --full", "", "", "")
    table.add_row("all of the input", "", words.percent(coverage.read), words.percent(coverage.sent), style="dim")
    return table


def _calls(calls: Sequence[Call]) -> str:
    """Calls in one line: how many, what came of them, what they took, the slowest."""
    states = {state: sum(call.state == state for call in calls) for state in dict.fromkeys(call.state for call in calls)}
    told = ", ".join(f"{count:,} {state}" for state, count in states.items())
    slowest = max((call.took.seconds or 0 for call in calls), default=0)
    taken = _taken([call.took for call in calls], time=False)
    return f"{words.counted(len(calls), 'call')}: {told} · {taken} · slowest {words.lasting(slowest)}"


def _taken(parts: Sequence[Took], *, time: bool = True) -> str:
    """Tokens, cost, and of a single one its time."""
    known = [took.cost for took in parts if took.cost is not None]
    unpriced = sum(took.input is not None and took.cost is None for took in parts)
    cost = f" · {words.short_cost(Usage(cost=sum(known), unpriced=unpriced))}" if known else ""
    lasted = f" · {words.lasting(parts[0].seconds)}" if time else ""
    return f"{sum(took.input or 0 for took in parts):,} + {sum(took.output or 0 for took in parts):,} tokens{cost}{lasted}"
