from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llm_rlm.context.document import Document
from llm_rlm.context.marks import Places, escaped, is_marked, mark, marks

KINDS = ["page", "slide", "sheet", "part", "message"]
lines = st.lists(
    st.one_of(
        st.text(max_size=30),
        st.sampled_from(
            ["<!-- page 3 -->", " <!-- page 3 -->", "\\<!-- page 3 -->", "<!-- sheet x -->\r", "<!-- other 1 -->", ""]
        ),
        st.just("x" * 3000),
    ),
    max_size=8,
).map("\n".join)


@given(st.lists(st.tuples(st.sampled_from(KINDS), st.text(max_size=20), lines), max_size=6), st.integers(1, 5000))
def test_each_mark_is_found_where_it_stands_whatever_the_text_holds_and_however_it_comes(
    parts: list[tuple[str, str, str]], size: int
) -> None:
    data, expected = b"", []
    for kind, label, text in parts:
        line = mark(kind, label)  # type: ignore[arg-type]  # one of KINDS
        expected.append((len(data), line.removeprefix("<!-- ").removesuffix(" -->")))
        data += f"{line}\n{escaped(text)}\n".encode("utf-8", "replace")
    assert list(marks(data[start : start + size] for start in range(0, len(data), size))) == expected


@given(lines)
def test_an_escaped_text_has_no_marks(text: str) -> None:
    assert list(marks([escaped(text).encode("utf-8", "replace")])) == []


def test_only_lines_that_look_like_marks_are_changed() -> None:
    text = "a <!-- page 3 -->\n<!-- a comment -->\n<!-- pages 3 -->\n    <!-- page 3 -->"
    assert escaped(text) == text
    assert escaped("a\n<!-- page 3 -->") == "a\n\\<!-- page 3 -->"


@pytest.mark.parametrize("name", ["a --> b", "two\nlines", "--", "", " ", "x" * 1000, "\u2028\r\0", "--->", "\ud800"])
def test_a_name_cannot_end_its_mark_or_begin_a_line(name: str) -> None:
    line = mark("sheet", name)
    assert "\n" not in line
    assert line.count("--") == 2
    assert len(list(marks([line.encode("utf-8", "replace")]))) == 1


def test_the_place_of_a_byte_is_that_of_the_mark_before_it() -> None:
    data = b"head\n<!-- page 1 -->\none\n<!-- page 2 -->\ntwo\n"
    places = Places([data])
    assert len(places) == 2
    assert [places.at(data.index(word)) for word in (b"head", b"one", b"two")] == [None, "page 1", "page 2"]
    assert places.at(10_000) == "page 2"
    assert places.at(data.index(b"<!-- page 2")) == "page 2"


def test_only_what_was_converted_is_marked() -> None:
    converted = f"/cache/{'a' * 64}.pdf.1.md"
    assert is_marked(Document("a.pdf", converted, 1, origin="a.pdf"))
    assert not is_marked(Document("a.md", converted, 1))
    assert not is_marked(Document("a.md", "/home/notes.md", 1, origin="x.zip"))
