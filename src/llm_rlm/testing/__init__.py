"""Tools for testing code that uses llm models, without a network and without a key."""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from llm_rlm.testing.exchange import Fault, Reply, Request, Script, ToolCall, call, echo, needle, refuse, say
    from llm_rlm.testing.faults import DEFAULT_KINDS, KINDS, Faulty, Maker, model_and_messages
    from llm_rlm.testing.labeller import Labeller, Slips
    from llm_rlm.testing.models import ScriptedModel, tool_outputs
    from llm_rlm.testing.server import ScriptedServer

__all__ = [
    "DEFAULT_KINDS",
    "KINDS",
    "Fault",
    "Faulty",
    "Labeller",
    "Maker",
    "Reply",
    "Request",
    "Script",
    "ScriptedModel",
    "ScriptedServer",
    "Slips",
    "ToolCall",
    "call",
    "echo",
    "model_and_messages",
    "needle",
    "refuse",
    "say",
    "tool_outputs",
]

if not TYPE_CHECKING:
    # Names are looked up late so that `python -m llm_rlm.testing.server` does not find itself
    # imported already, which Python warns about.
    _HOMES = dict.fromkeys(__all__, "llm_rlm.testing.exchange") | {"ScriptedServer": "llm_rlm.testing.server"}
    _HOMES |= dict.fromkeys(["DEFAULT_KINDS", "KINDS", "Faulty", "Maker", "model_and_messages"], "llm_rlm.testing.faults")
    _HOMES |= dict.fromkeys(["Labeller", "Slips"], "llm_rlm.testing.labeller")
    _HOMES |= dict.fromkeys(["ScriptedModel", "tool_outputs"], "llm_rlm.testing.models")

    def __getattr__(name: str) -> object:
        if name not in _HOMES:
            msg = f"module {__name__!r} has no attribute {name!r}"
            raise AttributeError(msg)
        return getattr(import_module(_HOMES[name]), name)
