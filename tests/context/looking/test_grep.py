"""Lines that match: what ripgrep would find, and what it would not."""

from __future__ import annotations

import re
import threading
import time
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llm_rlm.context import Document
from llm_rlm.context.looking import grep, lines
from llm_rlm.context.looking.grep import BadPatternError, Grepped, Query
from llm_rlm.context.looking.scan import StoppedError

if TYPE_CHECKING:
    from pathlib import Path

PIECES = [b"a", b"b", b"c", b"ab", b" ", b"\n", b"\r\n", b"\r", b"\xff", "ä".encode()]
CONTENT = st.lists(st.sampled_from(PIECES), max_size=60).map(b"".join)
PATTERNS = [
    "a",
    "ab",
    "^a",
    "a$",
    "^$",
    "a*",
    "(a|b)+c",
    r"\bab\b",
    "(?i)AB",
    r"a\B",
    r"\Aa",
    r"a\z",
    "c[ab]*$",
    "(?-m)^b",
    "b?",
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("grep")


def document(folder: Path, content: bytes, name: str = "a.txt") -> Document:
    path = folder / name
    path.write_bytes(content)
    return Document(name, str(path), len(content))


def search(text: Document, query: Query) -> Grepped:
    return grep.grep([(0, text)], query, lambda: False)


def found(folder: Path, content: bytes, pattern: str) -> list[str]:
    return [
        content[hit.start : hit.end].decode("utf-8", "replace")
        for hit in search(document(folder, content), Query(pattern)).hits
    ]


def by_line(content: bytes, pattern: str) -> list[tuple[int, int, int]]:
    """Line, start and end of the first match in each line, as `re` finds them."""
    compiled = re.compile(pattern.replace(r"\z", r"\Z").replace("(?-m)", "").encode())
    hits, offset = [], 0
    for number, line in enumerate(content.split(b"\n")[: -1 if content.endswith(b"\n") or not content else None], 1):
        match = compiled.search(line.removesuffix(b"\r"))
        if match:
            hits.append((number, offset + match.start(), offset + match.end()))
        offset += len(line) + 1
    return hits


@given(CONTENT, st.sampled_from(PATTERNS), st.sampled_from([0, 1, 3, 1000]), st.sampled_from([4, 16, 1 << 19]), st.booleans())
def test_each_line_is_searched_as_by_itself(
    folder: Path, content: bytes, pattern: str, limit: int, block: int, parts: bool
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(lines, "BLOCK", block)
        if parts:  # in small ones, by two threads, sixteen hits at a time
            patch.setattr(grep, "_PART", 5)
            patch.setattr(grep, "_DENSE", 1 << 20)
            patch.setattr(grep, "_WORTH_A_THREAD", 0)
        result = search(document(folder, content), Query(pattern, limit=limit))
    expected = by_line(content, pattern)
    assert [(hit.line, hit.start, hit.end) for hit in result.hits] == expected[:limit]
    assert result.total == len(expected) == sum(result.counts.values())


LONG = [b"a" * 39, b"." * 60, b"foo", b"fo", b"\n", b"\r\n", "ä".encode() * 5]


@given(
    st.lists(st.sampled_from(LONG), max_size=14).map(b"".join),
    st.sampled_from(["foo", "^foo", "foo$", r"foo\.", r"\bfoo\b", r"\Afoo", r"foo\z"]),
)
def test_a_line_that_is_too_long_to_hold_is_one_line(folder: Path, content: bytes, pattern: str) -> None:
    with pytest.MonkeyPatch.context() as patch:
        for name, value in (("BLOCK", 8), ("LEAST", 1), ("WINDOW", 32), ("OVERLAP", 12)):
            patch.setattr(lines, name, value)
        result = search(document(folder, content), Query(pattern))
    assert [(hit.line, hit.start, hit.end) for hit in result.hits] == by_line(content, pattern)
    for hit in result.hits:
        begin = content.rfind(b"\n", 0, hit.start) + 1
        assert hit.column == len(content[begin : hit.start].decode()) + 1


def test_a_hit_says_where_it_is_and_what_is_around_it(folder: Path) -> None:
    text = document(folder, "one\r\nz\u00e4h two\nthree\n".encode())
    [hit] = search(text, Query("two", context=1)).hits
    assert (hit.line, hit.column, hit.start, hit.end) == (2, 5, 10, 13)
    assert (hit.text, hit.before, hit.after, hit.cut) == ("z\u00e4h two", ("one",), ("three",), False)


def test_context_ends_where_the_text_does(folder: Path) -> None:
    text = document(folder, b"a\n" + b"x" * 10_000 + b"\nb\n\nc")
    [hit] = search(text, Query("b", context=9)).hits
    assert [len(line) for line in hit.before] == [1, 2000]
    assert hit.after == ("", "c")


def test_a_long_line_is_cut_around_the_match(folder: Path) -> None:
    text = document(folder, "\u20ac".encode() * 5000 + b"here" + "\u20ac".encode() * 5000 + b"\n")
    [hit] = search(text, Query("here")).hits
    assert hit.text == "\u20ac" * 1000 + "here" + "\u20ac" * 996
    assert hit.cut
    assert hit.column == 5001


def test_bytes_that_are_no_utf_8_are_in_nobodys_way(folder: Path) -> None:
    assert found(folder, b"\xe4\xff foo \xc3\n\xe4foo\n", "foo") == ["foo", "foo"]
    [hit, _] = search(document(folder, b"\xe4\xff foo \xc3\n\xe4foo\n"), Query("foo")).hits
    assert (hit.column, hit.text) == (4, "\ufffd\ufffd foo \ufffd")


@pytest.mark.parametrize(
    ("content", "pattern", "expected"),
    [
        ("K\u00e4se 12", r"\w+", "K\u00e4se"),
        ("\u041c\u043e\u0441\u043a\u0432\u0430!", r"[\w]+", "\u041c\u043e\u0441\u043a\u0432\u0430"),
        ("\u00fc-\u00fc", r"\W", "-"),
        ("\u0663", r"\d", "\u0663"),
        ("a\u00a0b", r"a\sb", "a\u00a0b"),
        ("STRA\u00c9", "(?i)stra\u00e9", "STRA\u00c9"),
        ("a[b", r"\Q[\E", "["),
        ("]x", r"[]x]+", "]x"),
        ("a$", r"[$]", "$"),
    ],
)
def test_patterns_are_unicode(folder: Path, content: str, pattern: str, expected: str) -> None:
    assert found(folder, content.encode(), pattern) == [expected]


@pytest.mark.parametrize("pattern", [r"a\sb", "a[^x]b", "(?s)a.b", r"a[\s\S]b", r"a\Wb", r"a\Cb"])
def test_nothing_matches_a_newline(folder: Path, pattern: str) -> None:
    assert found(folder, b"a\nb\n", pattern) == []


def test_the_return_before_a_newline_is_no_part_of_the_line(folder: Path) -> None:
    assert found(folder, b"foo\r\n", "foo$") == ["foo"]
    assert found(folder, b"foo\r\n", "foo.*") == ["foo"]
    assert found(folder, b"foo\r\n", "foo.$") == []


def test_a_fixed_string_is_no_pattern(folder: Path) -> None:
    text = document(folder, b"a.c\nabc\nA.C\n")
    assert [hit.line for hit in search(text, Query("a.c", fixed=True)).hits] == [1]
    assert [hit.line for hit in search(text, Query("a.c", fixed=True, ignore_case=True)).hits] == [1, 3]


@pytest.mark.parametrize(
    ("pattern", "says"),
    [
        ("a(?=b)", "use re on the text itself"),
        (r"(a)\1", "use re on the text itself"),
        ("(a", r"missing \)"),
        ("a)(b", r"unexpected \)"),
        (r"a\nb", "one at a time"),
        ("a\nb", "one at a time"),
        ("\ud800", "no text can hold"),
        ("\\b\u041c\u043e\u0441\u043a\u0432\u0430\\b", "ASCII"),
        ("a{2000}", "repetition size"),
        (r"(?:\pL{900})", "too large"),
    ],
)
def test_a_bad_pattern_says_what_to_do(folder: Path, pattern: str, says: str) -> None:
    with pytest.raises(BadPatternError, match=says):
        search(document(folder, b"a"), Query(pattern))


def test_a_pattern_that_repeats_as_often_as_may_be_is_searched_all_the_same(folder: Path) -> None:
    content = b"x" * 1000 + b"\n"
    assert search(document(folder, content * 40), Query("x{1000}", limit=1)).total == 40


@pytest.mark.parametrize("pattern", ["(x+x+)+y", r"([a-z].{0,99}){9}\x01", r"(?i)[a-m].{900}\x01", r"\A.*[xr].{300}\x01"])
def test_no_pattern_keeps_a_search_from_being_stopped(folder: Path, pattern: str) -> None:
    text = document(folder, b"Dec 10 06:55:46 LabSZ sshd[24200]: xxxxxxxx reverse mapping checking getaddrinfo\n" * 1_000_000)
    stop = threading.Event()
    timer = threading.Timer(0.3, stop.set)
    begun = time.perf_counter()
    timer.start()
    try:
        grep.grep([(0, text)], Query(pattern), stop.is_set)
    except StoppedError:
        assert time.perf_counter() - begun < 2  # 0.35 where nothing else runs
    finally:
        timer.cancel()


def test_what_is_gone_is_told_and_the_rest_searched(folder: Path) -> None:
    texts = [document(folder, b"a\n", f"{number}.txt") for number in range(3)]
    (folder / "1.txt").unlink()
    (folder / "2.txt").write_bytes(b"")
    result = grep.grep(list(enumerate(texts)), Query("a"), lambda: False)
    assert [hit.document for hit in result.hits] == [0]
    assert result.counts == {0: 1}
    assert [number for number, _ in result.unreadable] == [1, 2]


def test_hits_are_given_up_to_the_limit_and_counted_beyond_it(folder: Path) -> None:
    texts = [(number, document(folder, b"a\nb\na\n", f"{number}.txt")) for number in (7, 3)]
    result = grep.grep(texts, Query("a", limit=3), lambda: False)
    assert [(hit.document, hit.line) for hit in result.hits] == [(7, 1), (7, 3), (3, 1)]
    assert (result.total, result.counts) == (4, {7: 2, 3: 2})
    counted = grep.grep(texts, Query("a", count_only=True), lambda: False)
    assert (counted.hits, counted.total) == ([], 4)


def test_what_a_file_gained_is_no_part_of_it(folder: Path) -> None:
    text = document(folder, b"a\na")
    (folder / "a.txt").write_bytes(b"a\nab\na\n")
    assert [(hit.line, hit.text) for hit in search(text, Query("a$")).hits] == [(1, "a"), (2, "a")]
