"""The one writer to stderr: with a live line and without, in any encoding, with readers that go away."""

from __future__ import annotations

import io
import os
import re
import sys
import threading
from typing import TYPE_CHECKING

import pytest
from rich.console import Console

from llm_rlm.display.screen import Screen

if TYPE_CHECKING:
    from collections.abc import Iterator


class Terminal(io.TextIOWrapper):
    """A stream that says that it is a terminal."""

    def __init__(self, encoding: str = "utf-8") -> None:
        self.bytes = io.BytesIO()
        super().__init__(self.bytes, encoding=encoding, errors="strict")

    def isatty(self) -> bool:
        return True

    @property
    def shown(self) -> str:
        self.flush()
        return self.bytes.getvalue().decode(self.encoding)


@pytest.fixture(autouse=True)
def plain_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("NO_COLOR", "FORCE_COLOR", "COLUMNS", "TTY_COMPATIBLE", "TTY_INTERACTIVE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TERM", "xterm-256color")


def on(terminal: io.TextIOBase, width: int = 80, *, legacy: bool = False) -> Screen:
    console = Console(file=terminal, width=width, legacy_windows=legacy, highlight=False)  # type: ignore[arg-type]
    return Screen(lambda width: ("where it is, and more " * 9)[:width], console)


def test_a_line_is_printed_above_the_live_line_which_is_drawn_anew() -> None:
    terminal = Terminal()
    screen = on(terminal, 20)
    screen.print("one")
    screen.print("two")
    screen.stop()
    live = "⠋ where it is, and m"[:19]
    assert terminal.shown == f"one\n{live}\r\x1b[Jtwo\n{live}\r\x1b[J"


def test_after_a_terminal_was_made_narrower_all_rows_of_the_line_go() -> None:
    terminal = Terminal()
    screen = on(terminal, 80)
    screen.print("one")
    screen._console.width = 30
    screen.stop()
    assert terminal.shown.endswith("\r\x1b[A\x1b[A\x1b[J")


def test_the_live_line_goes_on_by_itself_and_stops() -> None:
    terminal = Terminal()
    drawn = threading.Event()
    asked: list[int] = []

    def line(width: int) -> str:
        asked.append(width)
        if len(asked) >= 3:
            drawn.set()
        return "here"

    screen = Screen(line, Console(file=terminal, width=50))
    screen.start()
    assert drawn.wait(30)
    screen.stop()
    assert set(asked) == {47}
    assert "⠙ here" in terminal.shown


@pytest.mark.parametrize("term", ["dumb", "unknown"])
def test_a_dumb_terminal_has_no_live_line_and_no_colour(monkeypatch: pytest.MonkeyPatch, term: str) -> None:
    monkeypatch.setenv("TERM", term)
    screen = on(terminal := Terminal())
    screen.print("one")
    assert (screen.is_live, screen.has_colour, terminal.shown) == (False, False, "one\n")


def test_a_console_of_old_windows_has_no_live_line_and_no_escapes() -> None:
    screen = on(terminal := Terminal(), legacy=True)
    screen.print(screen.code("x = 1"))
    assert (screen.is_live, terminal.shown) == (False, "x = 1\n")


def test_a_pipe_has_plain_lines_and_colours_only_if_forced(monkeypatch: pytest.MonkeyPatch) -> None:
    assert on(io.StringIO()).code("x = 1") == "x = 1"
    monkeypatch.setenv("FORCE_COLOR", "1")
    forced = on(io.StringIO())
    assert "\x1b[" in forced.code("x = 1")
    assert not forced.is_live


def test_no_color_is_heeded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    screen = on(Terminal())
    assert (screen.is_live, screen.code("import os")) == (True, "import os")


def test_code_is_coloured_and_neither_cut_nor_changed() -> None:
    source = "if x:\n    print('" + "long " * 40 + "')\n\n    y = 2"
    coloured = on(Terminal(), 20).code(source)
    assert "\x1b[" in coloured
    assert not re.search(r"[\[;]4[0-8]", coloured)  # the background is the terminal's own

    assert re.sub(r"\x1b\[[\d;]*m", "", coloured) == source


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "cp1252"])
def test_any_encoding_does(encoding: str) -> None:
    terminal = Terminal(encoding)
    screen = Screen(lambda width: "turn 1 · 5 of 9 · 東京"[:width], Console(file=terminal, width=40))
    screen.print("→ model ← “answer” …")
    screen.stop()
    assert terminal.shown.startswith("-> model <- ")
    assert "turn 1 | 5 of 9" in terminal.shown


@pytest.fixture
def broken() -> Iterator[io.TextIOWrapper]:
    """A pipe whose reader has gone."""
    read, write = os.pipe()
    os.close(read)
    stream = os.fdopen(write, "w", closefd=False)
    yield stream
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, write)
    os.close(nowhere)
    stream.close()
    os.close(write)


@pytest.mark.skipif(sys.platform == "win32", reason="pipes differ")
def test_a_reader_that_goes_away_is_no_error(broken: io.TextIOWrapper) -> None:
    screen = on(broken)
    screen.print("one")
    screen.print("two")
    assert screen._gone


def test_lines_of_many_threads_stay_whole() -> None:
    terminal = Terminal()
    screen = on(terminal, 60)

    def say(what: str) -> None:
        for _ in range(50):
            screen.print(what * 5)

    threads = [threading.Thread(target=say, args=[f"{n} "]) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    screen.stop()
    lines = [line.rpartition("\x1b[J")[2] for line in terminal.shown.split("\n")][:-1]
    assert sorted(lines) == sorted(f"{n} " * 5 for n in range(8) for _ in range(50))
