"""What a run may still use. One object for a run and everything below it."""

from __future__ import annotations

import math
import threading
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from .errors import LimitReachedError, UsageError

if TYPE_CHECKING:
    from types import UnionType


@dataclass(frozen=True)
class Tokens:
    """Tokens of one answer of a model."""

    input: int = 0
    output: int = 0
    cached_input: int = 0
    """Of the input, what the provider had in its cache."""


_LEAST_GRACE, _MOST_GRACE = 5.0, 30.0


@dataclass(frozen=True)
class Limits:
    """The limits of a run. None means no limit; 0 never does."""

    calls: int | None = 1000
    """Calls to sub-models."""
    turns: int | None = 30
    """Turns of the root model."""
    seconds: float | None = None
    """Time on the clock. The turn that is then under way, or one last turn, has `grace` seconds more."""

    def __post_init__(self) -> None:
        """Raise UsageError for a limit that no run could keep."""
        _check("calls", self.calls, int, 0)
        _check("turns", self.turns, int, 1)
        _check("seconds", self.seconds, int | float, 0)

    @property
    def grace(self) -> float:
        """Seconds beyond the limit of time in which the root model may still give its best answer."""
        return min(max(_LEAST_GRACE, (self.seconds or 0) / 2), _MOST_GRACE)


@dataclass
class Usage:
    """What a run has used so far."""

    calls: int = 0
    """Calls to sub-models that were sent, whatever came of them."""
    failed: int = 0
    """Of these, calls that brought no answer."""
    cached: int = 0
    """Calls answered from the journal. Not counted in `calls`."""
    input: int = 0
    """Input tokens, root model and sub-models together."""
    output: int = 0
    """Output tokens, likewise."""
    cached_input: int = 0
    """Input tokens that the provider had in its cache."""
    turns: int = 0
    """Turns of the root model."""


@dataclass
class Budget:
    """Counts what is used and refuses what would go over a limit: reserve before, settle after."""

    limits: Limits
    usage: Usage = field(default_factory=Usage)
    reached: LimitReachedError | None = None
    """The first limit that refused something."""
    in_flight: int = 0
    """Calls to sub-models that are under way."""
    _started: float = field(default_factory=time.monotonic)
    _lock: threading.Lock = field(default_factory=threading.Lock)
    """Guards `usage`, `reached` and `in_flight`: a check and the count that follows it are one step."""

    def reserve_call(self) -> None:
        """Count a call that is about to be sent. Raises LimitReachedError instead of going over."""
        with self._lock:
            self._check("seconds", self.limits.seconds, self.seconds())
            self._check("calls", self.limits.calls, self.usage.calls)
            self.usage.calls += 1
            self.in_flight += 1

    def reserve_turn(self) -> None:
        """Count a turn of the root model. Raises LimitReachedError instead of going over."""
        with self._lock:
            self._check("turns", self.limits.turns, self.usage.turns)
            self.usage.turns += 1

    def reach(self, kind: str, used: float) -> None:
        """Note that a limit is reached, unless another was before."""
        limit = getattr(self.limits, kind)
        with self._lock:
            self.reached = self.reached or LimitReachedError(kind, limit, used)

    def settle(self, tokens: Tokens) -> None:
        """Add the tokens of an answer."""
        with self._lock:
            self.usage.input += tokens.input
            self.usage.output += tokens.output
            self.usage.cached_input += tokens.cached_input

    def end_call(self, *, failed: bool) -> None:
        """A call that was reserved is over."""
        with self._lock:
            self.in_flight -= 1
            self.usage.failed += failed

    def count_cached(self) -> None:
        """A call was answered without being sent."""
        with self._lock:
            self.usage.cached += 1

    def seconds(self) -> float:
        """Time since the run began."""
        return time.monotonic() - self._started

    def left(self) -> dict[str, float | None]:
        """What is left of each limit; None where there is none."""
        return {
            "calls": _left(self.limits.calls, self.usage.calls),
            "turns": _left(self.limits.turns, self.usage.turns),
            "seconds": _left(self.limits.seconds, self.seconds()),
        }

    def _check(self, kind: str, limit: float | None, used: float) -> None:
        if limit is not None and used >= limit:
            error = LimitReachedError(kind, limit, used)
            self.reached = self.reached or error
            raise error


def _check(name: str, value: object, kind: type | UnionType, least: int) -> None:
    if value is None:
        return
    number = isinstance(value, kind) and not isinstance(value, bool)
    if not (number and isinstance(value, int | float) and math.isfinite(value) and value >= least):
        whole = "a whole number" if kind is int else "a number"
        message = f"the limit of {name} must be {whole} of at least {least}, or None for no limit, not {value!r}"
        raise UsageError(message)


def _left(limit: float | None, used: float) -> float | None:
    return None if limit is None else max(0, limit - used)
