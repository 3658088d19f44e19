"""Quotes are found where they stand, and nowhere else."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from llm_rlm.context import Citation, Document, find_quotes
from llm_rlm.context.evidence import quotes
from llm_rlm.context.marks import mark

if TYPE_CHECKING:
    from collections.abc import Sequence

WORDS = st.lists(st.text(st.sampled_from('abcé"\\.*('), min_size=1, max_size=6), min_size=3, max_size=30)


def document(path: Path, content: bytes, name: str = "a.txt", **more: str) -> Document:
    path.write_bytes(content)
    return Document(name, str(path), len(content), **more)  # type: ignore[arg-type]


def look_up(documents: Sequence[Document], *wanted: str, first: frozenset[int] = frozenset()) -> list[Citation]:
    return find_quotes(documents, wanted, set(first), lambda: False)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(words=WORDS, spaces=st.lists(st.sampled_from([" ", "\n", "  ", "\r\n", "\t"]), min_size=30, max_size=30), data=st.data())
def test_a_part_of_the_text_is_found_whatever_its_white_space(
    tmp_path: Path, words: list[str], spaces: list[str], data: st.DataObject
) -> None:
    text = "".join(word + space for word, space in zip(words, spaces, strict=False))
    start = data.draw(st.integers(0, len(words) - 2))
    end = data.draw(st.integers(start + 2, len(words)))
    (found,) = look_up([document(tmp_path / "text", text.encode())], " ".join(words[start:end]))
    assert found.start is not None
    assert found.end is not None
    there = text.encode()[found.start : found.end].decode()
    assert there.split() == words[start:end] or words[start:end][0] in there.split()[0]
    assert re.sub(r"\s+", " ", there) == " ".join(words[start:end])
    assert found.line == text.encode().count(b"\n", 0, found.start) + 1
    assert (found.found == "exact") == (" ".join(words[start:end]) in text)


def test_what_is_not_there_is_not_found(tmp_path: Path) -> None:
    text = document(tmp_path / "text", b"the quick brown fox")
    changed, short, long, dotted = look_up([text], "the quick red fox", " a ", "x" * 10_001, "the quick … fox")
    assert [each.found for each in (changed, short, long, dotted)] == [None] * 4
    assert [each.why for each in (changed, short, long)] == [
        "not in the input",
        "shorter than 3 characters",
        "longer than 10,000 characters",
    ]
    assert dotted.why == "not in the input; give pieces that are shortened by dots as quotes of their own"


@pytest.mark.parametrize(
    ("text", "quote"),
    [
        ("We know't, we know't.", "We know’t, we know’t."),
        ("“While you take in hand”", '"While you take in hand"'),
        ("a well-known fact", "A Well—known fact"),
        (r"said \"number 7\"\nand left", 'said "number 7" and left'),
    ],
)
def test_a_quote_that_is_nearly_there_is_told_what_the_input_has(tmp_path: Path, text: str, quote: str) -> None:
    (near,) = look_up([document(tmp_path / "text", f"before {text} after".encode())], quote)
    assert (near.found, near.why) == (None, f"nearly there: the input has {text!r}")


def test_it_is_looked_for_first_in_what_was_read_and_counted_there(tmp_path: Path) -> None:
    documents = [document(tmp_path / name, b"one same line\n" * times, name) for name, times in (("a", 1), ("b", 3))]
    assert [(each.source, each.times) for each in look_up(documents, "same line")] == [("a", 1)]
    assert [(each.source, each.times) for each in look_up(documents, "same line", first=frozenset({1}))] == [("b", 3)]


def test_text_in_json_and_csv_is_found_as_it_is_written_there(tmp_path: Path) -> None:
    said = 'she said "no"\nand left é'
    as_json = document(tmp_path / "j", json.dumps([said]).encode(), "j")
    as_csv = document(tmp_path / "c", ('1,"' + said.replace('"', '""') + '"\n').encode(), "c")
    assert [each.found for each in (*look_up([as_json], said), *look_up([as_csv], said))] == ["exact", "exact"]
    lines = document(tmp_path / "l", b'{"a": 1}\n{"a": "second"}\n', "l.jsonl", table="jsonl")
    assert [(each.place, each.line, each.column) for each in look_up([lines], "second")] == [("record 2", 2, 8)]


def test_a_quote_goes_across_the_mark_of_a_page_and_says_on_which_page_it_begins(tmp_path: Path) -> None:
    text = f"{mark('page', 1)}\nfirst words\n{mark('page', 2)}\nof two pages\n".encode()
    converted = document(tmp_path / f"{'a' * 64}.pdf.1.md", text, "x.pdf", origin="/x.pdf")
    (across,) = look_up([converted], "words of two")
    assert (across.found, across.place) == ("folded", "page 1")
    assert look_up([converted], "two pages")[0].place == "page 2"


@pytest.mark.parametrize("gap", range(1, 5))
def test_a_quote_across_two_blocks_is_found_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, gap: int) -> None:
    monkeypatch.setattr(quotes, "_BLOCK", 16)
    text = b"." * (16 - gap) + b"across blocks" + b"." * 100
    (found,) = look_up([document(tmp_path / "text", text)], "across blocks")
    assert (found.start, found.times) == (16 - gap, 1)


def test_a_document_that_is_gone_supports_nothing(tmp_path: Path) -> None:
    gone = document(tmp_path / "gone", b"some words")
    Path(gone.path).unlink()
    assert look_up([gone], "some words")[0].found is None
