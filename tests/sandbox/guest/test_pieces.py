"""Chunks join to the text, keep within their size, and know where they are from."""

from __future__ import annotations

import csv
import io
import json
from itertools import pairwise
from typing import TYPE_CHECKING

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from llm_rlm.sandbox.guest import lazytext
from llm_rlm.sandbox.guest.corpus import Corpus
from llm_rlm.sandbox.guest.cutting import WAYS
from llm_rlm.sandbox.guest.lazytext import LazyText
from llm_rlm.sandbox.guest.pieces import Chunk, chunks

from .texts import Held

if TYPE_CHECKING:
    from collections.abc import Iterator

ASCII = st.text(st.sampled_from('ab, "\n\n\t{}e'), max_size=80)
TEXT = st.text(st.sampled_from('ab, "\n\n\r\t{}é日😀\u3000'), max_size=80)
BYTES = TEXT.map(str.encode) | st.binary(max_size=80) | st.lists(st.sampled_from([b"\xe2", b"\x82", b"\n", b"a"])).map(b"".join)
WAY = st.sampled_from(WAYS)
PACKED = st.sampled_from(["paragraphs", "records", "code"])


@pytest.fixture(autouse=True, scope="module")
def small_pieces() -> Iterator[None]:
    lazytext.PIECE, before = 5, lazytext.PIECE
    yield
    lazytext.PIECE = before


def lazy(text: bytes) -> LazyText:
    return LazyText(Held({"a": text}), 0, len(text), "a")


def held(text: str, size: int, overlap: int = 0, by: str = "chars") -> list[Chunk]:
    made = chunks(text, size, overlap, by)
    assert isinstance(made, list)
    return made


def measure(chunk: str, by: str) -> float:
    if by == "lines":
        return chunk.count("\n") + (not chunk.endswith("\n"))
    return len(chunk.encode()) / 4 if by == "tokens" else len(chunk)


@given(TEXT, st.integers(1, 20), WAY, st.data())
def test_they_are_places_of_the_text_that_leave_nothing_out(text: str, size: int, by: str, data: st.DataObject) -> None:
    made = held(text, size, data.draw(st.integers(0, size - 1)), by)
    for chunk in made:
        assert chunk
        assert text[chunk.start : chunk.end] == chunk
        assert chunk.line == text.count("\n", 0, chunk.start) + 1
        assert measure(chunk, by) <= size
    assert [chunk.index for chunk in made] == list(range(len(made)))
    for before, after in pairwise(made):
        assert before.start < after.start <= before.end < after.end
    assert (made[0].start, made[-1].end) == (0, len(text)) if text else not made


@given(TEXT, st.integers(1, 20), WAY)
def test_without_overlap_they_join_to_the_text(text: str, size: int, by: str) -> None:
    assert "".join(held(text, size, by=by)) == text


@given(TEXT, st.integers(2, 10), st.sampled_from(["chars", "lines"]), st.data())
def test_neighbours_share_the_overlap(text: str, size: int, by: str, data: st.DataObject) -> None:
    overlap = data.draw(st.integers(1, size - 1))
    made = held(text, size, overlap, by)
    for before, after in pairwise(made):
        assert measure(text[after.start : before.end], by) == overlap


@given(TEXT, st.integers(2, 20), PACKED, st.data())
def test_of_whole_units_the_overlap_is_no_more_than_asked_for(text: str, size: int, by: str, data: st.DataObject) -> None:
    overlap = data.draw(st.integers(1, size - 1))
    made = held(text, size, overlap, by)
    for before, after in pairwise(made):
        assert before.end - after.start <= overlap
        assert after.start == before.end or text[after.start - 1] == "\n"


@given(BYTES, st.integers(4, 20), WAY)
@example(b"\xe2\x82" * 8, 4, "chars")
def test_those_of_a_text_too_large_to_hold_join_to_it_too(text: bytes, size: int, by: str) -> None:
    made = list(chunks(lazy(text), size, by=by))
    assert "".join(made) == text.decode("utf-8", "replace").removeprefix("\ufeff")
    assert b"".join(text[chunk.start : chunk.end] for chunk in made) == text
    assert [chunk.line for chunk in made] == [text.count(b"\n", 0, chunk.start) + 1 for chunk in made]
    if by != "lines":
        assert all(chunk.end - chunk.start <= size * (4 if by == "tokens" else 1) for chunk in made)


