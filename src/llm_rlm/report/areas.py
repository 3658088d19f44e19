"""The documents of a run as a map: areas as large as the documents are, folders where there are too many."""

from __future__ import annotations

import heapq
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from llm_rlm.runs.result import Share

MOST = 60
"""Areas of a map."""
WIDTH, HEIGHT = 1000.0, 280.0

_WORTH_OPENING = 10


@dataclass
class Area:
    """A document, or a folder with all that is in it."""

    name: str
    """With a slash at the end if it is a folder."""
    size: int = 0
    """Bytes."""
    both: int = 0
    """Bytes that code read and that reached a model."""
    read: int = 0
    """Bytes that code alone read."""
    sent: int = 0
    """Bytes that reached a model and that code did not read by name."""
    documents: int = 0
    untouched: int = 0
    """Documents of which nothing was read and nothing sent."""
    within: dict[str, Area] = field(default_factory=dict, repr=False)

    @property
    def touched(self) -> int:
        """Bytes that were read or sent."""
        return self.both + self.read + self.sent

    @property
    def parts(self) -> list[tuple[str, float, float]]:
        """Of a length of 100: what it is, where that begins, how long it is."""
        parts, at = [], 0.0
        for kind in ("both", "read", "sent"):
            length = 100 * getattr(self, kind) / self.size if self.size else 0.0
            parts.append((kind, at, length))
            at += length
        return parts

    def add(self, share: Share) -> None:
        """Count a document."""
        both = max(0, share.read + share.sent - share.either)
        self.size += share.size
        self.both += both
        self.read += share.read - both
        self.sent += share.sent - both
        self.documents += 1
        self.untouched += not share.either


@dataclass(frozen=True)
class Tile:
    """Where an area is on the map."""

    area: Area
    x: float
    y: float
    width: float
    height: float


def areas(shares: Iterable[Share]) -> list[Area]:
    """The documents in the order that they have; above `MOST` the largest folders are opened for as long as there is room."""
    root = Area("")
    for share in shares:
        _place(root, share)
    if root.documents <= MOST:
        return _documents(root)
    shown: list[Area] = []
    waiting = [(-root.size, 0, root)]
    count = 1
    while waiting:
        _, _, area = heapq.heappop(waiting)
        room = MOST - len(shown) - len(waiting)
        if not area.within or (len(area.within) > room and room < _WORTH_OPENING):
            shown.append(area)
        elif len(area.within) > room:
            shown += _largest(area, room)
        else:
            for inner in area.within.values():
                heapq.heappush(waiting, (-inner.size, count, inner))
                count += 1
    return sorted(shown, key=lambda area: area.name)


def folder_of(names: Sequence[str]) -> str:
    """The folder that all of several names begin with, to its slash; empty if there is none."""
    if len(names) <= 1:
        return ""
    first, last = min(names), max(names)
    same = next((at for at, (one, other) in enumerate(zip(first, last, strict=False)) if one != other), len(first))
    return first[: first.rfind("/", 0, same) + 1]


def tiles(shown: Sequence[Area]) -> list[Tile]:
    """The areas in a rectangle of `WIDTH` by `HEIGHT`, each as large as its bytes: rows of areas, none long and thin."""
    left = sorted((area for area in shown if area.size), key=lambda area: -area.size)
    total = sum(area.size for area in left)
    x, y, width, height = 0.0, 0.0, WIDTH, HEIGHT
    scale = WIDTH * HEIGHT / total if total else 0.0
    made: list[Tile] = []
    while left:
        short = min(width, height)
        row = _row([area.size * scale for area in left], short)
        depth = sum(area.size for area in left[:row]) * scale / short if short else 0.0
        at = 0.0
        for area in left[:row]:
            along = area.size * scale / depth if depth else 0.0
            upright = width >= height
            made.append(Tile(area, x, y + at, depth, along) if upright else Tile(area, x + at, y, along, depth))
            at += along
        if width >= height:
            x, width = x + depth, max(0.0, width - depth)
        else:
            y, height = y + depth, max(0.0, height - depth)
        left = left[row:]
    return made


def _place(root: Area, share: Share) -> None:
    """Count a document in its folders, and in one area of its own."""
    *folders, _ = share.name.split("/")
    area, path = root, ""
    area.add(share)
    for folder in folders:
        path += f"{folder}/"
        area = area.within.setdefault(path, Area(path))
        area.add(share)
    area.within.setdefault(share.name, Area(share.name)).add(share)


def _documents(area: Area) -> list[Area]:
    if not area.within:
        return [area] if area.documents else []
    return [document for inner in area.within.values() for document in _documents(inner)]


def _largest(area: Area, room: int) -> list[Area]:
    """What is largest in a folder, and the rest together."""
    inner = sorted(area.within.values(), key=lambda each: -each.size)
    kept, rest = inner[: max(1, room - 1)], inner[max(1, room - 1) :]
    if not rest:
        return kept
    together = Area(f"{area.name}… {len(rest):,} more")
    for each in rest:
        for name in ("size", "both", "read", "sent", "documents", "untouched"):
            setattr(together, name, getattr(together, name) + getattr(each, name))
    return [*kept, together]


def _row(sizes: Sequence[float], short: float) -> int:
    """How many of the areas make the next row, so that the worst of them is as near to a square as can be (Bruls 2000)."""
    best, count = float("inf"), 0
    for at in range(1, len(sizes) + 1):
        total = sum(sizes[:at])
        worst = max(short**2 * max(sizes[:at]) / total**2, total**2 / (short**2 * min(sizes[:at]))) if short else 1.0
        if worst > best:
            break
        best, count = worst, at
    return max(1, count)
