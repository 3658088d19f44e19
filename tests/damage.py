"""Journals that are damaged, or that somebody else has made."""

from __future__ import annotations

import sqlite3
import unicodedata
from contextlib import closing, contextmanager
from functools import cache
from typing import TYPE_CHECKING, Any

import llm
from click.testing import CliRunner
from hypothesis import strategies as st
from llm.cli import cli

from llm_rlm import RLM, Limits
from llm_rlm.places import journal_path
from llm_rlm.testing import ScriptedModel, tool_outputs
from scripts import plugged, run, scripted, submit

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

TEXT = "a needle in hay"
"""The input of the runs."""
WEIRD = st.sampled_from(
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
"""What runs write nowhere, or not everywhere."""


def _sub(prompt: llm.Prompt) -> Any:
    if prompt.tools:
        return submit("below") if tool_outputs(prompt) else run("print(await llm_query('deep'))")
    return f"said of {prompt.prompt}"


@cache
def sound_journal() -> bytes:
    """A journal as runs write it: one with calls, a failed cell, a child run, a quote, and one that follows it."""
    root = scripted(
        run("rs = await llm_batch(['x', 'y'], system='s')\nprint(await rlm_query('Part?', context=context))"),
        run("1 / 0"),
        run("submit('done', quotes=['needle'])"),
        run("print(await llm_query('again'))"),
        submit("done"),
    )
    with RLM(root, ScriptedModel(_sub, "sub"), depth=1, cite=True).session(TEXT) as session:
        session.ask("First?")
        session.ask("Second?")
    return _taken()


@cache
def unfinished_journal() -> bytes:
    """A journal of a run that follows another, with calls and a child run, and has met its limit of turns."""
    root = scripted(
        submit("done"),
        run("rs = await llm_batch(['x', 'y'])\nprint(await rlm_query('Part?', context=context))"),
        run("print(await llm_query('again'))"),
        submit("so far"),
    )
    with RLM(root, ScriptedModel(_sub, "sub"), Limits(turns=3), depth=1).session(TEXT) as session:
        session.ask("First?")
        session.ask("Second?")
    return _taken()


def _taken() -> bytes:
    """The journal that there is, all of it in one file."""
    with closing(sqlite3.connect(journal_path())) as db:
        db.execute("pragma wal_checkpoint(truncate)")
        db.execute("pragma journal_mode = delete")
    return journal_path().read_bytes()


def put(data: bytes) -> None:
    """Have this journal and no other."""
    for path in journal_path().parent.glob("rlm.db*"):
        path.unlink()
    journal_path().write_bytes(data)


def places() -> list[tuple[str, str]]:
    """All columns of the journal that there is."""
    with closing(sqlite3.connect(journal_path())) as db:
        tables = [name for (name,) in db.execute("select name from sqlite_master where type = 'table'")]
        return [(table, row[1]) for table in tables for row in db.execute("select * from pragma_table_info(?)", (table,))]


def alter(*statements: tuple[str, tuple[object, ...]]) -> None:
    """Change the journal in a way that no run does."""
    with closing(sqlite3.connect(journal_path())) as db, db:
        db.execute("pragma ignore_check_constraints = on")
        for statement, values in statements:
            try:
                db.execute(statement, values)
            except sqlite3.IntegrityError:  # two rows would be the same
                continue


def end_well(*commands: tuple[str, ...], stdin: str | None = None) -> Iterator[tuple[int, str]]:
    """Run commands, each of which shows something or ends with one line; what each ended with and showed."""
    for command in commands:
        done = CliRunner().invoke(cli, ["rlm", *command], input=stdin)
        assert done.exception is None or isinstance(done.exception, SystemExit), (command, done.exc_info)
        assert done.exit_code in {0, 1, 2, 3}
        errors = [line for line in done.stderr.splitlines() if line.startswith("Error")]
        assert (len(errors) == 1) == (done.exit_code not in {0, 3}) or command[0] == "doctor", (command, done.stderr)
        assert "Traceback" not in done.stderr
        if command[0] in {"runs", "show", "cache", "doctor"} and "--json" not in command:
            shown = {unicodedata.category(each) for each in done.stdout + done.stderr if each not in "\n\t"}
            assert shown.isdisjoint({"Cc", "Cf", "Cs"}), command
        yield done.exit_code, done.stdout


def written(tmp_path: Path) -> list[str]:
    """What was written, but for the journal and the report that was asked for."""
    found = [path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*") if path.is_file()]
    return [name for name in found if not name.startswith(("user/", "a/b/rlm-"))]


@contextmanager
def registered(*models: llm.Model) -> Iterator[None]:
    """LLM knows these models by their names."""

    class Plugin:
        __name__ = "ModelsOfATest"

        @llm.hookimpl
        def register_models(self, register: Callable[[llm.Model], None]) -> None:
            for model in models:
                register(model)

    with plugged(Plugin()):
        yield
