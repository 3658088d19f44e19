"""What stands around quotes, read from the sources as they are now."""

from __future__ import annotations

import os
import zipfile
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llm_rlm import RLM
from llm_rlm.context import Document as NowDocument
from llm_rlm.journal import Journal
from llm_rlm.journal.history import Document
from llm_rlm.places import journal_path
from llm_rlm.report.data import gather
from llm_rlm.report.passages import AROUND, Passage, Passages, _read
from llm_rlm.root.names import SUBMIT
from llm_rlm.testing import ScriptedModel, call
from scripts import run, scripted

if TYPE_CHECKING:
    from pathlib import Path

QUOTE = "the quote that is looked for"


def passage_of(context: Any, change: Any = lambda: None) -> Passage | None:
    """What a report has of a run that cites the quote, after something has changed."""
    root = scripted(run("print(context)"), call(SUBMIT, answer="done", quotes=[QUOTE]))
    result = RLM(root, ScriptedModel(lambda _: "no", "sub"), cite=True).ask("?", context)
    change()
    journal = Journal(journal_path())
    try:
        (passage,) = gather(journal, result.run_id).passages
    finally:
        journal.close()
    return passage


def test_a_quote_stands_in_what_is_around_it(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_text(f"{'é' * 1000} {QUOTE}\nand after it", "utf-8")
    passage = passage_of(path)
    assert passage is not None
    assert (passage.quote, passage.after, passage.why) == (QUOTE, "\nand after it", None)
    assert passage.before == "é" * 199 + " "
    assert (passage.cut_before, passage.cut_after) == (True, False)


def test_a_file_that_was_written_to_is_shown_only_if_its_text_is_the_same(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_text(f"one {QUOTE} two")
    touched = passage_of(path, lambda: os.utime(path, (1, 1)))
    assert touched is not None
    assert touched.quote == QUOTE
    changed = passage_of(path, lambda: path.write_text(f"two {QUOTE} one"))
    assert changed == Passage(why="a.txt has changed since the run read it")
    gone = passage_of(path, path.unlink)
    assert gone == Passage(why="a.txt is not there any more")


def test_a_text_that_came_from_python_is_not_stored() -> None:
    passage = passage_of(f"one {QUOTE} two")
    assert passage == Passage(why="the text came through a pipe or from Python, and is not stored")


def test_a_member_of_an_archive_is_unpacked_again(tmp_path: Path) -> None:
    path = tmp_path / "a.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("in/it.txt", f"one {QUOTE} two")
        archive.writestr("other.txt", "nothing")
    passage = passage_of(path)
    assert passage == Passage("one ", QUOTE, " two")
    gone = passage_of(path, path.unlink)
    assert gone is not None
    assert gone.why is not None
    assert "no file here" in gone.why


def test_a_text_in_another_encoding_is_converted_again(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_bytes(f"vor {QUOTE} für".encode("utf-16"))
    passage = passage_of(path)
    assert passage is not None
    assert (passage.quote, passage.after) == (QUOTE, " für")


def test_a_quote_that_was_not_found_has_no_passage() -> None:
    with Passages.of([Document("a", "text", 1, None, None, None)]) as passages:
        assert passages.of_citation({"found": False, "source": "a"}) is None
        assert passages.of_citation({"found": True, "source": "unknown"}) is None


def test_what_was_fetched_is_not_fetched_again() -> None:
    fetched = Document("u", "text", 1, "00", None, None, origin="http://127.0.0.1:9/a.txt")
    with Passages.of([fetched]) as passages:
        passage = passages.of_citation({"found": True, "source": "u", "start": 0, "end": 1})
    assert passage is not None
    assert passage.why is not None
    assert "not fetched again" in passage.why


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("passages") / "a.txt"


@given(before=st.text(max_size=300), quote=st.text(min_size=1, max_size=10), after=st.text(max_size=300))
def test_a_passage_is_cut_between_characters(file: Path, before: str, quote: str, after: str) -> None:
    parts = [before.encode(), quote.encode(), after.encode()]
    data = b"".join(parts)
    file.write_bytes(data)
    start = len(parts[0])
    passage = _read(NowDocument("a", str(file), len(data)), start, start + len(parts[1]))
    assert passage.quote == quote
    assert before.endswith(passage.before)
    assert after.startswith(passage.after)
    assert len(parts[0]) - len(passage.before.encode()) <= max(0, len(parts[0]) - AROUND) + 3
