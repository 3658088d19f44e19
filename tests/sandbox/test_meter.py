from __future__ import annotations

from types import SimpleNamespace

import pytest

from llm_rlm.sandbox import meter


class Clocks:
    """The clock on the wall and the worker's processor time, as a test sets them."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.wall = 100.0
        self.cpu = 7.0
        monkeypatch.setattr(meter, "time", SimpleNamespace(monotonic=lambda: self.wall))
        self.meter = meter.Meter(lambda: self.cpu)

    def read(self, wall: float, cpu: float, *, calls_open: bool) -> float:
        """Let time pass, then read."""
        self.wall += wall
        self.cpu += cpu
        return self.meter.read(calls_open=calls_open)


@pytest.fixture
def clocks(monkeypatch: pytest.MonkeyPatch) -> Clocks:
    return Clocks(monkeypatch)


def test_wall_time_counts_while_no_call_is_open(clocks: Clocks) -> None:
    assert clocks.read(2, 0, calls_open=False) == 2
    assert clocks.read(3, 1, calls_open=False) == 5


def test_processor_time_counts_while_a_call_is_open(clocks: Clocks) -> None:
    clocks.read(1, 1, calls_open=False)
    clocks.read(0, 0, calls_open=True)
    assert clocks.read(60, 4, calls_open=True) == 5


def test_processor_time_of_before_the_call_does_not_count(clocks: Clocks) -> None:
    clocks.read(0, 50, calls_open=True)
    assert clocks.read(9, 1, calls_open=True) == 1


def test_a_worker_that_is_gone_takes_nothing_back(clocks: Clocks) -> None:
    clocks.read(0, 0, calls_open=True)
    assert clocks.read(1, -7, calls_open=True) == 0
