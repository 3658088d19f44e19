"""What a run may still use: reserved before, settled after. One object for a run and everything below it."""

from __future__ import annotations

import sys
import threading
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from .errors import LimitReachedError, UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence


@dataclass(frozen=True)
class Tokens:
    """Tokens of one answer of a model."""

    input: int = 0
    output: int = 0
    cached_input: int = 0
    """Of the input, what the provider had in its cache."""


@dataclass(frozen=True)
class Bound:
    """The most that one request can take: what is reserved for it before it is sent."""

    tokens: int = 0
    """Input and output together."""
    cost: float = 0.0
    """USD; 0 where the price is not known."""

    def __add__(self, other: Bound) -> Bound:
        """Both together."""
        return Bound(self.tokens + other.tokens, self.cost + other.cost)

    def __sub__(self, other: Bound) -> Bound:
        """What is left of it without the other, never less than nothing."""
        return Bound(max(0, self.tokens - other.tokens), max(0.0, self.cost - other.cost))


@dataclass(frozen=True)
class Spent:
    """What a request took."""

    tokens: Tokens = Tokens()
    cost: float | None = None
    """USD; None where the price, or what there is to be paid, is not known."""


_LEAST_GRACE, _MOST_GRACE = 5.0, 30.0


@dataclass(frozen=True)
class Limits:
    """The limits of a run and everything below it. None means no limit; 0 never does."""

    calls: int | None = 1000
    """Calls to sub-models."""
    turns: int | None = 30
    """Turns of the root model, of the run and of each child run."""
    seconds: float | None = None
    """Time on the clock. The turn that is then under way, or one last turn, has `grace` seconds more."""
    tokens: int | None = None
    """Input and output tokens, root model and sub-models together."""
    cost: float | None = None
    """USD, likewise."""

    def __post_init__(self) -> None:
        """Raise UsageError for a limit that no run could keep."""
        for kind, least in (("calls", 0), ("turns", 1), ("tokens", 1)):
            check_number(f"the limit of {kind}", getattr(self, kind), least, whole=True, none="no limit")
        for kind in ("seconds", "cost"):
            check_number(f"the limit of {kind}", getattr(self, kind), 0, none="no limit")

    @property
    def grace(self) -> float:
        """Seconds beyond the limit of time in which the root model may still give its best answer."""
        return min(max(_LEAST_GRACE, (self.seconds or 0) / 2), _MOST_GRACE)

    @property
    def bound_spending(self) -> bool:
        """Whether what a request can take must be known before it is sent."""
        return self.tokens is not None or self.cost is not None


@dataclass
class Usage:
    """What a run has used so far."""

    calls: int = 0
    """Calls to sub-models that were sent, whatever came of them."""
    failed: int = 0
    """Of these, calls that brought no answer."""
    cached: int = 0
    """Calls answered from the journal or the cache. Not counted in `calls`."""
    retried: int = 0
    """Attempts beyond the first, of calls and turns."""
    unsettled: int = 0
    """Attempts whose outcome is not known: they may have been paid."""
    input: int = 0
    """Input tokens, root model and sub-models together."""
    output: int = 0
    """Output tokens, likewise."""
    cached_input: int = 0
    """Input tokens that the provider had in its cache."""
    turns: int = 0
    """Turns of the root model; those of child runs are theirs."""
    cost: float = 0.0
    """USD, as far as it is known."""
    unpriced: int = 0
    """Answers whose cost is not known."""
    possible_cost: float = 0.0
    """USD that the unsettled attempts may have cost besides, at most."""

    @property
    def tokens(self) -> int:
        """Input and output tokens together."""
        return self.input + self.output


@dataclass
class _Child:
    """What is a child run's own: its turns. All else is of the whole tree."""

    stopped: Callable[[], bool]
    turns: int
    limit: int | None
    reached: LimitReachedError | None = None
    """Its limit of turns, once that is reached."""


