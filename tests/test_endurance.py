"""Short versions of `benchmarks/endurance.py`: faults, kills and limits, in one run each."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from llm_rlm.providers import retries

if TYPE_CHECKING:
    from collections.abc import Iterator

HERE = Path(__file__).parent


@pytest.fixture
def endurance(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """The module, which lies outside of the package."""
    monkeypatch.setattr(retries, "BASE", 0.005)
    monkeypatch.syspath_prepend(HERE.parent / "benchmarks")
    yield importlib.import_module("endurance")
    del sys.modules["endurance"]


def test_no_answer_is_lost_or_paid_twice_where_three_requests_in_ten_meet_a_fault(endurance: Any, user_path: Path) -> None:
    assert endurance.faults(user_path, 300, batches=2).broken == []


def test_a_run_that_is_killed_and_resumed_asks_nothing_again_that_was_answered(endurance: Any, user_path: Path) -> None:
    report = endurance.kills(user_path, 2, seed=2, life=2.5)
    assert report.broken == []
    assert report.figures["kills"] == 2


def test_a_thousand_calls_at_once_stay_within_limits_of_calls_tokens_and_cost(endurance: Any, tmp_path: Path) -> None:
    assert endurance.limits(tmp_path, 1, calls=1000).broken == []


def test_a_report_says_what_does_not_hold(endurance: Any, capsys: pytest.CaptureFixture[str]) -> None:
    report = endurance.Report("title")
    report.check(False, "the sky is green")
    report.show()
    assert "DOES NOT HOLD: the sky is green" in capsys.readouterr().out
