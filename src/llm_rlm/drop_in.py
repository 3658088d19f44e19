"""`rlm/<model>`: a model of LLM's like any other.

Where there is one, every `llm` command comes by here: what it does once it is asked is in `model`, imported then.
"""

from __future__ import annotations

import asyncio
from contextlib import contextmanager, suppress
from functools import cache, cached_property
from typing import TYPE_CHECKING, Any, Literal

import click
import llm

from .errors import RLMError, UnknownModelError
from .registry import PREFIX

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Iterator

    from llm.parts import StreamEvent

    from .model import Answering
    from .registry import Entry


@cache
def _options() -> type[llm.Options]:
    """The options of a run; any other is one of the model behind. Made when first needed: a class of pydantic takes long."""
    from pydantic import ConfigDict, Field  # noqa: PLC0415 - not before it is asked

    class Options(llm.Options):
        model_config = ConfigDict(extra="allow")

        sub_model: str | None = Field(default=None, description="Model for sub-calls")
        max_cost: float | None = Field(default=None, ge=0, description="Most USD")
        max_calls: int | None = Field(default=None, ge=0, description="Most sub-calls")
        max_tokens: int | None = Field(default=None, ge=1, description="Most tokens, root model and sub-calls together")
        max_turns: int | None = Field(default=None, ge=1, description="Most turns of the root model")
        timeout: float | None = Field(default=None, gt=0, description="Seconds for the whole run")
        concurrency: int | None = Field(default=None, ge=1, description="Most sub-calls at once")
        cite: bool | None = Field(default=None, description="Ask for verbatim quotes, and look them up")
        depth: int | None = Field(default=None, ge=0, description="How deep child runs may go; 1 unless given")
        protocol: Literal["tools", "code"] | None = Field(default=None, description="How the model behind runs code")

    return Options


class _Shared:
    """What the two kinds of model have in common. Nothing of the model behind is looked at before it is needed."""

    can_stream = True
    supports_schema = True
    supports_tools = False

    def __init__(self, name: str, entry: Entry) -> None:
        """`name` is the model behind."""
        self.model_id = PREFIX + name
        self._name = name
        self._entry = entry

    def __str__(self) -> str:
        """As `llm models` lists it."""
        return f"RLM: {self.model_id}"

    @cached_property
    def needs_key(self) -> str | None:
        """The key of the model behind."""
        return self._behind.needs_key if self._behind is not None else None

    @cached_property
    def key_env_var(self) -> str | None:
        """The environment variable that may have it."""
        return self._behind.key_env_var if self._behind is not None else None

    @cached_property
    def _behind(self) -> llm.Model | None:
        """The model behind; None where LLM does not know it any more: one drop-in must not keep `llm models` from its list."""
        from .providers import models  # noqa: PLC0415 - not before it is asked

        with suppress(UnknownModelError):
            return models.find(self._name)
        return None

    @property
    def Options(self) -> type[llm.Options]:  # noqa: N802 - LLM's name
        """The options: limits of the run, and those of the model behind."""
        return _options()

    def _answering(self, prompt: llm.Prompt, key: str | None, response: Any) -> Answering:  # noqa: ANN401 - of either kind
        from .model import Answering  # noqa: PLC0415 - not before it is asked

        return Answering(self._name, self._entry, prompt, key, response)


class RLMModel(_Shared, llm.KeyModel):  # type: ignore[misc, override]  # LLM's attributes are properties here
    """The drop-in model, synchronous."""

    def execute(
        self,
        prompt: llm.Prompt,
        stream: bool,  # noqa: FBT001 - LLM's signature
        response: llm.Response,
        conversation: llm.Conversation | None,
        key: str | None = None,
    ) -> Iterator[StreamEvent]:
        """Answer: progress as reasoning, then the answer as text."""
        with _in_one_line():
            answering = self._answering(prompt, key, response)
            with answering.running(conversation):
                while (event := answering.next()) is not None:
                    if stream or event.type == "text":
                        yield event


class AsyncRLMModel(_Shared, llm.AsyncKeyModel):  # type: ignore[misc, override]  # see RLMModel
    """The drop-in model for callers in an event loop."""

    async def execute(
        self,
        prompt: llm.Prompt,
        stream: bool,  # noqa: FBT001 - LLM's signature
        response: llm.AsyncResponse,
        conversation: llm.AsyncConversation | None,
        key: str | None = None,
    ) -> AsyncGenerator[str | StreamEvent, None]:
        """Answer: progress as reasoning, then the answer as text."""
        answering = self._answering(prompt, key, response)
        with answering.running(conversation):
            while (event := await asyncio.to_thread(answering.next)) is not None:
                if stream or event.type == "text":
                    yield event


@contextmanager
def _in_one_line() -> Iterator[None]:
    """Within a command, errors as click shows them: `llm chat` prints a traceback of any other."""
    try:
        yield
    except RLMError as problem:
        if click.get_current_context(silent=True) is None:
            raise
        raise click.ClickException(str(problem)) from problem
