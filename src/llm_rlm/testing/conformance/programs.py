"""Hostile programs, as data: a file for each family, a program after each line that begins with `===`."""

from __future__ import annotations

import re
from dataclasses import dataclass
from importlib import resources

_HEADING = re.compile(r"^=== (.+)\n", re.MULTILINE)


@dataclass(frozen=True)
class Program:
    """A cell that means harm."""

    family: str
    """What it goes for: the name of its file."""
    name: str
    code: str
    """With placeholders, such as `{CANARY_FILE}`, that `Surroundings.fill` knows."""

    def __str__(self) -> str:
        """Family and name."""
        return f"{self.family}: {self.name}"


def programs() -> list[Program]:
    """All programs that come with this package, by family."""
    files = (resources.files(__package__) / "programs").iterdir()
    return [
        program
        for file in sorted(files, key=lambda file: file.name)
        for program in parse(file.name.removesuffix(".txt"), file.read_text("utf-8"))
    ]


def parse(family: str, text: str) -> list[Program]:
    """The programs of a file. Raises ValueError for text before the first heading, and for a name that is there twice."""
    before, *parts = _HEADING.split(text)
    names = parts[::2]
    if before.strip() or len(set(names)) < len(names):
        message = f"the programs of {family} must each have a heading of their own"
        raise ValueError(message)
    return [Program(family, name, code) for name, code in zip(names, parts[1::2], strict=True)]
