"""What is in a folder: its files as `rg --files --sort path` lists them, and why others are not read."""

from __future__ import annotations

import os
import re
import stat
from dataclasses import dataclass
from typing import TYPE_CHECKING

from llm_rlm.context.document import Skipped
from llm_rlm.context.naming import Names, clean

from .gitignore import Patterns

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

_PIECE = 1 << 16
_MOST_PIECES = 256
_OWN = ".git"
_EVERYWHERE = (".rgignore", ".ignore")
"""Files that hold in and out of Git, the stronger first."""

_READ = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_BINARY", 0)
_EXCLUDES = re.compile(rb"^\s*excludesfile\s*=\s*\"?([^\"\n]+?)\"?\s*$", re.IGNORECASE | re.MULTILINE)


@dataclass(frozen=True)
class Walking:
    """What of a folder is read."""

    hidden: bool = False
    """Whether hidden files and folders are."""
    ignore: bool = True
    """Whether what `.gitignore` and the like leave out is not."""


@dataclass(frozen=True, slots=True)
class Found:
    """A regular file, not opened yet."""

    path: str
    """Absolute; a str that may hold bytes that are no text (`os.fsencode`)."""
    name: str
    """As `rg` would print it, on one line of valid UTF-8. No other file of the walk has it."""


def walk(folder: str, name: str, walking: Walking = Walking()) -> Iterator[Found | Skipped]:
    """The files in a folder and below, folder by folder in the order of their names' bytes, and all that is skipped.

    The folder may be a link; links in it are not followed. `name` is what the user calls it: the names of the files begin with
    it, but for `.`. A folder that is skipped is one entry, whose name ends in a slash. Nothing is opened but folders and files
    of patterns. Raises no OSError: what cannot be read is skipped.
    """
    prefix = shown(name).rstrip("/") + "/"
    root = os.path.realpath(folder)
    rules = _Rules.above(root) if walking.ignore else None
    yield from _Walk(walking).walk(_Folder(root.rstrip(os.sep) + os.sep, "" if prefix == "./" else prefix, rules))


def shown(path: str) -> str:
    """A path as `rg` would print it, on one line of valid UTF-8: `./x//y/` is `x/y`, and slashes lean forward."""
    path = path.replace(os.sep, "/")
    parts = [part for part in path.split("/") if part not in {"", "."}]
    return clean(("/" if path.startswith("/") else "") + "/".join(parts)) or "."


def why_not(problem: OSError) -> str:
    """In a few words why a file or folder cannot be read."""
    if isinstance(problem, FileNotFoundError | NotADirectoryError):
        return "vanished"
    if isinstance(problem, PermissionError):
        return "permission denied"
    return (problem.strerror or "cannot be read").lower()


def what_it_is(mode: int) -> str:
    """What is no regular file, by its mode."""
    kinds = ((stat.S_ISDIR, "a folder"), (stat.S_ISFIFO, "a named pipe"), (stat.S_ISSOCK, "a socket"))
    return next((what for is_kind, what in kinds if is_kind(mode)), "a device")


@dataclass(frozen=True, slots=True)
class _Level:
    """The patterns of one file."""

    source: str
    base: int
    """Bytes of a path before that which the patterns see."""
    patterns: Patterns


@dataclass(frozen=True, slots=True)
class _Rules:
    """All patterns that hold in a folder. As in `rg`, for each kind those of the deeper folder come first."""

    everywhere: tuple[tuple[_Level, ...], ...] = ((), ())
    """Those of `.rgignore`, and those of `.ignore`."""
    git: tuple[_Level, ...] = ()
    repository: tuple[_Level, ...] | None = None
    """Those of the repository and of the user, which come last; None outside of Git."""
    levels: tuple[_Level, ...] = ()
    """All of them, the strongest first."""

    @classmethod
    def above(cls, folder: str) -> _Rules:
        """What holds for a folder from the folders that it is in."""
        rules, parent = cls(), ""
        for part in folder.split(os.sep)[:-1]:  # noqa: PTH206 - a str may hold bytes that are no text
            parent += part + os.sep
            rules = rules.inside(parent, (*_EVERYWHERE, ".gitignore", _OWN))
        return rules

    def inside(self, folder: str, names: Sequence[str]) -> _Rules:
        """What holds in the folder, in which these names may be. The path ends in a slash."""
        repository, git, is_root = self.repository, self.git, False
        if _OWN in names and os.path.lexists(folder + _OWN):
            repository, git, is_root = _of_repository(folder), (), True
        everywhere = tuple(
            _added(folder, source, names, levels) for source, levels in zip(_EVERYWHERE, self.everywhere, strict=True)
        )
        if repository is not None:
            git = _added(folder, ".gitignore", names, git)
        if not is_root and git is self.git and everywhere == self.everywhere:
            return self
        levels = (*(level for kind in everywhere for level in kind), *git, *(repository or ()))
        return _Rules(everywhere, git, repository, levels)

    def verdict(self, path: bytes, *, folder: bool) -> _Level | bool:
        """The patterns that ignore a file or folder; else whether others ask for it."""
        for level in self.levels:
            ignored = level.patterns.ignores(path[level.base :], folder=folder)
            if ignored is not None:
                return level if ignored else True
        return False


