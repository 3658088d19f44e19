"""The examples of a page: what a reader would type, and what the page says that comes of it."""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass

_BLOCK = re.compile(
    r"(?:^<!-- (?P<mark>not run|in a cell): (?P<about>[^\n]*?) -->\n\n?)?"
    r'^```(?P<language>\w+)(?: title="(?P<title>[^"]+)")?\n(?P<text>.*?)^```$',
    re.DOTALL | re.MULTILINE,
)

_PIPE = re.compile(r"""\|(?=(?:[^'"]|'[^']*'|"[^"]*")*$)""")


def is_plain(command: str) -> bool:
    """Whether no shell is needed to run a command."""
    words = list(shlex.shlex(command, posix=True, punctuation_chars=True))
    return not any(set(word) <= set("|&;<>()") for word in words) and "$" not in command


@dataclass(frozen=True)
class Block:
    """A fenced block of a page."""

    language: str
    text: str
    title: str | None
    """The file that the reader is to write it to."""
    not_run: str | None
    """Why it is not run, if it is not."""
    cell: str | None
    """Where it is code of a cell: what runs before it."""


@dataclass(frozen=True)
class Command:
    """A command, and what the page says that it prints."""

    line: str
    shown: str

    @property
    def parts(self) -> list[str]:
        """The commands that it is made of, with pipes between them."""
        return [part.strip() for part in _PIPE.split(self.line)]

    def fits(self, output: str) -> bool:
        """Whether it printed what the page says. `…` stands for anything, on a line of its own for any lines."""
        lines = ["(?:.*\n)*?" if line == "…" else ".*".join(map(re.escape, line.split("…"))) + "\n" for line in self._lines]
        printed = "".join(f"{line.rstrip()}\n" for line in output.rstrip().splitlines())
        return not lines or re.fullmatch("".join(lines), printed) is not None

    @property
    def _lines(self) -> list[str]:
        return [line.rstrip() for line in self.shown.rstrip().splitlines()]


def blocks(page: str) -> list[Block]:
    """All fenced blocks of a page that name a language, in order."""
    return [_block(found) for found in _BLOCK.finditer(page)]


def _block(found: re.Match[str]) -> Block:
    about = found["about"]
    return Block(
        found["language"],
        found["text"],
        found["title"],
        about if found["mark"] == "not run" else None,
        about if found["mark"] == "in a cell" else None,
    )


def commands(block: Block) -> list[Command]:
    """The commands of a block: each begins with `$ `, and goes on after a backslash at the end of a line."""
    text = block.text.replace("\\\n", "")
    parts = re.split(r"^\$ ", text, flags=re.MULTILINE)
    assert not parts[0].strip(), f"a console block begins with `$ `: {text}"
    return [Command(*part.split("\n", 1)) for part in parts[1:]]
