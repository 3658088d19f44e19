"""Functions of the user that cells can call: they run on the host, with all that the user may do. Off unless they are given."""

from __future__ import annotations

import asyncio
import inspect
import json
import keyword
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from llm_rlm.calls import CallReply, CallRequest
from llm_rlm.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

MOST_RESULT = 50_000_000
"""Characters of JSON that a function may return."""

_HELPERS = frozenset({"context", "attachable", "submit", "budget", "grep", "search", "chunks", "sql", "print", "len"})
_ERRORS = frozenset({"LLMError", "HelperError"})
_CALLS = frozenset(
    {"llm_query", "llm_batch", "llm_map", "llm_query_batched", "rlm_query", "rlm_query_batch", "rlm_query_batched"}
)
_ENDS = frozenset({"answer", "FINAL", "FINAL_VAR", "SHOW_VARS"})
_TAKEN = _HELPERS | _ERRORS | _CALLS | _ENDS
"""Names that mean something in the session already."""

_LONGEST = 300
_PLAIN = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)


@dataclass(frozen=True)
class Function:
    """A function of the user as cells see it."""

    name: str
    signature: inspect.Signature
    doc: str
    work: Callable[..., Any]
    """What is called on the host, with the arguments by name."""

    @property
    def spec(self) -> Mapping[str, object]:
        """What the sandbox is told of it: `name`, `doc`, and `parameters`.

        Each of those has its name, whether it can be given by position, and whether it must be given.
        """
        parameters = [
            [parameter.name, parameter.kind is not inspect.Parameter.KEYWORD_ONLY, parameter.default is inspect.Parameter.empty]
            for parameter in self.signature.parameters.values()
        ]
        return {"name": self.name, "doc": self.doc, "parameters": parameters}

    def describe(self) -> str:
        """A line for the root model: its signature, and the first line of what it says of itself."""
        first = next((line.strip() for line in self.doc.splitlines() if line.strip()), "")
        return f"`await {self.name}{_shown(self.signature)}`" + (f": {first[:_LONGEST]}" if first else "")


def of_callables(functions: Iterable[Callable[..., Any]]) -> list[Function]:
    """Python functions, each with the name it has. Raises UsageError for what a cell could not call."""
    return _checked([_of_callable(function) for function in functions])


def of_tools(specs: Iterable[str]) -> list[Function]:
    """Tools of LLM, by name, and toolboxes, as `llm -T` takes them. Raises UsageError for one that is not there."""
    import click  # noqa: PLC0415 - LLM has imported it
    import llm  # noqa: PLC0415 - slow to import
    from llm.cli import _gather_tools  # noqa: PLC0415 - what reads `-T`; LLM has no public name for it

    found: list[Function] = []
    try:
        gathered = _gather_tools(list(specs), [])
    except click.ClickException as problem:
        raise UsageError(problem.message) from problem
    for tool in gathered:
        if isinstance(tool, llm.Toolbox):
            tool.prepare()  # type: ignore[no-untyped-call]
            found += [_of_tool(each) for each in tool.tools()]
        else:
            found.append(_of_tool(tool))
    return _checked(found)


class Performer:
    """Calls the functions that cells ask for."""

    def __init__(self, functions: Sequence[Function]) -> None:
        """Nothing is called yet."""
        self._functions = {function.name: function for function in functions}

    def perform(self, request: CallRequest, _number: int, _stopped: Callable[[], bool]) -> CallReply:
        """Call a function. What it raises is the error of the reply, in one line. One that runs is not stopped."""
        function = self._functions.get(request.prompt)
        if function is None:
            return CallReply(0, error=f"this run has no function {request.prompt[:100]!r}")
        try:
            arguments = json.loads(request.payload or "")
            bound = function.signature.bind(**arguments)
        except (ValueError, TypeError, RecursionError) as problem:
            return CallReply(0, error=f"{function.name}{_shown(function.signature)}: {problem}"[:_LONGEST])
        try:
            value = function.work(**bound.arguments)
            if inspect.isawaitable(value):
                value = asyncio.run(_wait(value))
        except BaseException as problem:  # noqa: BLE001 - it may raise anything, SystemExit too; it is what came of the call
            said = " ".join(str(problem).split())
            return CallReply(0, error=f"{function.name} raised {type(problem).__name__}: {said}"[:_LONGEST])
        return _as_reply(function.name, value)


async def _wait(value: Any) -> object:  # noqa: ANN401 - any awaitable
    return await value


def _as_reply(name: str, value: object) -> CallReply:
    """The value as JSON text."""
    import llm  # noqa: PLC0415 - slow to import

    value = value.output if isinstance(value, llm.ToolOutput) else value  # without its attachments
    try:
        text = json.dumps(value, allow_nan=False)
    except (TypeError, ValueError, RecursionError) as problem:
        return CallReply(0, error=f"{name} returned what JSON cannot hold ({type(value).__name__}): {problem}"[:_LONGEST])
    if len(text) > MOST_RESULT:
        return CallReply(0, error=f"{name} returned {len(text):,} characters; at most {MOST_RESULT:,} can be taken")
    return CallReply(0, text)


def _of_callable(function: Callable[..., Any]) -> Function:
    name = getattr(function, "__name__", type(function).__name__)
    try:
        signature = inspect.signature(function)
    except (TypeError, ValueError) as problem:
        message = f"{name} cannot be called from cells: {problem}"
        raise UsageError(message) from problem
    return Function(name, signature, inspect.getdoc(function) or "", function)


def _of_tool(tool: Any) -> Function:  # noqa: ANN401 - a Tool of LLM, checked here
    if getattr(tool, "implementation", None) is None:
        message = f"the tool {tool.name} runs at its provider: cells cannot call it"
        raise UsageError(message)
    whole = inspect.signature(tool.implementation)
    signature = whole.replace(parameters=[each for name, each in whole.parameters.items() if name != "llm_tool_call"])
    return Function(tool.name, signature, inspect.cleandoc(tool.description or ""), tool.implementation)


def _checked(functions: Sequence[Function]) -> list[Function]:
    for function in functions:
        name = function.name
        if not name.isidentifier() or keyword.iskeyword(name) or name.startswith("_"):
            message = f"a function for cells needs a name that Python takes and that does not begin with _, not {name!r}"
            raise UsageError(message)
        if name in _TAKEN:
            message = f"the name {name!r} is taken in the session: give the function another"
            raise UsageError(message)
        if other := [each.name for each in function.signature.parameters.values() if each.kind not in _PLAIN]:
            message = f"{name} takes {other[0]!r} by position only, or any number of them: cells pass arguments by name"
            raise UsageError(message)
    names = [function.name for function in functions]
    if twice := next((name for name in names if names.count(name) > 1), None):
        message = f"two functions are named {twice!r}"
        raise UsageError(message)
    return list(functions)


def _shown(signature: inspect.Signature) -> str:
    """The signature as a person would write it."""
    return str(signature)[:_LONGEST]


def as_functions(functions: Sequence[Callable[..., Any]], tools: Sequence[str]) -> list[Function]:
    """Both kinds together. Raises UsageError."""
    made = of_callables(functions)
    return _checked([*made, *of_tools(tools)]) if tools else made


def prompt_lines(functions: Sequence[Function]) -> str:
    """What the root model is told of them, a line each."""
    return "\n".join(f"- {function.describe()}" for function in functions)