def _added(folder: str, source: str, names: Sequence[str], levels: tuple[_Level, ...]) -> tuple[_Level, ...]:
    return (*_level(folder, folder + source, source), *levels) if source in names else levels


def _level(folder: str, path: str, source: str) -> tuple[_Level, ...]:
    """The patterns of the file at `path`, if there are any, for what is in the folder."""
    patterns = Patterns(_content(path))
    return (_Level(source, len(os.fsencode(folder)), patterns),) if patterns else ()


def _of_repository(folder: str) -> tuple[_Level, ...]:
    own = folder + _OWN
    if not os.path.isdir(own):  # noqa: PTH112 - a str may hold bytes that are no text
        # A worktree or submodule: the file says where its data is, and that where those of the repository are.
        own = _pointed(folder, _content(own).removeprefix(b"gitdir:"))
        own = _pointed(own, _content(f"{own}{os.sep}commondir") or b".")
    return (
        *_level(folder, os.path.join(own, "info", "exclude"), ".git/info/exclude"),  # noqa: PTH118 - as above
        *_level(folder, _users_excludes(), "Git's global excludes file"),
    )


def _pointed(folder: str, content: bytes) -> str:
    return os.path.join(folder, os.fsdecode(content.strip()))  # noqa: PTH118 - a str may hold bytes that are no text


def _users_excludes() -> str:
    """The path of the file whose patterns hold in all repositories of the user."""
    home = os.path.expanduser("~")  # noqa: PTH111 - as it stands if there is none
    settings = os.environ.get("XDG_CONFIG_HOME") or f"{home}/.config"
    for config in (f"{home}/.gitconfig", f"{settings}/git/config"):
        if found := _EXCLUDES.search(_content(config)):
            return os.path.expanduser(os.fsdecode(found[1]))  # noqa: PTH111 - as above
    return f"{settings}/git/ignore"


def _content(path: str) -> bytes:
    """The content of a small regular file; nothing where there is no such file. Never waits for a pipe."""
    try:
        number = os.open(path, _READ)
    except OSError:
        return b""
    try:
        return _all(number) if stat.S_ISREG(os.fstat(number).st_mode) else b""
    except OSError:
        return b""
    finally:
        os.close(number)


def _all(number: int) -> bytes:
    pieces: list[bytes] = []
    while len(pieces) < _MOST_PIECES and (piece := os.read(number, _PIECE)):
        pieces.append(piece)
    return b"".join(pieces)


@dataclass(frozen=True, slots=True)
class _Folder:
    path: str
    """Ends in a slash."""
    name: str
    """What the names of its files begin with."""
    rules: _Rules | None
    """What holds in the folder that it is in."""


class _Walk:
    def __init__(self, walking: Walking) -> None:
        self._walking = walking

    def walk(self, root: _Folder) -> Iterator[Found | Skipped]:
        """Without recursion: folders may be nested deeper than Python's stack."""
        open_folders = [self._entries(root)]
        while open_folders:
            for each in open_folders[-1]:
                if isinstance(each, _Folder):
                    open_folders.append(self._entries(each))
                    break
                yield each
            else:
                open_folders.pop()

    def _entries(self, folder: _Folder) -> Iterator[Found | Skipped | _Folder]:
        try:
            with os.scandir(folder.path) as listing:
                entries = sorted(listing, key=_bytes_of_name)
        except OSError as problem:
            yield Skipped(folder.name or "./", why_not(problem))
            return
        names = [entry.name for entry in entries]
        rules = folder.rules and folder.rules.inside(folder.path, names)
        for entry, name in zip(entries, _distinct(names), strict=True):
            try:
                yield self._entry(entry, folder, name, rules)
            except OSError as problem:
                yield Skipped(folder.name + name, why_not(problem))

    def _entry(self, entry: os.DirEntry[str], folder: _Folder, name: str, rules: _Rules | None) -> Found | Skipped | _Folder:
        """What becomes of a file or folder. Raises OSError."""
        is_folder = entry.is_dir(follow_symlinks=False)
        path, name = folder.path + entry.name, folder.name + name
        if reason := self._left_out(entry.name, path, is_folder, rules):
            return Skipped(name + "/" if is_folder else name, reason)
        if is_folder:
            return _Folder(path + os.sep, name + "/", rules)
        if entry.is_file(follow_symlinks=False):
            return Found(path, name)
        return Skipped(name, "a link" if entry.is_symlink() else what_it_is(entry.stat(follow_symlinks=False).st_mode))

    def _left_out(self, name: str, path: str, is_folder: bool, rules: _Rules | None) -> str | None:  # noqa: FBT001 - private
        """Why a file or folder is not read, from its name and place."""
        if name == _OWN:
            return "Git's own data"
        asked_for = False
        if rules and rules.levels:
            verdict = rules.verdict(os.fsencode(path), folder=is_folder)
            if isinstance(verdict, _Level):
                return f"ignored by {verdict.source}"
            asked_for = verdict
        return "hidden" if name[0] == "." and not (asked_for or self._walking.hidden) else None


def _bytes_of_name(entry: os.DirEntry[str]) -> bytes:
    return os.fsencode(entry.name)


def _distinct(names: list[str]) -> Sequence[str]:
    """The names as they are shown, in which no two are the same."""
    if all(map(str.isprintable, names)):
        return names
    given = Names()
    return [given.unique(clean(name)) for name in names]
