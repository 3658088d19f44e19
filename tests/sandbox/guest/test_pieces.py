"""Chunks join to the text, keep within their size, and know where they are from."""

from __future__ import annotations

import csv
import io
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llm_rlm.sandbox.guest import pieces
from llm_rlm.sandbox.guest.corpus import Corpus
from llm_rlm.sandbox.guest.lazytext import LazyText
from llm_rlm.sandbox.guest.pieces import Chunk, chunks

from .texts import Held

TEXT = st.text(st.sampled_from('ab, "\n\t{é'), max_size=80)
WAYS = st.sampled_from(pieces.WAYS)


@given(TEXT, st.integers(1, 20), WAYS)
def test_joined_they_are_the_text(text: str, size: int, by: str) -> None:
    made = chunks(text, size, by=by)
    assert isinstance(made, list)
    assert "".join(made) == text
    assert all(made)
    for chunk in made:
        assert text[chunk.start : chunk.end] == chunk
        assert chunk.line == text.count("\n", 0, chunk.start) + 1
    assert [chunk.index for chunk in made] == list(range(len(made)))


@given(TEXT, st.integers(1, 20), WAYS)
def test_none_is_over_its_size(text: str, size: int, by: str) -> None:
    for chunk in chunks(text, size, by=by):
        lines = chunk.count("\n") + (not chunk.endswith("\n"))
        assert {"lines": lines, "tokens": len(chunk) / 4}.get(by, len(chunk)) <= size


@given(TEXT, st.integers(2, 10), st.sampled_from(["chars", "lines"]), st.data())
def test_neighbours_share_the_overlap(text: str, size: int, by: str, data: st.DataObject) -> None:
    overlap = data.draw(st.integers(1, size - 1))
    made = list(chunks(text, size, overlap, by))
    for before, after in pairwise(made):
        shared = text[after.start : before.end]
        assert (len(shared) if by == "chars" else len(shared.splitlines())) == overlap or "\r" in shared
    whole = "".join(
        chunk[: (made[at + 1].start if at + 1 < len(made) else len(text)) - chunk.start] for at, chunk in enumerate(made)
    )
    assert whole == text


@given(
    st.text(max_size=60).map(lambda text: text.encode("utf-8", "replace")) | st.binary(max_size=60), st.integers(4, 20), WAYS
)
def test_those_of_a_text_too_large_to_hold_join_to_it_too(text: bytes, size: int, by: str) -> None:
    made = list(chunks(LazyText(Held({"a": text}), 0, len(text), "a"), size, by=by))
    if by in {"chars", "tokens"} or text.decode("utf-8", "replace").encode() == text:
        assert "".join(made) == text.decode("utf-8", "replace") or by in {"chars", "tokens"}
    if by not in {"chars", "tokens"}:
        assert b"".join(text[chunk.start : chunk.end] for chunk in made) == text
        assert [chunk.line for chunk in made] == [text.count(b"\n", 0, chunk.start) + 1 for chunk in made]
    assert {chunk.source for chunk in made} <= {"a"}


def test_the_pieces_of_a_large_text_are_those_of_a_small_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pieces, "_BUFFER", 40)
    text = "".join(f"def f{at}():\n    return {at}\n\n\n" for at in range(50)) + '"a\nb",c\n' * 9
    for by in pieces.WAYS:
        held = chunks(LazyText(Held({"a": text.encode()}), 0, len(text), "a"), 60, by=by)
        assert list(held) == list(held)
        assert "".join(held) == text
        if by in {"chars", "lines", "paragraphs", "code"}:
            assert list(held) == chunks(text, 60, by=by)


def test_records_of_csv_keep_line_ends_in_quotes_together() -> None:
    text = 'id,text\n1,"a\nb"\n2,"c ""d""\ne"\n3,f\n'
    made = chunks(text, 16, by="records")
    assert made == ['id,text\n1,"a\nb"\n'[:8] + '1,"a\nb"\n', '2,"c ""d""\ne"\n', "3,f\n"]
    assert sum(len(list(csv.reader(io.StringIO(chunk)))) for chunk in made) == 4


def test_code_is_cut_where_something_begins_in_the_first_column() -> None:
    text = "import a\n\ndef f():\n    return {\n    1,\n}\n\nclass B:\n    pass\n"
    assert chunks(text, 45, by="code") == ["import a\n\ndef f():\n    return {\n    1,\n}\n\n", "class B:\n    pass\n"]


def test_each_of_several_texts_is_cut_by_itself() -> None:
    context = Corpus(Held({"a": b"123", "b": b"4567"}), 100, 100)
    made = list(chunks(context, 3))
    assert [(chunk.source, str(chunk), chunk.start) for chunk in made] == [("a", "123", 0), ("b", "456", 0), ("b", "7", 3)]
    assert chunks(["123", "4567"], 3) == ["123", "456", "7"]
    with pytest.raises(TypeError, match=r"list\(chunks"):
        len(chunks(context))
    with pytest.raises(TypeError, match="cut as they are needed"):
        chunks(context)[0]


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ({"by": "words"}, "by must be one of chars, tokens"),
        ({"size": 0}, "size must be a whole number of at least 1, not 0"),
        ({"size": 2, "overlap": 2}, "overlap must be a whole number of at least 0 and less than size"),
        ({"overlap": 1, "by": "code"}, "overlap is for chars, tokens and lines, not for code"),
    ],
)
def test_a_wrong_argument_is_named(arguments: dict[str, object], says: str) -> None:
    with pytest.raises(ValueError, match=says):
        chunks("text", **arguments)  # type: ignore[arg-type]


def test_what_is_no_text_is_refused() -> None:
    for wrong in (1, b"bytes", [1]):
        with pytest.raises(TypeError, match="chunks takes"):
            chunks(wrong)


def test_a_chunk_is_a_str() -> None:
    (chunk,) = chunks("text")
    assert isinstance(chunk, Chunk)
    assert f"{chunk}!" == "text!"
