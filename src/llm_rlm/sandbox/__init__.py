"""An isolated Python session: cells in, results out. Knows nothing of models: it receives a handler for calls."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .session import Session
    from .spares import Spares
    from .types import (
        MOST_CODE,
        Answer,
        CallHandler,
        CellResult,
        Helpers,
        MissingVariableError,
        NoHelpers,
        NotAnAnswerError,
        Offer,
        Past,
        Variable,
    )

__all__ = [
    "MOST_CODE",
    "Answer",
    "CallHandler",
    "CellResult",
    "Helpers",
    "MissingVariableError",
    "NoHelpers",
    "NotAnAnswerError",
    "Offer",
    "Past",
    "Session",
    "Spares",
    "Variable",
]

_HOMES = {"Session": "session", "Spares": "spares"}


def __getattr__(name: str) -> object:
    """Import a name when it is first used: the worker, which is of this package, needs none of them and is to start soon."""
    if name not in __all__:
        message = f"module {__name__!r} has no attribute {name!r}"
        raise AttributeError(message)
    return getattr(import_module(f".{_HOMES.get(name, 'types')}", __name__), name)
