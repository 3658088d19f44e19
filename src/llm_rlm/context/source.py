"""From what the user names or hands over to a file on disk, and what is known of it without reading it whole."""

from __future__ import annotations

import hashlib
import json
import os
import re
import stat
import tempfile
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, Literal, Protocol, runtime_checkable

from llm_rlm.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator

MOST_IN_SANDBOX = 1_200_000_000
"""Bytes a text may take in the sandbox: its length times its widest character."""

MOST_NESTING = 100
"""How deep a JSON value may nest."""

_MOST_NAME = 40
_PIECE = 1 << 24
_SNIFFED = 8192
_WIDEST = 4
_FOUR_BYTES = re.compile(rb"[\xf0-\xf4]")
_TWO_BYTES = re.compile(rb"[\xc4-\xef]")
_TOO_LARGE = "Do not print it whole: look at parts, compute in code what code can, and let sub-models read the rest."
_SCALARS = (str, int, float, bool, type(None))


@runtime_checkable
class Readable(Protocol):
    """An open binary stream."""

    def read(self, size: int, /) -> bytes:
        """At most `size` bytes; none at the end."""


@dataclass(frozen=True)
class Context:
    """The input of a run."""

    name: str
    """What the user calls it: a file name, `stdin`, or `context`."""
    kind: Literal["text", "json"]
    type: str
    """The Python type of `context` in the sandbox: `str`, `list`, `dict`, `int`, …, or `NoneType` where there is none."""
    size: int
    """Bytes of the text, or of its JSON text."""
    items: int | None = None
    """Length of a list or dict."""
    path: Path | None = None
    """The file with the content; None where there is no context."""
    temporary: bool = False
    """Whether the file was made for this run."""
    modified: int | None = None
    """When the user's file was last changed, in nanoseconds since 1970."""

    def describe(self) -> str:
        """What the root model is told of it: type and size, never content."""
        if self.path is None:
            return "`context` is None: this question came without input."
        size = f"{self.size:,} bytes"
        if self.type == "str":
            return f"`context` is a str of {size} of text{self._from} {_TOO_LARGE}"
        if self.items is not None:
            return f"`context` is a {self.type} of {self.items:,} items ({size} as JSON). {_TOO_LARGE}"
        return f"`context` is a {self.type}."

    @property
    def _from(self) -> str:
        """The name of the file, which anybody may have chosen: short and on one line."""
        if self.name == "context":
            return "."
        name = "".join(character for character in self.name if character.isprintable())
        return f" ({name if len(name) <= _MOST_NAME else f'{name[: _MOST_NAME - 1]}…'})."

    def digest(self) -> str | None:
        """SHA-256 of the content, in hex. Takes about a second a GB."""
        if self.path is None:
            return None
        with self.path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()

    def discard(self) -> None:
        """Remove the file if it was made for this run."""
        if self.temporary and self.path is not None:
            self.path.unlink(missing_ok=True)


type AnyContext = str | list[Any] | dict[str, Any] | Path | Readable | None
"""What a context can be made of."""


def from_any(context: AnyContext | Context) -> Context:
    """Text, a JSON value, a Path to a text file, an open binary stream, or what is a context already. Raises UsageError."""
    if isinstance(context, Context):
        return context
    if isinstance(context, Path):
        return from_file(context)
    if isinstance(context, Readable):
        return from_stream(context)
    return from_value(context)


def no_context() -> Context:
    """The context of a question that has none."""
    return Context("context", "json", "NoneType", 0)


def from_file(path: str | Path) -> Context:
    """A text file. Nothing is copied: the sandbox reads the file itself.

    Raises UsageError for what is missing, unreadable, a directory, binary or too large for the sandbox.
    """
    if not str(path) or str(path) == ".":
        message = "no file is named"
        raise UsageError(message)
    path = Path(path).expanduser()
    with _clear_errors(path):
        status = path.stat()
        if stat.S_ISDIR(status.st_mode):
            message = f"{path} is a directory: give one file"
            raise UsageError(message)
        with path.open("rb") as file:
            if not stat.S_ISREG(status.st_mode):
                return from_stream(file)
            _refuse_binary(file.read(_SNIFFED), str(path))
    _refuse_empty(status.st_size, str(path))
    context = Context(path.name, "text", "str", status.st_size, path=path.resolve(), modified=status.st_mtime_ns)
    _refuse_too_large(context)
    return context


def from_stream(stream: Readable) -> Context:
    """Text from a pipe, kept in a temporary file. Raises UsageError for binary or too much text."""
    name = str(getattr(stream, "name", "stream"))
    with _new_file() as (file, path):
        size = 0
        while piece := _bytes(stream.read(_PIECE)):
            if not size:
                _refuse_binary(piece[:_SNIFFED], name)
            size += file.write(piece)
            file.flush()
        _refuse_empty(size, name)
    context = Context(name, "text", "str", size, path=path, temporary=True)
    _keep_or_discard(context)
    return context


def _bytes(piece: object) -> bytes:
    if isinstance(piece, bytes):
        return piece
    message = f"the context is a stream of {type(piece).__name__}: open the file in binary mode, or give a Path"
    raise UsageError(message)


