"""The layers of the code, as the import contracts in pyproject.toml have them."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

from drawing import Box, page, word

_PROJECT = Path(__file__).parents[2] / "pyproject.toml"
_PACKAGE = "llm_rlm"
_ROW, _GAP, _MARGIN = 30, 6, 24
_WIDTH, _BETWEEN = 440, 44


def picture() -> str:
    """All layers, and those within packages, each in the column that is the shorter one so far."""
    contracts = [each for each in _contracts() if each["type"] == "layers"]
    x, y, parts = (_MARGIN, 2 * _MARGIN + _WIDTH), [0, 0], []
    for each in contracts:
        column = y.index(min(y))
        name = each.get("containers", [_PACKAGE])[0].removeprefix(f"{_PACKAGE}.") + "/"
        parts += [word(x[column], y[column] + _BETWEEN - 10, name, "name", "start")]
        parts += _stack(x[column], y[column] + _BETWEEN, each["layers"])
        y[column] += _BETWEEN + _height(each["layers"])
    return page(x[1] + _WIDTH + _MARGIN, max(y) + _MARGIN, "The layers of the code: imports go downward only", parts)


def _contracts() -> list[dict[str, Any]]:
    contracts: list[dict[str, Any]] = tomllib.loads(_PROJECT.read_text("utf-8"))["tool"]["importlinter"]["contracts"]
    return contracts


def _stack(x: int, y: int, layers: list[str]) -> list[str]:
    """One row of boxes for each layer."""
    rows = []
    for at, layer in enumerate(layers):
        names = [name.strip().removeprefix(f"{_PACKAGE}.") for name in layer.replace(":", "|").split("|")]
        rows += _row(x, y + at * (_ROW + _GAP), names)
    return rows


def _row(x: int, y: int, names: list[str]) -> list[str]:
    """The boxes of a layer side by side, wider for longer names."""
    room, letters, boxes = _WIDTH - _GAP * (len(names) - 1), sum(len(name) + 4 for name in names), []
    for name in names:
        share = round(room * (len(name) + 4) / letters)
        boxes.append(Box(x, y, share, _ROW, name).svg())
        x += share + _GAP
    return boxes


def _height(layers: list[str]) -> int:
    return len(layers) * (_ROW + _GAP) - _GAP
