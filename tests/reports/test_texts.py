"""What a page has of texts that anybody may have written."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llm_rlm.report.texts import LEAST, MOST, MOST_TOGETHER, Pool, cut, share, visible
from unseen import ANY_TEXT, UNSEEN, unseen

JOINERS = {"\u200c", "\u200d"}


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("\x1b[31mred", "␛[31mred"),
        ("a\x00b\x7f", "a␀b␡"),
        ("one\r\ntwo\rthree\n\tfour", "one\ntwo␍three\n\tfour"),
        ("photo\u202egnp.exe", "photo[U+202E]gnp.exe"),
        ("\u2066a\u2069\u200f", "[U+2066]a[U+2069][U+200F]"),
        ("\ud800", "[U+D800]"),
        ("\U000e0041", "[U+E0041]"),
        ("a\u2028b\ufeff\x85", "a[U+2028]b[U+FEFF][U+0085]"),
        ("a\u3164b\u2800\u180e\U000e0100", "a[U+3164]b[U+2800][U+180E][U+E0100]"),
        ("é 日本 👩\u200d👩 \u0645\u06cc\u200c\u062e", "é 日本 👩\u200d👩 \u0645\u06cc\u200c\u062e"),
        ("a\u200db \u200c é\u200d\u200d", "a[U+200D]b [U+200C] é\u200d[U+200D]"),
    ],
)
def test_what_would_hide_or_reorder_is_shown_by_a_sign_and_all_else_is_left(text: str, shown: str) -> None:
    assert visible(text) == shown


@given(ANY_TEXT)
def test_what_is_shown_can_be_written_and_holds_nothing_that_hides(text: str) -> None:
    shown = visible(text)
    assert visible(shown) == shown
    shown.encode("utf-8")
    assert unseen(shown) <= JOINERS


def test_all_that_unicode_ignores_in_display_has_a_sign() -> None:
    assert visible(UNSEEN) == "".join(f"[U+{ord(character):04X}]" for character in UNSEEN)


@given(st.text(), st.integers(4, 50))
def test_a_text_that_fits_is_whole_and_a_longer_one_has_its_beginning_and_end(text: str, most: int) -> None:
    kept = cut(text, most)
    if len(text) <= most:
        assert kept == text
    else:
        tail = most // 4
        assert kept.startswith(text[: most - tail])
        assert kept.endswith(text[-tail:])
        assert f"{len(text) - most:,} characters are left out" in kept
    assert cut(text, None) == text


def test_many_texts_have_less_room_each_but_never_too_little() -> None:
    assert share(1) == MOST
    assert share(20_000) == MOST_TOGETHER // 20_000 == 3000
    assert share(10**9) == LEAST
    assert share(0) == MOST


def test_a_text_is_kept_once_however_often_it_comes() -> None:
    pool = Pool(10)
    assert [pool.add(text) for text in ("a", "b" * 11, "a", None, "b" * 11)] == [0, 1, 0, None, 1]
    assert pool.texts[0] == "a"
    assert pool.was_cut == 1
