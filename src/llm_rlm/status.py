"""What a run shows on stderr while it goes on: one live line on a terminal, plain lines elsewhere."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any, Self

from .errors import amount

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from types import TracebackType

    from rich.console import Console
    from rich.status import Status as Spinner
    from rich.text import Text

    from .budget import Budget, Usage
    from .runs.result import Result
    from .sandbox import CellResult

_MOST_NAMED = 3
_LONGEST_QUOTE = 200


class Status:
    """An Observer that tells the user where the run is."""

    def __init__(self, *, quiet: bool, verbose: bool) -> None:
        """Say nothing if quiet; show cells and their output if verbose."""
        self.quiet = quiet
        self._verbose = verbose and not quiet
        self._turn = 0
        self._doing = "starting"
        self._helping = ""
        self._streamed = 0
        self._budget: Budget | None = None
        self._console: Console | None = None
        self._spinner: Spinner | None = None

    def __enter__(self) -> Self:
        """Begin to show."""
        if not self.quiet:
            from rich.console import Console  # noqa: PLC0415 - slow to import, not needed if quiet

            self._console = Console(file=sys.stderr, highlight=False, emoji=False, soft_wrap=True)
            if self._console.is_terminal:
                self._spinner = self._console.status(_Line(self))
                self._spinner.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        """Take the live line away."""
        if self._spinner is not None:
            self._spinner.stop()

    def run_started(self, budget: Budget) -> None:
        """From here on the live line says what is used."""
        self._budget = budget
        self._turn = budget.usage.turns

    def turn_started(self, number: int) -> None:
        """Show which turn it is."""
        self._turn = number
        self._say(f"turn {number}: asking the root model")

    def cell_started(self, number: int, code: str) -> None:
        """Show the cell if asked to."""
        self._say(f"turn {self._turn}: running cell {number}")
        if self._verbose:
            self._print(f"\n[{number}] " + clean(code).replace("\n", "\n    "))

    def cell_output(self, text: str) -> None:
        """Show it if asked to, as it comes."""
        if self._verbose:
            self._streamed += len(text)
            self._print(clean(text), end="")

    def cell_finished(self, result: CellResult) -> None:
        """Show the output if asked to."""
        if self._verbose:
            rest, self._streamed = result.output[self._streamed :], 0
            line_open = result.output and not result.output.endswith("\n")
            notes = "".join(f"{note}\n" for note in result.notes)
            self._print(clean(rest + ("\n" if line_open else "") + notes) + f"({result.seconds:.2f} s)")

    def closing(self, result: Result) -> None:
        """The last line: what it took."""
        if self.quiet:
            return
        for line in (_coverage(result), _skipped(result)):
            if line is not None:
                self._print(clean(line))
        usage = result.usage
        total = usage.calls + usage.cached
        details = {
            "from the cache": usage.cached,
            "failed": usage.failed,
            "retried": usage.retried,
            "unsettled": usage.unsettled,
        }
        told = ", ".join(f"{count:,} {what}" for what, count in details.items() if count)
        calls = f"{total:,} sub-call{'s' if total != 1 else ''}" + (f" ({told})" if told else "")
        end = {
            "prose": "; taken from prose, not submitted",
            "limit": f"; the limit of {_limit(result)} was reached",
            "interrupted": "; interrupted",
        }.get(result.finish, "")
        turns = "1 turn" if usage.turns == 1 else f"{usage.turns} turns"
        self._print(
            f"{turns}, {calls}, {usage.input:,} + {usage.output:,} tokens, {_cost(usage)}, "
            f"{result.seconds:.1f} s, run {result.run_id}{end}"
        )

    def helping(self, text: str) -> None:
        """Show it on the live line, as long as it lasts."""
        self._helping = text

    def warned(self, text: str) -> None:
        """Show it on a line of its own."""
        self._print(f"Warning: {clean(text)}")

    def _say(self, text: str) -> None:
        if self._spinner is not None:
            self._doing = text
        else:
            self._print(text)

    def _print(self, text: str, end: str = "\n") -> None:
        if self._console is not None:
            self._console.print(text, markup=False, end=end)

    @property
    def line(self) -> str:
        """The live line, as it is now."""
        doing = " · ".join(part for part in (self._doing, self._helping) if part)
        if self._budget is None:
            return doing
        usage = self._budget.usage
        calls = f"{usage.calls} sub-calls, {self._budget.in_flight} in flight" if usage.calls else "no sub-calls yet"
        limit = self._budget.limits.cost
        cost = _cost(usage) + (f" of {amount('cost', limit)}" if limit is not None else "")
        return f"{doing} · {calls} · {usage.input:,} + {usage.output:,} tokens · {cost} · {self._budget.seconds():.0f} s"


class _Line:
    """The live line as rich draws it: anew each time."""

    def __init__(self, status: Status) -> None:
        self._status = status

    def __rich__(self) -> Text:
        from rich.text import Text  # noqa: PLC0415 - rich is there when this is called

        return Text(self._status.line, no_wrap=True, overflow="ellipsis")


def clean(text: str) -> str:
    """Text without control, escape, bidirectional and invisible characters: it shows on a terminal what it holds.

    Variation selectors of the first sixteen stay: they choose how the character before them looks.
    """
    text = text.replace("\r\n", "\n")
    return "".join(character if _is_shown(character) else "\N{REPLACEMENT CHARACTER}" for character in text)


def _is_shown(character: str) -> bool:
    return character in "\n\t" or (character.isprintable() and character not in _INVISIBLE)


_INVISIBLE = frozenset(
    map(
        chr,
        (
            *(0x034F, 0x115F, 0x1160, 0x17B4, 0x17B5, 0x2800, 0x3164, 0xFFA0),
            *range(0x180B, 0x1810),
            *range(0xE0100, 0xE01F0),
        ),
    )
)
"""What Unicode ignores in display, though Python calls it printable: joiners, fillers, blanks, variation selectors."""


def with_references(result: Result) -> str:
    """The answer, and below it the quotes it rests on; JSON is left as it is."""
    found = references(result) if isinstance(result.answer, str) else ""
    return f"{result.text}\n\n{found}" if found else result.text


def references(result: Result) -> str:
    """The quotes of the answer, each with its place: `auth.log:812: "…"`."""
    lines = []
    for number, citation in enumerate(result.citations, start=1):
        quote = " ".join(clean(citation["quote"]).split())
        quote = quote if len(quote) <= _LONGEST_QUOTE else f"{quote[:_LONGEST_QUOTE]}…"
        lines.append(f'[{number}] {_place(citation)}: "{quote}"')
    return "\n".join(lines)


def _place(citation: Mapping[str, Any]) -> str:
    """Where a quote is, and how exactly."""
    if not citation["found"]:
        return f"UNSUPPORTED ({citation['why'] or 'not in the input'})"
    where = f"{citation['source']}:{citation['line']}" + (f" ({citation['place']})" if citation["place"] else "")
    return where + (" (but for white space)" if citation["how"] == "folded" else "")


def _coverage(result: Result) -> str | None:
    """How much of the input was looked at, in one line."""
    coverage = result.coverage
    if coverage is None:
        return None
    least, late = ("", "") if coverage.complete else ("at least ", " (there was no time to look for all of it)")
    line = f"{_percent(coverage.read)} of the input was read by code, {least}{_percent(coverage.sent)} reached a model{late}"
    untouched = coverage.untouched
    return line + (f"; untouched: {listed(untouched)}" if untouched else "")


def _percent(share: float) -> str:
    """A share as a person reads it: a little is not said to be nothing, nor nearly all to be all."""
    shown = f"{share:.0%}"
    if shown == "0%" and share > 0:
        return "under 1%"
    return "over 99%" if shown == "100%" and share < 1 else shown


def _skipped(result: Result) -> str | None:
    """What was named or found and not read, in one line."""
    if not result.skipped:
        return None
    named = listed([f"{skipped['name']} ({skipped['reason']})" for skipped in result.skipped])
    return f"skipped: {named}"


def listed(names: Sequence[str]) -> str:
    """The first of the names, and how many more there are."""
    more = f" and {len(names) - _MOST_NAMED:,} more" if len(names) > _MOST_NAMED else ""
    return ", ".join(names[:_MOST_NAMED]) + more


def _limit(result: Result) -> str:
    return amount(str(result.limit["kind"]), result.limit["limit"]) if result.limit is not None else "unknown"


def _cost(usage: Usage) -> str:
    """What is known of the cost, and what may come on top of it."""
    if usage.unpriced:
        return f"cost unknown (but for {amount('cost', usage.cost)})" if usage.cost else "cost unknown"
    possible = f" (up to {amount('cost', usage.possible_cost)} more)" if usage.possible_cost else ""
    return f"{amount('cost', usage.cost)}{possible}"
