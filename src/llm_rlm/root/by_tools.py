"""The root model calls tools, as its provider offers them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from llm_rlm import prompts

from .conversation import Heard, ToolCall
from .names import EXECUTE, SUBMIT

if TYPE_CHECKING:
    from collections.abc import Sequence

    import llm


@dataclass
class ByTools:
    """A Way of models that support tools."""

    tools: Sequence[llm.Tool]
    name: Literal["tools", "code"] = "tools"

    def tell(self, results: Sequence[tuple[ToolCall, str]]) -> tuple[list[llm.ToolResult], str | None]:
        """As results of tools."""
        import llm  # noqa: PLC0415 - slow to import

        return [llm.ToolResult(name=call.name, output=output, tool_call_id=call.id) for call, output in results], None

    def hear(self, text: str, calls: Sequence[llm.ToolCall]) -> Heard:
        """The tools that it calls."""
        return Heard(text, tuple(ToolCall(call.name, call.arguments, call.tool_call_id) for call in calls))

    def acting(self) -> str:
        """Which tools there are."""
        return prompts.render("acting_tools", execute=EXECUTE, submit=SUBMIT)

    def nothing_done(self) -> str:
        """To call one of them."""
        return prompts.render("no_tool_call", execute=EXECUTE, submit=SUBMIT)

    def last_turn(self, why: str) -> str:
        """To submit now."""
        return prompts.render("last_turn", why=why, submit=SUBMIT)
