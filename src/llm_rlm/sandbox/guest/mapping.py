"""`llm_map`: a checked result for each of many items. Items go several to a prompt, and none is lost on the way.

Whatever does not come back, comes back twice with different results, or does not fit, is asked again in smaller packs, at last
one by one. With votes, each item is looked at in several passes that are packed differently.
"""

from __future__ import annotations

import asyncio
import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from .jsontext import canonical, readable
from .results import Failure, Mapped

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence
    from random import Random

    from .results import Batch

    type AskAll = Callable[[Iterable[dict[str, object]]], Awaitable[Batch]]
    """Makes calls side by side, and gives their results in order."""

MOST_ITEMS = 50
"""Items in one prompt, unless told otherwise: with more, models lose count."""
MOST_CHARACTERS = 50_000
"""Characters of items in one prompt; a longer item has a prompt of its own."""
MOST_VOTES = 9
FURTHER_LOOKS = 3
"""Passes over the items on which the votes are even, at most."""
ALONE = 2
"""How often an item is asked alone."""

_SHRINK = 4
_FIRST_NUMBER = 100
_TAG = re.compile(r"item\s*([0-9]{1,18})\s*>")
_FIELD = re.compile(r"\$([a-z]+)")


@dataclass(frozen=True)
class Terms:
    """What results are to be, and how they are asked for."""

    labels: tuple[str, ...] = ()
    """The only results there may be; none for any."""
    schema: object = None
    """A JSON Schema of each result, or LLM's concise schema string."""
    votes: int = 1
    per_call: int = MOST_ITEMS

    @property
    def wanted(self) -> object:
        """The schema of each result."""
        if self.labels:
            return {"type": "string", "enum": list(self.labels)}
        return self.schema if self.schema is not None else {"type": "string"}

    @property
    def told(self) -> str:
        """What a prompt says of results."""
        if self.labels:
            return f" RESULT is one of these, word for word: {readable(self.labels)}."
        return "" if self.schema is not None else " RESULT is a text."

    def label(self, value: object) -> str | None:
        """The label that was meant: models write other capitals, and spaces around it."""
        folded = str(value).strip().casefold()
        meant = [label for label in self.labels if label.strip().casefold() == folded]
        return meant[0] if len(meant) == 1 else None


def terms(labels: object, schema: object, votes: object, per_call: object) -> Terms:
    """Check the arguments of a map. Raises TypeError or ValueError that names the argument."""
    if labels is not None and schema is not None:
        message = "give labels or schema, not both: labels are results of their own"
        raise ValueError(message)
    several = _number("votes", 1 if votes is None else votes, MOST_VOTES)
    if several > 1 and labels is None and schema is None:
        message = "votes need labels or schema: two free texts never agree"
        raise ValueError(message)
    return Terms(_labels(labels), schema, several, _number("per_call", MOST_ITEMS if per_call is None else per_call))


def texts(items: object) -> list[str]:
    """The items as prompts show them. Raises TypeError or ValueError that names the item."""
    if isinstance(items, str | bytes | Mapping) or not isinstance(items, Iterable):
        message = f"items must be a list, not {type(items).__name__}"
        raise TypeError(message)
    return [_text(index, item) for index, item in enumerate(items)]


