"""Values as Python source that can be read: nothing in them is run, hidden, or changed by being written."""

from __future__ import annotations

import ast
from typing import Any

from llm_rlm.display.clean import hides

_LAYOUT = "\n\t"


def text(value: str) -> str:
    """A str as a literal: as a block where every character of it can be seen, else a line a literal, with escapes."""
    if "\n" in value and all(_is_seen(character) or character in _LAYOUT for character in value):
        for written in _blocks(value):
            if _reads_back(written, value):
                return written
    lines = value.splitlines(keepends=True)
    if len(lines) < _MANY:
        return escaped(repr(value))
    return "\n".join(["(", *(f"    {escaped(repr(line))}" for line in lines), ")"])


_MANY = 2


def of(value: Any) -> str:  # noqa: ANN401 - any JSON value
    """A JSON value as a literal."""
    return text(value) if isinstance(value, str) else escaped(repr(value))


def call(name: str, **arguments: str) -> str:
    """A call with arguments that are source already, a line each."""
    if not arguments:
        return f"{name}()"
    return "\n".join([f"{name}(", *(f"    {key}={source}," for key, source in arguments.items()), ")"])


def comment(value: str, most: int = 100) -> str:
    """A text that anybody may have chosen, for a comment: short, on one line, and nothing in it that cannot be seen."""
    line = "".join(character if _is_seen(character) else " " for character in value)
    return line if len(line) <= most else f"{line[: most - 1]}…"


def escaped(source: str) -> str:
    """Source with an escape for each character that is not seen, of those that `repr` lets stand in a literal."""
    hidden = {character for character in set(source) - set(_LAYOUT) if not _is_seen(character)}
    return source.translate({ord(character): character.encode("unicode_escape").decode() for character in hidden})


def _is_seen(character: str) -> bool:
    return character.isprintable() and not hides(character)  # a space that is not quite one looks like one


def _blocks(value: str) -> list[str]:
    if "\\" not in value:
        return [f'"""\\\n{value}"""', f"'''\\\n{value}'''"]
    return [f'r"""{value}"""', f"r'''{value}'''"]


def _reads_back(written: str, value: str) -> bool:
    try:
        return bool(ast.literal_eval(written) == value)
    except (SyntaxError, ValueError):
        return False
