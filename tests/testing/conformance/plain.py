"""The reference: what the REPL of a plain Python shows for a cell."""

from __future__ import annotations

import ast
import asyncio
import inspect
import io
import re
import traceback
import warnings
from contextlib import redirect_stderr, redirect_stdout
from types import FunctionType
from typing import Any

_TRACEBACK = re.compile(r"Traceback \(most recent call last\):\n")
_ADDRESS = re.compile("0x[0-9a-f]+")
_HINT = re.compile(r"\. Did you (mean|forget).*")
_WARNING = re.compile(r"(?:<[^>]+>:\d+: SyntaxWarning: .*\n(?:  .*\n)?)+")
_BROKEN = re.compile(r'(?m)^  File "<[^>]+>", line \d+$')
_REWORDED = re.compile(
    r".*unhashable type.*|.*division.*|.*modulo by zero|.*not (?:an? )?(?:iterable|subscriptable|iterator|mapping|container).*"
)
"""Messages that CPython 3.14, which the guest is, words otherwise than 3.12."""


class Plain:
    """A namespace of this Python, and an event loop."""

    def __init__(self) -> None:
        self.namespace: dict[str, Any] = {"__name__": "__main__"}
        self._loop = asyncio.new_event_loop()

    def close(self) -> None:
        self._loop.close()

    def run(self, code: str) -> str:
        """What a cell prints, the value of its last expression, or the traceback of its error."""
        out = io.StringIO()
        with redirect_stdout(out), redirect_stderr(out), warnings.catch_warnings(action="ignore"):
            try:
                self._execute(code)
            except BaseException as problem:  # noqa: BLE001 - as a REPL does
                out.write("".join(traceback.format_exception(problem)))
        return out.getvalue()

    def _execute(self, code: str) -> None:
        tree = ast.parse(code)
        last = ast.Expression(tree.body.pop().value) if isinstance(tree.body[-1], ast.Expr) else None  # type: ignore[attr-defined]
        self._evaluate(tree, "exec")
        if last is not None and (value := self._evaluate(last, "eval")) is not None:
            self.namespace["_"] = value
            print(repr(value))  # noqa: T201 - into the cell's output

    def _evaluate(self, tree: ast.AST, mode: str) -> object:
        code = compile(tree, "<cell>", mode, ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)  # type: ignore[call-overload]
        value = FunctionType(code, self.namespace)()
        return self._loop.run_until_complete(value) if code.co_flags & inspect.CO_COROUTINE else value


def comparable(shown: str) -> str:
    """What is shown, without warnings, frames of tracebacks, hints, addresses, and what is worded differently."""
    shown = _ADDRESS.sub("0x", _WARNING.sub("", shown))
    start = next((found.start() for found in (_TRACEBACK.search(shown), _BROKEN.search(shown)) if found), len(shown))
    trace = [_message(line) for line in shown[start:].splitlines() if not line.startswith(("  ", "Traceback "))]
    return shown[:start] + "\n".join(trace)


def _message(line: str) -> str:
    kind, colon, message = _HINT.sub("", line).partition(": ")
    return kind + colon + ("(reworded)" if _REWORDED.fullmatch(message) else message)
