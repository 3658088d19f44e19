"""How commands print, on terminals and pipes of all kinds."""

from __future__ import annotations

import io
import json
import os
import sys
from typing import TYPE_CHECKING

import pytest
from rich.syntax import Syntax
from rich.text import Text

from llm_rlm import RLM, registry
from llm_rlm.cli import rlm
from llm_rlm.cli.output import print_all, print_json, tolerant
from llm_rlm.testing import ScriptedModel
from scripts import run, scripted, submit

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

HOSTILE = "\x1b[2J\u202e\udc80 \u00e9 \u8868"


class Stream(io.TextIOWrapper):
    """A stdout that is a terminal, or is not."""

    def __init__(self, encoding: str, *, terminal: bool) -> None:
        super().__init__(io.BytesIO(), encoding)
        self._is_terminal = terminal

    def isatty(self) -> bool:
        return self._is_terminal

    @property
    def written(self) -> bytes:
        self.flush()
        held = self.buffer
        assert isinstance(held, io.BytesIO)
        return held.getvalue()


@pytest.fixture
def stdout(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Stream]:
    def put(encoding: str = "utf-8", *, terminal: bool = False) -> Stream:
        stream = Stream(encoding, terminal=terminal)
        monkeypatch.setattr("sys.stdout", stream)
        tolerant()
        return stream

    return put


@pytest.mark.parametrize("encoding", ["utf-8", "latin-1", "cp1252", "shift-jis"])
@pytest.mark.parametrize("terminal", [True, False])
def test_json_is_json_in_any_encoding(stdout: Callable[..., Stream], encoding: str, *, terminal: bool) -> None:
    stream = stdout(encoding, terminal=terminal)
    print_json({"text": HOSTILE})
    assert json.loads(stream.written.decode(encoding)) == {"text": HOSTILE}


def test_json_for_a_terminal_has_nothing_that_it_would_act_on(stdout: Callable[..., Stream]) -> None:
    stream = stdout(terminal=True)
    print_json(HOSTILE)
    assert stream.written.isascii()
    assert b"\x1b" not in stream.written


def test_lines_on_a_pipe_end_where_their_text_ends(stdout: Callable[..., Stream]) -> None:
    stream = stdout()
    print_all([Text("one"), Syntax("x = 1", "python")])
    assert stream.written == b"one\nx = 1\n"


def test_a_part_is_written_before_the_next_is_made(stdout: Callable[..., Stream]) -> None:
    stream, seen = stdout(), []

    def parts() -> Iterator[Text]:
        for name in ("one", "two"):
            yield Text(name)
            seen.append(stream.written)

    print_all(parts())
    assert seen == [b"one\n", b"one\ntwo\n"]


@pytest.mark.parametrize(("lines", "is_paged"), [(3, False), (300, True)])
def test_a_terminal_gets_a_pager_for_what_does_not_fit(
    stdout: Callable[..., Stream], monkeypatch: pytest.MonkeyPatch, lines: int, *, is_paged: bool
) -> None:
    stream, paged = stdout(terminal=True), []
    monkeypatch.setattr("click.echo_via_pager", lambda texts: paged.append("".join(texts)))
    monkeypatch.setenv("LINES", "24")
    monkeypatch.setenv("LESS", "")
    print_all(Text(str(number)) for number in range(lines))
    text = "".join(paged) if is_paged else stream.written.decode()
    assert text.split() == [str(number) for number in range(lines)]
    assert bool(paged) == is_paged


def test_signs_that_an_encoding_lacks_are_written_as_escapes(stdout: Callable[..., Stream]) -> None:
    stream = stdout("latin-1")
    print_all([Text("caf\u00e9 \u8868")])
    assert stream.written == b"caf\xe9 \\u8868\n"


@pytest.mark.parametrize(
    "command",
    [
        ["runs"],
        ["runs", "--json"],
        ["show"],
        ["show", "--json"],
        ["export", "last"],
        ["report", "last", "-o", "\u8868.html"],
        ["cache"],
        ["cache", "--json"],
        ["models", "list"],
        ["models", "list", "--json"],
        ["--dry-run", "-c", "\u8868.txt"],
        ["--dry-run", "-c", "\u8868.txt", "--json"],
        ["doctor"],
    ],
    ids=" ".join,
)
def test_commands_work_where_the_encoding_is_not_utf_8(
    command: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    code = f"print({HOSTILE!r})\nawait llm_query('a')"
    RLM(scripted(run(code), submit("\u8868")), ScriptedModel(str, "sub \u8868")).ask("\u8868?", context="x")
    registry.add("\u8868", registry.Entry())
    (tmp_path / "\u8868.txt").write_text("x")
    monkeypatch.chdir(tmp_path)
    stream = Stream("latin-1", terminal=False)
    monkeypatch.setattr("sys.stdout", stream)
    rlm.main(command, standalone_mode=False)
    assert stream.written


@pytest.mark.skipif(os.name != "posix" or sys.platform == "darwin", reason="has no such names")
def test_a_path_that_is_no_text_is_printed_as_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    RLM(scripted(submit("done"))).ask("?", context="x")
    stream = Stream("utf-8", terminal=False)
    monkeypatch.setattr("sys.stdout", stream)
    path = os.fsencode(tmp_path) + b"/s\xff.html"
    rlm.main(["report", "last", "-o", os.fsdecode(path)], standalone_mode=False)
    assert (stream.written, os.path.exists(path)) == (path + b"\n", True)  # noqa: PTH110 - bytes
