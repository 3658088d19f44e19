from __future__ import annotations

import builtins
from typing import TYPE_CHECKING

import pytest

from llm_rlm.sandbox.guest import clock
from llm_rlm.sandbox.guest.clock import TICK, CellTimeoutError, Clock

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


class Time:
    """Time that passes when told to."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now

    def pass_(self, seconds: float) -> None:
        self.now += seconds


@pytest.fixture
def time(monkeypatch: pytest.MonkeyPatch) -> Iterator[Time]:
    made = Time()
    monkeypatch.setattr(clock, "_monotonic", made)
    monkeypatch.setattr(clock, "_sleep", made.pass_)
    yield made
    if hasattr(builtins, TICK):
        delattr(builtins, TICK)


def tick() -> Callable[[], bool]:
    found: Callable[[], bool] = getattr(builtins, TICK)
    return found


def test_parked_time_does_not_count(time: Time) -> None:
    cell = Clock(10)
    time.pass_(1)
    cell.park()
    time.pass_(50)
    cell.wake()
    time.pass_(2)
    assert cell.running() == 3


def test_a_check_past_the_limit_raises_and_says_the_limit(time: Time) -> None:
    cell = Clock(1.5)
    cell.check()
    time.pass_(2)
    with pytest.raises(CellTimeoutError, match=r"stopped after 1\.5 s of its own running time"):
        cell.check()


def test_sleep_ends_at_the_limit(time: Time) -> None:
    cell = Clock(1)
    cell.sleep(0.5)
    with pytest.raises(CellTimeoutError):
        cell.sleep(1000)
    assert time.now < 102


def test_ticks_are_true_until_the_limit_and_raise_from_then_on(time: Time) -> None:
    Clock(1).arm()
    assert all(tick()() for _ in range(1000))
    time.pass_(2)
    with pytest.raises(CellTimeoutError):
        all(tick()() for _ in range(100_000))
    for _ in range(3):
        with pytest.raises(CellTimeoutError):
            tick()()


def test_a_cell_that_the_host_wants_to_end_ends_with_its_reason_at_the_next_look(time: Time) -> None:
    told: list[str] = []
    cell = Clock(1000, lambda: told[0] if told else None)
    cell.arm()
    assert all(tick()() for _ in range(1000))
    told.append("the user stopped the run")
    with pytest.raises(CellTimeoutError, match="the user stopped the run"):
        all(tick()() for _ in range(100_000))
    with pytest.raises(CellTimeoutError, match="the user stopped the run"):
        cell.sleep(1)
    assert time.now == 100


def test_who_was_stopped_has_some_time_to_say_so(time: Time) -> None:
    cell = Clock(1, lambda: "stopped")
    cell.extend(2)
    assert all(tick()() for _ in range(1000))
    time.pass_(3)
    with pytest.raises(CellTimeoutError):
        all(tick()() for _ in range(100_000))


def test_an_expired_clock_raises_at_the_next_tick(time: Time) -> None:
    cell = Clock(1000)
    cell.arm()
    time.pass_(1)
    tick()()
    cell.expire()
    with pytest.raises(CellTimeoutError):
        tick()()
