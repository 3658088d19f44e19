"""What is looked at to know whether a run could go well."""

from __future__ import annotations

import os
import shlex
import sqlite3
import sys
import time
from contextlib import closing
from importlib import metadata
from typing import TYPE_CHECKING

import pytest

from llm_rlm import RLM, doctor, leftovers
from llm_rlm.confining import Measure
from llm_rlm.display.words import size
from llm_rlm.doctor import Check, checks
from llm_rlm.journal import Journal
from llm_rlm.journal.schema import MIGRATIONS
from llm_rlm.places import journal_path
from llm_rlm.testing import ScriptedModel
from scripts import run, scripted, submit

if TYPE_CHECKING:
    from pathlib import Path

    from conftest import Serve


def looked_at(model: str | None = None) -> dict[str, Check]:
    return {check.name: check for check in checks(model)}


def test_where_all_is_there_nothing_is_wrong(serve: Serve, temporary: Path) -> None:
    serve()
    (temporary / "llm-rlm-new").mkdir()
    journal = Journal(journal_path())
    journal.begin_run("one", settings="{}")
    journal.close()
    found = looked_at("chat")
    assert {check.state for check in found.values()} <= {"ok", "note"}
    assert "1 run, " in found["journal"].found
    assert "starts and runs a cell" in found["sandbox"].found
    assert found["key"].found == "chat: none needed"
    assert (found["price"].state, found["window"].state) == ("note", "note")
    assert found["left over"].state == "ok"
    assert [path.name for path in temporary.iterdir()] == ["llm-rlm-new"]


def test_every_note_and_problem_has_a_cure(user_path: Path) -> None:
    (user_path / "rlm.toml").write_text("max_cots = 1")
    (user_path / "rlm.db").write_text("no database at all " * 100)
    found = looked_at()
    assert {name for name, check in found.items() if check.state == "problem"} == {"journal", "settings", "key"}
    assert all(check.cure for check in found.values() if check.state != "ok")


def test_a_key_is_said_to_be_set_and_never_what_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-very-secret")
    found = looked_at("gpt-4o")
    assert (found["key"].state, found["key"].found) == ("ok", "gpt-4o: set")
    assert "openai" in found["keys"].found.split(";")[0]
    assert (found["price"].state, found["window"].state) == ("ok", "ok")
    assert "secret" not in str(found)


def test_a_model_that_is_not_there_is_a_problem_and_the_rest_is_looked_at() -> None:
    found = looked_at("nobody")
    assert (found["model"].state, found["sandbox"].state) == ("problem", "ok")


@pytest.mark.skipif(sys.platform == "win32", reason="has no such modes")
def test_a_journal_that_others_may_read_is_a_problem() -> None:
    path = journal_path()
    Journal(path).close()
    assert doctor._journal(path).state == "ok"
    path.chmod(0o644)
    check = doctor._journal(path)
    assert (check.state, check.cure) == ("problem", f"chmod 600 {path}")


def test_what_is_to_be_typed_survives_a_shell_and_takes_all_of_the_journal_away(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "a b; $c"
    folder.mkdir()
    monkeypatch.setenv("LLM_USER_PATH", str(folder))
    path = journal_path()
    Journal(path).close()
    path.chmod(0o644)
    assert _typed(doctor._journal(path).cure) == [["chmod", "600", str(path)]]
    for each in folder.iterdir():
        each.unlink()
    path.write_text("no database at all " * 100)
    assert _typed(doctor._journal(path).cure) == [["mv", str(path), f"{path}.broken"]]
    for end in ("-wal", "-shm"):
        path.with_name(f"rlm.db{end}").write_text("the last runs")
    moved = [["mv", f"{path}{end}", f"{path}.broken{end}"] for end in ("", "-wal", "-shm")]
    assert _typed(doctor._journal(path).cure) == moved


def _typed(cure: str | None) -> list[list[str]]:
    """The words of each command, as a shell takes them."""
    assert cure is not None
    return [shlex.split(command) for command in cure.removeprefix("move it away: ").split(" && ")]


def test_a_user_folder_that_is_named_from_here_is_looked_at(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("LLM_USER_PATH", "user")
    Journal(journal_path()).close()
    check = doctor._journal(journal_path())
    assert (check.state, str(tmp_path / "user" / "rlm.db") in check.found) == ("ok", True)


def test_an_extra_that_is_not_there_says_what_is_missed(user_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(doctor._EXTRAS, "otel", (("opentelemetry.not_there", "not.there.at.all"), "OpenTelemetry"))
    plain = {check.name: check for check in doctor._extras()}["extra otel"]
    assert (plain.state, plain.cure) == ("note", "llm install 'llm-rlm[otel]'")
    assert plain.found == "not installed (opentelemetry.not_there, not.there.at.all): no OpenTelemetry"
    (user_path / "rlm.toml").write_text("otel = true")
    wished = {check.name: check for check in doctor._extras()}["extra otel"]
    assert wished.found == f"{plain.found}, which rlm.toml asks for"


def test_all_extras_are_looked_at() -> None:
    there = set(metadata.metadata("llm-rlm").get_all("Provides-Extra", []))
    assert set(doctor._EXTRAS) == there


def test_a_journal_is_looked_at_and_not_made() -> None:
    assert doctor._journal(journal_path()).state == "ok"
    assert not journal_path().exists()


def test_it_says_how_much_is_kept_for_later_runs() -> None:
    root = scripted(run("await llm_query('a')\nawait llm_query('b')"), submit("done"))
    RLM(root, ScriptedModel(lambda prompt: f"{prompt.prompt}ä", "sub")).ask("?", context="x")
    assert doctor._journal(journal_path()).found.endswith("; 2 answers of 6 bytes for later runs")


def test_a_journal_of_the_first_version_is_looked_at_as_it_is() -> None:
    path = journal_path()
    with closing(sqlite3.connect(path)) as db:
        db.executescript(MIGRATIONS[0] + "pragma user_version = 1;")
    path.chmod(0o600)
    assert doctor._journal(path) == Check("journal", "ok", f"{path}: 0 runs, {size(path.stat().st_size)}, version 1")


def test_a_measure_that_is_off_says_what_can_be_done(monkeypatch: pytest.MonkeyPatch) -> None:
    off = Measure("files", on=False, why="this kernel has no Landlock")
    monkeypatch.setattr("llm_rlm.sandbox.hardening.status", lambda: [off])
    (check,) = doctor._defence()
    assert (check.name, check.state, check.found) == ("files", "note", "this kernel has no Landlock")
    assert check.cure is not None


def test_a_sandbox_that_does_not_start_is_a_problem(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.executable", "/bin/false")
    assert doctor._sandbox().state == "problem"


def test_what_dead_runs_have_left_is_named(tmp_path: Path) -> None:
    old, live = tmp_path / "llm-rlm-held-worker-old", tmp_path / "llm-rlm-held-worker-live"
    day_before = time.time() - 2 * 86_400
    for path in (old, live):
        path.touch()
        os.utime(path, (day_before, day_before))
    with live.open() as file:
        leftovers.hold(file.fileno())
        check = doctor._left_over(tmp_path)
    assert check.state == "note"
    assert check.found == "1 temporary file of dead runs"
    assert old.exists()
