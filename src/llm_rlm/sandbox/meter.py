"""How long a cell has run, as its host sees it."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable


class Meter:
    """A cell's own time in seconds: wall time while none of its calls is open, else processor time of the worker."""

    def __init__(self, cpu_seconds: Callable[[], float]) -> None:
        """Start counting. `cpu_seconds` tells the processor time that the worker has used so far."""
        self._cpu_seconds = cpu_seconds
        self._at = time.monotonic()
        self._cpu: float | None = None
        self._used = 0.0

    def read(self, *, calls_open: bool) -> float:
        """Seconds so far; the time since the last reading is counted as `calls_open` says."""
        now = time.monotonic()
        if calls_open:
            cpu = self._cpu_seconds()
            self._used += max(0.0, cpu - self._cpu) if self._cpu is not None else 0.0
            self._cpu = cpu
        else:
            self._used += now - self._at
            self._cpu = None
        self._at = now
        return self._used
