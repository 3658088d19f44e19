from __future__ import annotations

import pytest

from llm_rlm.context.sources.gitignore import Patterns


@pytest.mark.parametrize(
    ("pattern", "path", "matches"),
    [
        (b"*.o", b"sub/a.o", True),
        (b"/*.o", b"sub/a.o", False),
        (b"a/*.o", b"a/b/x.o", False),
        (b"a/**/x", b"a/x", True),
        (b"a/**/x", b"a/b/c/x", True),
        (b"**/b/x", b"b/x", True),
        (b"a/**", b"a", False),
        (b"a/**", b"a/b/c", True),
        (b"a**b", b"axxb", True),
        (b"a?c", b"a/c", False),
        (b"/a[!b]c", b"a/c", False),
        (b"[[:digit:]]z", b"1z", True),
        (b"[]a]", b"]", True),
        (b"[\\]]", b"]", True),
        (b"[a", b"[a", False),
        (b"[[:none:]]", b"a", False),
        (b"lost\\", b"lost\\", False),
        (b"\\#x", b"#x", True),
        (b"#x", b"#x", False),
        (b"\\!x", b"!x", True),
        (b"x  ", b"x", True),
        (b"x\\ ", b"x ", True),
        (b"x\r", b"x", True),
        (b"\xef\xbb\xbfx", b"x", True),
        (b"*", b"a\nb\xff", True),
        (b"/", b"a", False),
    ],
)
def test_a_pattern_means_what_it_means_to_git(pattern: bytes, path: bytes, matches: bool) -> None:
    assert Patterns(pattern + b"\n").ignores(path, folder=False) is (True if matches else None)


def test_the_last_pattern_that_matches_decides_and_one_of_folders_is_of_folders_alone() -> None:
    patterns = Patterns(b"*.o\n!keep.o\nbuild/\n")
    assert [patterns.ignores(path, folder=False) for path in (b"a.o", b"keep.o", b"build", b"x")] == [True, False, None, None]
    assert patterns.ignores(b"build", folder=True)


def test_what_is_in_an_ignored_folder_is_not_matched_by_the_pattern_of_the_folder() -> None:
    assert Patterns(b"build/\n").ignores(b"build/x", folder=False) is None


def test_many_patterns_are_no_trouble() -> None:
    patterns = Patterns(b"\n".join(b"*name%d*" % number for number in range(3000)))
    assert patterns.ignores(b"sub/aname2999b", folder=False)
    assert patterns.ignores(b"sub/other", folder=False) is None


def test_a_file_without_patterns_is_none() -> None:
    assert not Patterns(b"# only words\n\n")
