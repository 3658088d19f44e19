"""A str or a JSON value that a Python caller hands over, as a context."""

from __future__ import annotations

import json
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, BinaryIO

from llm_rlm.context.context import Context
from llm_rlm.context.document import Document, Spool
from llm_rlm.context.width import fits
from llm_rlm.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

MOST_NESTING = 100
"""How deep a JSON value may nest."""

_PIECE = 1 << 24
_SCALARS = (str, int, float, bool, type(None))


def from_value(value: Any) -> Context:  # noqa: ANN401 - a str or any JSON value, checked here
    """A str, or a value that JSON can hold. Raises UsageError that says what it cannot hold, and where."""
    if value is None:
        return Context()
    if isinstance(value, str):
        return _from_text(value)
    _check_json(value)
    try:
        text = json.dumps(value, ensure_ascii=False)
    except ValueError as problem:
        message = f"the context cannot be JSON: {problem}"
        raise UsageError(message) from None
    spool = Spool()
    with new_file(spool) as (file, path):
        size = file.write(text.encode("utf-8", "replace"))
    items = len(value) if isinstance(value, list | tuple | dict) else None
    name = "list" if isinstance(value, tuple) else type(value).__name__
    return Context("json", name, items, (Document("context", str(path), size),), spool=spool)


def _from_text(text: str) -> Context:
    spool = Spool()
    with new_file(spool) as (file, path):
        size = sum(file.write(_encoded(text[start : start + _PIECE])) for start in range(0, len(text), _PIECE))
    document = Document("context", str(path), size)
    return Context("text" if fits(document) else "large", documents=(document,), spool=spool)


def _encoded(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")


@contextmanager
def new_file(spool: Spool) -> Iterator[tuple[BinaryIO, Path]]:
    """A new file of a spool, which goes with all of it if it cannot be filled. Raises UsageError where the disk is full."""
    try:
        path = spool.new()
        with path.open("wb") as file:
            yield file, path
    except OSError as problem:
        spool.discard()
        message = f"the context cannot be kept in a temporary file: {problem.strerror}"
        raise UsageError(message) from problem
    except BaseException:
        spool.discard()
        raise


def _check_json(value: object) -> None:
    """Raise UsageError for what JSON cannot hold in the same shape, and for too deep nesting."""
    level: list[tuple[str, object]] = [("context", value)]
    for _ in range(MOST_NESTING + 1):
        level = [child for where, item in level for child in _children(where, item)]
        if not level:
            return
    message = f"the context nests more than {MOST_NESTING} deep"
    raise UsageError(message)


def _children(where: str, value: object) -> list[tuple[str, object]]:
    if isinstance(value, _SCALARS):
        return []
    if isinstance(value, list | tuple):
        return [(f"{where}[{index}]", item) for index, item in enumerate(value) if not isinstance(item, _SCALARS)]
    if isinstance(value, dict):
        wrong = next((key for key in value if not isinstance(key, str)), None)
        if wrong is None:
            return [(f"{where}[{key!r}]", item) for key, item in value.items() if not isinstance(item, _SCALARS)]
        message = f"{where} has the key {wrong!r}, a {type(wrong).__name__}: JSON takes only str as keys"
        raise UsageError(message)
    message = f"{where} is a {type(value).__name__}, which JSON cannot hold: give str, list, dict, numbers, bool or None"
    raise UsageError(message)
