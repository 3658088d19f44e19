"""One text of the input: a file of UTF-8 bytes that can be read in pieces, and what is known of where it came from."""

from __future__ import annotations

import os
import tempfile
import threading
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, Literal

from llm_rlm import leftovers
from llm_rlm.errors import RLMError

if TYPE_CHECKING:
    from collections.abc import Iterator

type TableFormat = Literal["csv", "tsv", "jsonl", "parquet", "sqlite"]

BLOCK = 1 << 20
"""Bytes that are read at a time."""


class ChangedError(RLMError):
    """A text is not there any more, or is shorter than it was. The message names it and is fit for the root model."""


@dataclass(frozen=True, slots=True)
class Document:
    """One text of the input."""

    name: str
    """What user and model call it: a path as the user would write it, `archive.zip/member.txt`, a URL. Valid UTF-8, one line,
    no other document has it.
    """
    path: str
    """The file on this machine that holds the text as UTF-8, or as what is to be decoded as such with replacement."""
    size: int
    """Bytes of the text. What a file has gained since is not part of it."""
    modified: int | None = None
    """When the user's file was last changed, in nanoseconds since 1970; None where there is no such file."""
    origin: str | None = None
    """The user's file or URL, where `path` is not the user's file itself but made from it."""
    encoding: str | None = None
    """The encoding that the text was converted from, where it was not UTF-8."""
    table: TableFormat | None = None
    """The format of the file, where `sql` can query it."""

    @contextmanager
    def open(self) -> Iterator[BinaryIO]:
        """The file, unbuffered. Raises ChangedError if it cannot be opened."""
        try:
            file = open(self.path, "rb", buffering=0)  # noqa: PTH123, SIM115 - a str may hold bytes that are no text
        except OSError as problem:
            message = f"{self.name} was there when the run began and cannot be read now: {problem.strerror}"
            raise ChangedError(message) from None
        with file:
            yield file

    def check(self) -> None:
        """Raise ChangedError if the file is not there any more, or is shorter than it was."""
        with self.open() as file:
            missing = self.size - file.seek(0, os.SEEK_END)
        if missing > 0:
            raise self._shorter(missing)

    def read(self, start: int = 0, end: int | None = None) -> bytes:
        """The bytes from `start` to `end`. Raises ChangedError if the file has lost them."""
        end = self.size if end is None else min(end, self.size)
        with self.open() as file:
            file.seek(start)
            return b"".join(self._take(file, end - start, BLOCK))

    def blocks(self, start: int = 0, end: int | None = None, size: int = BLOCK) -> Iterator[bytes]:
        """The bytes from `start` to `end`, `size` at a time. Raises ChangedError if the file has lost them."""
        end = self.size if end is None else min(end, self.size)
        with self.open() as file:
            file.seek(start)
            yield from self._take(file, end - start, size)

    def _take(self, file: BinaryIO, count: int, size: int) -> Iterator[bytes]:
        while count > 0:
            piece = file.read(min(count, size))
            if not piece:
                raise self._shorter(count)
            count -= len(piece)
            yield piece

    def _shorter(self, count: int) -> ChangedError:
        return ChangedError(f"{self.name} is shorter than it was when the run began: {count:,} bytes are gone")


@dataclass(frozen=True, slots=True)
class Table:
    """A file that is no text, but that `sql` can query."""

    name: str
    path: str
    size: int
    format: TableFormat
    modified: int | None = None
    origin: str | None = None


@dataclass(frozen=True, slots=True)
class Skipped:
    """What was named or found and is not part of the input."""

    name: str
    """A file, or a folder of which nothing is read."""
    reason: str
    """A few words: `binary`, `ignored by .gitignore`, `hidden`, `permission denied`."""


class Spool:
    """A private temporary folder for texts that are made for one run: unpacked, converted, read from a pipe."""

    def __init__(self) -> None:
        """Nothing is made before it is needed."""
        self._folder: leftovers.Folder | None = None
        self._count = 0
        self._lock = threading.Lock()
        """Guards that there is one folder, and that no two files have the same name."""

    def new(self) -> Path:
        """The path of a new file. Called from any thread. Raises OSError."""
        with self._lock:
            if self._folder is None:
                leftovers.sweep_once(Path(tempfile.gettempdir()))
                self._folder = leftovers.Folder("texts")
            self._count += 1
            return Path(self._folder.path) / f"{self._count}"

    def discard(self) -> None:
        """Remove all of it."""
        if self._folder is not None:
            self._folder.remove()
            self._folder = None
