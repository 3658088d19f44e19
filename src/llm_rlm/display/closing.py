"""What is shown of a run that has ended: what it took, what was looked at, and the quotes of its answer."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from llm_rlm.errors import amount

from .clean import clean

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from llm_rlm.budget import Usage
    from llm_rlm.runs.result import Result

_MOST_NAMED = 3
_LONGEST_QUOTE = 200


def closing(result: Result) -> Iterator[str]:
    """The last lines: how much of the input was looked at, what was skipped, and what the run took."""
    for line in (_coverage(result), _skipped(result)):
        if line is not None:
            yield clean(line)
    usage = result.usage
    turns = "1 turn" if usage.turns == 1 else f"{usage.turns} turns"
    end = {
        "prose": "; taken from prose, not submitted",
        "limit": f"; the limit of {_limit(result)} was reached",
        "interrupted": "; interrupted",
    }.get(result.finish, "")
    yield (
        f"{turns}, {_calls(usage)}, {usage.input:,} + {usage.output:,} tokens, {cost(usage)}, "
        f"{result.seconds:.1f} s, run {result.run_id}{end}"
    )


def _calls(usage: Usage) -> str:
    total = usage.calls + usage.cached
    details = {
        "from the cache": usage.cached,
        "failed": usage.failed,
        "retried": usage.retried,
        "unsettled": usage.unsettled,
    }
    told = ", ".join(f"{count:,} {what}" for what, count in details.items() if count)
    return f"{total:,} sub-call{'s' if total != 1 else ''}" + (f" ({told})" if told else "")


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


def cost(usage: Usage) -> str:
    """What is known of the cost, and what may come on top of it."""
    if usage.unpriced:
        return f"cost unknown (but for {amount('cost', usage.cost)})" if usage.cost else "cost unknown"
    possible = f" (up to {amount('cost', usage.possible_cost)} more)" if usage.possible_cost else ""
    return f"{amount('cost', usage.cost)}{possible}"
