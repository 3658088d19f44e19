"""JSON Schemas that cells ask for, checked before anything is paid, and the answers checked against them.

A schema comes from code that a model wrote, and is worked on by the host: nothing in it may fetch, or take for ever.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, NoReturn

from llm_rlm import loosejson
from llm_rlm.errors import ModelError, UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator

MOST_STEPS = 10_000
"""How many parts a schema may have once its references are followed; they can double with each level."""

_MOST_NESTING = 90
_MOST_QUOTED = 200
_LONGEST_NUMBER = 20
_DEFINITIONS = ("$defs", "definitions")
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


def given(schema: object) -> dict[str, Any] | None:
    """The JSON Schema that a user asks for: a dict, a pydantic class, JSON text, or LLM's concise schema string; None is none.

    Raises UsageError for what is no schema. What a user gives may hold patterns: it is the user's own time.
    """
    if schema is None:
        return None
    import jsonschema  # noqa: PLC0415 - slow to import, rarely needed

    made = _made(schema)
    try:
        jsonschema.validators.validator_for(made).check_schema(made)
    except jsonschema.SchemaError as problem:
        message = f"the schema is not a JSON Schema: {problem.message[:_MOST_QUOTED]}"
        raise UsageError(message) from None
    if (outside := next(_outside(made), None)) is not None:
        message = f"the schema refers to {outside!r}, which is not in it: nothing is fetched, so put it under '$defs'"
        raise UsageError(message)
    return made


def _made(schema: object) -> dict[str, Any]:
    import llm  # noqa: PLC0415 - slow to import
    import pydantic  # noqa: PLC0415 - llm imports it

    if isinstance(schema, type) and issubclass(schema, pydantic.BaseModel):
        return schema.model_json_schema()
    try:
        made = schema
        if isinstance(schema, str):
            made = json.loads(schema) if schema.lstrip().startswith(("{", "[")) else llm.schema_dsl(schema)
        # A copy, of what JSON can hold.
        made = json.loads(json.dumps(made))
    except (TypeError, ValueError, RecursionError) as problem:
        message = f"the schema cannot be read ({problem})"
        raise UsageError(message) from None
    if not isinstance(made, dict) or not made or schema == "":
        message = f"a schema is a dict, a pydantic class, JSON text or LLM's concise schema string, not {schema!r}"
        raise UsageError(message)
    return made


def _outside(part: object) -> Iterator[str]:
    """What a schema refers to that is not in it."""
    for child in part.values() if isinstance(part, dict) else part if isinstance(part, list) else ():
        yield from _outside(child)
    reference = part.get("$ref") if isinstance(part, dict) else None
    if isinstance(reference, str) and not reference.startswith("#"):
        yield reference


def each_of(schema: dict[str, Any]) -> dict[str, Any]:
    """The schema of an answer about many items: `results`, a list of the `item` that each is about and its `result`."""
    one = {key: value for key, value in schema.items() if key not in _DEFINITIONS}
    entry = _object({"item": {"type": "integer"}, "result": one})
    # References go from the root.
    places = {key: schema[key] for key in _DEFINITIONS if key in schema}
    return _object({"results": {"type": "array", "items": entry}}) | places


def validated(text: str, schema: dict[str, Any]) -> str:
    """The value that the text holds, as JSON text. Raises ModelError that says how it does not fit the schema."""
    data = _read(text)
    if (wrong := misfit(data, schema)) is not None:
        message = f"the answer does not fit the schema ({wrong}): {text[:_MOST_QUOTED]!r}"
        raise ModelError(message)
    return json.dumps(data)


def validated_each(text: str, schema: dict[str, Any]) -> str:
    """As `validated`, for an answer that should fit `each_of(schema)`: `results`, and apart from them what is `wrong`.

    That is a list of the entries that do not fit, each with its `error`. Only an answer without a list of entries is an error.
    """
    data = _read(text)
    entries = data.get("results") if isinstance(data, dict) else data
    if not isinstance(entries, list):
        message = f"the answer does not fit the schema (it has no list 'results'): {text[:_MOST_QUOTED]!r}"
        raise ModelError(message)
    whole = each_of(schema)
    results, wrong = [], []
    for entry in entries:
        numbered = _numbered(entry)
        problem = misfit({"results": [numbered]}, whole)
        if problem is None:
            results.append(numbered)
        elif isinstance(numbered, dict):
            wrong.append({**numbered, "error": problem.removeprefix("['results'][0]['result']: ")})
    return json.dumps({"results": results, "wrong": wrong})


def misfit(data: Any, schema: dict[str, Any]) -> str | None:  # noqa: ANN401 - any JSON value
    """How a value does not fit a schema, in a few words; None if it does."""
    import jsonschema  # noqa: PLC0415 - slow to import, rarely needed
    import referencing  # noqa: PLC0415 - likewise

    # An empty registry: nothing is fetched, whatever the schema refers to.
    validator = jsonschema.validators.validator_for(schema)(schema, registry=referencing.Registry())
    try:
        problem = jsonschema.exceptions.best_match(validator.iter_errors(data))
    except referencing.exceptions.Unresolvable:
        return "the schema refers to what is not in it"
    except RecursionError:
        return "it nests too deep"
    if problem is None:
        return None
    where = "".join(f"[{step!r}]" for step in problem.absolute_path)
    return f"{where}: {problem.message[:_MOST_QUOTED]}" if where else str(problem.message[:_MOST_QUOTED])


def _read(text: str) -> Any:  # noqa: ANN401 - any JSON value
    try:
        data = loosejson.read(text)
    except (ValueError, RecursionError) as problem:
        message = f"the answer is not JSON ({type(problem).__name__}): {text[:_MOST_QUOTED]!r}"
        raise ModelError(message) from None
    _refuse_nesting(data)
    return data


def _object(properties: dict[str, object]) -> dict[str, Any]:
    return {"type": "object", "properties": properties, "required": list(properties)}


def _numbered(entry: object) -> object:
    """An entry with its number as a number: models write "17" as well."""
    if isinstance(entry, dict) and isinstance(number := entry.get("item"), str) and number.strip().isdecimal():
        return {**entry, "item": int(number[:_LONGEST_NUMBER])}
    return entry


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
        elif name not in _DEFINITIONS and isinstance(value, dict | list):
            yield value


def _target(reference: object, schema: dict[str, Any]) -> object:
    parts = str(reference).split("/")
    if len(parts) != 3 or parts[0] != "#" or parts[1] not in _DEFINITIONS:  # noqa: PLR2004 - #, $defs, name
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
