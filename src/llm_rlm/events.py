"""What happens in a run, told as it happens: each event is a frozen dataclass, and an observer is a function that takes it.

Every event begins with `run`, the id of the run that it is of: the one that was asked, or a child run below it. Times are those
of whoever listens: an event comes when the thing has just happened, and has been recorded in the journal.

A run tells nothing after its RunFinished, but for calls that were under way then, which are let finish and may be paid: each
still has its CallFinished. Text is what models and cells wrote, as it came: `display.clean` it before a terminal sees it.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from .budget import Budget, Spent
    from .calls import CallKind


type CallState = Literal["answered", "known", "cached", "failed", "refused"]
"""What became of a call. `known`: the run itself asked it before it was resumed, and has the answer. `cached`: an earlier run's
answer serves. `refused`: it was not sent. Of these three there is no start."""


@dataclass(frozen=True, slots=True)
class RunStarted:
    """A run begins, or goes on."""

    run: str
    question: str | None
    """None where LLM's own chain has it."""
    model: str | None
    """The root model; None where it is not known."""
    sub_model: str
    budget: Budget = field(repr=False)
    """Says at any time what is used, and has the limits. The whole tree of runs has one."""
    parent: str | None = None
    """The run that it is a child of."""
    parent_call: int | None = None
    """The call that asked for it."""
    resumed: bool = False
    """Whether it goes on from where an earlier process left it."""


@dataclass(frozen=True, slots=True)
class RunFinished:
    """A run has ended."""

    run: str
    finish: str | None
    """As `Result.finish`; None where LLM's own chain ended without an answer."""
    error: str | None
    limit: str | None = None
    """The kind of the limit that was reached, if one was: `calls`, `turns`, `seconds`, `tokens` or `cost`."""


@dataclass(frozen=True, slots=True)
class TurnStarted:
    """The root model is about to be asked."""

    run: str
    number: int


@dataclass(frozen=True, slots=True)
class TurnRetried:
    """The root model did not answer, and is asked for the same turn again."""

    run: str
    number: int
    maybe_paid: bool


@dataclass(frozen=True, slots=True)
class TurnFinished:
    """The root model has answered."""

    run: str
    number: int
    text: str
    """What it said besides calling tools."""
    spent: Spent


@dataclass(frozen=True, slots=True)
class TurnFailed:
    """The root model brought no reply, and is not asked again: the run ends."""

    run: str
    number: int
    maybe_paid: bool


@dataclass(frozen=True, slots=True)
class CellStarted:
    """A cell is about to run."""

    run: str
    number: int
    code: str


@dataclass(frozen=True, slots=True)
class CellOutput:
    """The running cell printed this. Only the first part of a long output comes this way."""

    run: str
    number: int
    text: str


@dataclass(frozen=True, slots=True)
class CellFinished:
    """A cell has run."""

    run: str
    number: int
    output: str
    """What a REPL would show, shortened in its middle where it is long."""
    total: int
    """Characters that it printed in all."""
    outcome: str
    """`ok`, `error`, `exit`, `timeout`, `interrupted` or `lost`."""
    running: float
    """Seconds of its own running time."""
    seconds: float
    """Seconds on the clock, waiting for calls included."""
    notes: tuple[str, ...] = ()
    """What the root model is told of the session itself."""
    submitted: bool = False
    """Whether it submitted the answer."""


@dataclass(frozen=True, slots=True)
class CallsAsked:
    """A cell asks for so many calls at once. A loop that awaits each asks for one, many times."""

    run: str
    cell: int | None
    count: int


@dataclass(frozen=True, slots=True)
class CallStarted:
    """A call is sent, or a child run or a function begun."""

    run: str
    call: int
    """Its id in the journal."""
    cell: int | None
    kind: CallKind
    model: str
    prompt: str
    """What is asked: the prompt, the question of a child run, the name of a function."""
    mends: bool = False
    """Whether it asks once more for what did not fit its schema: a call of its own, that no CallsAsked has counted."""


@dataclass(frozen=True, slots=True)
class CallRetried:
    """An attempt failed and another follows."""

    run: str
    call: int
    error: str
    maybe_paid: bool


@dataclass(frozen=True, slots=True)
class CallFinished:
    """A call has an outcome, exactly one: each that was sent, and each that CallsAsked has counted."""

    run: str
    call: int | None
    """Its id in the journal; None where it was refused and not recorded."""
    cell: int | None
    kind: CallKind
    model: str
    state: CallState
    prompt: str
    """As in CallStarted, which not every call has."""
    text: str = ""
    """The answer."""
    error: str | None = None
    """What the cell is told where there is no answer, or none that fits its schema."""
    spent: Spent | None = None
    mends: bool = False
    """As in CallStarted."""


@dataclass(frozen=True, slots=True)
class Waiting:
    """A provider asked for patience: no request to this model begins for so long, of calls or of the root model."""

    run: str
    model: str
    seconds: float


@dataclass(frozen=True, slots=True)
class Progressed:
    """Something that takes long says in a few words how far it is; in none once it is done."""

    run: str | None
    """None before there is a run."""
    text: str


@dataclass(frozen=True, slots=True)
class Warned:
    """Something is not as the user would expect, and the run goes on."""

    run: str | None
    text: str


type Event = (
    RunStarted
    | RunFinished
    | TurnStarted
    | TurnRetried
    | TurnFinished
    | TurnFailed
    | CellStarted
    | CellOutput
    | CellFinished
    | CallsAsked
    | CallStarted
    | CallRetried
    | CallFinished
    | Waiting
    | Progressed
    | Warned
)

type Observer = Callable[[Event], None]
"""Sees runs as they happen. Called from their threads, several at once; must be quick, since they wait for it.

One that raises is a defect of the observer, and costs the run nothing: it is logged with its trace (`llm_rlm.events`), and the
observer is told nothing more.
"""

_logger = logging.getLogger(__name__)


def unobserved(_: Event) -> None:
    """An observer that looks away."""


def guarded(observer: Observer | None) -> Observer:
    """An observer that runs can tell without fear: see `Observer`."""
    if observer is None or isinstance(observer, _Guarded):
        return observer or unobserved
    return _Guarded(observer)


def all_of(*observers: Observer) -> Observer:
    """An observer that tells them all, each guarded for itself."""
    guards = [guarded(observer) for observer in observers]

    def tell(event: Event) -> None:
        for guard in guards:
            guard(event)

    return tell


class _Guarded:
    """Keeps what an observer raises from the run, and from then on keeps the run from the observer."""

    def __init__(self, observer: Observer) -> None:
        self._observer = observer

    def __call__(self, event: Event) -> None:
        try:
            self._observer(event)
        except Exception:
            self._observer = unobserved
            _logger.exception("the observer of a run failed, and is told nothing more")
