"""`random` draws the same whenever a cell is run again, so that the cell asks the same calls."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from random import Random

_USES = ("random", "statistics")


class Dice:
    """The generator behind the functions of `random`. Imported for the first cell that may use it: that takes 30 ms."""

    def __init__(self, seed: str) -> None:
        """Nothing is imported yet."""
        self._seed = seed
        self._generator: Random | None = None
        self._before: tuple[Any, ...] = ()

    def begin_cell(self, code: str) -> None:
        """Seed the generator if this cell is the first that may use it, and note where it stands."""
        if self._generator is None and any(name in code for name in _USES):
            import random  # noqa: PLC0415 - slow, and few cells want it

            self._generator = random._inst
            self._generator.seed(self._seed)
        if self._generator is not None:
            self._before = self._generator.getstate()

    def take_back(self) -> None:
        """Forget what the cell drew: it was stopped, so it will not be run again with the others."""
        if self._generator is not None:
            with suppress(BaseException):  # a cell may have broken `random`
                self._generator.setstate(self._before)
