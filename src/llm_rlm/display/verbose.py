"""What `-v` shows: each cell, what it prints, and the calls it makes, as they happen; those of child runs further in."""

from __future__ import annotations

import time
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from llm_rlm.budget import Usage
from llm_rlm.events import CallFinished, CallsAsked, CallStarted, CellFinished, CellOutput, CellStarted, RunFinished, RunStarted

from . import words
from .clean import brief, clean
from .progress import FEW

if TYPE_CHECKING:
    from collections.abc import Callable

    from llm_rlm.budget import Spent
    from llm_rlm.events import Event

    from .screen import Screen

_QUOTED = 40
_MOST_REASON = 120
_MOST_REASONS = 3
_INDENT = "    "
_UNSENT = {"known": "known from before", "cached": "from the cache"}
"""What is said of answers that were there already."""


@dataclass
class _Tally:
    """Calls that are shown together."""

    begun: float | None = None
    models: Counter[str] = field(default_factory=Counter)
    states: Counter[str] = field(default_factory=Counter)
    reasons: Counter[str] = field(default_factory=Counter)
    used: Usage = field(default_factory=Usage)

    def add(self, event: CallFinished, begun: float) -> None:
        """Count one, and from when on it was under way."""
        self.begun = begun if self.begun is None else min(self.begun, begun)
        self.models[event.model] += 1
        self.states[event.state] += 1
        if event.state in {"failed", "refused"}:
            self.reasons[brief(event.error or "", _MOST_REASON)] += 1
        _add(self.used, event.spent)

    def line(self, seconds: float) -> str:
        """All of them in one line."""
        whom = ", ".join(brief(model, _QUOTED) for model in sorted(self.models))
        states = ", ".join(f"{count:,} {_UNSENT.get(state, state)}" for state, count in self.states.most_common())
        took = _took(self.used, seconds)
        why = "; ".join(f"{count:,} times {reason}" for reason, count in self.reasons.most_common(_MOST_REASONS))
        return f"→ {words.counted(self.models.total(), 'call')} to {whom}: {states}; {took}" + (f" ({why})" if why else "")


@dataclass
class _Cell:
    """A cell, and what is still to be shown of it."""

    head: str = ""
    """Its code, while that is not shown yet."""
    line: str = ""
    """The last line of what it printed, which is not whole yet."""
    printed: int = 0
    """Characters that it has told so far."""
    one_by_one: int = 0
    failures: int = 0
    """Calls that were shown one by one, and failures."""
    few: bool = True
    """Whether it asked last for a few calls only, so that they are shown one by one."""
    open: int = 0
    """Calls of it that have not come back."""
    over: bool = False
    """Whether it has run; calls that it did not await may come back later."""
    rest: _Tally = field(default_factory=_Tally)


