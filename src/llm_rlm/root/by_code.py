"""The root model writes blocks of code, and is told what they show in the next message. For models that support no tools."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from llm_rlm import prompts

from . import blocks, finals
from .conversation import Heard, ToolCall
from .names import EXECUTE, SUBMIT

if TYPE_CHECKING:
    from collections.abc import Sequence

    import llm


@dataclass
class ByCode:
    """A Way of models that need support nothing but text."""

    tools: Sequence[llm.Tool] = ()
    name: Literal["tools", "code"] = "code"

    def tell(self, results: Sequence[tuple[ToolCall, str]]) -> tuple[list[llm.ToolResult], str | None]:
        """As text, block by block."""
        count = len(results)
        told = [
            f"{'Your answer' if call.name == SUBMIT else 'Output of your code'}"
            f"{f' (block {number} of {count})' if count > 1 else ''}:\n{output}"
            for number, (call, output) in enumerate(results, start=1)
        ]
        return [], "\n\n".join(told) or None

    def hear(self, text: str, calls: Sequence[llm.ToolCall]) -> Heard:  # noqa: ARG002 - it was offered no tools
        """The blocks that it wants run, and the answer that it gives."""
        read = blocks.read(text)
        done = tuple(_call(code) for code in read.code)
        end = finals.in_prose(read.prose)
        if end is None:
            return Heard(read.text, done)
        answer = ToolCall(SUBMIT, end, None)
        return Heard(read.text, done, withheld=answer) if done else Heard(read.text, (answer,))

    def acting(self) -> str:
        """How blocks are written and read."""
        return prompts.render("acting_code")

    def nothing_done(self) -> str:
        """To write a block."""
        return prompts.render("no_code")

    def last_turn(self, why: str) -> str:
        """To submit now, in a way that needs no running: nothing may run after a stop."""
        return prompts.render("last_turn_code", why=why)


def _call(code: str) -> ToolCall:
    """What a block asks for."""
    end = finals.in_code(code)
    return ToolCall(SUBMIT, end, None) if end is not None else ToolCall(EXECUTE, {"code": code}, None)
