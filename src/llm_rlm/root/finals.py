"""The ends of a run as models write them in a reply: `submit("…")` alone in a block, `FINAL(…)` and `FINAL_VAR(…)` in prose.

Each is given as the arguments of the tool that submits.
"""

from __future__ import annotations

import ast
import json
import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

type End = dict[str, object]
"""`answer` or `variable_name`, and perhaps `quotes`."""

_CALL = re.compile(r"\s*(?:submit|FINAL|FINAL_VAR)\s*\(")
_UNSURE_ESCAPE = re.compile(r"""\\[^\\'"abfnrtvxuUN\n]""")
"""An escape that Python may warn of."""

_PROSE = re.compile(r"^[ \t]*(?P<name>FINAL|FINAL_VAR)\(", re.MULTILINE)
_STRING = re.compile(
    r"""\s*((?:\"{3}(?:\\.|[^\\])*?\"{3})|(?:'{3}(?:\\.|[^\\])*?'{3})|(?:"(?:\\.|[^"\\\n])*")|(?:'(?:\\.|[^'\\\n])*'))\s*\)""",
    re.DOTALL,
)
_REST = re.compile(r"[ \t\r.*`]*(?:\n|\Z)")
_PARENTHESIS = re.compile(r"[()]")
_MOST_LOOKED_AT = 20


def in_code(code: str) -> End | None:
    """The end that a block of code is, if it is nothing else: one call with values that are written out, or with a variable.

    It needs no running then, so that it works also where nothing may run any more.
    """
    if not _CALL.match(code) or _UNSURE_ESCAPE.search(code):
        return None
    try:
        match ast.parse(code.strip()).body:
            case [ast.Expr(ast.Call(ast.Name(name), [given], keywords))]:
                return _end_of(name, given, {keyword.arg: ast.literal_eval(keyword.value) for keyword in keywords})
    except (SyntaxError, ValueError, TypeError, RecursionError, MemoryError):
        return None  # the session says what is wrong with it
    return None


def in_prose(prose: str) -> End | None:
    """The last end in the prose of a reply that stands at the start of a line and has nothing after it on its last line.

    What is cut, or goes on in a sentence, is none: an answer that is only a part of what was meant is worse than asking.
    """
    found = list(_PROSE.finditer(prose))[-_MOST_LOOKED_AT:]
    ends = (_as_end(start["name"], content) for start in reversed(found) for content in _contents(prose, start.end()))
    return next((end for end in ends if end is not None), None)


def _end_of(name: str, given: ast.expr, more: dict[str | None, object]) -> End | None:
    if set(more) - {"quotes"}:
        return None
    is_variable = isinstance(given, ast.Name)
    value = given.id if isinstance(given, ast.Name) else ast.literal_eval(given)
    if name == "FINAL_VAR":
        is_variable = isinstance(value, str) and value.isidentifier()
        return {"variable_name": value, **_named(more)} if is_variable else None
    if is_variable:
        return {"variable_name": value, **_named(more)}
    whole = value not in (None, "") and json.loads(json.dumps(value, allow_nan=False)) == value
    return {"answer": value, **_named(more)} if whole else None


def _named(more: dict[str | None, object]) -> End:
    return {name: value for name, value in more.items() if name is not None}


def _contents(prose: str, start: int) -> Iterator[str]:
    """What may stand in the parentheses that begin before `start`, once they are closed and the line is at its end."""
    string = _STRING.match(prose, start)
    if string is not None and _REST.match(prose, string.end()):
        yield _value(string[1])
        return
    depth = 1
    for parenthesis in _PARENTHESIS.finditer(prose, start):
        depth += 1 if parenthesis[0] == "(" else -1
        if not depth:
            if _REST.match(prose, parenthesis.end()):
                yield prose[start : parenthesis.start()].strip()
            return


def _value(literal: str) -> str:
    """The text that a literal stands for; what stands between its quotes where Python would not take it."""
    mark = literal[:3] if literal[:3] in {'"""', "'''"} else literal[:1]
    if _UNSURE_ESCAPE.search(literal):
        return literal[len(mark) : -len(mark)]
    try:
        return str(ast.literal_eval(literal))
    except (SyntaxError, ValueError):
        return literal[len(mark) : -len(mark)]


def _as_end(name: str, content: str) -> End | None:
    if name == "FINAL":
        return {"answer": content} if content.strip() else None
    variable = content.strip("`'\" \n")
    return {"variable_name": variable} if variable.isidentifier() else None
