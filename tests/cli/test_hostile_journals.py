"""A journal that is damaged, or was made by somebody else: each command ends with what it shows or with one clear line."""

from __future__ import annotations

import sqlite3
import unicodedata
from contextlib import closing
from functools import cache
from typing import TYPE_CHECKING, Any

import pytest
from click.testing import CliRunner
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from llm.cli import cli

from llm_rlm import RLM
from llm_rlm.runs.run import journal_path
from llm_rlm.testing import ScriptedModel, tool_outputs
from scripts import run, scripted, submit

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    import llm

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
_WEIRD = st.sampled_from(
    [
        *(None, -1, 0, 2**63 - 1, 1e300, -1e300, float("inf"), 0.5, b"\xff\x00blob", "", "text", "null", "[]", "{}", "[[]]"),
        *(
            '{"text": 1, "calls": [{}]}',
            '[{"role": "assistant", "parts": [{"type": "tool_call"}]}]',
            "[" * 100_000,
            "9" * 5_000,
        ),
        *('{"prompt": null}', '{"asked": 1, "limits": []}', '{"asked": {"prices": {"a": 1}}}', '{"x": NaN}', '"\\ud800"'),
        *(
            "../../up",
            "/etc/passwd",
            "a:b",
            "::::",
            "x:99999999999999999999:1:2",
            "\x1b]0;title\x07\x9b2J",
            "\u202etxt",
            '\'"""\n',
        ),
        "x" * 1_000_000,
    ]
)


@pytest.fixture(autouse=True)
def in_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Commands run where nothing is."""
    here = tmp_path / "a" / "b"
    here.mkdir(parents=True)
    monkeypatch.chdir(here)
    return here


@cache
def _sound_journal() -> bytes:
    """A journal as runs write it: one with calls, a failed cell, a child run, a quote, and one that follows it."""

    def sub(prompt: llm.Prompt) -> Any:
        if prompt.tools:
            return submit("below") if tool_outputs(prompt) else run("print(await llm_query('deep'))")
        return f"said of {prompt.prompt}"

    root = scripted(
        run("rs = await llm_batch(['x', 'y'], system='s')\nprint(await rlm_query('Part?', context=context))"),
        run("1 / 0"),
        run("submit('done', quotes=['needle'])"),
        run("print(await llm_query('again'))"),
        submit("done"),
    )
    with RLM(root, ScriptedModel(sub, "sub"), depth=1, cite=True).session("a needle in hay") as session:
        session.ask("First?")
        session.ask("Second?")
    with closing(sqlite3.connect(journal_path())) as db:
        db.execute("pragma wal_checkpoint(truncate)")
        db.execute("pragma journal_mode = delete")
    return journal_path().read_bytes()


def _put(data: bytes) -> None:
    for path in journal_path().parent.glob("rlm.db*"):
        path.unlink()
    journal_path().write_bytes(data)


def _end_well(*commands: tuple[str, ...]) -> Iterator[tuple[int, str]]:
    """Run commands, each of which shows something or ends with one line; what each ended with and showed."""
    for command in commands:
        done = CliRunner().invoke(cli, ["rlm", *command])
        assert done.exception is None or isinstance(done.exception, SystemExit), (command, done.exc_info)
        assert done.exit_code in {0, 1, 2, 3}
        errors = [line for line in done.stderr.splitlines() if line.startswith("Error")]
        assert (len(errors) == 1) == (done.exit_code != 0), (command, done.stderr)
        assert "Traceback" not in done.stderr
        if command[0] in {"runs", "show", "cache"} and "--json" not in command:
            shown = {unicodedata.category(each) for each in done.stdout + done.stderr if each not in "\n\t"}
            assert shown.isdisjoint({"Cc", "Cf", "Cs"}), command
        yield done.exit_code, done.stdout


def _files(tmp_path: Path) -> list[str]:
    """What was written, but for the journal and the report that was asked for."""
    found = [path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*") if path.is_file()]
    return [name for name in found if not name.startswith(("user/", "a/b/rlm-"))]


def test_every_command_takes_the_journal_as_it_is_when_nothing_is_wrong() -> None:
    _put(_sound_journal())
    assert [code for code, _ in _end_well(*_READING)] == [0] * len(_READING)


@settings(max_examples=12, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    flips=st.lists(st.tuples(st.floats(0, 1, exclude_max=True), st.integers(1, 255)), min_size=1, max_size=20),
    cut=st.booleans(),
    some=_SOME,
)
def test_a_file_with_damaged_bytes_is_shown_or_said_to_be_damaged(
    tmp_path: Path, flips: list[tuple[float, int]], cut: bool, some: list[tuple[str, ...]]
) -> None:
    data = bytearray(_sound_journal())
    for place, change in flips:
        data[int(place * len(data))] ^= change
    _put(bytes(data[: int(flips[0][0] * len(data))] if cut else data))
    list(_end_well(*some))
    assert _files(tmp_path) == []


def _places() -> list[tuple[str, str]]:
    """All columns that there are."""
    _put(_sound_journal())
    with closing(sqlite3.connect(journal_path())) as db:
        tables = [name for (name,) in db.execute("select name from sqlite_master where type = 'table'")]
        return [(table, row[1]) for table in tables for row in db.execute("select * from pragma_table_info(?)", (table,))]


def _alter(*statements: tuple[str, tuple[object, ...]]) -> None:
    """Change the journal in a way that no run does."""
    with closing(sqlite3.connect(journal_path())) as db, db:
        db.execute("pragma ignore_check_constraints = on")
        for statement, values in statements:
            try:
                db.execute(statement, values)
            except sqlite3.IntegrityError:  # two rows would be the same
                continue


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_a_journal_with_any_values_is_shown_or_said_to_be_damaged(tmp_path: Path, data: st.DataObject) -> None:
    table, column = data.draw(st.sampled_from(_places()))
    value, number = data.draw(_WEIRD), data.draw(st.integers(0, 3))
    _put(_sound_journal())
    place = "" if number == 3 else f"where {column} = (select {column} from {table} limit 1 offset {number})"  # noqa: S608 - names of the file
    _alter((f"update or ignore {table} set {column} = ? {place}", (value,)))  # noqa: S608 - names of the file
    list(_end_well(*data.draw(_SOME)))
    assert _files(tmp_path) == []


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
    _put(_sound_journal())
    _alter((change, ()))
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
    assert _files(tmp_path) == []


@pytest.mark.parametrize(
    "change",
    [
        "create trigger t after update on runs begin delete from runs; end",
        "drop view readable_turns; create view readable_turns as with recursive n(i) as (select 1) select i from n",
        "alter table runs rename to others; create view runs as select * from others",
    ],
)
def test_a_file_whose_tables_do_something_else_is_not_opened(change: str) -> None:
    _put(_sound_journal())
    with closing(sqlite3.connect(journal_path())) as db:
        db.executescript(change)
    for code, _ in _end_well(("runs",), ("show",), ("cache",)):
        assert code == 1
