"""The one JSON value in what a model wrote: alone, in a fenced block, in prose, with trailing commas."""

from __future__ import annotations

import json
import re
from typing import Any, NoReturn

_FENCE = re.compile(r"^[ \t]*```[ \t]*([^\n`]*)$", re.MULTILINE)
_OPENING = re.compile(r"[{\[]")
_STRING_OR_TRAILING = re.compile(r'("(?:[^"\\]|\\.)*+(?:"|\Z))|,(?=\s*[}\]])', re.DOTALL)


def read(text: str) -> Any:  # noqa: ANN401 - any JSON value
    """The value. Raises ValueError where there is none or it is not certain which, and RecursionError for deep nesting.

    Accepted is the whole text, the only fenced block, or a list or object in prose that has no bracket before it and none after
    it. Commas before a closing bracket are left out. NaN and Infinity are not JSON.
    """
    try:
        return _parse(text)
    except ValueError as problem:
        blocks = _blocks(text)
        if len(blocks) == 1:
            return _parse(blocks[0])
        opening = _OPENING.search(text)
        if blocks or opening is None:
            raise
        return _alone(text[opening.start() :], problem)


def _parse(text: str) -> Any:  # noqa: ANN401 - any JSON value
    try:
        return json.loads(text, parse_constant=_refuse)
    except json.JSONDecodeError:
        mended = _without_trailing_commas(text)
        if mended == text:
            raise
        return json.loads(mended, parse_constant=_refuse)


def _blocks(text: str) -> list[str]:
    """What stands in fenced blocks."""
    blocks: list[str] = []
    begun: int | None = None
    for fence in _FENCE.finditer(text):
        if begun is None:
            begun = fence.end()
        elif not fence[1]:
            blocks.append(text[begun : fence.start()])
            begun = None
    return blocks


def _alone(text: str, problem: ValueError) -> Any:  # noqa: ANN401 - any JSON value
    """The value that the text begins with, if no other can begin after it; else raise the problem."""
    text = _without_trailing_commas(text)
    try:
        value, end = json.JSONDecoder(parse_constant=_refuse).raw_decode(text)
    except ValueError:
        raise problem from None
    if _OPENING.search(text, end):
        raise problem
    return value


def _without_trailing_commas(text: str) -> str:
    return _STRING_OR_TRAILING.sub(lambda found: found[1] or "", text)


def _refuse(name: str) -> NoReturn:
    message = f"{name} is not JSON"
    raise ValueError(message)
