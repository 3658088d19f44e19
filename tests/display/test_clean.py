"""Hostile text on a terminal."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llm_rlm.display.clean import brief, clean
from unseen import ANY_TEXT, UNSEEN, unseen


@given(ANY_TEXT)
def test_nothing_is_left_that_could_change_what_a_terminal_shows(text: str) -> None:
    shown = clean(text)
    assert unseen(shown) == set()
    assert clean(shown) == shown


def test_all_that_unicode_ignores_in_display_is_replaced() -> None:
    assert set(clean(UNSEEN)) == {"\N{REPLACEMENT CHARACTER}"}


@given(st.text(st.characters(categories=["L", "M", "N", "P", "S", "Zs"])))
def test_what_does_no_harm_stays_as_it_is(text: str) -> None:
    seen = "".join(character for character in text if not unseen(character))
    assert clean(seen) == seen


@pytest.mark.parametrize(
    "harmful",
    [
        *"\x1b\r\x00\x9b\u202e\u2066\u200b\u200f\ufeff\U000e0041\u2028",
        "\ud800",
        "\ue000",
        *"\u034f\u3164\u115f\u2800\u180e\U000e0100",
    ],
)
def test_each_is_replaced_by_a_sign_that_it_was_there(harmful: str) -> None:
    assert clean(f"a{harmful}b") == "a\N{REPLACEMENT CHARACTER}b"


def test_lines_tabs_and_spaces_of_all_scripts_stay() -> None:
    assert clean("a\tb\r\nc\u3000d\u00a0e") == "a\tb\nc\u3000d\u00a0e"


def test_what_chooses_how_a_character_looks_stays() -> None:
    assert clean("\N{HEAVY BLACK HEART}\ufe0f grün 漢字") == "\N{HEAVY BLACK HEART}\ufe0f grün 漢字"


@given(st.text(), st.integers(1, 50))
def test_what_is_brief_is_one_line_of_at_most_so_many_characters(text: str, most: int) -> None:
    shown = brief(text, most)
    assert len(shown) <= most
    assert "\n" not in shown


def test_what_is_brief_says_where_it_was_cut() -> None:
    assert (brief("one two three", 8), brief("one\n two", 8)) == ("one two…", "one two")


def test_what_may_be_of_any_length_is_one_line_and_whole() -> None:
    assert brief("a\n\tb\x1b c " + "d" * 1000) == "a b\N{REPLACEMENT CHARACTER} c " + "d" * 1000
