"""The way of one call of a cell, from `await llm_query(...)` to its answer."""

from __future__ import annotations

from drawing import arrow, page, word

PLACES = ("a cell", "sandbox.session", "providers.dispatch", "budget", "providers.gate", "journal", "a sub-model")
"""Who takes part, from left to right. Those with a name of code are modules."""

STEPS = (
    ("a cell", "sandbox.session", "await llm_query(prompt)"),
    ("sandbox.session", "providers.dispatch", "a frame with the calls"),
    ("providers.dispatch", "journal", "is it answered already, in this run or an earlier one?"),
    ("providers.dispatch", "budget", "reserve the most that it can take"),
    ("providers.dispatch", "providers.gate", "wait for a place"),
    ("providers.dispatch", "journal", "write down that it is sent"),
    ("providers.dispatch", "a sub-model", "send; try again if it fails"),
    ("a sub-model", "providers.dispatch", "the answer, and its tokens"),
    ("providers.dispatch", "journal", "write down the answer"),
    ("providers.dispatch", "budget", "settle at what it took"),
    ("providers.dispatch", "sandbox.session", "the answer"),
    ("sandbox.session", "a cell", 'r["response"]'),
)
_FIRST, _APART, _TOP, _STEP = 66, 120, 106, 38


def picture() -> str:
    """A line down for each place, and an arrow across for each step."""
    bottom = _TOP + _STEP * len(STEPS) + 10
    width = _FIRST * 2 + _APART * (len(PLACES) - 1)
    parts = [word(24, 30, "The way of one call", "word", "start")]
    for at, place in enumerate(PLACES):
        x, y = _x(place), _TOP - 28 - 20 * (at % 2)  # at two heights: the names are wide
        parts += [f'<line class="life" x1="{x}" y1="{y + 8}" x2="{x}" y2="{bottom}"/>', word(x, y, place, "name")]
    for at, (start, end, text) in enumerate(STEPS, start=1):
        y = _TOP + _STEP * at - 12
        parts += [arrow(_x(start), y, _x(end), y), _label(start, end, y, text)]
    return page(width, bottom + 20, "What happens to a call, step by step, from the cell to the sub-model and back", parts)


def _label(start: str, end: str, y: int, text: str) -> str:
    """The words of a step, above its arrow, from its left end on."""
    return word(min(_x(start), _x(end)) + 8, y - 7, text, "soft", "start")


def _x(place: str) -> int:
    return _FIRST + _APART * PLACES.index(place)
