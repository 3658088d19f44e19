"""Numbers and texts in one line."""

from __future__ import annotations

import pytest

from llm_rlm.budget import Usage
from llm_rlm.showing import words


@pytest.mark.parametrize(
    ("seconds", "said"),
    [(None, "-"), (-0.01, "0.0 s"), (3.21, "3.2 s"), (245, "4 min 05 s"), (3_600, "1 h 00 min"), (7_400, "2 h 03 min")],
)
def test_durations_are_said_in_units_that_fit(seconds: float | None, said: str) -> None:
    assert words.lasting(seconds) == said


@pytest.mark.parametrize(("count", "said"), [(950, "950"), (9_999, "9,999"), (12_345, "12.3k"), (4_500_000, "4.5M")])
def test_tokens_are_said_in_few_characters(count: int, said: str) -> None:
    assert words.tokens(count) == said


def test_a_cost_that_is_not_known_is_not_said_to_be_nothing() -> None:
    assert words.cost(Usage()) == "$0.00"
    assert words.cost(Usage(unpriced=1)) == "?"
    assert words.cost(Usage(unpriced=1, cost=0.5)) == "$0.50+?"


def test_a_text_is_one_line_and_cut_where_it_is_too_long() -> None:
    assert words.one_line("a\n\tb\x1b c") == "a b� c"
    assert words.one_line("abcdef", 4) == "abc…"
