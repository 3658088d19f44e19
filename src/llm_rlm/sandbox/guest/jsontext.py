"""JSON for the driver, which a cell that patches `json` cannot reach, and which nesting cannot crash."""

from __future__ import annotations

from json import JSONDecoder
from json.encoder import c_make_encoder, encode_basestring, encode_basestring_ascii  # type: ignore[attr-defined]
from json.scanner import c_make_scanner  # type: ignore[attr-defined]
from typing import Any, NoReturn

MOST_NESTING = 100
"""How deep lists and dicts may nest. Far deeper ones end the interpreter, which has little stack."""


def _refuse(value: object) -> NoReturn:
    message = f"{type(value).__name__} is not JSON: make it a str, number, bool, None, list or dict"
    raise TypeError(message)


_scan = c_make_scanner(JSONDecoder())
_encode = c_make_encoder(None, _refuse, encode_basestring_ascii, None, ": ", ", ", False, False, False)  # noqa: FBT003
_encode_readable = c_make_encoder(None, _refuse, encode_basestring, None, ": ", ", ", False, False, False)  # noqa: FBT003
_encode_sorted = c_make_encoder(None, _refuse, encode_basestring, None, ": ", ", ", True, False, False)  # noqa: FBT003


def decode(text: str) -> Any:  # noqa: ANN401 - any JSON value
    """Parse JSON text that the host has checked."""
    value, end = _scan(text, 0)
    assert end == len(text)
    return value


def encode(value: object) -> str:
    """Make JSON text. Raises TypeError or ValueError that says what is not JSON, and of too deep nesting."""
    check_nesting(value)
    return "".join(_encode(value, 0))


def readable(value: object) -> str:
    """As `encode`, with all characters as they are."""
    check_nesting(value)
    return "".join(_encode_readable(value, 0))


def canonical(value: object) -> str:
    """JSON text that is the same for equal values: the keys are in order."""
    check_nesting(value)
    return "".join(_encode_sorted(value, 0))


def check_nesting(value: object) -> None:
    """Raise ValueError for lists and dicts that nest deeper than `MOST_NESTING`, or in a circle."""
    level = [value]
    for _ in range(MOST_NESTING):
        deeper: list[object] = []
        for item in level:
            if isinstance(item, dict):
                deeper.extend(dict.values(item))
            elif isinstance(item, list | tuple):
                deeper.extend(item)
        level = [item for item in deeper if isinstance(item, dict | list | tuple)]
        if not level:
            return
    message = f"nested more than {MOST_NESTING} deep"
    raise ValueError(message)
