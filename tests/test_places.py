"""Where things are kept."""

from pathlib import Path

import pytest

from llm_rlm.places import cache_path, journal_path


def test_the_journal_and_the_cache_are_beside_the_log_of_llm(user_path: Path) -> None:
    assert (journal_path(), cache_path()) == (user_path / "rlm.db", user_path / "rlm-cache")


def test_a_relative_folder_is_that_of_the_start(user_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(user_path.parent)
    monkeypatch.setenv("LLM_USER_PATH", "user")
    assert journal_path() == user_path / "rlm.db"
