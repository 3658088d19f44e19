"""What is recorded of a run, and how."""

from __future__ import annotations

import json
import sqlite3
import stat
import threading
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llm_rlm import RLM, RLMError
from llm_rlm.budget import Bound, Spent, Tokens
from llm_rlm.journal import CallRecord, Journal, Recorded
from scripts import run, scripted, submit

if TYPE_CHECKING:
    from pathlib import Path

CODE = 'print("seen")\nr = await llm_query("twice")\nr = await llm_query("twice")'


@pytest.fixture
def tables(user_path: Path, tmp_path: Path) -> dict[str, list[dict[str, Any]]]:
    """All rows that one run leaves."""
    path = tmp_path / "input.txt"
    path.write_text("the whole input")
    RLM(scripted(run(CODE), submit("done")), scripted("same", model_id="sub")).ask("How?", context=path)
    journal = Journal(user_path / "rlm.db")
    names = ("runs", "documents", "turns", "cells", "calls", "texts")
    rows = {name: journal.rows(f"select * from {name}") for name in names}  # noqa: S608 - our own names
    journal.close()
    return rows


def _text(tables: dict[str, list[dict[str, Any]]], name: str) -> str:
    (found,) = [row["text"] for row in tables["texts"] if row["hash"] == name]
    return str(found)


def test_a_run_is_recorded_with_its_answer(tables: dict[str, list[dict[str, Any]]]) -> None:
    (row,) = tables["runs"]
    assert (row["question"], row["model"], row["sub_model"], row["finish"]) == ("How?", "root", "sub", "submitted")
    assert _text(tables, row["answer_hash"]) == "done"
    assert json.loads(row["settings"])["limits"]["calls"] == 1000
    assert row["started"] <= row["ended"]


def test_a_source_is_recorded_by_name_size_and_hash_and_never_its_content(tables: dict[str, list[dict[str, Any]]]) -> None:
    (row,) = tables["documents"]
    assert (row["name"], row["kind"], row["bytes"], len(row["sha256"])) == ("input.txt", "text", 15, 64)
    assert not [text for text in tables["texts"] if "the whole input" in text["text"]]


def test_turns_cells_and_calls_are_recorded_as_they_were(tables: dict[str, list[dict[str, Any]]]) -> None:
    first, second = tables["turns"]
    assert json.loads(_text(tables, first["sent_hash"])) == {"say": "How?", "results": []}
    assert json.loads(_text(tables, first["reply_hash"]))["calls"][0]["arguments"] == {"code": CODE}
    assert json.loads(_text(tables, second["sent_hash"]))["results"][0].startswith("seen\n")
    (cell,) = tables["cells"]
    assert (_text(tables, cell["code_hash"]), _text(tables, cell["output_hash"]), cell["turn"]) == (CODE, "seen\n", 1)
    assert [(call["state"], call["cell"], call["occurrence"]) for call in tables["calls"]] == [
        ("answered", 1, 1),
        ("answered", 1, 2),
    ]


def test_equal_texts_are_stored_once(tables: dict[str, list[dict[str, Any]]]) -> None:
    first, second = tables["calls"]
    assert first["request_hash"] == second["request_hash"]
    assert first["response_hash"] == second["response_hash"]
    assert len({row["text"] for row in tables["texts"]}) == len(tables["texts"])


def test_the_file_is_the_users_alone(user_path: Path) -> None:
    Journal(user_path / "rlm.db").close()
    assert stat.S_IMODE((user_path / "rlm.db").stat().st_mode) == 0o600


def test_runs_that_are_not_to_be_kept_leave_no_file(user_path: Path) -> None:
    RLM(scripted(submit("done")), log=False).ask("?", context="x")
    assert not (user_path / "rlm.db").exists()


def test_a_journal_of_a_newer_version_is_not_touched(user_path: Path) -> None:
    with sqlite3.connect(user_path / "rlm.db") as db:
        db.execute("pragma user_version = 99")
    db.close()
    with pytest.raises(RLMError, match=r"rlm\.db cannot be opened: it was written by a newer llm-rlm"):
        RLM(scripted(submit("never"))).ask("?", context="x")


def test_a_file_that_is_no_journal_is_an_error_that_names_it(user_path: Path) -> None:
    (user_path / "rlm.db").write_text("not a database, and long enough to be seen as something else" * 50)
    with pytest.raises(RLMError, match=r"rlm\.db cannot be opened"):
        Journal(user_path / "rlm.db")


def test_a_write_that_fails_is_an_error_and_undoes_itself() -> None:
    journal = Journal(None)
    journal.begin_run("a", settings="{}")
    with pytest.raises(RLMError, match="the journal cannot be written: UNIQUE"):
        journal.begin_run("a", settings="{}")
    journal.begin_run("b", settings="{}")
    assert [row["id"] for row in journal.rows("select id from runs")] == ["a", "b"]
    journal.close()


def test_writers_at_once_all_get_their_own_row() -> None:
    journal = Journal(None)
    journal.begin_run("a", settings="{}")
    numbers: list[int] = []

    def write(number: int) -> None:
        row = journal.begin_call(
            "a", CallRecord(cell=1, key=str(number), occurrence=1, model="m", request=str(number)), Bound()
        )
        journal.end_call(row, f"answer {number}", Spent(Tokens(1, 2, 0)))
        numbers.append(row)

    threads = [threading.Thread(target=write, args=(number,)) for number in range(50)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(numbers)) == 50
    assert [journal.outcome_of("a", str(n), 1) for n in range(50)] == [Recorded(f"answer {n}", None) for n in range(50)]
    journal.close()


def test_many_may_open_a_new_journal_at_once(user_path: Path) -> None:
    problems: list[Exception] = []
    together = threading.Barrier(8)

    def opens() -> None:
        together.wait(20)
        try:
            Journal(user_path / "rlm.db").close()
        except RLMError as problem:
            problems.append(problem)

    threads = [threading.Thread(target=opens) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert problems == []


@given(st.text(st.characters(exclude_categories=["Cs"])))
def test_any_text_comes_back_as_it_was(text: str) -> None:
    journal = Journal(None)
    journal.begin_run("a", settings="{}")
    call = journal.begin_call("a", CallRecord(key="k", occurrence=1, model="m", request=text), Bound())
    journal.end_call(call, text, Spent())
    assert journal.outcome_of("a", "k", 1) == Recorded(text, None)
    assert journal.outcome_of("a", "k", 2) is None
    journal.close()


def test_a_lone_surrogate_does_not_break_the_record() -> None:
    journal = Journal(None)
    journal.begin_run("a", settings="{}")
    journal.begin_cell("a", 1, "print('\ud800')", None, None)
    assert len(journal.rows("select * from texts")) == 1
    journal.close()
