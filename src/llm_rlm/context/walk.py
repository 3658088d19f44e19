"""The files of a folder, as `rg --files` finds them, and what is left out and why.

Of the rules that leave out, those of the innermost folder decide, and in a folder `.rgignore` before `.ignore` before
`.gitignore`. Git's own count only inside a repository; of the folders above the one that is walked, the rules up to its root
count too.
"""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass
from typing import TYPE_CHECKING

from .document import Skipped
from .naming import clean

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from pathspec import GitIgnoreSpec

_GIT = ".git"
_OF_GIT = ".gitignore"
_OF_ALL = (".ignore", ".rgignore")
"""The later decides over the earlier, and both over Git's."""

_KINDS = {
    stat.S_IFIFO: "a pipe",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
    stat.S_IFLNK: "a symbolic link",
}


@dataclass(frozen=True)
class Walking:
    """What of folders is read."""

    hidden: bool = False
    """Whether files and folders whose names begin with a dot are read too."""
    ignore: bool = True
    """Whether `.gitignore` and the like leave out files."""


@dataclass(frozen=True, slots=True)
class Found:
    """A regular file."""

    path: str
    name: str


@dataclass(frozen=True, slots=True)
class _Rules:
    """One ignore file."""

    prefix: str
    """The path of its folder from the folder that is walked; or, of one above, what leads from there down to it."""
    above: str
    spec: GitIgnoreSpec
    name: str

    def leaves_out(self, path: str, *, folder: bool) -> bool | None:
        """Whether a path is left out; None if no rule says."""
        within = f"{self.above}{path[len(self.prefix) :]}"
        return self.spec.check_file(f"{within}/" if folder else within).include


def walk(folder: str, name: str, walking: Walking = Walking()) -> Iterator[Found | Skipped]:
    """The regular files below a folder in the order of their names, and what is left out. `name` is what the user calls it.

    Symbolic links are not followed. A folder that is left out is told once, with a slash at its end.
    """
    prefix = "" if name in {".", "./"} else f"{name.removeprefix('./').rstrip('/')}/" if name.strip("/") else "/"
    rules, in_git = _rules_above(os.path.realpath(folder)) if walking.ignore else ([], False)
    work = _Walk(walking, prefix)
    # Folders can nest deeper than Python's own stack.
    open_folders = [work.folder(_Folder(folder, "", rules, in_git))]
    while open_folders:
        found = next(open_folders[-1], None)
        if found is None:
            open_folders.pop()
        elif isinstance(found, _Folder):
            open_folders.append(work.folder(found))
        else:
            yield found


@dataclass(frozen=True, slots=True)
class _Folder:
    """A folder that is to be looked into."""

    path: str
    at: str
    """Its path from the folder that is walked, with a slash at its end or empty."""
    rules: Sequence[_Rules]
    in_git: bool


