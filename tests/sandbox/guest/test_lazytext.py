"""A text too large to hold behaves like a str where it can, and says what to do where it cannot."""

from __future__ import annotations

import io
import json
import re
from itertools import pairwise
from typing import TYPE_CHECKING

import pytest
from hypothesis import example, given
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


@given(ASCII | st.text(st.sampled_from("a\n\r\x0b\x1c\u2028é日"), max_size=30))
def test_lines_are_those_of_a_file_and_of_a_str(text: str) -> None:
    held = lazy(text.encode())
    assert list(held) == list(io.StringIO(text, newline="\n"))
    for keepends in (False, True):
        assert list(held.splitlines(keepends)) == text.splitlines(keepends)


UTF_8 = st.text(st.sampled_from("a\né日😀\ufeff"), max_size=30).map(str.encode)
BROKEN = st.lists(st.sampled_from([b"\xe2", b"\x82", b"\xf0", b"\x9f", b"\xed\xa0", b"a", b"\xff"])).map(b"".join)


@given(UTF_8 | BROKEN | st.binary(max_size=30), st.lists(st.integers(0, 100)))
@example(b"\xe2\x82" * 9, [1, 7, 8])
def test_slices_that_follow_each_other_join_to_the_text(text: bytes, cuts: list[int]) -> None:
    held, whole = lazy(text), text.decode("utf-8", "replace")
    places = sorted({0, *(min(cut, len(text)) for cut in cuts), len(text)})
    parts = [held[start:end] for start, end in pairwise(places)]
    assert "".join(parts) == held[:] == "".join(held) == whole.removeprefix("\ufeff")
    assert "".join(held[at] for at in range(len(text))) == whole


@given(UTF_8 | BROKEN)
def test_a_slice_is_the_same_however_it_is_read(text: bytes) -> None:
    held = lazy(text)
    few = [held[start:end] for start in range(len(text)) for end in range(len(text))]
    before, lazytext._MOST_READ = lazytext._MOST_READ, 3
    try:
        assert [held[start:end] for start in range(len(text)) for end in range(len(text))] == few
    finally:
        lazytext._MOST_READ = before


@given(UTF_8, st.text(st.sampled_from("aé日"), min_size=1, max_size=2))
def test_where_text_is_found_it_stands(text: bytes, needle: str) -> None:
    held = lazy(text)
    at = held.find(needle)
    assert (at >= 0) == (needle in held) == (needle in text.decode())
    assert at < 0 or held[at : at + len(needle.encode())] == needle
    assert held.count(needle) == text.decode().count(needle)


def test_a_byte_order_mark_is_left_out_of_text_that_begins_with_it() -> None:
    held = lazy("\ufeffab\n".encode())
    assert (held[:], held[:4], list(held), list(held.splitlines())) == ("ab\n", "a", ["ab\n"], ["ab"])
    assert held.startswith("ab")
    assert (held.find("a"), len(held)) == (3, 6)


def test_a_small_slice_costs_one_question() -> None:
    texts = Held({"a": "é".encode() * 100})
    assert LazyText(texts, 0, 200)[11:21] == "é" * 5
    assert len(texts.reads) == 1


def test_going_through_the_lines_reads_each_byte_once_and_holds_few() -> None:
    texts = Held({"a": b"abc\n" * 100})
    lines = iter(LazyText(texts, 0, 400))
    assert next(lines) == "abc\n"
    assert len(texts.reads) <= 2
    assert sum(1 for _ in lines) == 99
    assert sum(end - start for _, start, end in texts.reads) == 400


@pytest.mark.parametrize(
    "use",
    [
        str,
        lambda text: re.search("a", text),
        lambda text: re.sub("a", "b", text),
        json.loads,
        lambda text: text + "a",
        lambda text: "a" + text,
        lambda text: "".join(text for _ in "ab"),
        lambda text: text.lower(),
        lambda text: text.split(),
        lambda text: text.strip(),
        lambda text: f"{text}",
    ],
)
def test_what_needs_the_whole_text_is_refused_with_what_to_use_instead(use: Callable[[LazyText], object]) -> None:
    with pytest.raises(TypeError, match=r"use .*(grep|chunks)"):
        use(lazy(b"aa"))


def test_its_class_keeps_its_name_where_nothing_went_wrong() -> None:
    assert repr(LazyText).endswith(".LazyText'>")
    assert hasattr(lazy(b""), "split")
    assert not hasattr(lazy(b""), "keys")


def test_a_text_longer_than_len_can_count_to_has_a_size(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lazytext, "MOST_COUNTED", 5)
    held = lazy(b"aaaaaa")
    with pytest.raises(TypeError, match=r"`text\.size` is its length"):
        len(held)
    assert (held.size, lazytext.length(held), lazytext.length("abc"), held[-2:], bool(held)) == (6, 6, 3, "aa", True)
    assert list(held) == ["aaaaaa"]


def test_a_text_that_is_gone_is_said_so() -> None:
    with pytest.raises(OSError, match="2 bytes shorter than it was"):
        list(LazyText(Held({"a": b"abcd"}), 0, 6))


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
    with pytest.raises(TypeError, match=r"`text\.count"):
        len(text.splitlines())
    assert (text.splitlines()[0], text.splitlines()[:5]) == ("ab", ["ab"])
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
