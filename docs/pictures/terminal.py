"""The picture of a terminal: the real `llm rlm` in a pseudo-terminal, its models played by a script, its log made here.

    python docs/pictures/terminal.py

What the screen showed is drawn as SVG that loads nothing. No language model is involved, and the models' names say so.
"""

from __future__ import annotations

import os
import pty
import struct
import subprocess
import sys
from fcntl import ioctl
from pathlib import Path
from termios import TIOCSWINSZ
from typing import TYPE_CHECKING
from xml.sax.saxutils import escape

import pyte
from scripted import COMMAND, environment, scripted

if TYPE_CHECKING:
    from collections.abc import Sequence

_PICTURE = Path(__file__).parent / "terminal.svg"
_COLUMNS, _ROWS = 112, 60
_ADVANCE, _LINE, _MARGIN = 8.4, 19, 18
_GREEN, _GREY = ' fill="#9ccf8f"', ' fill="#a3acc2"'
_NOTE = "# A script plays the models here: no language model is involved."


def main() -> int:
    """Run the command and write the picture."""
    with scripted() as folder:
        screen = _run([*COMMAND, "-v"], folder)
    _PICTURE.write_text(_draw([*_lines(screen), "", _NOTE]), "utf-8")
    return 0


def _run(command: Sequence[str], folder: Path) -> pyte.Screen:
    """The screen after the command has run in a terminal."""
    screen = pyte.Screen(_COLUMNS, _ROWS)
    stream = pyte.ByteStream(screen)
    stream.feed(f"$ {_shown(command[:5])} \\\r\n      {_shown(command[5:])}\r\n".encode())
    ours, theirs = pty.openpty()
    ioctl(theirs, TIOCSWINSZ, struct.pack("HHHH", _ROWS, _COLUMNS, 0, 0))
    there = environment(folder) | {"TERM": "xterm-256color", "COLUMNS": str(_COLUMNS)}
    program = [sys.executable, "-m", *command]
    with subprocess.Popen(program, cwd=folder, env=there, stdin=theirs, stdout=theirs, stderr=theirs) as process:
        os.close(theirs)
        while data := _read(ours):
            stream.feed(data)
    os.close(ours)
    if process.returncode:
        sys.exit(f"llm rlm ended with {process.returncode}:\n" + "\n".join(screen.display))
    return screen


def _shown(words: Sequence[str]) -> str:
    """Words as one types them."""
    return " ".join(f'"{word}"' if " " in word else word for word in words)


def _read(terminal: int) -> bytes:
    """What the terminal was sent; nothing once it is closed."""
    try:
        return os.read(terminal, 65536)
    except OSError:  # how Linux says that nobody is at the other end
        return b""


def _lines(screen: pyte.Screen) -> list[str]:
    """What the screen shows, without the empty lines below it."""
    return "\n".join(line.rstrip() for line in screen.display).rstrip().split("\n")


def _draw(lines: Sequence[str]) -> str:
    """The lines as SVG. Each has its true width, whatever font there is."""
    width, height = round(_COLUMNS * _ADVANCE + 2 * _MARGIN), len(lines) * _LINE + 2 * _MARGIN
    texts = "\n".join(_text(line, _MARGIN + _LINE * at + 14) for at, line in enumerate(lines) if line)
    size = f'width="{width}" height="{height}"'
    font = 'font-family="ui-monospace, Menlo, Consolas, &quot;DejaVu Sans Mono&quot;, monospace" font-size="14"'
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" {size} role="img">\n'
        "<title>A run in a terminal. A script plays the models.</title>\n"
        f'<rect {size} rx="8" fill="#1a1d27"/>\n'
        f'<g {font} fill="#e6e9f2">\n{texts}\n</g>\n</svg>\n'
    )


def _text(line: str, y: int) -> str:
    """A line at its place, its indent as a distance: a browser drops spaces."""
    colour = _GREEN if line.startswith(("$ ", "      -")) else _GREY if line.endswith(" s)") or line == _NOTE else ""
    words = line.lstrip()
    x = _MARGIN + (len(line) - len(words)) * _ADVANCE
    kept = escape(words).replace("  ", "\N{NO-BREAK SPACE} ")
    return f'<text x="{x:.1f}" y="{y}" textLength="{len(words) * _ADVANCE:.1f}"{colour}>{kept}</text>'


if __name__ == "__main__":
    sys.exit(main())
