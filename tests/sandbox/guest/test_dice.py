from __future__ import annotations

import random
from typing import TYPE_CHECKING

import pytest

from llm_rlm.sandbox.guest.dice import Dice

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(autouse=True)
def _as_before() -> Iterator[None]:
    state = random.getstate()
    yield
    random.setstate(state)


def drawn() -> float:
    return random.random()


def test_the_same_seed_draws_the_same_and_another_something_else() -> None:
    draws = []
    for seed in ("a", "a", "b"):
        Dice(seed).begin_cell("import random")
        draws.append(drawn())
    assert draws[0] == draws[1] != draws[2]


def test_a_later_cell_goes_on_drawing() -> None:
    dice = Dice("a")
    dice.begin_cell("import statistics")
    first = drawn()
    dice.begin_cell("import random")
    assert drawn() != first


def test_a_cell_that_does_not_use_it_leaves_it_alone() -> None:
    state = random.getstate()
    dice = Dice("a")
    dice.begin_cell("1 + 1")
    dice.take_back()
    assert random.getstate() == state


def test_what_a_stopped_cell_drew_is_drawn_again() -> None:
    dice = Dice("a")
    dice.begin_cell("random")
    random.seed(5)
    dice.take_back()
    taken_back = drawn()
    dice = Dice("a")
    dice.begin_cell("random")
    assert drawn() == taken_back
