"""What is shown of a run that has ended: what it took, what was looked at, and the quotes of its answer."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING, Any

from llm_rlm.errors import amount

from . import words
from .clean import brief, clean

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from llm_rlm.budget import Usage
    from llm_rlm.runs.result import Result

_MOST_NAMED = 3
_LONGEST_QUOTE = 200


def closing(result: Result) -> Iterator[str]:
    """The last lines: how much of the input was looked at, what was skipped, and what the run took."""
    for line in (_coverage(result), _skipped(result)):
        if line is not None:
            yield clean(line)
    end = {
        "prose": "; taken from prose, not submitted",
        "limit": f"; the limit of {_limit(result)} was reached",
        "interrupted": "; interrupted",
    }.get(result.finish, "")
    yield f"{taken(result)}, run {result.run_id}{end}"


def taken(result: Result) -> str:
    """What a run took: `2 turns, 40 sub-calls (12 from the cache), 81,234 + 2,101 tokens, $0.04, 12.4 s`."""
    usage = result.usage
    turns, used = words.counted(usage.turns, "turn"), f"{usage.input:,} + {usage.output:,} tokens"
    return f"{turns}, {_calls(usage)}, {used}, {cost(usage)}, {words.lasting(result.seconds)}"


def _calls(usage: Usage) -> str:
    details = {
        "from the cache": usage.cached,
        "failed": usage.failed,
        "retried": usage.retried,
        "unsettled": usage.unsettled,
    }
    told = ", ".join(f"{count:,} {what}" for what, count in details.items() if count)
    return words.counted(usage.calls + usage.cached, "sub-call") + (f" ({told})" if told else "")


def with_references(result: Result) -> str:
    """The answer, and below it the quotes it rests on; JSON is left as it is."""
    found = references(result) if isinstance(result.answer, str) else ""
    return f"{result.text}\n\n{found}" if found else result.text


def references(result: Result) -> str:
    """The quotes of the answer, each with its place: `auth.log:812: "…"`."""
    lines = []
    for number, citation in enumerate(result.citations, start=1):
        lines.append(f'[{number}] {_place(citation)}: "{brief(citation["quote"], _LONGEST_QUOTE)}"')
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
    read, sent = words.percent(coverage.read), words.percent(coverage.sent)
    line = f"{read} of the input was read by code, {least}{sent} reached a model{late}"
    untouched = coverage.untouched
    return line + (f"; untouched: {listed(untouched)}" if untouched else "")


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
        return f"cost {words.cost(usage)}"
    possible = f" (up to {amount('cost', usage.possible_cost)} more)" if usage.possible_cost else ""
    return f"{words.cost(usage)}{possible}"


def going_on(result: Result, tools: Iterable[str] = ()) -> str:
    """The command that goes on with a run that ended before its time. `tools` are those its cells could call."""
    kind = result.limit["kind"] if result.limit is not None else None
    more = f" --max-{kind} MORE" if kind not in {None, "seconds"} else ""
    return f"llm rlm resume {result.run_id}{more}{''.join(f' --tool {shlex.quote(tool)}' for tool in tools)}"
