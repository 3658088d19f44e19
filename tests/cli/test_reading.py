"""The journal as commands that only read it open it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click
import pytest
from click.testing import CliRunner
from llm.cli import cli

from llm_rlm.cli.cache import cache_show
from llm_rlm.cli.reading import opened_journal
from llm_rlm.errors import RLMError
from llm_rlm.journal import Journal
from llm_rlm.places import journal_path

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(autouse=True)
def context() -> click.Context:
    return click.Context(cache_show)


def test_what_is_in_the_journal_is_read(context: click.Context) -> None:
    journal = Journal(journal_path())
    journal.begin_run("r1", settings="{}")
    journal.close()
    with context, opened_journal() as read:
        assert [row["id"] for row in read.rows("select id from runs")] == ["r1"]


def test_a_journal_that_is_not_there_is_empty_and_is_not_made(context: click.Context, user_path: Path) -> None:
    with context, opened_journal() as read:
        assert read.rows("select id from runs") == []
    assert list(user_path.iterdir()) == []
    done = CliRunner().invoke(cli, ["rlm", "cache"])
    assert (done.exit_code, done.stdout) == (0, "No answers are kept.\n")
    assert list(user_path.iterdir()) == []


def test_errors_of_ours_are_shown_as_click_shows_them(context: click.Context) -> None:
    message = "so it is"
    with pytest.raises(click.ClickException, match=message), context, opened_journal():
        raise RLMError(message)
    journal_path().write_text("this is no database, and is long enough to be taken for none" * 20)
    done = CliRunner().invoke(cli, ["rlm", "cache"])
    assert done.exit_code == 1
    assert done.stderr.startswith(f"Error: the journal {journal_path()} cannot be opened: ")
