"""The same text is cut alike wherever it stands."""

from __future__ import annotations

import json
import random
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llm_rlm.context.evidence.cuts import SHORTEST, Cuts, Few, Lines, often, seldom

if TYPE_CHECKING:
    from collections.abc import Callable

TEXT = st.binary(max_size=300) | st.text("ab \n\r", max_size=300).map(str.encode)
CHOOSE = st.sampled_from([often, lambda samples: seldom(samples, 16)])


def words(count: int) -> bytes:
    draw = random.Random(0)
    letters = b"etaoinshrdlucmfwypvbgkqjxz"
    weights = [2.0**-each for each in range(len(letters))]
    return b"".join(bytes(draw.choices(letters, weights, k=draw.randrange(2, 9))) + b" " for _ in range(count))


@given(st.lists(TEXT, min_size=1, max_size=3), TEXT, TEXT, TEXT, CHOOSE)
def test_between_its_first_and_last_cut_a_text_has_the_same_pieces_whatever_stands_around_it(
    samples: list[bytes], before: bytes, text: bytes, after: bytes, choose: Callable[[list[bytes]], Cuts]
) -> None:
    cuts = choose(samples)
    inner = cuts.pieces(text)[1:-1]
    around = cuts.pieces(before + text + after)
    assert any(around[at : at + len(inner)] == inner for at in range(len(around) - len(inner) + 1))


@given(st.lists(TEXT, min_size=1, max_size=3), TEXT, CHOOSE)
def test_pieces_and_separators_are_the_whole_text(
    samples: list[bytes], text: bytes, choose: Callable[[list[bytes]], Cuts]
) -> None:
    cuts = choose(samples)
    pieces = cuts.pieces(text)
    at = 0
    for piece in pieces[:-1]:
        assert text[at : at + len(piece)] == piece
        at += len(piece) + len(cuts.separator)
    assert text[at:] == pieces[-1]
    assert cuts.keys(pieces) == [cuts.key(piece) for piece in pieces]


def test_long_pieces_are_about_as_long_as_asked() -> None:
    text = words(20_000)
    pieces = seldom([text], 1024).pieces(text)
    assert 512 <= len(text) / len(pieces) <= 2048


def test_long_pieces_are_cut_where_no_byte_comes_twice() -> None:
    cuts = seldom([b"aaaaaaaaaa" * 100], 4)
    assert cuts.separator[0] != cuts.separator[1]


def test_short_pieces_are_short_nearly_everywhere() -> None:
    text = words(20_000)
    pieces = often([text]).pieces(text)
    assert sum(len(piece) + 1 for piece in pieces if len(piece) <= 128) > 0.95 * len(text)


@pytest.mark.parametrize("end", [b"\n", b"\r\n", b"\r"])
def test_short_pieces_end_with_their_line(end: bytes) -> None:
    text = words(1000).replace(b" ", end, 100)
    for line in text.split(end)[1:-1]:
        assert any(piece in line for piece in often([text]).pieces(line + end))
    assert not any(end in piece for piece in often([text]).pieces(text))


@pytest.mark.parametrize("samples", [[], [b""], [b"a"], [b"\n"], [b"\n\r\n"], [b"aaaa" * 1000]])
@pytest.mark.parametrize("choose", [often, lambda samples: seldom(samples, 1024)])
def test_any_samples_give_a_way_to_cut(samples: list[bytes], choose: Callable[[list[bytes]], Cuts]) -> None:
    assert choose(samples).pieces(b"some text") == [b"some text"] or samples[0].startswith(b"a")


LINE = "a line of a log that is long enough, é and all"
SET_OFF = [LINE, f"17: {LINE}", f"[17] {LINE}", f"3-17: {LINE}", f"> {LINE}", f"    - {LINE}", json.dumps([LINE], indent=1)]


@pytest.mark.parametrize("text", SET_OFF)
def test_a_line_is_looked_for_without_what_prompts_put_around_it(text: str) -> None:
    shown = f"Label:\n{text}\n".encode()
    seeds = Lines().seeds(shown.replace(b"\\u00e9", "é".encode()))
    assert LINE.encode() in [key for _, key in seeds]


@given(st.lists(st.text('ab 1.\n"', min_size=30, max_size=90), max_size=8), st.sampled_from([1, 3]), st.booleans())
def test_seeds_stand_where_they_say(lines: list[str], every: int, as_json: bool) -> None:
    text = (json.dumps(lines) if as_json else "\n".join(lines)).encode()
    for at, key in [*Lines(every=every).seeds(text), *Few().seeds(text)]:
        assert text[at : at + len(key)] == key


def test_one_of_a_few_pieces_stands_in_any_stretch_that_is_long_enough() -> None:
    text = words(40)
    for start in range(len(text) - SHORTEST):
        assert any(start <= at and at + len(key) <= start + SHORTEST for at, key in Few().seeds(text))