def from_value(value: Any) -> Context:  # noqa: ANN401 - a str or any JSON value, checked here
    """A str, or a value that JSON can hold. Raises UsageError that says what it cannot hold, and where."""
    if value is None:
        return no_context()
    if isinstance(value, str):
        return _from_text(value)
    _check_json(value)
    try:
        text = json.dumps(value, ensure_ascii=False)
    except ValueError as problem:
        message = f"the context cannot be JSON: {problem}"
        raise UsageError(message) from None
    with _new_file() as (file, path):
        size = file.write(text.encode("utf-8", "replace"))
    items = len(value) if isinstance(value, list | tuple | dict) else None
    name = "list" if isinstance(value, tuple) else type(value).__name__
    return Context("context", "json", name, size, items, path, temporary=True)


def _from_text(text: str) -> Context:
    with _new_file() as (file, path):
        size = sum(file.write(_encoded(text[start : start + _PIECE])) for start in range(0, len(text), _PIECE))
    context = Context("context", "text", "str", size, path=path, temporary=True)
    _keep_or_discard(context)
    return context


def _encoded(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")


@contextmanager
def _new_file() -> Iterator[tuple[BinaryIO, Path]]:
    """A temporary file, removed again if it cannot be filled."""
    number, name = tempfile.mkstemp(prefix="llm-rlm-context-")
    path = Path(name)
    try:
        with os.fdopen(number, "wb") as file:
            yield file, path
    except OSError as problem:
        path.unlink()
        message = f"the context cannot be kept in {path.parent}: {problem.strerror}"
        raise UsageError(message) from problem
    except BaseException:
        path.unlink()
        raise


def _keep_or_discard(context: Context) -> None:
    try:
        _refuse_too_large(context)
    except UsageError:
        context.discard()
        raise


@contextmanager
def _clear_errors(path: Path) -> Iterator[None]:
    try:
        yield
    except FileNotFoundError:
        message = f"{path}: there is no such file"
        raise UsageError(message) from None
    except OSError as problem:
        message = f"{path} cannot be read: {problem.strerror}"
        raise UsageError(message) from None


def _refuse_binary(start: bytes, name: str) -> None:
    if b"\0" in start:
        message = f"{name} is a binary file: give text"
        raise UsageError(message)


def _refuse_empty(size: int, name: str) -> None:
    if not size:
        message = f"{name} is empty: there is nothing to ask about"
        raise UsageError(message)


def _refuse_too_large(context: Context) -> None:
    if context.size * _WIDEST <= MOST_IN_SANDBOX or context.path is None:
        return
    width = _widest_character(context.path, context.size)
    if context.size * width > MOST_IN_SANDBOX:
        message = (
            f"{context.name} is too large: {context.size:,} bytes with characters of {width} byte(s) in memory;"
            f" the sandbox holds {MOST_IN_SANDBOX:,}. Split the file"
        )
        raise UsageError(message)


def _widest_character(path: Path, size: int) -> int:
    """How many bytes Python needs for each character of the text: 1, 2 or 4."""
    width = 1
    for piece in _pieces(path):
        if piece.isascii():
            continue
        if _FOUR_BYTES.search(piece):
            return _WIDEST
        if width == 1 and (_TWO_BYTES.search(piece) or not _is_utf8(bytes(piece))):
            width = 2
            if size * width > MOST_IN_SANDBOX:
                return width
    return width


def _pieces(path: Path) -> Iterator[bytearray]:
    """The bytes of a file, in one buffer that stays in the processor's cache: four times as fast as new memory for each."""
    buffer = bytearray(1 << 20)
    with path.open("rb", buffering=0) as file:
        while length := file.readinto(buffer):
            yield buffer if length == len(buffer) else buffer[:length]


def _is_utf8(piece: bytes) -> bool:
    """Whether the piece decodes, but for characters cut off at its ends; else U+FFFD will stand in it."""
    while piece and piece[0] & 0xC0 == 0x80:  # noqa: PLR2004 - a continuation byte
        piece = piece[1:]
    try:
        piece.decode("utf-8")
    except UnicodeDecodeError as problem:
        return problem.start >= len(piece) - 3
    return True


def _check_json(value: object) -> None:
    """Raise UsageError for what JSON cannot hold in the same shape, and for too deep nesting."""
    level: list[tuple[str, object]] = [("context", value)]
    for _ in range(MOST_NESTING + 1):
        level = [child for where, item in level for child in _children(where, item)]
        if not level:
            return
    message = f"the context nests more than {MOST_NESTING} deep"
    raise UsageError(message)


def _children(where: str, value: object) -> list[tuple[str, object]]:
    if isinstance(value, _SCALARS):
        return []
    if isinstance(value, list | tuple):
        return [(f"{where}[{index}]", item) for index, item in enumerate(value) if not isinstance(item, _SCALARS)]
    if isinstance(value, dict):
        wrong = next((key for key in value if not isinstance(key, str)), None)
        if wrong is None:
            return [(f"{where}[{key!r}]", item) for key, item in value.items() if not isinstance(item, _SCALARS)]
        message = f"{where} has the key {wrong!r}, a {type(wrong).__name__}: JSON takes only str as keys"
        raise UsageError(message)
    message = f"{where} is a {type(value).__name__}, which JSON cannot hold: give str, list, dict, numbers, bool or None"
    raise UsageError(message)
