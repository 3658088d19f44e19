"""Scripted models for LLM: they answer by a function, need no key and no network, and are not language models."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Any

import llm

from .exchange import Reply

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping


class ScriptedModel(llm.Model):
    """An `llm` model in this process whose replies a function makes.

    The function is given the prompt (`llm.Prompt`) and returns a Reply, or the text of one. `delay` is in seconds and holds
    only the thread that asks.
    """

    can_stream = True
    supports_tools = True
    supports_schema = True

    def __init__(self, script: Callable[[llm.Prompt], Reply | str], model_id: str = "scripted", *, delay: float = 0.0) -> None:
        """Make a model that answers as `script` says."""
        self.model_id = model_id
        self._script = script
        self._delay = delay

    def execute(
        self,
        prompt: llm.Prompt,
        stream: bool,  # noqa: FBT001, ARG002 - llm's signature
        response: llm.Response,
        conversation: llm.Conversation | None = None,  # noqa: ARG002 - llm's signature
    ) -> Iterator[str]:
        """Answer as the script says."""
        made = self._script(prompt)
        reply = Reply(text=made) if isinstance(made, str) else made
        time.sleep(self._delay if reply.delay is None else reply.delay)
        response.response_json = {"text": reply.text}
        for call in reply.tool_calls:
            response.add_tool_call(llm.ToolCall(call.name, _arguments(call.arguments), call.id))
        response.set_usage(
            input=reply.input_tokens or len(prompt.prompt) // 4, output=reply.output_tokens or len(reply.text) // 4
        )
        if reply.text:
            yield reply.text


def tool_outputs(prompt: llm.Prompt) -> list[str]:
    """The outputs of all tools so far, oldest first: what a script needs to know how far it is."""
    return [part.output for message in prompt.messages for part in message.parts if hasattr(part, "output")]


def _arguments(arguments: Mapping[str, Any] | str) -> dict[str, Any]:
    """As LLM's OpenAI models do: arguments that are not JSON raise."""
    parsed: dict[str, Any] = json.loads(arguments) if isinstance(arguments, str) else dict(arguments)
    return parsed
