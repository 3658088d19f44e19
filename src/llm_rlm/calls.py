"""A call, as it travels between the sandbox that asks and the dispatcher that makes it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

type CallKind = Literal["model", "run", "function"]
"""A question to a sub-model; a child run with a session of its own; a function of the user on the host."""


@dataclass(frozen=True)
class CallRequest:
    """A call that a cell asks for, checked for its types only."""

    id: int
    """The asker's number for it."""
    prompt: str
    """What a sub-model is asked, the question of a child run, or the name of a function."""
    kind: CallKind = "model"
    system: str | None = None
    model: str | None = None
    """Another model than the run's sub-model, by name."""
    schema: str | None = None
    """A JSON Schema as JSON text, or LLM's concise schema string."""
    each: bool = False
    """The prompt is about many items, and the schema that of the result of each: see `schemas.each_of`."""
    payload: str | None = None
    """JSON text: the context of a child run, or the arguments of a function."""
    attachments: tuple[str, ...] = ()
    """Names of files of the sources that go with the prompt."""
    replay: bool = False
    """Asked by a cell that is run again to get its variables back: may be answered from the journal only."""


@dataclass(frozen=True)
class CallReply:
    """What came of a call: `text`, with `data` where a schema was asked for, or `error`.

    An answer that does not fit its schema is both: the text, and the error that says why.
    """

    id: int
    text: str = ""
    data: str | None = None
    """The validated value, as JSON text."""
    error: str | None = None
    """One short line for the model that wrote the code: no paths, no keys, no trace."""
    unknown: bool = False
    """It was asked in a replay and is not in the journal."""
    held_up: bool = False
    """A limit of the whole run, or a stop, kept a child run from going on: it does so when the run is resumed."""
