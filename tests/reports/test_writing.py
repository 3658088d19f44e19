"""Reports as files."""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from llm_rlm import RLM, UsageError
from llm_rlm.report import write
from llm_rlm.report.writing import check
from llm_rlm.saving import save
from llm_rlm.testing import ScriptedModel
from scripts import scripted, submit

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def run_id(user_path: Path) -> str:  # noqa: ARG001 - its journal is there
    return RLM(scripted(submit("done")), ScriptedModel(lambda _: "", "sub")).ask("Why?", "x").run_id


def test_a_report_is_named_after_its_run_and_only_its_owner_may_read_it(
    run_id: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    path = write(run_id)
    assert path.name == f"rlm-{run_id}.html"
    assert "Why?" in path.read_text("utf-8")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_a_report_replaces_a_report_and_no_other_file_unless_told(run_id: str, tmp_path: Path) -> None:
    path = tmp_path / "run.html"
    write("last", path)
    path.write_text(path.read_text("utf-8").replace("Why?", "How?"), "utf-8")
    write(run_id[:12], path)
    assert "Why?" in path.read_text("utf-8")
    path.write_text("mine")
    with pytest.raises(UsageError, match="is no report"):
        write(run_id, path)
    assert path.read_text() == "mine"
    write(run_id, path, force=True)
    assert "Why?" in path.read_text("utf-8")


def test_a_folder_an_unknown_run_or_a_place_that_is_not_there_is_refused(run_id: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="is a folder"):
        write(run_id, tmp_path)
    with pytest.raises(UsageError, match="there is no run"):
        write("nothing", tmp_path / "a.html")
    with pytest.raises(UsageError, match="cannot be written"):
        write(run_id, tmp_path / "not" / "there.html")


def test_without_a_journal_none_is_made(user_path: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no run yet"):
        write("last", tmp_path / "a.html")
    assert not list(user_path.iterdir())


def test_a_page_that_breaks_off_leaves_what_was_there(tmp_path: Path) -> None:
    def page() -> Iterator[str]:
        yield "half"
        raise RuntimeError

    (tmp_path / "of").mkdir()
    path = tmp_path / "of" / "a.html"
    path.write_text("before")
    with pytest.raises(RuntimeError):
        save(path, page())
    assert [each.name for each in path.parent.iterdir()] == ["a.html"]
    assert path.read_text() == "before"


def test_a_device_is_written_to_and_not_replaced() -> None:
    null = Path(os.devnull)
    check(null)
    save(null, iter(["page"]))
    assert null.is_char_device()