class Mapper:
    """One map: its items, and how they are asked."""

    def __init__(self, ask: AskAll, template: str, request: Mapping[str, object], terms: Terms, texts: Sequence[str]) -> None:
        """Nothing is asked yet. `template` is the prompt; `request` has the instruction as its `prompt`, and what all share."""
        self._ask = ask
        self._template = template
        self._request = {**request, "each": True}
        self._terms = terms
        self._texts = texts
        self._calls = 0

    @property
    def least(self) -> int:
        """How many calls it takes if everything comes back at once and all votes agree."""
        looks = [_order(number, range(len(self._texts))) for number in range(self._terms.votes)]
        return sum(len(self._packs(order, self._terms.per_call)) for order in looks)

    def check(self, room: float | None) -> None:
        """Raise ValueError where there is no room for so many calls; None is no limit."""
        if room is None or self.least <= room:
            return
        votes = f", {self._terms.votes} votes" if self._terms.votes > 1 else ""
        message = (
            f"llm_map needs at least {self.least:,} calls ({len(self._texts):,} items, up to {self._terms.per_call:,} a call"
            f"{votes}), and {max(0, int(room)):,} are left; nothing was asked"
        )
        raise ValueError(message)

    async def run(self) -> Mapped:
        """Ask until each item has a result, or has been asked often enough."""
        every = range(len(self._texts))
        looks = await asyncio.gather(*[self._look(number, every) for number in range(self._terms.votes)])
        ballots = [[look[index] for look in looks] for index in every]
        for number in range(self._terms.votes, self._terms.votes + FURTHER_LOOKS):
            even = [index for index in every if is_even(ballots[index])]
            if not even:
                break
            look = await self._look(number, even)
            for index in even:
                ballots[index].append(look[index])
        differing = [{"index": index, "votes": _valid(ballots[index])} for index in every if differ(ballots[index])]
        return Mapped(map(decided, ballots), self._terms.labels, differing, self._calls)

    # One look at items

    async def _look(self, number: int, indices: Sequence[int]) -> dict[int, Any]:
        """A result, or a failure, for each of these items. Looks differ in how they are packed."""
        look = _Look(_order(number, indices))
        sizes = _sizes(self._terms.per_call)
        tried = 0
        while look.left and sizes:
            packs, barren = self._packs(look.left, sizes[0]), tried > 0 and not look.found
            if barren:
                # Nothing at all has come back: one call at a time finds out whether smaller packs help.
                packs = [packs[tried % len(packs)]]
            got = await self._round(look, packs, f"{number} {tried}")
            tried += 1
            if not barren or not got:
                sizes.pop(0)
        return look.results()

    async def _round(self, look: _Look, packs: Sequence[Sequence[int]], seed: str) -> int:
        """Ask these packs, and take what comes back; for how many items that was."""
        before = len(look.left)
        numbered = [
            numbers([self._texts[index] for index in pack], _draw(f"{seed} {position}")) for position, pack in enumerate(packs)
        ]
        self._calls += len(packs)
        replies = await self._ask(self._prompted(pack, given) for pack, given in zip(packs, numbered, strict=True))
        for pack, given, reply in zip(packs, numbered, replies, strict=True):
            look.take(dict(zip(given, pack, strict=True)), reply, self._terms)
        return before - len(look.left)

    def _packs(self, order: Sequence[int], most: int) -> list[list[int]]:
        return packs(order, [len(text) for text in self._texts], most)

    def _prompted(self, pack: Sequence[int], given: Sequence[int]) -> dict[str, object]:
        """The request for a pack whose items have been given these numbers."""
        shown = [f"<item {number}>\n{self._texts[index]}\n</item {number}>" for index, number in zip(pack, given, strict=True)]
        fields = {
            "instruction": str(self._request["prompt"]),
            "count": f"{len(pack):,}",
            "items": "\n\n".join(shown),
            "numbers": ", ".join(map(str, given)),
            "labels": self._terms.told,
        }
        return {**self._request, "prompt": _FIELD.sub(lambda field: fields[field[1]], self._template)}


class _Look:
    """What one look has brought so far."""

    def __init__(self, order: Sequence[int]) -> None:
        self._order = order
        self.found: dict[int, Any] = {}
        self._why: dict[int, str] = {}
        self._asked: Counter[int] = Counter()

    @property
    def left(self) -> list[int]:
        """The items without a result, in the order of the look."""
        return [index for index in self._order if index not in self.found]

    def take(self, items: Mapping[int, int], reply: Any, terms: Terms) -> None:  # noqa: ANN401 - a Response or a Failure
        """Take what came back for `items`, which go by their numbers."""
        self._asked.update(items.values())
        if isinstance(reply, Failure):
            self._why.update(dict.fromkeys(items.values(), reply.error))
            return
        given, wrong = read(reply.data, terms)
        for number, index in items.items():
            distinct = {canonical(value): value for value in given.get(number, ())}
            if len(distinct) == 1 and number not in wrong:
                (self.found[index],) = distinct.values()
            elif distinct:
                self._why[index] = "several results came back for it"
            else:
                self._why[index] = wrong.get(number, "no result came back for it")

    def results(self) -> dict[int, Any]:
        """A result or a failure for each item."""
        return {index: self.found[index] if index in self.found else self._failure(index) for index in self._order}

    def _failure(self, index: int) -> Failure:
        times = self._asked[index]
        asked = f" (asked {times} times)" if times > 1 else ""
        return Failure(f"no valid result: {self._why.get(index, 'it was not asked')}{asked}", index, "item")


# Pure functions


