"""The conversation with the root model: one turn at a time, its history append-only."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, Protocol

from llm_rlm.budget import Tokens
from llm_rlm.providers import models

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import llm

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
class Heard:
    """What a reply asks for."""

    text: str
    """What it says, without what the model was only thinking."""
    calls: tuple[ToolCall, ...]
    withheld: ToolCall | None = None
    """An answer that it gives beside code that has not run yet, so that it was not made of what the code shows."""


class Way(Protocol):
    """How a root model says what it wants done, and is told what came of it."""

    name: Literal["tools", "code"]
    tools: Sequence[llm.Tool]
    """What its provider is to offer it."""

    def tell(self, results: Sequence[tuple[ToolCall, str]]) -> tuple[list[llm.ToolResult], str | None]:
        """What came of its calls: as results of tools, or as text."""

    def hear(self, text: str, calls: Sequence[llm.ToolCall]) -> Heard:
        """What a reply asks for."""

    def acting(self) -> str:
        """How it runs code and answers, for its system prompt."""

    def nothing_done(self) -> str:
        """What it is told after a reply that asks for nothing."""

    def last_turn(self, why: str) -> str:
        """What it is told with its last turn."""


@dataclass(frozen=True)
class Reply:
    """What the root model said in one turn."""

    text: str
    calls: tuple[ToolCall, ...]
    tokens: Tokens
    withheld: ToolCall | None = None
    """See `Heard`."""
    malformed: str | None = None
    """Why the reply could not be read, if it could not."""
    messages: tuple[Mapping[str, Any], ...] = ()
    """What the turn added to the conversation, as LLM writes messages."""
    response: llm.Response | None = field(default=None, repr=False)
    """LLM's own response, for its log."""

    def as_dict(self) -> dict[str, object]:
        """The reply as JSON can hold it."""
        withheld = vars(self.withheld) if self.withheld is not None else None
        calls = [vars(call) for call in self.calls]
        return {"text": self.text, "calls": calls, "malformed": self.malformed, "withheld": withheld}

    @property
    def is_prose(self) -> bool:
        """Whether it neither runs code nor submits."""
        return not self.calls and self.malformed is None


class Root:
    """A root model and all that has been said to it and by it in one run."""

    def __init__(self, model: llm.Model, way: Way, *, key: str | None, system: str, stream: bool) -> None:
        """Begin a conversation. Nothing is sent yet."""
        self.model = model
        self.way = way
        self.key = key
        self.system = system
        self._stream = stream and model.can_stream
        self._conversation = model.conversation()
        self._history: list[llm.Message] = []
        self._counted = 0
        """Tokens of the history, as the provider counts them."""
        self._uncounted: list[str] = []
        """Texts of the history that are not in `_counted`."""
        self._unsent: list[llm.ToolResult] = []
        self._unsaid: list[str] = []

    def recall(self, run_id: str, question: str, messages: Sequence[Mapping[str, Any]] = ()) -> None:
        """Name the conversation as LLM's log knows it, and go on from what was said before."""
        import llm  # noqa: PLC0415 - slow to import

        self._conversation.id, self._conversation.name = run_id, question[:_LONGEST_NAME]
        self._history = [llm.Message.from_dict(message) for message in messages]  # type: ignore[arg-type]
        self._uncounted = [json.dumps(message) for message in messages]

    def input_tokens(self, text: str | None, results: Sequence[tuple[ToolCall, str]] = ()) -> int:
        """At most how many input tokens a turn with this has."""
        unsent, unsaid = self._new(text, results)
        outputs = [result.output for result in unsent]
        tools = "" if self._counted else f"{self.system}{[(tool.description, tool.input_schema) for tool in self.way.tools]}"
        return self._counted + models.input_bound(*self._uncounted, *unsaid, *outputs, tools)

    def ask(self, text: str | None, results: Sequence[tuple[ToolCall, str]], options: Mapping[str, object]) -> Reply:
        """Take one turn: say `text`, or give the results of the tools it called, or both.

        Raises what the model or its provider raises; the same turn can then be asked for again. A reply that cannot be read
        is a Reply that says so; what was said in the turn is then said again in the next.
        """
        unsent, unsaid = self._new(text, results)
        response = self._conversation.prompt("\n\n".join(unsaid) or None, **self._arguments(unsent, options))
        try:
            said = models.read(response)
        except json.JSONDecodeError as problem:
            if not self.way.tools or not _is_malformed_call(problem, response):
                raise
            self._unsent, self._unsaid = unsent, unsaid
            return Reply("", (), models.tokens_of_unfinished(response), malformed=str(problem))
        before, self._history = len(self._history), [*response.prompt.messages, *response.messages()]
        self._unsent, self._unsaid = [], []
        heard = self.way.hear(said, response.tool_calls())
        tokens, new = models.tokens_of(response), [message.to_dict() for message in self._history[before:]]
        self._count(tokens, new)
        return Reply(heard.text, heard.calls, tokens, heard.withheld, messages=tuple(new), response=response)

    def _new(self, text: str | None, results: Sequence[tuple[ToolCall, str]]) -> tuple[list[llm.ToolResult], list[str]]:
        """What is to be said in a turn, with what could not be said before: results of tools, and texts."""
        unsent, told = self.way.tell(results)
        return self._unsent + unsent, self._unsaid + [part for part in (told, text) if part]

    def _count(self, tokens: Tokens, new: Sequence[Mapping[str, Any]]) -> None:
        """Take the provider's count of all that was said, where it gives one."""
        if tokens.input:
            self._counted, self._uncounted = tokens.input + tokens.output, []
        else:
            self._uncounted += [json.dumps(message) for message in new]

    def _arguments(self, results: Sequence[llm.ToolResult], options: Mapping[str, object]) -> dict[str, Any]:
        import llm  # noqa: PLC0415 - slow to import

        arguments: dict[str, Any] = {
            "messages": self._history or [llm.system(self.system)],
            "system": self.system,
            "tools": self.way.tools,
            "tool_results": results,
            "stream": self._stream,
            "options": dict(options),
        }
        if self.key is not None:
            arguments["key"] = self.key
        return arguments


_LONGEST_NAME = 100


def reply_from(record: Mapping[str, Any]) -> Reply:
    """The reply that `as_dict` recorded."""
    calls = tuple(map(call_from, record["calls"]))
    withheld = call_from(record["withheld"]) if record.get("withheld") is not None else None
    return Reply(record["text"], calls, Tokens(), withheld, record.get("malformed"))


def call_from(record: Mapping[str, Any]) -> ToolCall:
    """A tool call as `Reply.as_dict` recorded it."""
    return ToolCall(record["name"], record["arguments"], record.get("id"))


def _is_malformed_call(problem: Exception, response: llm.Response) -> bool:
    """Whether it is the model's tool call that is not JSON, and not the whole answer of its provider."""
    whole = response.response_json is None and not getattr(problem, "doc", "").lstrip().startswith("{")
    return isinstance(problem, json.JSONDecodeError) and not whole
