"""Names that strangers chose: on one line, of valid UTF-8, and no two the same."""

from __future__ import annotations

import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llm_rlm.context.naming import Names, clean, clean_member

ANY = st.text(st.characters(), max_size=30)


@given(ANY)
def test_a_name_is_one_line_of_utf_8_and_cleaning_it_again_changes_nothing(name: str) -> None:
    shown = clean(name)
    shown.encode()
    assert len(shown.splitlines()) <= 1
    assert clean(shown) == shown


@given(st.text(st.characters(categories=["L", "N", "P", "S", "Zs"]), max_size=30))
def test_what_can_be_printed_stays(name: str) -> None:
    assert clean(name) == name


@given(st.binary(max_size=20))
def test_bytes_that_are_no_text_are_shown_as_escapes(name: bytes) -> None:
    clean(os.fsdecode(name)).encode()


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("caf\udce9", r"caf\xe9"),
        ("a\nb\tc\rd", r"a\nb\tc\rd"),
        ("a\x00\x1b[2J\x7f\x85", r"a\x00\x1b[2J\x7f\x85"),
        ("a\u202eb\u2028", r"a\u202eb\u2028"),
        ("\ud800", r"\ud800"),
        ("a\N{NO-BREAK SPACE}b 日本 😀", "a\N{NO-BREAK SPACE}b 日本 😀"),
    ],
)
def test_what_cannot_be_printed_is_shown_as_escapes(name: str, shown: str) -> None:
    assert clean(name) == shown


def test_of_a_very_long_name_the_end_is_shown() -> None:
    assert clean("x" * 5000 + "/name.txt") == "…" + "x" * 990 + "/name.txt"


@given(ANY)
def test_the_name_of_a_member_is_a_path_that_stays_within(name: str) -> None:
    parts = clean_member(name).split("/")
    assert not {"", ".", ".."} & set(parts)


@pytest.mark.parametrize(
    ("name", "shown"),
    [("/a//b/./c", "a/b/c"), ("../../a", "a"), ("a\\..\\b", "a/b"), ("", "unnamed"), ("a/", "a"), ("../", "unnamed")],
)
def test_roots_and_ways_up_are_left_out(name: str, shown: str) -> None:
    assert clean_member(name) == shown


@given(st.lists(st.sampled_from(["a", "b", "a (2)", "a (3)", "a (2) (2)"]), max_size=30))
def test_no_two_names_are_the_same_and_the_first_of_each_stays(names: list[str]) -> None:
    unique = Names().unique
    given_away = [unique(name) for name in names]
    assert len(set(given_away)) == len(names)
    assert all(shown.startswith(name) for shown, name in zip(given_away, names, strict=True))


def test_many_equal_names_are_numbered_in_no_time() -> None:
    unique = Names().unique
    assert [unique("a") for _ in range(50_000)][-1] == "a (50000)"
