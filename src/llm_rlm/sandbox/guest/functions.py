"""Functions of the user: they run on the host; here is what cells call."""

from __future__ import annotations

from inspect import Parameter, Signature
from typing import TYPE_CHECKING, Any

from .calls import NotAwaited
from .jsontext import decode, encode
from .results import LLMError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from .calls import Calls


def made(spec: dict[str, Any], calls: Calls) -> Callable[..., NotAwaited]:
    """The function that a spec of the host describes: `await f(...)` gives what it returns there."""
    name, signature = str(spec["name"]), _signature(spec["parameters"])

    def function(*arguments: object, **named: object) -> NotAwaited:
        bound = signature.bind(*arguments, **named)
        payload = encode(dict(bound.arguments))

        async def work() -> object:
            try:
                returned = await calls.ask({"kind": "function", "prompt": name, "payload": payload})
            except LLMError as problem:
                raise RuntimeError(str(problem)) from None
            return decode(str.__str__(returned))

        return NotAwaited(name, work)

    function.__name__ = function.__qualname__ = name
    function.__doc__ = str(spec["doc"])
    function.__signature__ = signature  # type: ignore[attr-defined]
    return function


def _signature(parameters: Sequence[Sequence[Any]]) -> Signature:
    """Parameters by name, whether they can be given by position, and whether they must be given."""
    made_of = [
        Parameter(
            str(name),
            Parameter.POSITIONAL_OR_KEYWORD if positional else Parameter.KEYWORD_ONLY,
            default=Parameter.empty if needed else None,
        )
        for name, positional, needed in parameters
    ]
    return Signature(made_of)