@dataclass
class Budget:
    """Counts what is used and refuses what would go over a limit.

    What a request can take at most is reserved before it is sent and given back when it is settled, so that no number of
    requests side by side goes over a limit. What a run's last turn can take is held back from everything else.

    Calls, tokens, cost and time are those of a run and all runs below it. Turns are each run's own: methods that have to do
    with them take the id of a run, and one that was not begun as a child is the run at the top.
    """

    limits: Limits
    usage: Usage = field(default_factory=Usage)
    reached: LimitReachedError | None = None
    """The first limit that refused something."""
    in_flight: int = 0
    """Calls to sub-models that are under way."""
    possible: Bound = Bound()
    """What unsettled attempts may have taken: counted against the limits, as if they had."""
    _reserved: Bound = Bound()
    _reservations: int = 0
    _held: dict[str, Bound] = field(default_factory=dict)
    """For each run, what its last turn can take."""
    _children: dict[str, _Child] = field(default_factory=dict)
    _started: float = field(default_factory=time.monotonic)
    _changed: threading.Condition = field(default_factory=threading.Condition)
    """Guards all of it: a check and the count that follows it are one step. Notified when something is given back."""

    def reserve_call(self, bounds: Sequence[Bound] = (Bound(),), stopped: Callable[[], bool] = lambda: False) -> Bound | None:
        """Count a call that is about to be sent, and reserve what it can take: the first of `bounds` that fits.

        While others are under way that may give back room, this waits for the first; then it takes what fits. None if it was
        `stopped` while it waited. Raises LimitReachedError instead of going over.
        """
        with self._changed:
            try:
                while not stopped():
                    taken = self._room_for_call(bounds)
                    if taken is not None:
                        return taken
                    self._changed.wait()
                return None
            finally:
                # What let this one go on, or not go on, may do so for the next.
                self._changed.notify()

    def _room_for_call(self, bounds: Sequence[Bound]) -> Bound | None:
        """The first that fits, taken; None where others are under way that may give back room."""
        self._check_call()
        tries = bounds[:1] if self._reservations else bounds
        for bound in tries:
            if self._short(bound) is None:
                self.usage.calls += 1
                self.in_flight += 1
                self._take(bound)
                return bound
        if self._reservations:
            return None
        raise self._refusal(bounds[-1])

    def _check_call(self) -> None:
        """Raise LimitReachedError if no call may be made."""
        self._check("seconds", self.limits.seconds, self.seconds())
        self._check("calls", self.limits.calls, self.usage.calls)
        if self.reached is not None and self.reached.kind in {"tokens", "cost"}:
            raise self.reached

    def count_child(self) -> None:
        """Count a child run among the calls; nothing is reserved for it. Raises LimitReachedError if none may be made."""
        with self._changed:
            self._check_call()
            self.usage.calls += 1

    def begin_child(self, run: str, stopped: Callable[[], bool], limit: int | None, turns: int = 0) -> None:
        """From now on `run` has turns of its own, and has taken so many of them. None waits for room once it is `stopped`."""
        with self._changed:
            self._children[run] = _Child(stopped, turns, limit)

    def fail_child(self) -> None:
        """A child run has brought no answer."""
        with self._changed:
            self.usage.failed += 1

    def turns(self, run: str = "") -> int:
        """How many turns the run has taken."""
        child = self._children.get(run)
        return self.usage.turns if child is None else child.turns

    def turn_limit(self, run: str = "") -> int | None:
        """How many turns the run may take."""
        child = self._children.get(run)
        return self.limits.turns if child is None else child.limit

    def reached_by(self, run: str = "") -> LimitReachedError | None:
        """The limit that keeps the run from going on, its own or one of all."""
        child = self._children.get(run)
        return self.reached if child is None else child.reached or self.reached

    def reserve_turn(self, run: str, choices: Sequence[tuple[Bound, Bound]] = ((Bound(), Bound()),)) -> int | None:
        """Count a turn of the root model of `run`, and reserve what it can take. Returns which of the choices fitted first.

        Each is what the turn can take, and what the last turn of the run can take once this one is over, which is held back
        from now on. None, and nothing is reserved, where both together do not fit: then this turn has to be the last. A child,
        beside which others go on, waits first for those under way to give back room. Raises LimitReachedError instead of going
        over the limit of turns.
        """
        child = self._children.get(run)
        with self._changed:
            self._check_turn(run)
            while True:
                waits = child is not None and self._reservations > 0 and not child.stopped()
                taken = self._room_for_turn(run, choices[:1] if waits else choices)
                if taken is not None:
                    self._changed.notify()
                    return taken
                if not waits:
                    break
                self._changed.wait()
            self._changed.notify()
            if child is None or not child.stopped():
                self._note(self._short(sum(choices[-1], Bound())))
            return None

    def _room_for_turn(self, run: str, choices: Sequence[tuple[Bound, Bound]]) -> int | None:
        """The first that fits, taken."""
        held = self._held.pop(run, Bound())
        for number, (bound, after) in enumerate(choices):
            if self._short(bound + after) is None:
                self._held[run] = after
                self._take_turn(run, bound)
                return number
        self._held[run] = held
        return None

    def reserve_last_turn(self, run: str, bounds: Sequence[Bound] = (Bound(),)) -> int:
        """Count the last turn of `run`, out of what was held back for it. Returns which of the bounds fitted first.

        Raises LimitReachedError where none does.
        """
        with self._changed:
            self._check_turn(run)
            self._held.pop(run, None)
            for number, bound in enumerate(bounds):
                if self._short(bound) is None:
                    self._take_turn(run, bound)
                    return number
            raise self._refusal(bounds[-1])

    def hold(self, run: str, bound: Bound) -> None:
        """Hold back what the last turn of `run` can take; what was held back for it before is free again."""
        with self._changed:
            self._held[run] = bound
            self._changed.notify_all()

    def release(self, run: str) -> None:
        """A run is over: nothing is held back for it."""
        with self._changed:
            self._held.pop(run, None)
            self._changed.notify_all()

    def reach(self, kind: str, used: float, run: str = "") -> None:
        """Note that a limit is reached, of turns that of the run, unless another was before."""
        limit: Any = self.turn_limit(run) if kind == "turns" else getattr(self.limits, kind)
        with self._changed:
            self._note(LimitReachedError(kind, limit, used), run)

    def retry(self, bound: Bound, *, maybe_paid: bool) -> None:
        """Note that an attempt failed and another follows, within the same reservation.

        One that may have been paid needs as much again. Raises LimitReachedError where that does not fit.
        """
        with self._changed:
            if maybe_paid:
                if (short := self._short(bound)) is not None:
                    self._note(short)
                    raise short
                self._unsettle(bound)
            self.usage.retried += 1

    def settle(self, bound: Bound, spent: Spent | None, *, maybe_paid: bool = False) -> None:
        """Give back what was reserved for a request, and count what it took; None for one that brought nothing."""
        with self._changed:
            self._reserved -= bound
            self._reservations -= 1
            if spent is not None:
                self._count(spent, bound)
            elif maybe_paid:
                self._unsettle(bound)
            self._changed.notify()

    def end_call(self, bound: Bound, spent: Spent | None, *, failed: bool, maybe_paid: bool = False) -> None:
        """A call that was reserved is over."""
        with self._changed:
            self.in_flight -= 1
            self.usage.failed += failed
        self.settle(bound, spent, maybe_paid=maybe_paid)

    def give_back_call(self, bound: Bound) -> None:
        """A call that was reserved is not sent after all."""
        with self._changed:
            self.in_flight -= 1
            self.usage.calls -= 1
        self.settle(bound, None)

    def count_cached(self) -> None:
        """A call was answered without being sent."""
        with self._changed:
            self.usage.cached += 1

    def wake(self) -> None:
        """Let those who wait for room look again, whether they are stopped."""
        with self._changed:
            self._changed.notify_all()

    def seconds(self) -> float:
        """Time since the run began, or was resumed."""
        return time.monotonic() - self._started

    def left(self, run: str = "") -> dict[str, float | None]:
        """What is left of each limit; None where there is none. Of tokens and cost, what is neither used, reserved nor held.

        Of turns, what is left to the run.
        """
        with self._changed:
            taken = self._taken()
        return {
            "calls": _left(self.limits.calls, self.usage.calls),
            "turns": _left(self.turn_limit(run), self.turns(run)),
            "seconds": _left(self.limits.seconds, self.seconds()),
            "tokens": _left(self.limits.tokens, taken.tokens),
            "cost": _left(self.limits.cost, taken.cost),
        }

    def _taken(self) -> Bound:
        """Used, possibly used, reserved and held."""
        used = Bound(self.usage.tokens, self.usage.cost)
        return sum(self._held.values(), used + self.possible + self._reserved)

    def _short(self, bound: Bound) -> LimitReachedError | None:
        """The limit that leaves no room for so much more, if one does."""
        taken = self._taken() + bound
        if self.limits.tokens is not None and taken.tokens > self.limits.tokens:
            return LimitReachedError("tokens", self.limits.tokens, self.usage.tokens, bound.tokens)
        if self.limits.cost is not None and taken.cost > self.limits.cost + _ROUNDING:
            return LimitReachedError("cost", self.limits.cost, self.usage.cost, bound.cost)
        return None

    def _take(self, bound: Bound) -> None:
        self._reserved += bound
        self._reservations += 1

    def _take_turn(self, run: str, bound: Bound) -> None:
        child = self._children.get(run)
        if child is None:
            self.usage.turns += 1
        else:
            child.turns += 1
        self._take(bound)

    def _count(self, spent: Spent, bound: Bound) -> None:
        self.usage.input += spent.tokens.input
        self.usage.output += spent.tokens.output
        self.usage.cached_input += spent.tokens.cached_input
        self.usage.cost += spent.cost or 0.0
        if spent.cost is None:
            self.usage.unpriced += 1
            # What a priced model did not say it took is counted against the limit as the most it can be.
            self.possible += Bound(0 if spent.tokens != Tokens() else bound.tokens, bound.cost)

    def _unsettle(self, bound: Bound) -> None:
        self.usage.unsettled += 1
        self.usage.possible_cost += bound.cost
        self.possible += bound

    def _check(self, kind: str, limit: float | None, used: float) -> None:
        if limit is not None and used >= limit:
            self._note(error := LimitReachedError(kind, limit, used))
            raise error

    def _check_turn(self, run: str) -> None:
        limit, used = self.turn_limit(run), self.turns(run)
        if limit is not None and used >= limit:
            self._note(error := LimitReachedError("turns", limit, used), run)
            raise error

    def _refusal(self, bound: Bound) -> LimitReachedError:
        error = self._short(bound)
        assert error is not None
        self._note(error)
        return error

    def _note(self, error: LimitReachedError | None, run: str = "") -> None:
        child = self._children.get(run)
        if child is not None and error is not None and error.kind == "turns":
            child.reached = child.reached or error
        else:
            self.reached = self.reached or error


_ROUNDING = 1e-9


def check_number(
    what: str, value: object, least: int, most: float = sys.float_info.max, *, whole: bool = False, none: str | None = None
) -> None:
    """Raise UsageError for what is no number, or out of bounds. `none` says what None means, where it may be given."""
    if value is None and none is not None:
        return
    is_one = isinstance(value, int if whole else int | float) and not isinstance(value, bool)
    if not (is_one and isinstance(value, int | float) and least <= value <= most):
        kind = "a whole number" if whole else "a number"
        bounds = f"of at least {least}" if most == sys.float_info.max else f"from {least} to {most:,.0f}"
        also = f", or None for {none}," if none is not None else ""
        message = f"{what} must be {kind} {bounds}{also or ','} not {_shown(value)}"
        raise UsageError(message)


_LONG = 1000
"""Bits of a number that is not written out; Python itself refuses those of thousands of digits."""


def _shown(value: object) -> str:
    return "a number that long" if isinstance(value, int) and value.bit_length() > _LONG else repr(value)[:200]


def _left(limit: float | None, used: float) -> float | None:
    return None if limit is None else max(0, limit - used)
