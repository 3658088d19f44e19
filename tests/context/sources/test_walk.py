from __future__ import annotations

import os
import shutil
import socket
import subprocess
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from llm_rlm.context.document import Skipped
from llm_rlm.context.sources.walk import Found, Walking, shown, walk

READ = Walking()


def make(folder: Path, files: dict[str, str]) -> Path:
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
    return folder


@pytest.fixture
def tree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder, and a user without settings of Git."""
    monkeypatch.setenv("HOME", str(tmp_path / "nobody"))
    monkeypatch.delenv("XDG_CONFIG_HOME", raising=False)
    (tmp_path / "tree").mkdir()
    return tmp_path / "tree"


def found(folder: Path, walking: Walking = READ) -> list[str]:
    return [each.name for each in walk(str(folder), ".", walking) if isinstance(each, Found)]


def skipped(folder: Path, walking: Walking = READ) -> dict[str, str]:
    return {each.name: each.reason for each in walk(str(folder), ".", walking) if isinstance(each, Skipped)}


def test_files_come_folder_by_folder_in_the_order_of_their_names(tree: Path) -> None:
    make(tree, dict.fromkeys(["b", "a.txt", "a/z", "a-b", "B", "é", "a/b/c"], "x"))
    assert found(tree) == ["B", "a/b/c", "a/z", "a-b", "a.txt", "b", "é"]


@pytest.mark.parametrize(
    ("name", "first"),
    [
        ("src", "src/a"),
        ("src/", "src/a"),
        ("./src//", "src/a"),
        (".", "a"),
        ("./", "a"),
        ("../x", "../x/a"),
        ("/x", "/x/a"),
        ("/", "/a"),
    ],
)
def test_names_begin_as_the_user_wrote_the_folder(tree: Path, name: str, first: str) -> None:
    make(tree, {"a": "x"})
    assert [each.name for each in walk(str(tree), name)] == [first]


def test_paths_are_absolute_so_that_a_process_elsewhere_can_read_them(tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make(tree, {"a": "x"})
    monkeypatch.chdir(tree)
    assert [each.path for each in walk(".", ".") if isinstance(each, Found)] == [str(tree / "a")]


def test_what_is_ignored_or_hidden_is_listed_with_the_reason_and_a_folder_once(tree: Path) -> None:
    make(tree, {".git/HEAD": "", ".gitignore": "node_modules/\n*.o\n", ".ignore": "*.i\n", ".rgignore": "*.r\n"})
    make(tree, dict.fromkeys(["node_modules/a/b", "node_modules/c", "x.o", "x.i", "x.r", ".hid/x", "x"], "x"))
    make(tree, {".git/info/exclude": "mine\n", "mine": "x"})
    assert found(tree) == ["x"]
    assert skipped(tree) == {
        ".git/": "Git's own data",
        ".gitignore": "hidden",
        ".hid/": "hidden",
        ".ignore": "hidden",
        ".rgignore": "hidden",
        "mine": "ignored by .git/info/exclude",
        "node_modules/": "ignored by .gitignore",
        "x.i": "ignored by .ignore",
        "x.o": "ignored by .gitignore",
        "x.r": "ignored by .rgignore",
    }
    assert ".hid/x" in found(tree, Walking(hidden=True))
    assert "node_modules/a/b" in found(tree, Walking(ignore=False))
    assert not any(name.startswith(".git/") for name in found(tree, Walking(hidden=True, ignore=False)))


def test_gitignore_holds_only_inside_a_repository_and_ignore_everywhere(tree: Path) -> None:
    make(tree, {".gitignore": "a\n", ".ignore": "b\n", "a": "x", "b": "x"})
    assert found(tree) == ["a"]


def test_rules_above_the_folder_hold_up_to_the_root_of_the_repository(tree: Path) -> None:
    make(tree, {".gitignore": "outer\n", ".ignore": "any\n", "repo/.git/HEAD": "", "repo/.gitignore": "*.o\n/sub/anchored\n"})
    make(tree, dict.fromkeys([f"repo/sub/{name}" for name in ("outer", "any", "a.o", "anchored", "kept")], "x"))
    assert found(tree / "repo" / "sub") == ["kept", "outer"]


def test_a_repository_in_a_repository_has_only_its_own_rules(tree: Path) -> None:
    make(tree, {".git/HEAD": "", ".gitignore": "*.o\n", "a.o": "x", "inner/.git/HEAD": "", "inner/a.o": "x"})
    assert found(tree) == ["inner/a.o"]


def test_an_ignored_folder_that_the_user_names_is_read(tree: Path) -> None:
    make(tree, {".git/HEAD": "", ".gitignore": "build/\n*.o\n", "build/x": "x", "build/x.o": "x"})
    assert found(tree / "build") == ["x"]


def test_rgignore_is_stronger_than_ignore_and_that_than_gitignore_at_any_depth(tree: Path) -> None:
    make(
        tree,
        {
            ".git/HEAD": "",
            ".rgignore": "!a\n",
            "sub/.ignore": "a\n!b\n",
            "sub/.gitignore": "a\nb\n",
            "sub/a": "x",
            "sub/b": "x",
        },
    )
    assert found(tree) == ["sub/a", "sub/b"]


def test_what_a_pattern_asks_for_is_read_though_hidden_but_not_what_is_hidden_in_it(tree: Path) -> None:
    make(tree, {".ignore": "!.github/\n", ".github/w": "x", ".github/.h": "x"})
    assert found(tree) == [".github/w"]


def test_a_folder_that_is_let_in_again_does_not_let_in_what_others_leave_out(tree: Path) -> None:
    make(tree, {".git/HEAD": "", ".gitignore": "*.o\n", "sub/.gitignore": "!foo/\n", "sub/foo/x.o": "x", "sub/foo/y": "x"})
    assert found(tree) == ["sub/foo/y"]


def test_the_users_own_excludes_hold_in_repositories(tree: Path, tmp_path: Path) -> None:
    make(tmp_path / "nobody", {".gitconfig": '[core]\n\texcludesFile = "~/mine"\n', "mine": "*.swp\n"})
    make(tree, {".git/HEAD": "", "a.swp": "x"})
    assert skipped(tree)["a.swp"] == "ignored by Git's global excludes file"


def test_a_worktree_has_the_excludes_of_its_repository(tree: Path) -> None:
    make(tree, {"main/.git/info/exclude": "a\n", "main/.git/worktrees/w/commondir": "../..\n"})
    make(tree, {"w/.git": f"gitdir: {tree}/main/.git/worktrees/w\n", "w/a": "x", "w/b": "x"})
    assert found(tree / "w") == ["b"]


def test_a_file_of_patterns_that_is_nonsense_or_no_file_does_no_harm(tree: Path) -> None:
    make(tree, {".git/HEAD": "", ".gitignore": "lost\\\n[a\n[[x]\n!\n/\n*.o\n", "a.o": "x", "b": "x"})
    os.mkfifo(tree / ".ignore")
    (tree / ".rgignore").mkdir()
    assert found(tree) == ["b"]


def test_links_are_not_followed_so_that_no_loop_is_and_a_link_that_is_named_is(tree: Path) -> None:
    make(tree, {"a/x": "x"})
    (tree / "loop").symlink_to(".")
    (tree / "file").symlink_to("a/x")
    (tree / "dead").symlink_to("nothing")
    assert found(tree) == ["a/x"]
    assert skipped(tree) == dict.fromkeys(["dead", "file", "loop"], "a link")
    assert found(tree / "loop") == ["a/x"]


def test_what_is_no_file_is_skipped_and_never_opened(tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    os.mkfifo(tree / "pipe")
    monkeypatch.chdir(tree)  # the path of a socket may not be long
    with socket.socket(socket.AF_UNIX) as made:
        made.bind("socket")
        assert skipped(tree) == {"pipe": "a named pipe", "socket": "a socket"}


@pytest.mark.parametrize(
    ("problem", "reason"),
    [
        (PermissionError(13, "Permission denied"), "permission denied"),
        (FileNotFoundError(2, "No such file"), "vanished"),
        (OSError(36, "File name too long"), "file name too long"),
    ],
)
def test_a_folder_that_cannot_be_read_is_skipped_with_the_reason(
    tree: Path, monkeypatch: pytest.MonkeyPatch, problem: OSError, reason: str
) -> None:
    make(tree, {"a": "x", "sub/b": "x", "z": "x"})
    real = os.scandir

    def scandir(path: str) -> object:
        if path.endswith("/sub/"):
            raise problem
        return real(path)

    monkeypatch.setattr("os.scandir", scandir)
    assert found(tree) == ["a", "z"]
    assert skipped(tree) == {"sub/": reason}


def test_a_folder_that_is_not_there_is_skipped(tree: Path) -> None:
    assert list(walk(str(tree / "gone"), "gone")) == [Skipped("gone/", "vanished")]


def test_names_that_cannot_be_printed_are_shown_by_escapes_and_stay_apart(tree: Path) -> None:
    for name in (b"\xff", b"\\xff", b"a\nb", b"\x1b[31m"):
        Path(os.fsdecode(os.fsencode(tree) + b"/" + name)).write_text("x")
    files = [each for each in walk(str(tree), ".") if isinstance(each, Found)]
    assert [each.name for each in files] == ["\\x1b[31m", "\\xff", "a\\nb", "\\xff (2)"]
    assert all(Path(each.path).read_text() == "x" for each in files)


def test_a_folder_nested_deeper_than_pythons_stack_is_walked(tree: Path) -> None:
    deep = str(tree)
    for _ in range(1500):
        deep += "/d"
        os.mkdir(deep)  # noqa: PTH102 - 1,500 times
    Path(deep, "x").write_text("x")
    try:
        assert found(tree) == ["d/" * 1500 + "x"]
    finally:
        # What removes temporary folders after the tests would fail of its own recursion.
        for end in range(1500):
            folder = deep[: len(deep) - 2 * end]
            if end == 0:
                os.remove(f"{folder}/x")  # noqa: PTH107
            os.rmdir(folder)  # noqa: PTH106


def test_shown_is_one_line_with_forward_slashes() -> None:
    assert [shown(path) for path in ("./x//y/", ".", "/", "/a/./b", "a\nb")] == ["x/y", ".", "/", "/a/b", "a\\nb"]


_NAMES = st.sampled_from(["a", "b", "ab", "a.b", "c d", "#x", "!y", "[a]", "sub", "x.o", ".h"])
_PARTS = st.sampled_from(
    ["a", "a*", "*", "?", "*.o", "[ab]", "[!a]", "**", "a[!b]*", "[[:alpha:]]", "\\#x", "!y", "[a", "a\\", "sub", "t ", ".h"]
)
_PATTERNS = st.builds(
    "{}{}{}{}".format,
    st.sampled_from(["", "", "!"]),
    st.sampled_from(["", "/"]),
    st.lists(_PARTS, min_size=1, max_size=3).map("/".join),
    st.sampled_from(["", "/"]),
)


@pytest.mark.skipif(shutil.which("git") is None, reason="compares with Git, which is not installed")
@settings(max_examples=40, deadline=None)
@given(
    paths=st.lists(st.lists(_NAMES, min_size=1, max_size=3), min_size=1, max_size=10),
    ignores=st.dictionaries(st.integers(0, 9), st.lists(_PATTERNS, min_size=1, max_size=4), max_size=4),
    hidden=st.booleans(),
)
def test_the_walk_finds_what_git_does(paths: list[list[str]], ignores: dict[int, list[str]], hidden: bool) -> None:
    with tempfile.TemporaryDirectory() as name, pytest.MonkeyPatch.context() as patch:
        patch.setenv("HOME", name)
        patch.delenv("XDG_CONFIG_HOME", raising=False)
        root = Path(name, "tree")
        subprocess.run(["git", "init", "-q", str(root)], check=True, capture_output=True)  # noqa: S603, S607 - Git, with arguments of our own
        for parts in paths:
            if (
                not any(root.joinpath(*parts[:end]).is_file() for end in range(1, len(parts)))
                and not root.joinpath(*parts).is_dir()
            ):
                make(root, {"/".join(parts): "x"})
        folders = sorted(path for path in [root, *root.rglob("*")] if path.is_dir() and ".git" not in path.parts)
        for at, patterns in ignores.items():
            make(folders[at % len(folders)], {".gitignore": "\n".join(patterns) + "\n"})
        command = ["git", "-C", str(root), "ls-files", "-z", "--others", "--cached", "--exclude-standard"]
        listed = {
            os.fsdecode(each)
            for each in subprocess.run(command, check=True, capture_output=True).stdout.split(b"\0")  # noqa: S603 - Git, with arguments of our own
            if each
        }
        mine = set(found(root, Walking(hidden=True)))
        assert mine == listed
        if not hidden:
            # What a pattern asks for is read though hidden; all else that is hidden is not.
            assert (
                {each for each in listed if not any(part.startswith(".") for part in each.split("/"))}
                <= set(found(root))
                <= listed
            )
