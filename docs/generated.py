"""What the pages of reference take from the code: `cog -r -I docs docs/reference/*.md` puts it in.

A test says where it is not up to date.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import click
from click.testing import CliRunner
from columns import MEANINGS, TABLES
from llm.cli import cli

from llm_rlm.cli import rlm, running
from llm_rlm.journal.schema import connect

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterator

_WIDTH = 100
_EXITS = {
    "ANSWERED": "there is an answer on stdout",
    "FAILED": "the run failed, and stderr says why: a provider that fails, no key, an answer that does not fit",
    "BAD_USAGE": "an option, an argument, a model or a source cannot be used; nothing was sent",
    "LIMITED": "a limit was reached, or less was touched than `--min-coverage` asks; the best answer so far is printed",
    "ABORTED": "Ctrl-C; after the first one the best answer so far is printed",
}


def commands() -> str:
    """The help of every command, as a terminal of 100 columns shows it."""
    return "\n".join(_help(path) for path, _ in walk(rlm, ("rlm",)))


def walk(command: click.Command, path: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    """A command and all below it, each with its path."""
    yield path, command
    if isinstance(command, click.Group):
        for name in sorted(command.commands):
            yield from walk(command.commands[name], (*path, name))


def _help(path: tuple[str, ...]) -> str:
    shown = CliRunner().invoke(
        cli, [*path, "--help"], terminal_width=_WIDTH, max_content_width=_WIDTH, prog_name="llm", catch_exceptions=False
    )
    level = "#" * min(len(path) + 1, 4)
    return f"{level} llm {' '.join(path)}\n\n```text\n{shown.stdout.rstrip()}\n```\n"


def exit_codes() -> str:
    """The exit codes that the command has constants for."""
    rows = [f"| {getattr(running, name)} | {meaning} |" for name, meaning in _EXITS.items()]
    return "\n".join(["| code | when |", "|---|---|", *rows])


def journal() -> str:
    """The tables of the journal, from those of a new one."""
    return "\n".join(_table(name, columns) for name, columns in schema().items())


def schema() -> dict[str, list[tuple[str, str]]]:
    """Each table of a new journal, and the name and type of its columns."""
    db = connect(None)
    try:
        names = [name for (name,) in db.execute("select name from sqlite_master where type = 'table' order by rowid")]
        return {name: _columns(db, name) for name in sorted(names, key=list(TABLES).index)}
    finally:
        db.close()


def views() -> dict[str, list[str]]:
    """Each view of a new journal, and the columns that it has besides those of its table."""
    tables = schema()
    db = connect(None)
    try:
        names = [name for (name,) in db.execute("select name from sqlite_master where type = 'view' order by name")]
        return {name: _more(db, name, tables) for name in names}
    finally:
        db.close()


def readable() -> str:
    """The views of the journal."""
    rows = [f"| `{name}` | {', '.join(f'`{column}`' for column in columns)} |" for name, columns in views().items()]
    return "\n".join(["| view | adds to its table |", "|---|---|", *rows])


def _more(db: sqlite3.Connection, view: str, tables: dict[str, list[tuple[str, str]]]) -> list[str]:
    of_table = {name for name, _ in tables[view.removeprefix("readable_")]}
    return [name for name, _ in _columns(db, view) if name not in of_table]


def _columns(db: sqlite3.Connection, table: str) -> list[tuple[str, str]]:
    return [(name, kind.lower()) for _, name, kind, *_ in db.execute(f"pragma table_info({table})")]  # names of our own


def _table(name: str, columns: list[tuple[str, str]]) -> str:
    rows = [f"| `{column}` | {kind} | {MEANINGS[name][column]} |" for column, kind in columns]
    return "\n".join([f"### {name}\n", f"{TABLES[name]}\n", "| column | type | what it is |", "|---|---|---|", *rows, ""])
