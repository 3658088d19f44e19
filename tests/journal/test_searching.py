"""Which runs hold some words."""

from __future__ import annotations

import json
from contextlib import closing

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llm_rlm.budget import Bound, Spent
from llm_rlm.journal import CallRecord, Journal
from llm_rlm.journal.searching import runs_with

TEXTS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters='"\0'), min_size=1, max_size=20)


def with_call(journal: Journal, run_id: str, prompt: str, **more: str) -> None:
    request = json.dumps({"prompt": prompt, "system": None, "schema": None} | more, ensure_ascii=False)
    call = journal.begin_call(run_id, CallRecord("key", 1, "model", request), Bound())
    journal.end_call(call, "fine", Spent())


@given(TEXTS, TEXTS, TEXTS)
def test_any_part_of_what_was_asked_is_found_and_nothing_else(before: str, words: str, after: str) -> None:
    with closing(Journal(None)) as journal:
        for run_id in ("question", "call", "other"):
            journal.begin_run(run_id, question=before + words + after if run_id == "question" else "", settings="{}")
        with_call(journal, "call", before + words + after)
        with_call(journal, "other", "")
        found = runs_with(journal, f'"{words}"')
    wanted = words.lower() if words.isascii() else words
    assert {"question", "call"} <= found
    assert ("other" in found) == (wanted in "fine")


@pytest.mark.parametrize("words", ["prompt", "system", "schema", "null", "payload", '"prompt fine"'])
def test_the_names_of_fields_are_not_what_anybody_said(words: str) -> None:
    with closing(Journal(None)) as journal:
        journal.begin_run("one", question="", settings="{}")
        with_call(journal, "one", "hello", payload="kept")
        assert runs_with(journal, words) == set()
        assert runs_with(journal, "hello") == {"one"}


@pytest.mark.parametrize("words", ["", " ", '"', "'; drop table runs; --", "%", "_", "\\"])
def test_what_is_looked_for_is_text_and_nothing_of_sql(words: str) -> None:
    with closing(Journal(None)) as journal:
        journal.begin_run("one", question="a question", settings="{}")
        assert runs_with(journal, words) == set()
        assert runs_with(journal, "question") == {"one"}
