"""A journal that is damaged, or was made by somebody else: each command ends with what it shows or with one clear line."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING

import pytest
from click.testing import CliRunner
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from llm.cli import cli

from damage import WEIRD, alter, end_well, places, put, sound_journal, written
from llm_rlm.places import journal_path

if TYPE_CHECKING:
    from pathlib import Path


_READING = (
    ("runs", "-n", "0", "--children"),
    ("runs", "--json", "-q", "done"),
    ("show", "last", "--calls"),
    ("show", "last", "--calls", "--json"),
    ("report", "last", "-o", "-"),
    ("report", "last", "--force"),
    ("export", "last"),
    ("export", "--all", "--calls"),
    ("cache",),
)
_SOME = st.lists(st.sampled_from(_READING), min_size=1, max_size=2, unique=True)


@pytest.fixture(autouse=True)
def in_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Commands run where nothing is."""
    here = tmp_path / "a" / "b"
    here.mkdir(parents=True)
    monkeypatch.chdir(here)
    return here


def test_every_command_takes_the_journal_as_it_is_when_nothing_is_wrong() -> None:
    put(sound_journal())
    assert [code for code, _ in end_well(*_READING)] == [0] * len(_READING)


@settings(max_examples=12, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    flips=st.lists(st.tuples(st.floats(0, 1, exclude_max=True), st.integers(1, 255)), min_size=1, max_size=20),
    cut=st.booleans(),
    some=_SOME,
)
def test_a_file_with_damaged_bytes_is_shown_or_said_to_be_damaged(
    tmp_path: Path, flips: list[tuple[float, int]], cut: bool, some: list[tuple[str, ...]]
) -> None:
    data = bytearray(sound_journal())
    for place, change in flips:
        data[int(place * len(data))] ^= change
    put(bytes(data[: int(flips[0][0] * len(data))] if cut else data))
    list(end_well(*some))
    assert written(tmp_path) == []


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_a_journal_with_any_values_is_shown_or_said_to_be_damaged(tmp_path: Path, data: st.DataObject) -> None:
    put(sound_journal())
    table, column = data.draw(st.sampled_from(places()))
    value, number = data.draw(WEIRD), data.draw(st.integers(0, 3))
    place = "" if number == 3 else f"where {column} = (select {column} from {table} limit 1 offset {number})"  # noqa: S608 - names of the file
    alter((f"update or ignore {table} set {column} = ? {place}", (value,)))  # noqa: S608 - names of the file
    list(end_well(*data.draw(_SOME)))
    assert written(tmp_path) == []


def _last() -> str:
    """The id of the run that is shown as the last."""
    with closing(sqlite3.connect(journal_path())) as db:
        (found,) = db.execute("select id from runs where parent is null order by started desc, id desc").fetchone()
        return str(found)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ("update runs set follows = id", "follows itself"),
        ("update runs set follows = (select max(id) from runs)", "follows itself"),
        ("update runs set follows = 'nobody' where parent is null", "not there"),
        ("update runs set parent = id, parent_call = (select min(id) from calls where run_id = runs.id)", "no run yet"),
        ("update runs set depth = 0", "not one below its parent"),
        ("delete from texts", "holds what no run writes"),
        ("update texts set text = '{}'", "another shape"),
        ("update runs set id = 'x/../../../up' where follows is not null", "is no id of a run"),
    ],
)
def test_runs_in_a_circle_missing_texts_and_ids_that_are_paths_are_refused(tmp_path: Path, change: str, said: str) -> None:
    put(sound_journal())
    alter((change, ()))
    named = "last" if "no run" in said or "up" in change else _last()
    commands = [
        ("show", named, "--calls"),
        ("report", named),
        ("export", "--as", "messages", "--calls", named),
        ("resume", named),
    ]
    told = ""
    for command in commands:
        done = CliRunner().invoke(cli, ["rlm", *command])
        assert done.exception is None or isinstance(done.exception, SystemExit), done.exc_info
        told += done.stderr
    assert said in told
    assert written(tmp_path) == []


@pytest.mark.parametrize(
    "change",
    [
        "update runs set depth = x'00' where question = 'First?'",
        "update runs set settings = 5.5, process = x'00', finish = null, ended = null where question = 'First?'",
        "update documents set bytes = 'many' where run_id = (select id from runs where question = 'First?')",
        "update runs set id = 'x/../../up' where question = 'First?'",
    ],
)
def test_a_damaged_run_is_left_out_of_the_list_of_the_others_and_said_to_be(change: str) -> None:
    put(sound_journal())
    alter((change, ()))
    plain, as_json, some = (
        CliRunner().invoke(cli, ["rlm", "runs", *options]) for options in ((), ("--json",), ("--children", "-n", "0"))
    )
    for done in (plain, as_json, some):
        assert done.exit_code == 1
        (line,) = done.stderr.splitlines()
        assert line.startswith("Error: the journal is damaged")
        assert "Damaged runs are left out: ask anew" in line
    assert [line.split("\t")[-1] for line in plain.stdout.splitlines()] == ["Second?"]
    assert [each["question"] for each in json.loads(as_json.stdout)] == ["Second?"]


@pytest.mark.parametrize(
    "change",
    [
        "create trigger t after update on runs begin delete from runs; end",
        "drop view readable_turns; create view readable_turns as with recursive n(i) as (select 1) select i from n",
        "alter table runs rename to others; create view runs as select * from others",
    ],
)
def test_a_file_whose_tables_do_something_else_is_not_opened(change: str) -> None:
    put(sound_journal())
    with closing(sqlite3.connect(journal_path())) as db:
        db.executescript(change)
    for code, _ in end_well(("runs",), ("show",), ("cache",)):
        assert code == 1
