"""What the root model is told of a session that was built up again."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from .types import Sent, Variable

_MOST_NAMED = 12


@dataclass
class Replay:
    """What came of running the finished cells again."""

    broken: str | None = None
    """What went wrong, if anything: then nothing is left of one of them, and of those after it."""
    broken_at: int = 0
    """The number of that cell."""
    restored: bool = False
    """Whether others are left, before it."""
    changed: list[int] = field(default_factory=list)
    """The numbers of those that showed something else."""
    value: Sent | None = None
    """The value that was wanted, as the last cell left it."""


def of_loss(before: Mapping[str, Variable], now: Mapping[str, Variable], replay: Replay) -> tuple[str, ...]:
    """After a worker was lost: `before` are the variables there were, `now` those there are."""
    back = (f"Variables that are back as they were before this cell: {_named(now.values())}.",) if now else ()
    return (*back, *of_gone([variable for name, variable in before.items() if name not in now]), *_of_replay(replay))


def of_restart(replay: Replay) -> tuple[str, ...]:
    """After the cells of an earlier life were run again. Says nothing where all is as it was."""
    gone: tuple[str, ...] = ()
    if replay.broken is not None:
        those = f"cell {replay.broken_at} and those after it" if replay.restored else "earlier cells"
        gone = (f"Variables that are gone: all that {those} made.",)
    return (*gone, *_of_replay(replay))


def of_gone(gone: Sequence[Variable]) -> tuple[str, ...]:
    """Names variables that are lost, if any."""
    return (f"Variables that are gone: {_named(gone)}.",) if gone else ()


def _of_replay(replay: Replay) -> tuple[str, ...]:
    told = []
    if replay.broken is not None:
        told.append(f"They could not be restored: {replay.broken}.")
    if replay.changed:
        numbers = _listed([str(number) for number in replay.changed])
        told.append(f"Run again to restore their variables, these cells showed something else: {numbers}.")
    return tuple(told)


def _named(variables: Iterable[Variable]) -> str:
    return _listed([str(variable) for variable in variables])


def _listed(names: Sequence[str]) -> str:
    more = f" and {len(names) - _MOST_NAMED} more" if len(names) > _MOST_NAMED else ""
    return ", ".join(names[:_MOST_NAMED]) + more
