"""The two tools: how the models are offered them, and what a call of one does."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from llm_rlm import prompts
from llm_rlm.root.names import EXECUTE, SUBMIT

if TYPE_CHECKING:
    from collections.abc import Callable

    import llm

    from llm_rlm.context import Context
    from llm_rlm.sandbox import CellResult

    from .run import Run

_EXECUTE_SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {"code": {"type": "string", "description": "Python source"}},
    "required": ["code"],
}
_SUBMIT_SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {
        "answer": {"type": "string", "description": "The answer itself"},
        "variable_name": {"type": "string", "description": "Name of the variable that holds the answer"},
    },
}
_QUOTES: dict[str, Any] = {
    "type": "array",
    "items": {"type": "string"},
    "description": "Strings copied word for word from `context` that the answer rests on",
}
_HOW = {
    EXECUTE: f'Send {EXECUTE} with {{"code": "…"}}, newlines as \\n and quotes escaped.',
    SUBMIT: f'Send {SUBMIT} with {{"answer": "…"}} or {{"variable_name": "…"}}.',
}
_ARGUMENTS = {EXECUTE: set(_EXECUTE_SCHEMA["properties"]), SUBMIT: {*_SUBMIT_SCHEMA["properties"], "quotes"}}


def tools_for(
    context: Context,
    shown: int,
    execute: Callable[..., object],
    submit: Callable[..., object],
    plugin: str | None = None,
    *,
    cite: bool = False,
) -> list[llm.Tool]:
    """The tools for a context of which `shown` characters of output are shown at a time; `cite` asks for quotes.

    Their descriptions are at most 1,024 characters long, which every provider takes.
    """
    import llm  # noqa: PLC0415 - slow to import

    submit_schema = (
        {**_SUBMIT_SCHEMA, "properties": {**_SUBMIT_SCHEMA["properties"], "quotes": _QUOTES}} if cite else _SUBMIT_SCHEMA
    )
    describe = prompts.render("execute_python", context=context.describe(), shown=f"{shown:,}", submit=SUBMIT)
    return [
        llm.Tool(EXECUTE, describe, _EXECUTE_SCHEMA, execute, plugin),
        llm.Tool(SUBMIT, prompts.render("submit_answer"), submit_schema, submit, plugin),
    ]


def perform(run: Run, name: str, arguments: object, number: int | None = None) -> CellResult | str:
    """Call a tool with the arguments that a model sent. What is wrong with them is a text that says what to do.

    `number` tells which of the calls of its turn it is, from 0.
    """
    if name not in _HOW:
        return f"Error: there is no tool {name!r}. The tools are {EXECUTE} and {SUBMIT}."
    if not isinstance(arguments, dict):
        return f"Error: the arguments are not a JSON object. {_HOW[name]}"
    if unknown := [argument for argument in arguments if argument not in _ARGUMENTS[name]]:
        return f"Error: {name} has no argument {unknown[0]!r}. {_HOW[name]}"
    if name == EXECUTE:
        return run.execute(arguments.get("code"), number)
    return run.submit(**arguments) or "Submitted."
