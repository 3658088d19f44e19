"""JSON Schemas that cells ask for, checked before anything is paid, and the answers checked against them.

A schema comes from code that a model wrote, and is worked on by the host: nothing in it may fetch, or take for ever.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, NoReturn

from .errors import ModelError

if TYPE_CHECKING:
    from collections.abc import Iterator

MOST_STEPS = 10_000
"""How many parts a schema may have once its references are followed; they can double with each level."""

_MOST_NESTING = 90
_REFERENCES = ("$ref", "$dynamicRef", "$recursiveRef")
_PATTERNS = ("pattern", "patternProperties")


def parse(schema: str) -> dict[str, Any]:
    """A JSON Schema from JSON text or from LLM's concise schema string. Raises ModelError for what cannot be used."""
    import jsonschema  # noqa: PLC0415 - slow to import, rarely needed
    import llm  # noqa: PLC0415 - likewise

    try:
        parsed = json.loads(schema) if schema.lstrip().startswith("{") else llm.schema_dsl(schema)
        if not isinstance(parsed, dict):
            message = "the schema is not a JSON object"
            raise ModelError(message)
        _refuse_dangers(parsed)
        jsonschema.validators.validator_for(parsed).check_schema(parsed)
    except (ValueError, RecursionError) as problem:
        message = f"the schema cannot be read: {type(problem).__name__}"
        raise ModelError(message) from None
    except jsonschema.SchemaError as problem:
        message = f"the schema is not a JSON Schema: {problem.message[:200]}"
        raise ModelError(message) from None
    return parsed


def validated(text: str, schema: dict[str, Any]) -> str:
    """The value that the text holds, as JSON text. Raises ModelError that says how it does not fit the schema."""
    import jsonschema  # noqa: PLC0415 - slow to import, rarely needed
    import referencing  # noqa: PLC0415 - likewise

    try:
        data = json.loads(_without_fence(text))
        _refuse_nesting(data)
        # An empty registry: nothing is fetched, whatever the schema refers to.
        validator = jsonschema.validators.validator_for(schema)(schema, registry=referencing.Registry())
        validator.validate(data)
    except (ValueError, RecursionError) as problem:
        message = f"the answer is not JSON ({type(problem).__name__}): {text[:200]!r}"
        raise ModelError(message) from None
    except jsonschema.ValidationError as problem:
        message = f"the answer does not fit the schema ({problem.message[:200]}): {text[:200]!r}"
        raise ModelError(message) from None
    except referencing.exceptions.Unresolvable:
        message = "the schema refers to what is not in it"
        raise ModelError(message) from None
    return json.dumps(data)


def value_of(text: str) -> str | None:
    """The value that the text is, as JSON text; None where it is not JSON, or nests too deep."""
    try:
        data = json.loads(text, parse_constant=_refuse_constant)
        _refuse_nesting(data)
    except (ValueError, RecursionError, ModelError):
        return None
    return json.dumps(data)


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(name)


def _refuse_dangers(schema: dict[str, Any]) -> None:
    """Raise ModelError for references out of the schema, for patterns, and for references that multiply."""
    steps = 0
    level: list[object] = [schema]
    for _ in range(_MOST_NESTING):
        level = [child for item in level for child in _next(item, schema)]
        steps += len(level)
        if not level:
            return
        if steps > MOST_STEPS:
            break
    message = "the schema is too large or too deep once its references are followed"
    raise ModelError(message)


def _next(item: object, schema: dict[str, Any]) -> Iterator[object]:
    if isinstance(item, list):
        yield from (child for child in item if isinstance(child, dict | list))
    if not isinstance(item, dict):
        return
    for name, value in item.items():
        if name in _PATTERNS:
            message = f"{name!r} is not supported in a schema: check the text in code"
            raise ModelError(message)
        if name in _REFERENCES:
            yield _target(value, schema)
        elif name not in {"$defs", "definitions"} and isinstance(value, dict | list):
            yield value


def _target(reference: object, schema: dict[str, Any]) -> object:
    parts = str(reference).split("/")
    if len(parts) != 3 or parts[0] != "#" or parts[1] not in {"$defs", "definitions"}:  # noqa: PLR2004 - #, $defs, name
        message = f"a schema may refer to its own '#/$defs/NAME' only, not to {str(reference)[:100]!r}"
        raise ModelError(message)
    places = schema.get(parts[1])
    target = places.get(parts[2]) if isinstance(places, dict) else None
    if target is None:
        message = f"the schema has no {str(reference)[:100]!r}"
        raise ModelError(message)
    return target


def _refuse_nesting(value: object) -> None:
    level = [value]
    for _ in range(_MOST_NESTING):
        level = [child for item in level for child in _inside(item)]
        if not level:
            return
    message = f"the answer nests more than {_MOST_NESTING} deep"
    raise ModelError(message)


def _inside(value: object) -> list[object]:
    if isinstance(value, dict):
        return list(value.values())
    return value if isinstance(value, list) else []


def _without_fence(text: str) -> str:
    """JSON that a model put in a fenced block."""
    lines = text.strip().splitlines()
    fenced = len(lines) > 1 and lines[0].startswith("```") and lines[-1].startswith("```")
    return "\n".join(lines[1:-1]) if fenced else text
