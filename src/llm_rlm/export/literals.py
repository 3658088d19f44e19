"""Values as Python source that can be read: nothing in them is run, hidden, or changed by being written."""

from __future__ import annotations

import ast
from typing import Any

_LAYOUT = "\n\t"


def text(value: str) -> str:
    """A str as a literal: as a block where every character of it can be seen, else a line a literal, with escapes."""
    if "\n" in value and all(character.isprintable() or character in _LAYOUT for character in value):
        for written in _blocks(value):
            if _reads_back(written, value):
                return written
    lines = value.splitlines(keepends=True)
    if len(lines) < _MANY:
        return repr(value)
    return "\n".join(["(", *(f"    {line!r}" for line in lines), ")"])


_MANY = 2


def of(value: Any) -> str:  # noqa: ANN401 - any JSON value
    """A JSON value as a literal."""
    return text(value) if isinstance(value, str) else repr(value)


def call(name: str, **arguments: str) -> str:
    """A call with arguments that are source already, a line each."""
    if not arguments:
        return f"{name}()"
    return "\n".join([f"{name}(", *(f"    {key}={source}," for key, source in arguments.items()), ")"])


def comment(value: str, most: int = 100) -> str:
    """A text that anybody may have chosen, for a comment: short, on one line, and nothing in it that cannot be seen."""
    line = "".join(character if character.isprintable() else " " for character in value)
    return line if len(line) <= most else f"{line[: most - 1]}…"


def _blocks(value: str) -> list[str]:
    if "\\" not in value:
        return [f'"""\\\n{value}"""', f"'''\\\n{value}'''"]
    return [f'r"""{value}"""', f"r'''{value}'''"]


def _reads_back(written: str, value: str) -> bool:
    try:
        return bool(ast.literal_eval(written) == value)
    except (SyntaxError, ValueError):
        return False
