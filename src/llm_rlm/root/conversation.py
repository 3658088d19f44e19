"""The conversation with the root model: one turn at a time, append-only until it comes near the end of the model's window."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, Protocol

from llm_rlm.budget import Tokens
from llm_rlm.providers import models

from . import compaction
from .compaction import Conversation, shortened, weight

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    import llm

    from llm_rlm.journal.history import PastTurn

_RAW = "_raw"
"""Where LLM's Responses models put tool arguments that are not JSON."""

_USUAL_DENSITY, _LEAST_DENSITY, _MOST_DENSITY = 1 / 3, 1 / 8, 2.0
"""Tokens for each character: where nothing has been counted, and what is believed of a count."""
_WORTH_IT = 0.9
"""The share of what it was to which a conversation has to be shortened, to be worth the loss of the provider's cache."""


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

    def __init__(
        self,
        model: llm.Model,
        way: Way,
        *,
        key: str | None,
        system: str,
        stream: bool,
        window: Callable[[], int | None] | None = None,
    ) -> None:
        """Begin a conversation. Nothing is sent yet. `window` tells how many tokens the model takes, if that is known."""
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
        self._question = 0
        """How long the history was before the question of the run."""
        self._weight = 0
        """Of the history: see `compaction.weight`."""
        self._density = _USUAL_DENSITY
        """Tokens for each unit of weight, as the provider has counted them."""
        self._window = window
        self._too_long: int | None = None
        """Tokens that the provider has refused as too many."""
        self._unsent: list[llm.ToolResult] = []
        self._unsaid: list[str] = []

    def recall(self, run_id: str, question: str, *runs: Sequence[PastTurn]) -> None:
        """Name the conversation as LLM's log knows it, and go on from what was said before: the turns, run by run.

        It is shortened where it was, and so is the same again.
        """
        self._conversation.id, self._conversation.name = run_id, question[:_LONGEST_NAME]
        said = Conversation()
        for turns in runs:
            asked = len(said.messages)
            said = Conversation(said.messages, asked)
            for turn in turns:
                said = shortened(said, turn.compacted) if turn.compacted is not None else said
                said = Conversation([*said.messages, *turn.messages], said.question)
        self._take(said)
        self._uncounted = [json.dumps(message) for message in said.messages]
        last = next((turns[-1] for turns in reversed(runs) if turns), None)
        if last is not None and last.input:
            self._count(Tokens(last.input, last.output), ())
            self._measure(last.input, self._weight - weight(last.messages[-1:]))

    def offered(self) -> list[dict[str, object]]:
        """The tools that the model is offered, each with `name`, `description` and `parameters`, its JSON Schema."""
        return [
            {"name": tool.name, "description": tool.description, "parameters": tool.input_schema} for tool in self.way.tools
        ]

    def begin(self) -> None:
        """The question of a run comes next: of all that is said before, it stays when the conversation is shortened."""
        self._question = len(self._history)

    def fill(self, results: Sequence[tuple[ToolCall, str]] = ()) -> float:
        """The share of the model's window that the conversation fills, with these results; 0 where that is not known."""
        window = self._known_window()
        return self._expected([output for _, output in results]) / window if window is not None else 0.0

    def make_room(self, text: str | None, results: Sequence[tuple[ToolCall, str]]) -> int | None:
        """Shorten what was said, if a turn with this would come near the end of the window.

        To how many characters (see `compaction.weight`); None if nothing was done.
        """
        window = self._known_window()
        unsent, unsaid = self._new(text, results)
        if window is None or self._expected([*unsaid, *(result.output for result in unsent)]) < compaction.BEGIN * window:
            return None
        return self._shorten(window)

    def make_room_anyway(self) -> int | None:
        """The same after the provider has refused a turn as too long: what it has refused is more than the window."""
        expected = int(self._expected(()))
        self._too_long = min(expected, self._known_window() or expected)
        return self._shorten(self._too_long)

    def _known_window(self) -> int | None:
        """Tokens that the model takes, as far as that is known; not looked up for a conversation that has not begun."""
        if not self._history:
            return None
        told = self._window() if self._window is not None else None
        known = [tokens for tokens in (self._too_long, told) if tokens is not None]
        return min(known, default=None)

    def _expected(self, new: Sequence[str]) -> float:
        """Tokens that the history is likely to have, with these new texts."""
        return self._density * (self._weight + sum(map(len, new)))

    def _shorten(self, window: int) -> int | None:
        """Shorten the history to its share of the window; None where that would not gain much."""
        room = int(compaction.TO * window / self._density)
        said = Conversation([message.to_dict() for message in self._history], self._question)
        made = shortened(said, room)
        if weight(made.messages) >= _WORTH_IT * self._weight:
            return None
        bound = self.input_tokens(None)
        kept = [json.dumps(message) for message in said.messages]
        texts = [json.dumps(message) for message in made.messages]
        self._take(made)
        # What was counted is no longer a count, but more than it only by what was written in the place of what is gone.
        new = [text for text in texts if text not in kept]
        self._counted, self._uncounted = 0, texts
        afresh = self.input_tokens(None)
        if bound + models.input_bound(*new) < afresh:
            self._counted, self._uncounted = bound, new
        return room

    def _take(self, said: Conversation) -> None:
        import llm  # noqa: PLC0415 - slow to import

        self._history = [llm.Message.from_dict(message) for message in said.messages]  # type: ignore[arg-type]
        self._question, self._weight = said.question, weight(said.messages)

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
        replied = weight([message.to_dict() for message in response.messages()])
        self._weight += weight(new)
        self._measure(tokens.input, self._weight - replied)
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

    def _measure(self, tokens: int, sent: int) -> None:
        """Take the provider's count of what weighs so much for the measure of what it will count."""
        if tokens and sent:
            self._density = min(max(tokens / sent, _LEAST_DENSITY), _MOST_DENSITY)

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


def _is_malformed_call(problem: json.JSONDecodeError, response: llm.Response) -> bool:
    """Whether it is the model's tool call that is not JSON, and not the whole answer of its provider."""
    return response.response_json is not None or problem.doc.lstrip().startswith("{")
