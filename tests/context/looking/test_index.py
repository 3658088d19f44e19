"""An index of passages: exact places, no query that is an error, no index that is half made."""

from __future__ import annotations

import sqlite3
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llm_rlm.context import Document
from llm_rlm.context.looking import index
from llm_rlm.context.looking.index import CancelledError, Index

if TYPE_CHECKING:
    from pathlib import Path


def no_progress(_: float) -> None:
    return


def going_on() -> bool:
    return False


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("index")


def documents(folder: Path, *contents: str | bytes) -> list[Document]:
    made = []
    for number, content in enumerate(contents):
        path = folder / f"{number}.txt"
        data = content if isinstance(content, bytes) else content.encode()
        path.write_bytes(data)
        made.append(Document(path.name, str(path), len(data)))
    return made


def build(folder: Path, texts: list[Document], name: str = "index.db") -> Index:
    (folder / name).unlink(missing_ok=True)
    return Index.build(texts, folder / name, no_progress, going_on)


@given(
    st.lists(
        st.sampled_from(["word ", "a. ", "\n", "\n\n", "x" * 700, "\u00e4" * 400, "\u6771" * 300, "\U0001f600"]), max_size=60
    ),
    st.sampled_from([50, 1 << 20]),
)
def test_passages_are_the_text_in_pieces(folder: Path, pieces: list[str], block: int) -> None:
    content = "".join(pieces).encode()
    [text] = documents(folder, content)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(index, "_BLOCK", block)
        passages = list(index._passages(text))
    assert b"".join(data for _, data in passages) == content
    at = 0
    for start, data in passages:
        assert start == at
        assert len(data) <= 2 * index.PASSAGE
        data.decode()  # no character is cut
        at += len(data)


def test_a_passage_says_where_it_is(folder: Path) -> None:
    lines = "".join(f"line {number} of the text\n" for number in range(1, 500)).replace("line 333 ", "needle ")
    texts = documents(folder, "nothing here", lines)
    [found] = build(folder, texts).search("needle", 5, None)
    assert found.document == 1
    assert found.text == lines[found.start : found.end]
    assert found.line == lines[: found.start].count("\n") + 1
    assert "needle" in found.text
    assert found.score > 0


@pytest.mark.parametrize(
    ("text", "query"),
    [
        ("def retry_policy(): pass", "retry policy"),
        ("def retry_policy(): pass", "retry_policy"),
        ("class RetryPolicy: pass", "retry_policy"),
        ("the retry policy", "retryPolicy"),
        ("os.path.join", "path"),
        ("Rost\u00f3va", "rostova"),
        ("Rostova", "Rost\u00d3va"),
        ("\u6771\u4eac\u5927\u5b66\u306f\u65e5\u672c\u306e\u5927\u5b66", "\u5927\u5b66"),
        ("\u6771\u4eac", "\u4eac"),
        ("\u041c\u043e\u0441\u043a\u0432\u0430", "\u043c\u043e\u0441\u043a\u0432\u0430"),
        ("one two three", '"two three"'),
        ("rock and roll", "AND"),
    ],
)
def test_words_are_found_however_they_are_written(folder: Path, text: str, query: str) -> None:
    assert len(build(folder, documents(folder, text)).search(query, 3, None)) == 1


@pytest.mark.parametrize(("text", "query"), [("one three two", '"two three"'), ("\u4eac\u6771", "\u6771\u4eac")])
def test_a_phrase_is_in_order(folder: Path, text: str, query: str) -> None:
    assert build(folder, documents(folder, text)).search(query, 3, None) == []


@given(st.text(st.sampled_from("ab\"'*()-+^:{}.,_ \u6771\u0000\ud800\n") | st.characters(), max_size=30))
def test_no_query_is_an_error(folder: Path, query: str) -> None:
    path = folder / "never.db"
    if not path.exists():
        Index.build(documents(folder, "a b NEAR text"), path, no_progress, going_on)
    texts = [Document("0.txt", str(folder / "0.txt"), 13)]
    for operator in ("", " AND", ' OR "', " NEAR(a b)", " text:a", "'; drop table spans; --"):
        Index(texts, path).search(query + operator, 3, None)


def test_only_the_texts_asked_for_are_searched(folder: Path) -> None:
    texts = documents(folder, "needle", "needle hay", "needle")
    assert [found.document for found in build(folder, texts).search("needle", 5, {1})] == [1]


def test_a_text_that_is_gone_is_left_out(folder: Path) -> None:
    texts = documents(folder, "needle", "needle")
    made = build(folder, texts)
    (folder / "0.txt").unlink()
    assert [found.document for found in made.search("needle", 5, None)] == [1]


def test_an_index_is_made_once(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    texts = documents(folder, "needle")
    build(folder, texts)
    monkeypatch.setattr(index, "_fill", None)
    assert Index.build(texts, folder / "index.db", no_progress, going_on).search("needle", 1, None)


@pytest.mark.parametrize("broken", [b"", b"no database", None])
def test_a_half_made_index_is_made_anew(folder: Path, broken: bytes | None) -> None:
    texts = documents(folder, "needle")
    path = folder / "half.db"
    if broken is None:
        path.unlink(missing_ok=True)
        sqlite3.connect(path).executescript(index._SCHEMA).connection.close()
    else:
        path.write_bytes(broken)
    assert Index.build(texts, path, no_progress, going_on).search("needle", 1, None)


def test_a_cancelled_index_leaves_nothing_behind(folder: Path) -> None:
    texts = documents(folder, "some words\n" * 200_000)
    with pytest.raises(CancelledError):
        Index.build(texts, folder / "cancelled.db", no_progress, lambda: True)
    assert not list(folder.glob("cancelled*"))


def test_an_index_holds_no_text(folder: Path) -> None:
    build(folder, documents(folder, "the quick brown fox " * 2000), "small.db")
    assert b"quick brown" not in (folder / "small.db").read_bytes()