class Verbose:
    """Takes in events, and shows them on a screen."""

    def __init__(self, screen: Screen, clock: Callable[[], float] = time.monotonic) -> None:
        """Nothing has happened yet."""
        self._screen = screen
        self._clock = clock
        self._names: dict[str, str] = {}
        """Of child runs: `child 1`, in the order in which they began."""
        self._indents: dict[str, str] = {}
        self._cells: dict[tuple[str, int | None], _Cell] = {}
        """By their runs and numbers: calls may outlive their cell, and come back while the next one runs."""
        self._begun: dict[int, float] = {}
        """When calls were sent."""

    def see(self, event: Event) -> None:
        """Show it, if it is of a cell, a call or a child run."""
        match event:
            case RunStarted():
                self._begin_run(event)
            case RunFinished():
                self._end_run(event)
            case CellStarted():
                self._begin_cell(event)
            case CellOutput():
                self._output(event)
            case CellFinished():
                self._end_cell(event)
            case CallsAsked():
                cell = self._cell(event.run, event.cell)
                cell.few, cell.open = event.count <= FEW, cell.open + event.count
            case CallStarted():
                self._begin_call(event)
            case CallFinished():
                self._end_call(event)
            case _:
                pass

    def _cell(self, run: str, number: int | None) -> _Cell:
        return self._cells.setdefault((run, number), _Cell())

    def _print(self, run: str, text: str) -> None:
        """Print lines, as far in as the run is deep."""
        indent = self._indents.get(run, "")
        self._screen.print("\n".join(indent + line if line else line for line in text.split("\n")))

    # Child runs

    def _begin_run(self, event: RunStarted) -> None:
        if event.parent is None:
            return
        self._names[event.run] = f"child {len(self._names) + 1}"
        self._indents[event.run] = self._indents.get(event.parent, "") + _INDENT
        self._print(event.run, f'{self._names[event.run]}: "{brief(event.question or "", 2 * _QUOTED)}"')

    def _end_run(self, event: RunFinished) -> None:
        for (run, _), cell in self._cells.items():
            if run == event.run:
                self._flush(run, cell)
        if event.run in self._names:
            why = f": {brief(event.error, _MOST_REASON)}" if event.error is not None else ""
            self._print(event.run, f"{self._names[event.run]} ended: {event.finish}{why}")

    # Cells

    def _begin_cell(self, event: CellStarted) -> None:
        name = self._names.get(event.run)
        prefix = f"[{name}, cell {event.number}] " if name is not None else f"[{event.number}] "
        code = self._screen.code(clean(event.code).strip("\n"))
        self._cells[event.run, event.number] = cell = _Cell()
        if name is None:
            self._print(event.run, "\n" + prefix + code.replace("\n", "\n" + " " * len(prefix)))
        else:  # others go on beside it: it is shown whole, once it has run
            cell.head = f"{prefix}\n{_INDENT}" + code.replace("\n", "\n" + _INDENT) + "\n"

    def _output(self, event: CellOutput) -> None:
        """Show the lines that are whole; of a child run, none yet."""
        cell = self._cell(event.run, event.number)
        cell.printed += len(event.text)
        cell.line += event.text
        if event.run not in self._names:
            lines, newline, cell.line = cell.line.rpartition("\n")
            if newline:
                self._print(event.run, clean(lines + newline).removesuffix("\n"))

    def _end_cell(self, event: CellFinished) -> None:
        """What has not been shown as it came, and how long it took."""
        cell = self._cell(event.run, event.number)
        cell.over = True
        self._flush(event.run, cell)
        rest = clean(cell.line + event.output[cell.printed :]).removesuffix("\n")
        notes = [clean(note) for note in event.notes]
        parts = [rest] if rest else []
        self._print(event.run, cell.head + "\n".join([*parts, *notes, f"({event.seconds:.2f} s)"]))

    # Calls

    def _begin_call(self, event: CallStarted) -> None:
        self._begun[event.call] = self._clock()
        if event.mends:
            self._cell(event.run, event.cell).open += 1

    def _end_call(self, event: CallFinished) -> None:
        """Show a call that is one of a few, or a failure; the others are shown together."""
        cell = self._cell(event.run, event.cell)
        begun = self._begun.pop(event.call, None) if event.call is not None else None
        now = self._clock()
        seconds = now - begun if begun is not None else None
        failed = event.state in {"failed", "refused"}
        cell.failures += failed
        if not event.mends or begun is not None:
            cell.open -= 1
        if cell.few and cell.one_by_one < FEW:
            cell.one_by_one += 1
            self._print(event.run, _call(event, seconds))
        else:
            cell.rest.add(event, now if begun is None else begun)
            if failed and cell.failures <= FEW:
                self._print(event.run, _call(event, seconds))
        if cell.open <= 0 and (cell.over or not cell.few):
            self._flush(event.run, cell)

    def _flush(self, run: str, cell: _Cell) -> None:
        """Show together what was not shown one by one."""
        if cell.rest.begun is not None:
            self._print(run, cell.rest.line(self._clock() - cell.rest.begun))
        cell.rest = _Tally()


def _call(event: CallFinished, seconds: float | None) -> str:
    """A call in one line: `→ gpt-5.2 "What is…" ← "It is…" 120+30 tokens $0.0003 0.8 s`."""
    whom = {"run": "child run", "function": "function"}.get(event.kind, brief(event.model, _QUOTED))
    asked = f'→ {whom} "{brief(event.prompt, _QUOTED)}"'
    if event.state in {"failed", "refused"}:
        return f"{asked} {event.state}: {brief(event.error or '', _MOST_REASON)}"
    wrong = f" ({brief(event.error, _MOST_REASON)})" if event.error is not None else ""
    used = Usage()
    _add(used, event.spent)
    said = f'{asked} ← "{brief(event.text, _QUOTED)}"{wrong} '
    return said + (_UNSENT.get(event.state) or _took(used, seconds))


def _add(used: Usage, spent: Spent | None) -> None:
    """Count what a call took."""
    if spent is not None:
        used.input += spent.tokens.input
        used.output += spent.tokens.output
        used.cost += spent.cost or 0.0
        used.unpriced += spent.cost is None


def _took(used: Usage, seconds: float | None) -> str:
    """Tokens, cost and time, each where there is any to tell."""
    parts = [f"{used.input:,}+{used.output:,} tokens"] if used.tokens else []
    parts += [words.short_cost(used)] if used.cost else []
    parts += [f"{seconds:.1f} s"] if seconds is not None else []
    return " ".join(parts)