class _Walk:
    def __init__(self, walking: Walking, prefix: str) -> None:
        self._walking = walking
        self._prefix = prefix

    def folder(self, inside: _Folder) -> Iterator[Found | Skipped | _Folder]:
        """What is in a folder; folders in it are for the caller to look into."""
        folder, at, rules, in_git = inside.path, inside.at, inside.rules, inside.in_git
        try:
            with os.scandir(folder) as listing:
                entries = sorted(listing, key=lambda entry: entry.name)
        except OSError as problem:
            yield Skipped(self._shown(at or "."), _why(problem))
            return
        if self._walking.ignore:
            in_git = in_git or any(entry.name == _GIT for entry in entries)
            rules = [*rules, *_rules_in(folder, at, [entry.name for entry in entries], in_git=in_git)]
        for entry in entries:
            yield self._entry(entry, at, rules, in_git=in_git)

    def _entry(self, entry: os.DirEntry[str], at: str, rules: Sequence[_Rules], *, in_git: bool) -> Found | Skipped | _Folder:
        path = f"{at}{entry.name}"
        try:
            is_folder = entry.is_dir(follow_symlinks=False)
            is_file = not is_folder and entry.is_file(follow_symlinks=False)
        except OSError as problem:
            return Skipped(self._shown(path), _why(problem))
        why = self._why_left_out(entry.name, path, rules, folder=is_folder)
        if why is not None:
            return Skipped(self._shown(path) + ("/" if is_folder else ""), why)
        if is_folder:
            return _Folder(entry.path, f"{path}/", rules, in_git)
        return Found(entry.path, self._shown(path)) if is_file else Skipped(self._shown(path), _kind(entry))

    def _why_left_out(self, name: str, path: str, rules: Sequence[_Rules], *, folder: bool) -> str | None:
        if name == _GIT:
            return "Git's own"
        for each in reversed(rules):
            out = each.leaves_out(path, folder=folder)
            if out is not None:
                # What a rule lets in is read even if it is hidden.
                return f"ignored by {each.name}" if out else None
        return "hidden" if name.startswith(".") and not self._walking.hidden else None

    def _shown(self, path: str) -> str:
        return clean(f"{self._prefix}{path}" if path != "." else self._prefix or ".")


def _rules_in(folder: str, at: str, names: Sequence[str], *, in_git: bool, above: str = "") -> Iterator[_Rules]:
    """The ignore files of a folder, those that decide last."""
    there = set(names)
    if in_git and _GIT in there:
        yield from _read(os.path.join(folder, _GIT, "info", "exclude"), at, above, ".git/info/exclude")  # noqa: PTH118 - fast
    for name in (_OF_GIT, *_OF_ALL) if in_git else _OF_ALL:
        if name in there:
            yield from _read(os.path.join(folder, name), at, above, name)  # noqa: PTH118 - fast


def _read(path: str, at: str, above: str, name: str) -> Iterator[_Rules]:
    from pathspec import GitIgnoreSpec  # noqa: PLC0415 - slow to import

    try:
        with open(path, encoding="utf-8", errors="surrogateescape") as file:  # noqa: PTH123 - a str may hold bytes that are no text
            lines = file.read().splitlines()
    except OSError:  # as Git does: rules that cannot be read are none
        return
    lines = [line for line in lines if line.strip() and not line.startswith("#")]
    if lines:
        yield _Rules(at, above, GitIgnoreSpec.from_lines(lines), name)


def _rules_above(folder: str) -> tuple[list[_Rules], bool]:
    """The rules of the folders above, the outermost first, and whether the folder is in a Git repository."""
    above, below = [], ""
    while (parent := os.path.dirname(folder)) != folder:  # noqa: PTH120 - fast
        below = f"{os.path.basename(folder)}/{below}"  # noqa: PTH119 - fast
        folder = parent
        above.append((folder, below))
    root = next((at for at, (outer, _) in enumerate(above) if os.path.lexists(os.path.join(outer, _GIT))), -1)  # noqa: PTH118 - fast
    found: list[_Rules] = []
    for at, (outer, within) in reversed(list(enumerate(above))):
        names = [name for name in (_GIT, _OF_GIT, *_OF_ALL) if os.path.lexists(os.path.join(outer, name))]  # noqa: PTH118 - fast
        # A folder that a rule leaves out, and that the user names all the same, is read.
        found += (
            rules for rules in _rules_in(outer, "", names, in_git=at <= root, above=within) if not rules.spec.match_file(within)
        )
    return found, root >= 0


def _why(problem: OSError) -> str:
    if isinstance(problem, FileNotFoundError):
        return "vanished"
    return (problem.strerror or "cannot be read").lower()


def _kind(entry: os.DirEntry[str]) -> str:
    try:
        mode = stat.S_IFMT(entry.stat(follow_symlinks=False).st_mode)
    except OSError as problem:
        return _why(problem)
    return _KINDS.get(mode, "not a file")
