"""Patterns of `.gitignore` and its like, read as Git reads them: see gitignore(5), and `wildmatch.c` for the rest."""

from __future__ import annotations

import string
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

_MEMORY = 1 << 28
_BOM = b"\xef\xbb\xbf"
_SLASH = ord("/")
_ALL = frozenset(range(256))
_NAMED: dict[bytes, frozenset[int]] = {
    b"alpha": frozenset(string.ascii_letters.encode()),
    b"digit": frozenset(string.digits.encode()),
    b"alnum": frozenset((string.ascii_letters + string.digits).encode()),
    b"upper": frozenset(string.ascii_uppercase.encode()),
    b"lower": frozenset(string.ascii_lowercase.encode()),
    b"punct": frozenset(string.punctuation.encode()),
    b"xdigit": frozenset(string.hexdigits.encode()),
    b"space": frozenset(b" \t\n\v\f\r"),
    b"blank": frozenset(b" \t"),
    b"cntrl": frozenset({*range(32), 127}),
    b"graph": frozenset(range(33, 127)),
    b"print": frozenset(range(32, 127)),
}


class _NeverError(Exception):
    """The pattern matches nothing."""


@dataclass(frozen=True, slots=True)
class _Pattern:
    regex: bytes
    """What the path of a file or folder matches whole, relative to where the patterns stand."""
    ignores: bool
    folders_only: bool


class Patterns:
    """The patterns of one file, of which the last that matches decides.

    Only what they say of a path itself: what is in an ignored folder is not looked at, since nobody goes there.
    """

    def __init__(self, content: bytes) -> None:
        """`content` is that of the file."""
        self._patterns = [each for line in _lines(content) if (each := _pattern(line))]
        self._set = _set_of(each.regex for each in self._patterns) if self._patterns else None

    def __bool__(self) -> bool:
        """Whether there are any."""
        return bool(self._patterns)

    def ignores(self, path: bytes, *, folder: bool) -> bool | None:
        """Whether the file or folder is ignored; None if no pattern matches. `path` begins where the patterns stand."""
        matched = self._set.Match(path) if self._set else None
        if not matched:
            return None
        last = max((index for index in matched if folder or not self._patterns[index].folders_only), default=None)
        return None if last is None else self._patterns[last].ignores


def _set_of(regexes: Iterable[bytes]):  # type: ignore[no-untyped-def]  # noqa: ANN202 - google-re2 has no types
    import re2  # noqa: PLC0415 - slow to import

    options = re2.Options()
    options.encoding = re2.Options.Encoding.LATIN1
    options.max_mem = _MEMORY
    options.log_errors = False
    made = re2.Set.FullMatchSet(options)
    for regex in regexes:
        made.Add(regex)
    made.Compile()
    return made


def _lines(content: bytes) -> list[bytes]:
    return [line.removesuffix(b"\r") for line in content.removeprefix(_BOM).split(b"\n")]


def _pattern(line: bytes) -> _Pattern | None:
    if line.startswith(b"#"):
        return None
    glob = _without_trailing_spaces(line)
    ignores = not glob.startswith(b"!")
    glob = glob if ignores else glob[1:]
    folders_only = glob.endswith(b"/")
    glob = glob[:-1] if folders_only else glob
    if not glob:
        return None
    anywhere = b"/" not in glob
    try:
        regex = _regex(glob.removeprefix(b"/"), anywhere=anywhere)
    except _NeverError:
        return None
    return _Pattern((b"(?s:.*/)?" if anywhere else b"") + regex, ignores, folders_only)


def _without_trailing_spaces(line: bytes) -> bytes:
    """The line without the spaces at its end that no backslash protects."""
    stripped = line.rstrip(b" ")
    backslashes = len(stripped) - len(stripped.rstrip(b"\\"))
    return line[: len(stripped) + 1] if backslashes % 2 else stripped


def _regex(glob: bytes, *, anywhere: bool) -> bytes:
    """The glob as a regular expression over bytes. Raises _NeverError."""
    pieces: list[bytes] = []
    at = 0
    while at < len(glob):
        match glob[at : at + 1]:
            case b"*":
                piece, at = _stars(glob, at, anywhere=anywhere)
            case b"?":
                piece, at = b"[^/]", at + 1
            case b"[":
                chosen, at = _class(glob, at + 1)
                piece = _one_of(chosen - {_SLASH})
            case b"\\":
                if at + 1 == len(glob):
                    raise _NeverError
                piece, at = _literal(glob[at + 1]), at + 2
            case _:
                piece, at = _literal(glob[at]), at + 1
        pieces.append(piece)
    return b"".join(pieces)


def _stars(glob: bytes, start: int, *, anywhere: bool) -> tuple[bytes, int]:
    """What the stars from `start` on match, and where the glob goes on."""
    end = start
    while glob[end : end + 1] == b"*":
        end += 1
    alone = end > start + 1 and not anywhere and glob[start - 1 : start] in {b"", b"/"}
    if alone and end == len(glob):
        return b"(?s:.*)", end
    if alone and glob[end : end + 1] == b"/":
        return b"(?s:.*/)?", end + 1
    return b"[^/]*", end


def _class(glob: bytes, at: int) -> tuple[frozenset[int], int]:
    """The bytes that the brackets from `at` on stand for, and where the glob goes on. Raises _NeverError."""
    negated = glob[at : at + 1] in {b"!", b"^"}
    first = at = at + negated
    chosen: set[int] = set()
    while glob[at : at + 1] != b"]" or at == first:
        if glob.startswith(b"[:", at):
            end = glob.find(b"]", at + 2)
            name = glob[at + 2 : end - 1]
            if end < 0 or (glob[end - 1 : end] == b":" and name not in _NAMED):
                raise _NeverError
            if glob[end - 1 : end] == b":":
                chosen |= _NAMED[name]
                at = end + 1
                continue
        low, at = _member(glob, at)
        high = low
        if glob[at : at + 1] == b"-" and glob[at + 1 : at + 2] not in {b"]", b""}:
            high, at = _member(glob, at + 1)
        chosen.update(range(low, high + 1))
    return (_ALL - chosen if negated else frozenset(chosen)), at + 1


def _member(glob: bytes, at: int) -> tuple[int, int]:
    at += glob[at : at + 1] == b"\\"
    if at >= len(glob):
        raise _NeverError
    return glob[at], at + 1


def _one_of(chosen: frozenset[int]) -> bytes:
    if not chosen:
        raise _NeverError
    return b"[" + b"".join(b"\\x%02x" % each for each in sorted(chosen)) + b"]"


def _literal(byte: int) -> bytes:
    return b"\\x%02x" % byte
