"""Numbers and texts in one line."""

from __future__ import annotations

import pytest

from llm_rlm.budget import Usage
from llm_rlm.display import words


@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        (None, "-"),
        (-0.01, "0.0 s"),
        (3.21, "3.2 s"),
        (59.97, "1 min 00 s"),
        (245, "4 min 05 s"),
        (3_599.7, "1 h 00 min"),
        (3_600, "1 h 00 min"),
        (7_400, "2 h 03 min"),
    ],
)
def test_durations_are_said_in_units_that_fit(seconds: float | None, said: str) -> None:
    assert words.lasting(seconds) == said


@pytest.mark.parametrize(
    ("count", "said"),
    [(950, "950"), (9_999, "9,999"), (12_345, "12.3k"), (999_949, "999.9k"), (999_960, "1.0M"), (4_500_000, "4.5M")],
)
def test_tokens_are_said_in_few_characters(count: int, said: str) -> None:
    assert words.tokens(count) == said


def test_a_cost_that_is_not_known_is_not_said_to_be_nothing() -> None:
    several = [Usage(), Usage(unpriced=1), Usage(unpriced=1, cost=0.5)]
    assert [words.short_cost(usage) for usage in several] == ["$0.00", "?", "$0.50+?"]
    assert [words.cost(usage) for usage in several] == ["$0.00", "unknown", "unknown (but for $0.50)"]


@pytest.mark.parametrize(
    ("share", "shown"),
    [(0.0, "0%"), (1e-9, "under 1%"), (0.0049, "under 1%"), (0.31, "31%"), (0.9951, "over 99%"), (1.0, "100%")],
)
def test_a_little_is_not_said_to_be_nothing_nor_nearly_all_to_be_all(share: float, shown: str) -> None:
    assert words.percent(share) == shown


@pytest.mark.parametrize(
    ("count", "said"), [(999, "999 bytes"), (999_960, "1.0 MB"), (1_234_567, "1.2 MB"), (5e15, "5,000.0 TB")]
)
def test_sizes_are_said_in_units_that_fit(count: float, said: str) -> None:
    assert words.size(count) == said


def test_all_of_nothing_is_all() -> None:
    assert words.percent(0, 0) == "100%"
