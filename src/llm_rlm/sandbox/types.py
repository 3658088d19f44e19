"""What goes into the sandbox and what comes out, as values."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from llm_rlm.calls import CallReply, CallRequest

MOUNTED_AT = "/context/context"
"""The path in the guest of the file that it holds."""

MOST_CODE = 20_000_000
"""Characters of the code of a cell."""

type Sent = tuple[dict[str, Any], str]
"""The value of a variable as the guest sent it: the last of its frames, and all of its text."""


@dataclass(frozen=True)
class Offer:
    """The context as the guest gets it, and what its cells may do besides."""

    kind: Literal["none", "text", "json", "large", "many"] = "none"
    """No context; a text or JSON that the guest holds whole; a text too large for that, or several, read by `Helpers`."""
    path: str | None = None
    """The file on the host whose content the guest holds."""
    size: int = 0
    """Bytes of the text, or of the JSON. What the file has besides is not part of it."""
    functions: tuple[Mapping[str, object], ...] = ()
    """Functions that cells can call and the host has: `name`, `doc`, and `parameters`."""
    children: bool = False
    """Whether `rlm_query` starts a child run; else it is a question to a model."""
    attachable: tuple[str, ...] = ()
    """Names of files that can go with a prompt."""

    @property
    def volumes(self) -> list[tuple[str, str]]:
        """What to mount, read-only: pairs of host path and guest path."""
        return [(self.path, MOUNTED_AT)] if self.path is not None else []

    @property
    def in_guest(self) -> dict[str, object]:
        """What the driver needs to know."""
        return {
            "path": MOUNTED_AT,
            "kind": self.kind,
            "size": self.size,
            "functions": list(self.functions),
            "children": self.children,
            "attachable": list(self.attachable),
        }


class MissingVariableError(Exception):
    """No variable of that name; `names` are those there are."""

    def __init__(self, name: str, names: Sequence[str]) -> None:
        """Keep the names for a message."""
        super().__init__(name)
        self.names = list(names)


class NotAnAnswerError(Exception):
    """The variable holds what is neither text nor JSON. The text says what."""


class CallHandler(Protocol):
    """Makes the calls of a session. Its methods are called from the session's threads and must not block."""

    def ask(self, requests: Sequence[CallRequest], deliver: Callable[[CallReply], None]) -> None:
        """Start these calls; each is delivered once, from any thread."""

    def begin_cell(self, number: int) -> int:
        """Calls that come from now on are those of cell `number`; how many of them have an answer already.

        A cell that has run before asks the same calls in the same order.
        """

    def left(self) -> dict[str, float | None]:
        """What is left of each limit, for `budget()`."""


class Helpers(Protocol):
    """Answers what cells ask of the sources. One question at a time, from a thread of the session's own."""

    def answer(self, name: str, arguments: dict[str, Any], cancelled: Callable[[], bool]) -> bytes | str:
        """What was asked for, or a text that says what is wrong with the question.

        Nothing of the arguments is checked yet but that they are JSON. To give up soon once `cancelled`. An RLMError is shown
        to the cell like such a text.
        """

    def touched(self, documents: Sequence[object]) -> None:
        """Code has touched these texts, by number, of those that a question had read ahead. Nothing of it is checked yet.

        Comes before any frame that can rest on them, from the session's reading thread: to return at once.
        """


class NoHelpers:
    """Helpers of a session that has no sources."""

    def answer(self, name: str, arguments: dict[str, Any], cancelled: Callable[[], bool]) -> str:  # noqa: ARG002 - the protocol's
        """There is nothing to answer from."""
        return f"{name}: there is no input to look in"

    def touched(self, documents: Sequence[object]) -> None:
        """There is none to touch."""


@dataclass(frozen=True)
class Answer:
    """A value that came out of the sandbox."""

    text: str
    """The text itself, or JSON text."""
    is_json: bool = False
    quotes: tuple[str, ...] = ()
    """What was submitted with it as verbatim quotes of the context."""

    @property
    def value(self) -> Any:  # noqa: ANN401 - text or any JSON value
        """The value itself."""
        return json.loads(self.text) if self.is_json else self.text


@dataclass(frozen=True)
class Variable:
    """A variable that a cell made or changed."""

    name: str
    type: str
    length: int | None = None

    def __str__(self) -> str:
        """Name, type and length, as the root model is told: `lines list[300]`."""
        return f"{self.name} {self.type}" + (f"[{self.length}]" if self.length is not None else "")


@dataclass(frozen=True)
class Past:
    """A cell that finished, to be run again when its session is built up again."""

    number: int
    code: str
    shown: str
    """`CellResult.output` of the time."""


@dataclass(frozen=True)
class CellResult:
    """What came of a cell. An error in its code is a result like any other."""

    number: int
    output: str
    """What a REPL would show, at most about as many characters as asked for."""
    outcome: Literal["ok", "error", "exit", "timeout", "interrupted", "lost"]
    """`timeout`: stopped by its own limit. `interrupted`: stopped by `Session.interrupt`. `lost`: the worker ended or had to be
    ended; the session was built up again.
    """
    running: float
    """Seconds of the guest's own running time."""
    seconds: float
    """Seconds on the clock, waiting for calls included."""
    total: int = 0
    """Characters that the cell printed in all."""
    variables: tuple[Variable, ...] = ()
    submitted: Answer | None = None
    notes: tuple[str, ...] = field(default=())
    """What the root model must be told of the session itself."""
