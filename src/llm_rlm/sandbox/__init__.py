"""An isolated Python session: cells in, results out. Knows nothing of models: it receives a handler for calls."""

from .session import Session
from .spares import Spares
from .types import (
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