@given(ASCII, st.integers(1, 20), WAY, st.data())
def test_a_large_text_is_cut_as_a_small_one(text: str, size: int, by: str, data: st.DataObject) -> None:
    overlap = data.draw(st.integers(0, size - 1))
    facts = [
        [
            (str(chunk), chunk.start, chunk.end, chunk.line, chunk.index, chunk.header)
            for chunk in chunks(each, size, overlap, by)
        ]
        for each in (text, lazy(text.encode()))
    ]
    assert facts[0] == facts[1]


def test_a_character_larger_than_a_piece_is_taken_whole() -> None:
    assert list(chunks(lazy("a😀é".encode()), 1)) == ["a", "😀", "é"]


def test_a_byte_order_mark_is_no_text() -> None:
    (chunk,) = chunks(lazy("\ufefftext".encode()), 50)
    assert (chunk, chunk.start, chunk.end) == ("text", 0, 7)


# Ways


def test_tokens_are_four_bytes_whatever_else_is_in_the_text() -> None:
    english = "It is not “easy” to say. " * 100
    made = held(english, 100, by="tokens")
    assert len(made) == len(english.encode()) // 400 + 1
    assert [len(chunk) for chunk in held("日" * 100, 30, by="tokens")] == [40, 40, 20]


def test_units_that_just_fit_are_the_overlap() -> None:
    assert held("a\n\nbb\n\ncc\n\n", 8, 4, "paragraphs") == ["a\n\nbb\n\n", "bb\n\ncc\n\n"]
    assert held("a\nbb\ncc\n", 6, 3, "records") == ["a\nbb\n", "bb\ncc\n"]


def test_paragraphs_keep_the_blank_lines_after_them_and_their_indentation() -> None:
    assert held("a\nb\n\n \n  c\nd\n\ne", 10, by="paragraphs") == ["a\nb\n\n \n", "  c\nd\n\ne"]


@pytest.mark.parametrize("by", WAYS)
@pytest.mark.parametrize("text", ["a" + "\n" * 20_000, " " * 20_000, '"' * 20_000, "a," * 10_000, "\n \n" * 7_000])
def test_no_text_takes_long(by: str, text: str) -> None:
    assert "".join(held(text, 5_000, by=by)) == text


def test_rows_of_csv_keep_line_ends_in_quotes() -> None:
    text = 'id,text\n1,"a\nb"\n2,"c ""d""\ne"\n3,f\n'
    made = held(text, 16, by="records")
    assert made == ['id,text\n1,"a\nb"\n', '2,"c ""d""\ne"\n', "3,f\n"]
    assert sum(len(list(csv.reader(io.StringIO(chunk)))) for chunk in made) == 4
    assert {chunk.header for chunk in made} == {"id,text"}


CELLS = st.text(st.sampled_from('ab"\n,'), max_size=6)


@given(st.lists(st.tuples(CELLS, CELLS), min_size=1), st.integers(40, 80), st.integers(0, 39))
def test_rows_of_csv_are_never_cut(rows: list[tuple[str, str]], size: int, overlap: int) -> None:
    file = io.StringIO(newline="")
    csv.writer(file, quoting=csv.QUOTE_ALL, lineterminator="\n").writerows(rows)
    for chunk in held("n,text\n" + file.getvalue(), size, overlap, "records"):
        for row in csv.reader(io.StringIO(str(chunk), newline="")):
            assert tuple(row) in {*rows, ("n", "text")}


def test_a_row_too_long_for_a_piece_does_not_confuse_the_rows_after_it() -> None:
    text = 'id,text\n1,"' + "long\n" * 10 + '"\n' + "".join(f'{n},"a\nb"\n' for n in range(10, 20))
    made = held(text, 18, by="records")
    after = [chunk for chunk in made if chunk.start > text.index("10,")]
    assert all(chunk.startswith("1") and chunk.endswith('b"\n') for chunk in after)
    assert len(after) == 5


