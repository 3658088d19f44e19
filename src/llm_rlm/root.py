"""The conversation with the root model: one turn at a time, its history append-only."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from . import models
from .errors import ModelError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import llm

    from .budget import Tokens

_RAW = "_raw"
"""Where LLM's Responses models put tool arguments that are not JSON."""


@dataclass(frozen=True)
class ToolCall:
    """A tool that the root model wants called."""

    name: str
    arguments: Any
    """A dict, unless the model sent something else."""
    id: str | None

    @property
    def malformed(self) -> bool:
        """Whether the arguments were not JSON."""
        return isinstance(self.arguments, dict) and set(self.arguments) == {_RAW}


@dataclass(frozen=True)
class Reply:
    """What the root model said in one turn."""

    text: str
    calls: tuple[ToolCall, ...]
    tokens: Tokens
    malformed: str | None = None
    """Why the reply could not be read, if it could not."""

    def as_dict(self) -> dict[str, object]:
        """The reply as JSON can hold it."""
        calls = [{"name": call.name, "arguments": call.arguments} for call in self.calls]
        return {"text": self.text, "calls": calls, "malformed": self.malformed}

    @property
    def is_prose(self) -> bool:
        """Whether it neither runs code nor submits."""
        return not self.calls and self.malformed is None


class Root:
    """A root model and all that has been said to it and by it in one run."""

    def __init__(self, model: llm.Model, *, key: str | None, options: Mapping[str, object], system: str, stream: bool) -> None:
        """Begin a conversation. Nothing is sent yet. Tools are set before the first turn."""
        self.model = model
        self.tools: list[llm.Tool] = []
        self._key = key
        self._options = dict(options)
        self._system = system
        self._stream = stream and model.can_stream
        self._conversation = model.conversation()
        self._history: list[llm.Message] = []
        self._unsent: list[llm.ToolResult] = []
        self._unsaid: list[str] = []

    def ask(self, text: str | None, results: Sequence[tuple[ToolCall, str]] = ()) -> Reply:
        """Take one turn: say `text`, or give the results of the tools it called, or both.

        Raises ModelError when the model or its provider fails. A reply that cannot be read is a Reply that says so; what was
        said in the turn is then said again in the next.
        """
        import llm  # noqa: PLC0415 - slow to import

        self._unsent += [llm.ToolResult(name=call.name, output=output, tool_call_id=call.id) for call, output in results]
        self._unsaid += [text] if text else []
        response = self._conversation.prompt("\n\n".join(self._unsaid) or None, **self._arguments())
        try:
            said = response.text()
        except Exception as problem:
            if _is_malformed_call(problem, response):
                return Reply("", (), models.tokens_of_unfinished(response), malformed=str(problem))
            message = f"{self.model.model_id} did not answer: {models.describe(problem, self._key)}"
            raise ModelError(message) from problem
        self._history = [*response.prompt.messages, *response.messages()]
        self._unsent, self._unsaid = [], []
        calls = tuple(ToolCall(call.name, call.arguments, call.tool_call_id) for call in response.tool_calls())
        return Reply(said, calls, models.tokens_of(response))

    def _arguments(self) -> dict[str, Any]:
        import llm  # noqa: PLC0415 - slow to import

        arguments: dict[str, Any] = {
            "messages": self._history or [llm.system(self._system)],
            "system": self._system,
            "tools": self.tools,
            "tool_results": self._unsent,
            "stream": self._stream,
            "options": self._options,
        }
        if self._key is not None:
            arguments["key"] = self._key
        return arguments


def _is_malformed_call(problem: Exception, response: llm.Response) -> bool:
    """Whether it is the model's tool call that is not JSON, and not the whole answer of its provider."""
    whole = response.response_json is None and not getattr(problem, "doc", "").lstrip().startswith("{")
    return isinstance(problem, json.JSONDecodeError) and not whole
