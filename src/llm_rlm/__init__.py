"""Recursive Language Models for LLM: ask any model questions over input of any size.

>>> from llm_rlm import RLM, RLMToolbox
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .budget import Limits
    from .config import Rate
    from .context import Sources, Walking
    from .errors import (
        BrokenReplyError,
        LimitReachedError,
        MissingKeyError,
        ModelError,
        RLMError,
        SandboxError,
        UnknownModelError,
        UsageError,
    )
    from .events import Observer
    from .rlm import RLM
    from .runs.cells import Cells
    from .runs.result import Result, RunFailedError
    from .runs.session import Session
    from .runs.start import Settings
    from .toolbox import RLMToolbox

__all__ = [
    "RLM",
    "BrokenReplyError",
    "Cells",
    "LimitReachedError",
    "Limits",
    "MissingKeyError",
    "ModelError",
    "Observer",
    "RLMError",
    "RLMToolbox",
    "Rate",
    "Result",
    "RunFailedError",
    "SandboxError",
    "Session",
    "Settings",
    "Sources",
    "UnknownModelError",
    "UsageError",
    "Walking",
]

_HOMES = {
    "Rate": "config",
    "Cells": "runs.cells",
    "Limits": "budget",
    "RLM": "rlm",
    "Result": "runs.result",
    "RunFailedError": "runs.result",
    "Observer": "events",
    "Session": "runs.session",
    "Settings": "runs.start",
    "Sources": "context",
    "Walking": "context",
    "RLMToolbox": "toolbox",
}


def __getattr__(name: str) -> object:
    """Import a public name when it is first used: every `llm` command imports this package."""
    if name not in __all__:
        message = f"module {__name__!r} has no attribute {name!r}"
        raise AttributeError(message)
    return getattr(import_module(f".{_HOMES.get(name, 'errors')}", __name__), name)


def __dir__() -> list[str]:
    return sorted(__all__)