def packs(order: Sequence[int], lengths: Sequence[int], most: int) -> list[list[int]]:
    """Cut an order into packs of at most `most` items, as even as may be, and of so many characters as a prompt may have."""
    if not order:
        return []
    even = -(-len(order) // -(-len(order) // most))
    made: list[list[int]] = []
    room = -1
    for index in order:
        room -= lengths[index]
        if room < 0 or len(made[-1]) >= even:
            made.append([])
            room = MOST_CHARACTERS - lengths[index]
        made[-1].append(index)
    return made


def numbers(texts: Sequence[str], draw: Random) -> list[int]:
    """Numbers for the items of a prompt, which occur in no tag that stands in a text.

    They do not follow one another: a model that counts for itself, or leaves one out, then writes numbers that do not exist,
    and not those of other items.
    """
    taken = {int(number) for text in texts for number in _TAG.findall(text)}
    low = _FIRST_NUMBER
    while 9 * low < 10 * (len(taken) + len(texts)):
        low *= 10
    made: dict[int, None] = {}
    while len(made) < len(texts):
        number = draw.randrange(low, 10 * low)
        if number not in taken:
            made[number] = None
    return list(made)


def read(data: Any, terms: Terms) -> tuple[dict[int, list[Any]], dict[int, str]]:  # noqa: ANN401 - JSON, checked by the host
    """The results by number, and what is wrong with those that do not fit."""
    given: dict[int, list[Any]] = {}
    wrong: dict[int, str] = {}
    for entry in data["results"]:
        given.setdefault(entry["item"], []).append(entry["result"])
    for entry in data["wrong"]:
        number, label = entry.get("item"), terms.label(entry.get("result"))
        if type(number) is not int:
            continue
        if label is not None:
            given.setdefault(number, []).append(label)
        else:
            wrong[number] = str(entry["error"])
    return given, wrong


def is_even(ballots: Sequence[Any]) -> bool:
    """Whether no result has more votes than every other."""
    first_two = Counter(map(canonical, _valid(ballots))).most_common(2)
    return len(first_two) > 1 and first_two[0][1] == first_two[1][1]


def differ(ballots: Sequence[Any]) -> bool:
    """Whether there are different results."""
    return len(set(map(canonical, _valid(ballots)))) > 1


def decided(ballots: Sequence[Any]) -> Any:  # noqa: ANN401 - any JSON value, or a failure
    """The result with the most votes, of several the one that came first; a failure where there is none."""
    valid = _valid(ballots)
    if not valid:
        return ballots[0]
    votes = Counter(map(canonical, valid))
    return max(valid, key=lambda value: votes[canonical(value)])


def _valid(ballots: Sequence[Any]) -> list[Any]:
    return [value for value in ballots if not isinstance(value, Failure)]


def _sizes(per_call: int) -> list[int]:
    """How many items a call has, round by round."""
    sizes = []
    while per_call > 1:
        sizes.append(per_call)
        per_call //= _SHRINK
    return sizes + [1] * ALONE


def _order(look: int, indices: Sequence[int]) -> list[int]:
    """The order in which a look goes through items: the first as they are, each other shuffled in a way of its own."""
    order = list(indices)
    if look:
        _draw(f"look {look}").shuffle(order)
    return order


def _draw(seed: str) -> Random:
    """Draws the same for the same seed, whatever cells do with `random`: a cell that runs again has to ask the same."""
    from random import Random  # noqa: PLC0415 - takes 30 ms, and few sessions want it

    return Random(seed)  # noqa: S311 - no secret


def _text(index: int, item: object) -> str:
    if isinstance(item, str):
        return str.__str__(item)
    if isinstance(item, Failure):
        message = f"items[{index}] is a call that failed ({item.error}): leave it out"
        raise TypeError(message)
    try:
        return readable(item)
    except (TypeError, ValueError) as problem:
        message = f"items[{index}]: {problem}"
        raise type(problem)(message) from None


def _labels(labels: object) -> tuple[str, ...]:
    if labels is None:
        return ()
    if isinstance(labels, str | bytes | Mapping) or not isinstance(labels, Iterable):
        message = f"labels must be a list of str, not {type(labels).__name__}; what they mean goes in the instruction"
        raise TypeError(message)
    given = list(labels)
    for label in given:
        if not isinstance(label, str) or not label.strip():
            message = f"labels must be a list of str that are not empty, not of {label!r}"
            raise TypeError(message)
    # The order of a set is another in each session.
    given = sorted(given) if isinstance(labels, set | frozenset) else given
    if not given:
        message = "labels is empty"
        raise ValueError(message)
    return tuple(dict.fromkeys(str.__str__(label) for label in given))


def _number(name: str, value: object, most: int | None = None) -> int:
    if type(value) is not int or value < 1 or (most is not None and value > most):
        message = f"{name} must be a whole number from 1{f' to {most}' if most is not None else ''}, not {value!r}"
        raise ValueError(message)
    return value
