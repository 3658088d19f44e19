"""What a run shows on stderr."""

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llm_rlm.status import _percent, clean


@pytest.mark.parametrize(
    ("share", "shown"),
    [(0.0, "0%"), (1e-9, "under 1%"), (0.0049, "under 1%"), (0.31, "31%"), (0.9951, "over 99%"), (1.0, "100%")],
)
def test_a_little_is_not_said_to_be_nothing_nor_nearly_all_to_be_all(share: float, shown: str) -> None:
    assert _percent(share) == shown


@given(st.text(st.characters(codec=None)))
def test_what_a_terminal_is_shown_has_no_character_that_controls_or_hides(text: str) -> None:
    shown = clean(text)
    assert {unicodedata.category(character) for character in shown if character not in "\n\t"}.isdisjoint(
        {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"}
    )
    assert clean(shown) == shown


@pytest.mark.parametrize(
    "hidden",
    [
        *("\x1b", "\x9b", "\x07", "\r", "\x08", "\u202e", "\u2066", "\u200b", "\u200d", "\ufeff", "\u2028", "\U000e0041"),
        *("\U000e0100", "\u034f", "\u3164", "\u115f", "\u2800", "\u180e", "\ud800"),
    ],
    ids=ascii,
)
def test_what_would_not_be_seen_is_shown_to_be_there(hidden: str) -> None:
    assert clean(f"a{hidden}b") == "a\N{REPLACEMENT CHARACTER}b"


def test_what_chooses_how_a_character_looks_stays() -> None:
    assert clean("\N{HEAVY BLACK HEART}\ufe0f grün 漢字\n\t") == "\N{HEAVY BLACK HEART}\ufe0f grün 漢字\n\t"
