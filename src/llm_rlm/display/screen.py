"""The one writer to stderr: lines from any thread, and below them, on a terminal that can, a line that is drawn anew."""

from __future__ import annotations

import sys
import threading
from typing import TYPE_CHECKING, TextIO

from rich.console import Console

if TYPE_CHECKING:
    from collections.abc import Callable

_EVERY = 0.125
"""Seconds between two drawings of the live line."""

_FRAMES = "⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏"
_ASCII_FRAMES = "|/-\\"
_PLAIN = {"·": "|", "→": "->", "←": "<-", "…": "...", "\N{REPLACEMENT CHARACTER}": "?"}
"""What our own signs are where the encoding has none of them."""


class Screen:
    """Writes to stderr. What is printed goes above the live line, whole.

    Whoever reads may go away: then nothing is written any more, and the run goes on.
    """

    def __init__(self, line: Callable[[int], str], console: Console | None = None) -> None:
        """`line` gives the live line for a width in columns. `start` draws it for the first time."""
        self.lock = threading.RLock()
        """Held while something is written; to be held by who writes lines that belong together."""
        self._line = line
        self._console = console or Console(file=sys.stderr, highlight=False, emoji=False)
        self._file: TextIO = self._console.file  # type: ignore[assignment]  # a stream of text
        console = self._console
        self.is_live = (
            console.is_terminal and self._file.isatty() and not console.is_dumb_terminal and not console.legacy_windows
        )
        """Whether there is a live line. FORCE_COLOR alone makes no terminal."""
        self.has_colour = console.color_system is not None and not console.no_color and not console.legacy_windows
        self._is_utf = (self._file.encoding or "ascii").lower().startswith("utf")
        self._frame = 0
        self._drawn = 0
        """Columns of the live line that is there now."""
        self._gone = False
        self._over = threading.Event()
        self._ticker = threading.Thread(target=self._tick, name="llm-rlm-line", daemon=True)

    def start(self) -> None:
        """Begin to draw the live line, if there is one."""
        if self.is_live:
            self._ticker.start()

    def stop(self) -> None:
        """Take the live line away. Lines can still be printed."""
        self._over.set()
        with self.lock:
            self._write(self._erased())

    def print(self, text: str) -> None:
        """Write lines, which must be clean."""
        with self.lock:
            self._write(f"{self._erased()}{text}\n{self._drawing()}")

    def code(self, source: str) -> str:
        """Python source, clean before and coloured after, where there are colours; in lines that can be indented."""
        if not self.has_colour:
            return source
        from rich.syntax import Syntax  # noqa: PLC0415 - slow to import

        text = Syntax("", "python", theme="ansi_dark", background_color="default").highlight(source)
        text.rstrip()
        with self._console.capture() as capture:
            self._console.print(text, end="", soft_wrap=True)
        return capture.get()

    def _tick(self) -> None:
        while not self._over.wait(_EVERY):
            with self.lock:
                self._frame += 1
                self._write(self._erased() + self._drawing())

    def _erased(self) -> str:
        """What takes the live line away, also where the terminal was made narrower and has wrapped it."""
        if not self._drawn:
            return ""
        rows = (self._drawn - 1) // max(1, self._console.width)
        self._drawn = 0
        return "\r" + "\x1b[A" * rows + "\x1b[J"

    def _drawing(self) -> str:
        """The live line as it is now. A column stays free, so that no terminal wraps it."""
        if not self.is_live or self._over.is_set():
            return ""
        from rich.cells import cell_len  # noqa: PLC0415 - beside its use

        frames = _FRAMES if self._is_utf else _ASCII_FRAMES
        line = f"{frames[self._frame % len(frames)]} {self._line(self._console.width - 3)}"
        line = line if self._is_utf else self._in_its_encoding(line)[: self._console.width - 1]
        self._drawn = cell_len(line)
        return line

    def _write(self, text: str) -> None:
        if self._gone or not text:
            return
        try:
            self._file.write(text if self._is_utf else self._in_its_encoding(text))
            self._file.flush()
        except OSError:  # a pipe whose reader has ended, a terminal that was closed
            self._gone = True

    def _in_its_encoding(self, text: str) -> str:
        for sign, plain in _PLAIN.items():
            text = text.replace(sign, plain)
        encoding = self._file.encoding or "ascii"
        return text.encode(encoding, "backslashreplace").decode(encoding)
