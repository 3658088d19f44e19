"""The JSON Schema of `--events`, made from the classes of events: `uv run python tests/event_schema.py` writes it anew."""

import ast
import inspect
import json
import types
from dataclasses import MISSING, fields
from pathlib import Path
from typing import Any, Literal, TypeAliasType, Union, get_args, get_origin, get_type_hints

from llm_rlm import events
from llm_rlm.budget import Budget, Limits, Spent, Usage
from llm_rlm.calls import CallKind
from llm_rlm.eventlines import MOST_CHARACTERS, TEXTS, VERSION, name_of

PATH = Path(__file__).parents[1] / "docs" / "schemas" / "events.schema.json"
KINDS: tuple[type, ...] = get_args(events.Event.__value__)
"""All classes of events."""

_SIMPLE = {str: "string", int: "integer", float: "number", bool: "boolean", type(None): "null"}
_SPENT = {
    "type": "object",
    "properties": {
        "input": {"type": "integer", "description": "Input tokens."},
        "output": {"type": "integer", "description": "Output tokens."},
        "cached_input": {"type": "integer", "description": "Of the input, what the provider had in its cache."},
        "cost": {"type": ["number", "null"], "description": "USD; null where it is not known."},
    },
    "required": ["input", "output", "cached_input", "cost"],
}


def schema() -> dict[str, Any]:
    """The schema of one line. The result, which is the last, has a schema of its own."""
    lines = [_event("stream_started", "The first line.", {"version": {"const": VERSION}})]
    lines += [_event(name_of(kind), inspect.cleandoc(kind.__doc__ or ""), _properties(kind)) for kind in KINDS]
    result = {"properties": {"event": {"const": "result"}}, "allOf": [{"$ref": "result.schema.json"}]}
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": "events.schema.json",
        "title": "A line of llm rlm --events",
        "type": "object",
        "required": ["event", "at"],
        "properties": {"at": {"type": "number", "description": "Seconds since 1970."}},
        "oneOf": [*lines, result],
    }


def _event(name: str, about: str, properties: dict[str, Any]) -> dict[str, Any]:
    return {
        "title": name,
        "description": about,
        "properties": {"event": {"const": name}, **properties},
        "required": ["event", *properties],
    }


def _properties(kind: type) -> dict[str, Any]:
    """The fields of an event, as JSON has them."""
    hints = get_type_hints(kind, localns={"Budget": Budget, "Spent": Spent, "CallKind": CallKind})
    about = _docstrings(kind)
    found: dict[str, Any] = {}
    for each in fields(kind):
        if hints[each.name] is Budget:
            found["limits"] = {"description": "Of the whole tree of runs; null for none.", **_numbers(Limits)}
            found["used"] = {"description": "By now: of a run that is resumed, what it used before.", **_numbers(Usage)}
            continue
        found[each.name] = {**_type(hints[each.name]), **({"description": about[each.name]} if each.name in about else {})}
        if each.name in TEXTS:
            found[each.name]["maxLength"] = MOST_CHARACTERS
            found[f"{each.name}_chars"] = {**_length(hints[each.name]), "description": f"How long `{each.name}` is."}
    return found


def _type(hint: Any) -> dict[str, Any]:
    if isinstance(hint, TypeAliasType):
        hint = hint.__value__
    if get_origin(hint) is Literal:
        return {"enum": list(get_args(hint))}
    if get_origin(hint) is tuple:
        return {"type": "array", "items": _type(get_args(hint)[0])}
    if get_origin(hint) in {types.UnionType, Union}:
        parts = get_args(hint)
        if Spent in parts:
            return {"anyOf": [_SPENT, {"type": "null"}]}
        return {"type": [_SIMPLE[part] for part in parts]}
    return _SPENT if hint is Spent else {"type": _SIMPLE[hint]}


def _length(hint: Any) -> dict[str, Any]:
    return {"type": ["integer", "null"]} if type(None) in get_args(hint) else {"type": "integer"}


def _numbers(kind: type) -> dict[str, Any]:
    """Limits and usage: numbers, and null where that is a default or an option."""
    hints = get_type_hints(kind)
    about = _docstrings(kind)
    properties = {
        each.name: {**_type(hints[each.name]), **({"description": about[each.name]} if each.name in about else {})}
        for each in fields(kind)
        if each.default is not MISSING
    }
    return {"type": "object", "properties": properties, "required": list(properties)}


def _docstrings(kind: type) -> dict[str, str]:
    """What stands under each field."""
    (tree,) = ast.parse(inspect.getsource(kind)).body
    assert isinstance(tree, ast.ClassDef)
    found = {}
    for before, after in zip(tree.body, tree.body[1:], strict=False):
        match before, after:
            case ast.AnnAssign(target=ast.Name(id=name)), ast.Expr(value=ast.Constant(value=str(text))):
                found[name] = " ".join(text.split())
            case _:
                pass
    return found


if __name__ == "__main__":
    PATH.write_text(json.dumps(schema(), indent=2) + "\n", "utf-8")
