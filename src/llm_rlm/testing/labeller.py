"""A script that plays a sub-model asked by `llm_map`, with slips at given rates. It is no language model: it is told the truth.

labeller = Labeller(lambda text: "number" if text.isdecimal() else "word", ["number", "word"], Slips(mislabel=0.1, drop=0.02))
model = ScriptedModel(labeller)
"""

import json
import random
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from typing import Protocol

from .exchange import Reply

_ITEM = re.compile(r"<item (\d+)>\n(.*?)\n</item \1>", re.DOTALL)


class Asked(Protocol):
    """What a script is asked: an `llm.Prompt`, or a `Request` of the server."""

    @property
    def prompt(self) -> str:
        """The text of the prompt."""


@dataclass(frozen=True)
class Slips:
    """How often what goes wrong, each from 0 to 1. Raises ValueError for a rate out of range."""

    drop: float = 0.0
    """An item is left out."""
    double: float = 0.0
    """An item comes twice, the second time with another label."""
    mislabel: float = 0.0
    """An item gets another label, one this time and perhaps none the next."""
    stubborn: float = 0.0
    """An item gets another label, the same each time: no vote finds that out."""
    invent: float = 0.0
    """An item gets a label that there is not."""
    reorder: float = 0.0
    """The results of an answer come in any order."""
    renumber: float = 0.0
    """The results of an answer are numbered from 1 instead of as their items are."""
    garble: float = 0.0
    """An answer is not JSON."""

    def __post_init__(self) -> None:
        """Check the rates."""
        for each in fields(self):
            if not 0 <= getattr(self, each.name) <= 1:
                message = f"{each.name} is from 0 to 1, not {getattr(self, each.name)}"
                raise ValueError(message)


class Labeller:
    """Labels the items of a prompt of `llm_map`: by `truth`, but for the slips. The same prompt gets the same answer."""

    def __init__(
        self,
        truth: Callable[[str], str],
        labels: Sequence[str],
        slips: Slips = Slips(),
        seed: int = 0,
    ) -> None:
        """`truth` gives the label of a text, one of `labels`."""
        self._truth = truth
        self._labels = labels
        self._slips = slips
        self._seed = seed

    def __call__(self, asked: Asked) -> Reply:
        """Answer a prompt."""
        draw = _draw(self._seed, asked.prompt)
        slips = self._slips
        if draw.random() < slips.garble:
            return Reply(text="I am sorry, here is what I found: it is all in order.")
        entries = []
        for number, text in _ITEM.findall(asked.prompt):
            if draw.random() < slips.drop:
                continue
            label = self._label(text, draw)
            entries.append({"item": int(number), "result": label})
            if draw.random() < slips.double:
                entries.append({"item": int(number), "result": self._other(label, draw)})
        if draw.random() < slips.reorder:
            draw.shuffle(entries)
        if draw.random() < slips.renumber:
            entries = [{**entry, "item": number} for number, entry in enumerate(entries, start=1)]
        return Reply(text=json.dumps({"results": entries}))

    def _label(self, text: str, draw: random.Random) -> str:
        label = self._truth(text)
        own = _draw(self._seed, text)
        if own.random() < self._slips.stubborn:
            return self._other(label, own)
        if draw.random() < self._slips.invent:
            return f"probably {label}"
        return self._other(label, draw) if draw.random() < self._slips.mislabel else label

    def _other(self, label: str, draw: random.Random) -> str:
        return draw.choice([other for other in self._labels if other != label])


def _draw(seed: int, text: str) -> random.Random:
    """Draws the same for the same text."""
    return random.Random(f"{seed} {text}".encode("utf-8", "surrogatepass"))  # noqa: S311 - no secret
