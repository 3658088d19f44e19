"""A short version of `benchmarks/soak.py`."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

HERE = Path(__file__).parent


@pytest.fixture
def soak(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """The module, which lies outside of the package."""
    monkeypatch.syspath_prepend(HERE.parent / "benchmarks")
    yield importlib.import_module("soak")
    for name in ("soak", "endurance"):
        del sys.modules[name]


@pytest.mark.skipif(sys.platform == "win32", reason="kills, and counts descriptors")
def test_a_session_does_not_grow_with_its_cells_its_restarts_and_its_calls(soak: Any, user_path: Path) -> None:
    assert soak.soak(user_path, soak.Plan(cells=60, restarts=4, calls=100)).broken == []


@pytest.mark.parametrize("sizes", [(60, 4, 100), (10_000, 500, 50_000), (20, 10, 5), (10, 0, 7)])
def test_a_plan_makes_each_call_once(soak: Any, sizes: tuple[int, int, int]) -> None:
    plan = soak.Plan(*sizes)
    made = [number for cell in range(1, plan.cells + 1) for number in plan.of(cell)]
    assert made == list(range(1, plan.calls + 1))
