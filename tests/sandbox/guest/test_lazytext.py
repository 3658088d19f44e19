"""A text too large to hold behaves like a str where it can, and says what to do where it cannot."""

from __future__ import annotations

import json
import re
from itertools import pairwise
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llm_rlm.sandbox.guest import lazytext
from llm_rlm.sandbox.guest.lazytext import LazyText

from .texts import Held

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

ASCII = st.text(st.sampled_from("ab\n \r"), max_size=30)
POSITION = st.none() | st.integers(-40, 40)


def lazy(text: bytes) -> LazyText:
    return LazyText(Held({"a": text}), 0, len(text), "a")


@pytest.fixture(autouse=True, scope="module")
def small_pieces() -> Iterator[None]:
    lazytext.PIECE, before = 3, lazytext.PIECE
    yield
    lazytext.PIECE = before


@given(ASCII, POSITION, POSITION)
def test_a_slice_of_ascii_is_that_of_a_str(text: str, start: int | None, end: int | None) -> None:
    assert lazy(text.encode())[start:end] == text[start:end]


@given(ASCII, st.text(st.sampled_from("ab\n"), max_size=3), POSITION, POSITION)
def test_looking_for_ascii_is_as_in_a_str(text: str, needle: str, start: int | None, end: int | None) -> None:
    held = lazy(text.encode())
    for method in ("find", "rfind", "count", "startswith", "endswith"):
        assert getattr(held, method)(needle, start, end) == getattr(text, method)(needle, start, end), method
    assert (needle in held) == (needle in text)
    assert len(held) == len(text)
    assert bool(held) == bool(text)


@given(ASCII)
def test_lines_are_those_of_a_file_and_of_a_str(text: str) -> None:
    held = lazy(text.encode())
    assert list(held) == [line for line in re.split(r"(?<=\n)", text) if line]
    for keepends in (False, True):
        assert list(held.splitlines(keepends)) == text.splitlines(keepends)


@given(st.text(max_size=30).map(lambda text: text.encode("utf-8", "replace")), st.lists(st.integers(0, 100)))
def test_slices_that_follow_each_other_join_to_the_text(text: bytes, cuts: list[int]) -> None:
    held = lazy(text)
    places = sorted({0, *(min(cut, len(text)) for cut in cuts), len(text)})
    parts = [held[start:end] for start, end in pairwise(places)]
    assert "".join(parts) == text.decode()
    assert "".join(held[at] for at in range(len(text))) == text.decode()


@given(st.binary(max_size=30))
def test_bytes_that_are_no_text_are_replaced_and_never_lost_track_of(text: bytes) -> None:
    held = lazy(text)
    assert held[:] == "".join(held) == text.decode("utf-8", "replace")
    assert held.exact(0, len(text)).encode("utf-8", "surrogateescape") == text


@pytest.mark.parametrize(
    "use",
    [
        str,
        lambda text: re.search("a", text),
        json.loads,
        lambda text: text + "a",
        lambda text: "a" + text,
        lambda text: text.lower(),
        lambda text: text.split(),
        lambda text: f"{text}",
    ],
)
def test_what_needs_the_whole_text_is_refused(use: Callable[[LazyText], object]) -> None:
    with pytest.raises(TypeError, match=r"slices|expected string|must be str"):
        use(lazy(b"aa"))


def test_what_is_not_there_is_said_so() -> None:
    text = lazy(b"ab")
    with pytest.raises(ValueError, match="substring not found"):
        text.index("c")
    with pytest.raises(IndexError):
        text[2]
    with pytest.raises(ValueError, match="steps in slices"):
        text[::2]
    with pytest.raises(TypeError, match="must be str, not int"):
        text.find(1)
    with pytest.raises(AttributeError):
        _ = text.no_such_method
    with pytest.raises(TypeError, match=r"use `text\.count"):
        len(text.splitlines())
    with pytest.raises(TypeError, match=r"itertools\.islice"):
        text.splitlines()[0]
    assert (text.rindex("b"), text[-1]) == (1, "b")


def test_it_is_shown_by_its_size_only() -> None:
    assert repr(lazy(b"secret")).startswith("<text 'a' of 6 bytes, too large to hold: use slices")
    assert "secret" not in repr(lazy(b"secret").splitlines())


def test_a_slice_or_a_line_too_long_to_hold_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lazytext, "MOST_SLICE", 9)
    with pytest.raises(MemoryError, match="a slice of 12 bytes is too large to hold"):
        lazy(b"aaaaaaaaaaaa")[:]
    with pytest.raises(MemoryError, match="a line is longer than 9 bytes"):
        list(lazy(b"a\n" + b"b" * 30))
