"""What is recorded of a run, and how."""

from __future__ import annotations

import json
import sqlite3
import stat
import threading
import time
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llm_rlm import RLM, RLMError
from llm_rlm.budget import Bound, Spent, Tokens, Usage
from llm_rlm.journal import CallRecord, Journal, Kept, Recorded, SourceRecord
from llm_rlm.journal.cache import clear
from llm_rlm.journal.history import past_run
from llm_rlm.journal.owner import claim, take_over
from llm_rlm.journal.schema import MIGRATIONS
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


def test_a_journal_of_the_first_version_is_brought_up_to_date_with_all_that_is_in_it(user_path: Path) -> None:
    db = sqlite3.connect(user_path / "rlm.db")
    db.executescript(MIGRATIONS[0])
    db.execute("pragma user_version = 1")
    db.execute("insert into texts values ('h1', '{\"prompt\": \"p\"}'), ('h2', 'yes')")
    db.execute("insert into runs (id, settings, started) values ('old', '{}', 1.0)")
    db.execute(
        "insert into calls (run_id, cell, key, occurrence, model, state, request_hash, response_hash, started, ended)"
        " values ('old', 1, 'k', 1, 'm', 'answered', 'h1', 'h2', 1.0, 2.0)"
    )
    db.commit()
    db.close()
    journal = Journal(user_path / "rlm.db")
    assert journal.outcome_of("old", "k", 1) == Recorded("yes", None)
    assert journal.answer_for("k", 1, since=2.0) == Kept(1, "yes")
    assert [row["response"] for row in journal.rows("select response from readable_calls")] == ["yes"]
    journal.close()
    Journal(user_path / "rlm.db").close()


def test_what_was_under_way_when_a_run_ended_may_have_been_paid_and_is_asked_again() -> None:
    journal = Journal(None)
    journal.begin_run("a", settings="{}")
    journal.begin_call("a", CallRecord("k", 1, "m", "{}", cell=1), Bound(100, 0.5))
    journal.begin_turn("a", 1, "{}", None, Bound(200, 0.25))
    take_over(journal, past_run(journal, "a"), claim(), "{}")
    past = past_run(journal, "a")
    assert (past.usage.calls, past.usage.failed, past.usage.unsettled, past.usage.possible_cost) == (1, 1, 2, 0.75)
    assert past.possible == Bound(300, 0.75)
    assert journal.outcome_of("a", "k", 1) is None
    assert past.turns == ()
    journal.close()


def test_what_attempts_took_adds_up() -> None:
    journal = Journal(None)
    journal.begin_run("a", settings="{}")
    first = journal.begin_call("a", CallRecord("k", 1, "m", "{}", cell=1), Bound(100, 0.5))
    journal.retry_call(first, "ConnectionError", maybe_paid=True)
    journal.retry_call(first, "RateLimitError", maybe_paid=False)
    journal.end_call(first, "yes", Spent(Tokens(10, 2, 5), 0.1))
    second = journal.begin_call("a", CallRecord("k", 2, "m", "{}", cell=1), Bound(100, 0.5))
    journal.fail_call(second, "gone", "gone", maybe_paid=True)
    journal.refuse_call("a", CallRecord("k", 3, "m", "{}", cell=1), "enough", "limit")
    journal.serve_call("a", CallRecord("k", 4, "m", "{}", cell=1), Kept(first, "yes"))
    journal.begin_turn("a", 1, "{}", None, Bound(50, 0.2))
    journal.retry_turn("a", 1, maybe_paid=True)
    journal.end_turn("a", 1, '{"text": "", "calls": []}', "[]", Spent(Tokens(7, 3), None))
    past = past_run(journal, "a")
    assert past.usage == Usage(
        calls=2,
        failed=1,
        cached=1,
        retried=3,
        unsettled=3,
        input=17,
        output=5,
        cached_input=5,
        turns=1,
        cost=pytest.approx(0.1),  # type: ignore[arg-type]  # a float but for its equality
        unpriced=1,
        possible_cost=pytest.approx(1.2),  # type: ignore[arg-type]  # see above
    )
    journal.close()


def test_a_call_that_the_cache_served_does_not_serve_itself() -> None:
    journal = Journal(None)
    for run_id in ("a", "b"):
        journal.begin_run(run_id, settings="{}")
    first = journal.begin_call("a", CallRecord("k", 1, "m", "{}"), Bound())
    journal.end_call(first, "yes", Spent())
    journal.serve_call("b", CallRecord("k", 1, "m", "{}"), Kept(first, "yes"))
    clear(journal, before=time.time() + 1)
    assert journal.answer_for("k", 1, since=0) is None
    assert journal.outcome_of("b", "k", 1) == Recorded("yes", None)
    journal.close()


def test_the_calls_of_the_cells_before_are_counted_so_that_a_cell_asks_as_it_did() -> None:
    journal = Journal(None)
    journal.begin_run("a", settings="{}")
    for cell, key, occurrence in ((1, "p", 1), (1, "p", 2), (2, "q", 1), (3, "p", 3)):
        journal.refuse_call("a", CallRecord(key, occurrence, "m", "{}", cell=cell), "no", "limit")
    assert journal.calls_before("a", 1) == {}
    assert journal.calls_before("a", 3) == {"p": 2, "q": 1}
    assert journal.calls_before("a", 4) == {"p": 3, "q": 1}
    assert (journal.last_cell_that_asked("a"), journal.last_cell_that_asked("b")) == (3, 0)
    journal.close()


def test_names_and_questions_that_are_no_text_are_kept_as_far_as_they_are() -> None:
    journal = Journal(None)
    sources = SourceRecord([{"name": "caf\udce9", "kind": "text", "bytes": 1}])
    journal.begin_run("a", settings="{}", question="caf\udce9", sources=sources)
    assert journal.rows("select question, name from runs join documents on run_id = id") == [
        {"question": "caf\\udce9", "name": "caf\\udce9"}
    ]
    journal.close()


def test_a_write_that_fails_costs_no_other_that_came_with_it() -> None:
    journal = Journal(None)
    journal.begin_run("a", settings="{}")
    together, problems = threading.Barrier(20), []

    def write(number: int) -> None:
        together.wait(20)
        try:
            journal.begin_run("a" if number % 2 else f"run {number}", settings="{}")
        except RLMError as problem:
            problems.append(problem)

    threads = [threading.Thread(target=write, args=(number,)) for number in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert len(problems) == 10
    assert len(journal.rows("select * from runs")) == 11
    journal.close()


def test_after_it_is_closed_whoever_writes_is_told() -> None:
    journal = Journal(None)
    journal.close()
    with pytest.raises(RLMError, match="cannot be written: it is closed"):
        journal.begin_run("a", settings="{}")
    with pytest.raises(RLMError, match="cannot be read"):
        journal.rows("select 1")


def test_system_prompts_of_calls_are_among_what_models_were_shown_once_each(user_path: Path) -> None:
    code = 'await llm_batch(["one", "two"], system="Be brief")\nawait llm_query("three", system="Be kind")'
    result = RLM(scripted(run(code), submit("done")), scripted("same", model_id="sub")).ask("How?", context="x")
    journal = Journal(user_path / "rlm.db")
    shown = list(journal.shown_to_models(result.run_id))
    journal.close()
    assert [shown.count(each) for each in ("one", "two", "three", "Be brief", "Be kind")] == [1] * 5
