"""What is shown of a run that has ended."""

import pytest

from llm_rlm.display.closing import _percent


@pytest.mark.parametrize(
    ("share", "shown"),
    [(0.0, "0%"), (1e-9, "under 1%"), (0.0049, "under 1%"), (0.31, "31%"), (0.9951, "over 99%"), (1.0, "100%")],
)
def test_a_little_is_not_said_to_be_nothing_nor_nearly_all_to_be_all(share: float, shown: str) -> None:
    assert _percent(share) == shown
