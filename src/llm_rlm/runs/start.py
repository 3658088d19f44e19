"""What a run begins with, before its models are known: how it is to run, its context, and the sandbox that is loading it."""

from __future__ import annotations

from copy import copy
from dataclasses import dataclass
from typing import TYPE_CHECKING

from llm_rlm.budget import check_number
from llm_rlm.errors import SandboxError
from llm_rlm.journal.history import Earlier
from llm_rlm.providers.dispatch import CHILDREN, CONCURRENCY
from llm_rlm.sandbox import Offer, Session, Spares

from .continuation import Followed

if TYPE_CHECKING:
    from collections.abc import Sequence

    from llm_rlm.context import Context

    from .continuation import Continuation
    from .functions import Function

_LONGEST = 2_000_000
"""Seconds; some systems can wait for no more than twice as long."""


@dataclass(frozen=True)
class Settings:
    """How a run runs."""

    concurrency: int = CONCURRENCY
    """Sub-calls at once."""
    output_limit: int = 8192
    """Characters of a cell's output that the root model is shown."""
    cell_limit: float = 120.0
    """Seconds of a cell's own running time."""
    call_timeout: float = 600.0
    """Seconds of silence after which a request to a model is given up, and tried again."""
    cache_days: float | None = 30.0
    """Days for which an answer of a sub-model serves later runs that ask the same; 0 for none, None for ever."""
    children: int = CHILDREN
    """Child runs at once, at each depth."""
    seed: str | None = None
    """What the numbers of `random` in cells follow from; None for the id of the run, so that each run draws others."""

    def __post_init__(self) -> None:
        """Raise UsageError for a setting that no run could have."""
        for name in ("concurrency", "output_limit", "children"):
            check_number(name, getattr(self, name), 1, whole=True)
        for name in ("cell_limit", "call_timeout"):
            check_number(name, getattr(self, name), 0, _LONGEST)
        check_number("cache_days", self.cache_days, 0, none="no end")


@dataclass(frozen=True)
class Reach:
    """What cells can do besides looking at their context and asking the sub-model."""

    functions: Sequence[Function] = ()
    """Functions of the user that they can call."""
    children: bool = False
    """Whether they may start child runs."""
    spares: Spares | None = None
    """Sandboxes that are up, one of which may serve."""


class Start:
    """A context and the sandbox that is loading it: what a run begins with, before its models are known."""

    def __init__(
        self,
        context: Context,
        settings: Settings,
        resumed: Continuation | None = None,
        followed: Followed | None = None,
        reach: Reach | None = None,
    ) -> None:
        """Start the sandbox. Returns at once.

        `followed` is what earlier runs of the session have left, `reach` what cells can do besides.
        """
        self.functions = reach.functions if reach is not None else ()
        self.context = context
        self.settings = settings
        self.resumed = resumed
        self.followed = followed
        self.id = _new_id() if resumed is None else resumed.past.id
        """The id of the run to be."""
        self.hashes = _hashes(resumed)
        """Of documents, by name, as far as they are known from before."""
        self._is_lent = False
        held = context.documents[0].path if context.kind in {"text", "json"} else None
        reach = reach or Reach()
        functions, names = tuple(function.spec for function in reach.functions), tuple(file.name for file in context.attachable)
        offer = Offer(context.kind, held, context.size, functions, reach.children, names)
        past = (*(followed.cells if followed is not None else ()), *(resumed.cells if resumed is not None else ()))
        seed = settings.seed or (followed.runs[0].run_id if followed is not None else self.id)
        cell, output = settings.cell_limit, settings.output_limit
        try:
            spare = reach.spares.take(offer) if reach.spares is not None else None
            self.session = Session(offer, cell_limit=cell, output_limit=output, seed=seed, past=past, spare=spare)
        except (OSError, SandboxError) as problem:
            context.discard()
            message = f"the sandbox cannot be started: {problem}"
            raise SandboxError(message) from problem

    def next(self, last_cell: int, hashes: dict[str, str]) -> Start:
        """The start of a run that follows the one of this start in the same sandbox, which who has this start ends.

        `last_cell` is the number of the last cell so far, `hashes` those of documents, by name, as far as they are known.
        """
        start = copy(self)
        before = self.followed.runs if self.followed is not None else ()
        start.followed = Followed((*before, Earlier(self.id, last_cell)))
        start.id, start.resumed, start._is_lent = _new_id(), None, True  # noqa: SLF001 - its own class
        start.hashes = hashes
        return start

    def discard(self) -> None:
        """End the sandbox, unless it is an earlier run's."""
        if not self._is_lent:
            self.session.close()
            self.context.discard()


def _new_id() -> str:
    from ulid import ULID  # noqa: PLC0415 - not needed for --help

    return str(ULID()).lower()


def _hashes(resumed: Continuation | None) -> dict[str, str]:
    """What an earlier life of the run has found out about its documents."""
    documents = resumed.past.documents if resumed is not None else ()
    return {document.name: document.sha256 for document in documents if document.sha256 is not None}
