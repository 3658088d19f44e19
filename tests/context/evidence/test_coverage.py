"""What code read and what of it reached a model, kept for a run."""

from __future__ import annotations

import random
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest

from llm_rlm.context import Coverage, Document

if TYPE_CHECKING:
    from pathlib import Path

TEXT = "".join(f"line {at}: {random.Random(at).getrandbits(200):x}\n" for at in range(40))


@pytest.fixture
def documents(tmp_path: Path) -> list[Document]:
    made = []
    for name, text in (("a", TEXT), ("b", TEXT.upper()), ("c", "")):
        (tmp_path / name).write_text(text)
        made.append(Document(name, str(tmp_path / name), len(text)))
    return made


def never() -> bool:
    return False


def test_what_was_read_counts_once_and_only_within_the_document(documents: list[Document]) -> None:
    coverage = Coverage(documents)
    for start, end in ((0, 100), (50, 150), (-10, 5), (len(TEXT) - 10, len(TEXT) + 99)):
        coverage.read(0, start, end)
    coverage.read(2, 0, 7)
    assert coverage.touched() == {0}
    assert [(each.document, each.size, each.read) for each in coverage.finish([], never)] == [
        (0, len(TEXT), 160),
        (1, len(TEXT), 0),
        (2, 0, 0),
    ]


def test_only_what_was_read_can_have_been_sent(documents: list[Document]) -> None:
    coverage = Coverage(documents)
    coverage.read(0, 0, 1000)
    first, second, empty = coverage.finish([f"Look: {TEXT}", TEXT.upper()], never)
    assert (first.read, first.sent, first.either) == (1000, 1000, 1000)
    assert (second.sent, empty.sent) == (0, 0)
    assert coverage.complete


def test_it_can_be_asked_again_when_more_was_read_and_sent(documents: list[Document]) -> None:
    coverage = Coverage(documents)
    coverage.read(0, 0, len(TEXT))
    assert coverage.finish([TEXT[:500]], never)[0].sent == 500
    assert coverage.finish([TEXT[:500], TEXT[500:]], never)[0].sent == len(TEXT)


def test_what_was_read_is_known_when_there_was_no_time_for_the_rest(documents: list[Document]) -> None:
    coverage = Coverage(documents)
    coverage.read(0, 0, len(TEXT))
    (covered, *_) = coverage.finish([TEXT], lambda: True)
    assert (covered.read, covered.sent, covered.either, coverage.complete) == (len(TEXT), 0, len(TEXT), False)
    coverage.finish([TEXT], never)
    assert coverage.complete


def test_it_is_told_from_many_threads(documents: list[Document]) -> None:
    coverage = Coverage(documents)
    with ThreadPoolExecutor(8) as threads:
        list(threads.map(lambda at: coverage.read(at % 2, at // 2, at // 2 + 1), range(2000)))
    assert [each.read for each in coverage.finish([], never)] == [1000, 1000, 0]
