"""Finding and counting bytes in a text, and the lines of offsets."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llm_rlm.context import ChangedError, Document
from llm_rlm.context.looking import scan

if TYPE_CHECKING:
    from pathlib import Path

FEW = st.lists(st.sampled_from([b"a", b"b", b"ab", b"aa", b"\n", b"\xff"]), max_size=40).map(b"".join)
NEEDLES = st.lists(st.sampled_from([b"a", b"b", b"\n", b"\xff"]), max_size=5).map(b"".join)


def going_on() -> bool:
    return False


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("scan")


def document(folder: Path, content: bytes) -> Document:
    path = folder / "a.txt"
    path.write_bytes(content)
    return Document("a.txt", str(path), len(content))


@given(FEW, NEEDLES, st.integers(0, 50), st.integers(0, 50), st.integers(1, 9))
def test_it_finds_and_counts_what_bytes_does(
    folder: Path, content: bytes, needle: bytes, start: int, end: int, block: int
) -> None:
    text = document(folder, content)
    start, end = min(start, len(content)), min(end, len(content))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(scan, "BLOCK", block)
        assert scan.find(text, needle, start, end, cancelled=going_on) == content.find(needle, start, end)
        assert scan.find(text, needle, start, end, last=True, cancelled=going_on) == content.rfind(needle, start, end)
        assert scan.count(text, needle, start, end, going_on) == content.count(needle, start, end)


@given(FEW, st.lists(st.integers(0, 60), max_size=8), st.integers(1, 9), st.integers(1, 9))
def test_the_line_of_an_offset_is_one_more_than_the_newlines_before_it(
    folder: Path, content: bytes, offsets: list[int], part: int, block: int
) -> None:
    text = document(folder, content)
    offsets = [min(offset, len(content)) for offset in offsets]
    expected = [content.count(b"\n", 0, offset) + 1 for offset in offsets]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(scan, "_PART", part)
        patch.setattr(scan, "_COUNTED", block)
        assert scan.lines_of(text, offsets) == expected
        assert [scan.line_of(text, offset) for offset in offsets] == expected


@pytest.mark.parametrize("line", [b"\n", b"short\n", b"long" * 50 + b"\n", b"\n" + b"long" * 2000])
def test_lines_are_counted_however_long_they_are_and_by_threads_too(
    folder: Path, line: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(scan, "_PART", 1 << 17)
    text = document(folder, line * (600_000 // len(line)))
    offsets = [text.size, 300_000, 0, 300_000, 300_001]
    expected = [text.read(0, offset).count(b"\n") + 1 for offset in offsets]
    with ThreadPoolExecutor(2) as threads:
        assert scan.lines_of(text, offsets) == scan.lines_of(text, offsets, going_on, threads.map) == expected


def test_bytes_beyond_the_end_of_the_text_are_no_part_of_it(folder: Path) -> None:
    path = folder / "grown.txt"
    path.write_bytes(b"one two")
    text = Document("grown.txt", str(path), 3)
    assert scan.find(text, b"two", 0, 99, cancelled=going_on) == -1
    assert scan.count(text, b"o", 0, 99, going_on) == 1


@pytest.mark.parametrize("last", [False, True])
def test_no_needle_takes_long(folder: Path, last: bool) -> None:
    text = document(folder, b"a" * 4_000_000)
    needle = b"a" * 100_000 + b"b" + b"a" * 100_000
    begun = time.perf_counter()
    assert scan.find(text, needle, 0, text.size, last=last, cancelled=going_on) == -1
    assert scan.count(text, b"a" * 1000, 0, text.size, going_on) == 4000
    assert time.perf_counter() - begun < 5


def test_each_of_them_can_be_cancelled(folder: Path) -> None:
    text = document(folder, b"a")
    for last in (False, True):
        with pytest.raises(scan.StoppedError):
            scan.find(text, b"b", 0, 1, last=last, cancelled=lambda: True)
    with pytest.raises(scan.StoppedError):
        scan.count(text, b"b", 0, 1, lambda: True)
    with pytest.raises(scan.StoppedError):
        scan.lines_of(text, [1], lambda: True)


def test_a_text_that_was_lost_says_so(folder: Path) -> None:
    text = Document("gone.txt", str(folder / "gone.txt"), 9)
    with pytest.raises(ChangedError, match=r"gone\.txt"):
        scan.find(text, b"b", 0, 9, cancelled=going_on)
