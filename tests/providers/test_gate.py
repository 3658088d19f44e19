"""The gate: how many calls may be under way, who enters when, and where the width goes."""

from __future__ import annotations

import threading
import time
from collections import deque
from functools import partial
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from llm_rlm.providers.gate import Gate, Ticket

if TYPE_CHECKING:
    from collections.abc import Callable


class Clock:
    """A clock that stands until it is told to go."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def entered(gate: Gate) -> Ticket:
    ticket = gate.enter()
    assert ticket is not None
    return ticket


def filled(gate: Gate) -> list[Ticket]:
    return [entered(gate) for _ in range(gate.width - gate.in_flight)]


def work(gate: Gate, takes: int, calls: int) -> list[int]:
    """The widths while there is always more to do and the provider refuses what comes when it has as much as it takes."""
    widths = []
    under_way: deque[tuple[Ticket, bool]] = deque()
    for _ in range(calls):
        while gate.in_flight < gate.width:
            refused = sum(not refused for _, refused in under_way) >= takes
            under_way.append((entered(gate), refused))
        ticket, refused = under_way.popleft()
        gate.leave(ticket, refused=refused)
        widths.append(gate.width)
    for ticket, _ in under_way:
        gate.leave(ticket, succeeded=False)
    return widths


def in_thread(work: Callable[[], object]) -> threading.Thread:
    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    return thread


def until(holds: Callable[[], bool]) -> None:
    end = time.monotonic() + 20
    while not holds():
        assert time.monotonic() < end
        time.sleep(0.001)


def waiting(gate: Gate) -> int:
    return len(gate._queue)


def are_waiting(gate: Gate, count: int) -> bool:
    return waiting(gate) == count


def test_it_starts_wide_and_doubles_in_a_round_while_nothing_is_refused() -> None:
    gate = Gate(1000, start=64)
    assert gate.width == 64
    assert work(gate, takes=1000, calls=64 + 128)[63::128] == [128, 256]


def test_it_never_starts_or_grows_wider_than_the_most() -> None:
    gate = Gate(3, start=64)
    assert set(work(gate, takes=100, calls=100)) == {3}


def test_a_refusal_halves_it_once_for_all_that_were_under_way_together() -> None:
    gate = Gate(64)
    tickets = filled(gate)
    for ticket in tickets:
        gate.leave(ticket, refused=True)
    assert gate.width == 32
    gate.leave(entered(gate), refused=True)
    assert gate.width == 16


def test_it_is_never_narrower_than_one() -> None:
    gate = Gate(4)
    for _ in range(10):
        gate.leave(entered(gate), refused=True)
    assert gate.width == 1


def test_after_a_refusal_it_widens_by_one_for_as_many_successes_as_it_is_wide() -> None:
    gate = Gate(64, start=8)
    gate.leave(entered(gate), refused=True)
    assert gate.width == 4
    tickets = filled(gate)
    for expected in (4, 4, 4, 5):
        gate.leave(tickets.pop(0))
        assert gate.width == expected
        tickets += filled(gate)


def test_it_does_not_widen_while_it_holds_nobody_back() -> None:
    gate = Gate(64, start=8)
    for _ in range(100):
        gate.leave(entered(gate))
    assert gate.width == 8


def test_a_call_that_failed_otherwise_says_nothing_of_the_width() -> None:
    gate = Gate(64, start=1)
    gate.leave(entered(gate), succeeded=False)
    assert (gate.width, gate.in_flight) == (1, 0)


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 40), st.integers(1, 40))
def test_it_comes_to_what_the_provider_takes_and_goes_up_when_that_rises(takes: int, more: int) -> None:
    gate = Gate(1000, start=64)
    work(gate, takes, calls=500)
    # From half of what is taken up to one more than it, again and again.
    for now in (takes, takes + more):
        widths = work(gate, now, calls=3 * (takes + more) ** 2 + 20)
        assert max(widths[len(widths) // 2 :]) == now + 1
        assert min(widths[len(widths) // 2 :]) >= (now + 1) // 2


@given(st.integers(1, 20), st.integers(1, 20), st.lists(st.sampled_from(["enter", "leave", "refused", "failed"]), max_size=200))
def test_there_are_never_more_under_way_than_may_be(most: int, start: int, steps: list[str]) -> None:
    gate = Gate(most, start)
    tickets: deque[Ticket] = deque()
    for step in steps:
        if step == "enter":
            if gate.in_flight < gate.width:
                tickets.append(entered(gate))
                assert gate.in_flight <= gate.width
        elif tickets:
            gate.leave(tickets.popleft(), refused=step == "refused", succeeded=step == "leave")
        assert 1 <= gate.width <= most
        assert gate.in_flight == len(tickets)


@settings(max_examples=10, deadline=None)
@given(st.integers(1, 8), st.integers(1, 200))
def test_threads_are_never_more_inside_than_may_be_and_all_get_through(most: int, threads: int) -> None:
    gate = Gate(most)
    inside, seen, lock = 0, [], threading.Lock()

    def call() -> None:
        nonlocal inside
        ticket = entered(gate)
        with lock:
            inside += 1
            seen.append(inside)
        time.sleep(0)
        with lock:
            inside -= 1
        gate.leave(ticket)

    running = [in_thread(call) for _ in range(threads)]
    for thread in running:
        thread.join(20)
    assert len(seen) == threads
    assert max(seen) <= most
    assert gate.in_flight == 0


def test_who_waits_enters_in_the_order_of_coming() -> None:
    gate = Gate(1)
    first = entered(gate)
    order: list[int] = []

    def call(number: int) -> None:
        ticket = entered(gate)
        order.append(number)
        gate.leave(ticket)

    threads = []
    for number in range(20):
        threads.append(in_thread(partial(call, number)))
        until(partial(are_waiting, gate, number + 1))
    gate.leave(first, succeeded=False)
    for thread in threads:
        thread.join(20)
    assert order == list(range(20))


def test_nobody_enters_while_the_provider_asks_to_wait() -> None:
    clock = Clock()
    gate = Gate(4, clock=clock)
    gate.leave(entered(gate), refused=True, after=5.0)
    got: list[Ticket | None] = []
    thread = in_thread(lambda: got.append(gate.enter()))
    until(lambda: waiting(gate) == 1)
    clock.now += 4.9
    gate.leave(Ticket(0), succeeded=False)
    assert waiting(gate) == 1
    clock.now += 0.2
    gate.leave(Ticket(0), succeeded=False)
    thread.join(20)
    assert len(got) == 1


def test_a_shorter_wait_does_not_end_a_longer_one() -> None:
    clock = Clock()
    gate = Gate(4, clock=clock)
    for after in (5.0, 1.0):
        gate.leave(Ticket(0), after=after)
    clock.now += 3
    assert not gate._is_open()


@pytest.mark.parametrize("busy", [False, True])
def test_a_pause_ends_by_itself_for_all_who_wait(busy: bool) -> None:
    gate = Gate(8, start=8)
    tickets = filled(gate)
    got: list[Ticket | None] = []
    threads = [in_thread(lambda: got.append(gate.enter())) for _ in range(4)]
    until(lambda: waiting(gate) == 4)
    # Those who waited before the pause began must notice its end, though nobody leaves after it.
    for ticket in tickets[: 5 if busy else 8]:
        gate.leave(ticket, succeeded=False, after=0.05)
    assert waiting(gate) == 4
    for thread in threads:
        thread.join(20)
    assert len(got) == 4


def test_a_stop_sends_away_those_of_its_run_who_wait_or_come_later_and_the_others_wait_on() -> None:
    gate = Gate(1)
    inside, stopped = entered(gate), threading.Event()
    got: list[Ticket | None] = []
    others = [in_thread(lambda: got.append(gate.enter())) for _ in range(3)]
    until(lambda: waiting(gate) == 3)
    threads = [in_thread(lambda: got.append(gate.enter(stopped.is_set))) for _ in range(200)]
    until(lambda: waiting(gate) == 203)
    stopped.set()
    gate.wake()
    for thread in threads:
        thread.join(20)
    assert (got, waiting(gate)) == ([None] * 200, 3)
    assert gate.enter(stopped.is_set) is None
    gate.leave(inside)
    for count in (1, 2, 3):
        until(lambda count=count: len(got) == 200 + count)  # type: ignore[misc]
        ticket = got[-1]
        assert ticket is not None
        gate.leave(ticket)
    for thread in others:
        thread.join(20)
    assert gate.in_flight == 0


@pytest.mark.parametrize(("most", "start"), [(0, 64), (4, 0), (-1, 1)])
def test_a_gate_that_would_let_nobody_through_is_refused(most: int, start: int) -> None:
    with pytest.raises(ValueError, match="at least 1"):
        Gate(most, start)


def test_waiting_takes_no_processor_time() -> None:
    gate = Gate(1)
    inside = entered(gate)
    stopped = threading.Event()
    threads = [in_thread(lambda: gate.enter(stopped.is_set)) for _ in range(50)]
    until(lambda: waiting(gate) == 50)
    before = time.process_time()
    time.sleep(0.1)
    assert time.process_time() - before < 0.05
    stopped.set()
    gate.wake()
    gate.leave(inside)
    for thread in threads:
        thread.join(20)
