from __future__ import annotations

from llm_rlm.sandbox import notes
from llm_rlm.sandbox.notes import Replay
from llm_rlm.sandbox.types import Variable

_A, _B = Variable("a", "list", 2), Variable("b", "int")


def test_a_loss_names_what_is_back_and_what_is_gone() -> None:
    assert notes.of_loss({"a": _A, "b": _B}, {"a": _A}, Replay()) == (
        "Variables that are back as they were before this cell: a list[2].",
        "Variables that are gone: b int.",
    )


def test_a_loss_says_why_nothing_is_back() -> None:
    assert notes.of_loss({"a": _A}, {}, Replay("cell 1 failed")) == (
        "Variables that are gone: a list[2].",
        "They could not be restored: cell 1 failed.",
    )


def test_a_restart_after_which_all_is_as_it_was_says_nothing() -> None:
    assert notes.of_restart(Replay()) == ()


def test_a_restart_names_the_cells_that_showed_something_else() -> None:
    assert notes.of_restart(Replay(changed=[2, 5])) == (
        "Run again to restore their variables, these cells showed something else: 2, 5.",
    )


def test_a_restart_says_that_all_is_gone_and_why() -> None:
    assert notes.of_restart(Replay("cell 2 failed")) == (
        "Variables that are gone: all that earlier cells made.",
        "They could not be restored: cell 2 failed.",
    )


def test_many_variables_are_not_all_named() -> None:
    told = notes.of_gone([Variable(f"v{number}", "int") for number in range(20)])
    assert told[0].endswith("v11 int and 8 more.")