def test_a_lone_quote_opens_nothing() -> None:
    text = 'a,b\n1,5" pipe\n' + "".join(f"{n},x\n" for n in range(10, 20))
    assert [chunk.count("\n") for chunk in held(text, 16, by="records")] == [2, 3, 3, 3, 1]


def test_lines_of_json_are_records_whatever_quotes_they_hold() -> None:
    text = "".join(json.dumps({"n": n, "text": 'say "a' + "b" * (60 if n % 5 == 0 else 3)}) + "\n" for n in range(30))
    made = list(chunks(lazy(text.encode()), 64, by="records"))
    short = [line for line in text.splitlines(keepends=True) if len(line) <= 64]
    assert all(any(line in chunk for chunk in made) for line in short)
    assert {chunk.header for chunk in made} == {None}


CODE = """import a
import b

# What f does.
@decorator
def f(
    x,
):
    if x:
        return 1

    return 2


class C:
    pass
"""


def test_code_is_cut_between_definitions_which_keep_their_comments() -> None:
    made = held(CODE, 100, by="code")
    assert [chunk.split("\n")[0] for chunk in made] == ["import a", "# What f does.", "class C:"]
    assert [chunk.line for chunk in made] == [1, 4, 15]


def test_a_definition_too_long_for_a_piece_is_cut_at_a_blank_line_or_else_at_a_line_end() -> None:
    assert all(chunk.endswith("\n") for chunk in held(CODE, 40, by="code"))
    assert any(chunk.endswith("return 1\n\n") for chunk in held(CODE, 84, by="code"))


# What is cut


def test_each_of_several_texts_is_cut_by_itself() -> None:
    context = Corpus(Held({"a": b"123", "b": b"4567"}), 100, 100)
    facts = [("a", "123", 0), ("b", "456", 0), ("b", "7", 3)]
    assert [(chunk.source, str(chunk), chunk.start) for chunk in chunks(context, 3)] == facts
    assert [(chunk.source, str(chunk), chunk.start) for chunk in chunks(dict(context.items()), 3)] == facts
    assert chunks(["123", "4567"], 3) == ["123", "456", "7"]


def test_what_is_cut_as_needed_is_no_list_but_can_be_looked_at() -> None:
    held = Held({"a": b"123", "b": b"4567"})
    made = chunks(Corpus(held, 100, 100), 3)
    assert made
    assert (made[0], made[:2]) == ("123", ["123", "456"])
    assert list(made) == list(made) == ["123", "456", "7"]
    assert "123" not in repr(made)
    with pytest.raises(TypeError, match=r"list\(chunks"):
        len(made)
    with pytest.raises(TypeError, match="only the first 1,000"):
        made[-1]
    with pytest.raises(IndexError):
        made[3]
    assert not chunks(lazy(b""))


def test_a_text_is_only_read_as_far_as_pieces_are_taken() -> None:
    held = Held({"a": b"x" * 1000})
    assert chunks(LazyText(held, 0, 1000), 10)[0] == "x" * 10
    assert max(end for _, __, end in held.reads) <= 40


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ({"by": "words"}, "by must be one of chars, tokens"),
        ({"size": 0}, "size must be a whole number of at least 1, not 0"),
        ({"size": 2.0}, r"size must be a whole number of at least 1, not 2\.0"),
        ({"size": 2, "overlap": 2}, "overlap must be a whole number of at least 0 and less than size, not 2"),
    ],
)
def test_a_wrong_argument_is_named(arguments: dict[str, object], says: str) -> None:
    with pytest.raises(ValueError, match=says):
        chunks("text", **arguments)  # type: ignore[arg-type]


def test_what_is_no_text_is_refused() -> None:
    for wrong in (1, b"bytes", [1], None):
        with pytest.raises(TypeError, match="text must be a str"):
            chunks(wrong)


def test_a_chunk_is_a_str() -> None:
    (chunk,) = chunks("text")
    assert isinstance(chunk, Chunk)
    assert f"{chunk}!" == "text!"
    assert type(str(chunk)) is str
