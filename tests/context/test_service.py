"""What cells ask of the sources: answered, checked, counted."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from llm_rlm.context import Context, Coverage, Service, Sources, from_any

if TYPE_CHECKING:
    from collections.abc import Iterator


class Asked:
    """A service over a few files."""

    def __init__(self, context: Context, cache: Path | None = None) -> None:
        self.coverage = Coverage(context.documents)
        self.told: list[str] = []
        self.service = Service(context, self.coverage, cache, self.told.append)

    def __call__(self, name: str, **arguments: object) -> Any:
        answer = self.service.answer(name, arguments, lambda: False)
        return answer if isinstance(answer, str) or name in {"read", "texts"} else json.loads(answer)

    def grep(self, pattern: str, **more: object) -> Any:
        fixed = {"within": None, "ignore_case": False, "fixed": False, "context": 0, "limit": 10}
        return self("grep", pattern=pattern, **(fixed | more))


@pytest.fixture
def context(tmp_path: Path) -> Iterator[Context]:
    (tmp_path / "a.log").write_bytes("grün\r\nred apple\nblue\n".encode())
    (tmp_path / "b.log").write_bytes(b"red sky at night\nno colour")
    (tmp_path / "t.csv").write_text("name,n\nx,1\ny,2\n")
    made = from_any(Sources(("a.log", "b.log", "t.csv"), base=str(tmp_path)))
    yield made
    made.discard()


@pytest.fixture
def ask(context: Context) -> Iterator[Asked]:
    asked = Asked(context)
    yield asked
    asked.service.close()


def test_texts_are_listed_and_read_and_what_is_read_is_counted(ask: Asked) -> None:
    assert ask("listing") == [["a.log", "b.log", "t.csv"], [22, 26, 15]]
    assert ask("read", document=0, start=2, end=7) == "grün\r\n".encode()[2:7]
    assert ask("fits", document=1) is True
    assert [(covered.read, covered.sent) for covered in ask.coverage.finish([], lambda: False)] == [(5, 0), (0, 0), (0, 0)]


def test_what_is_read_ahead_counts_once_it_is_touched(ask: Asked) -> None:
    assert ask("texts", first=1, end=3) == b"\1\1red sky at night\nno colourname,n\nx,1\ny,2\n"
    assert ask.coverage.touched() == set()
    ask.service.touched([2, 0, 99, -1, True, "1", None, [1]])  # of others, a guest can claim nothing
    assert ask.coverage.touched() == {2}
    ask("texts", first=0, end=0)
    ask.service.touched([1])
    assert ask.coverage.touched() == {2}


def test_a_text_that_is_gone_is_left_out_of_those_read_ahead(ask: Asked, context: Context) -> None:
    Path(context.documents[1].path).unlink()
    assert ask("texts", first=1, end=3) == b"\0\1name,n\nx,1\ny,2\n"
    ask.service.touched([1, 2])
    assert ask.coverage.touched() == {2}


def test_a_needle_is_found_and_counted(ask: Asked) -> None:
    assert ask("find", document=0, needle="red", start=0, end=22, last=False) == 7
    assert ask("find", document=0, needle="\xc3\xbc", start=0, end=22, last=True) == 2
    assert ask("count", document=1, needle="n", start=0, end=26) == 2


def test_grep_gives_lines_with_their_places(ask: Asked) -> None:
    found = ask.grep("r(e)d|gr.n")
    assert found["hits"] == [
        ["a.log", 1, 1, 0, 5, "grün", [], []],
        ["a.log", 2, 1, 7, 10, "red apple", [], []],
        ["b.log", 1, 1, 0, 3, "red sky at night", [], []],
    ]
    assert (found["total"], found["counts"]) == (3, {"a.log": 2, "b.log": 1})
    assert ask.grep("RED", ignore_case=True, within=["b*"])["counts"] == {"b.log": 1}
    assert ask.grep("r(e)d", fixed=True)["total"] == 0
    (hit,) = ask.grep("apple", context=1)["hits"]
    assert hit[6:] == [["grün"], ["blue"]]
    assert (len(ask.grep("e", limit=1)["hits"]), ask.grep("e", limit=1)["total"]) == (1, 4)


def test_lines_end_where_they_end(ask: Asked) -> None:
    lines = ["grün", "red apple", "blue", "red sky at night", "no colour", "name,n", "x,1", "y,2"]
    assert [hit[5] for hit in ask.grep("^")["hits"]] == lines
    assert ask.grep("apple.blue")["total"] == ask.grep(r"apple\sblue")["total"] == ask.grep("apple[^x]blue")["total"] == 0
    assert ask.grep("apple$")["total"] == 1


def test_search_finds_passages_and_keeps_its_index_by_content(context: Context, tmp_path: Path) -> None:
    for _ in range(2):
        ask = Asked(context, tmp_path / "cache")
        (best, *_) = ask("search", query="night sky", k=3, within=None)["hits"]
        assert (best[0], best[1], best[5]) == ("b.log", 1, "red sky at night\nno colour")
        assert ask("search", query="red", k=3, within=["a.log"])["hits"][0][0] == "a.log"
        assert ask("search", query='"; drop table', k=3, within=None)["hits"] == []
        assert ask.told[-1] == ""
    assert len(list((tmp_path / "cache" / "indexes").iterdir())) == 1


def test_sql_queries_the_tables(ask: Asked) -> None:
    rows = ask("sql", query="select sum(n) as total from t", limit=5)
    assert (rows["columns"], rows["rows"], rows["tables"]) == (["total"], [[3]], ["t"])
    assert "no_such" in ask("sql", query="select * from no_such", limit=5)
    assert ask.coverage.touched() == {2}


@pytest.mark.parametrize(
    ("name", "arguments", "says"),
    [
        ("nothing", {}, "there is no helper 'nothing'"),
        ("read", {"document": 9, "start": 0, "end": 1}, "document must be a whole number from 0 to 2"),
        ("read", {"document": True, "start": 0, "end": 1}, "document must be a whole number"),
        ("read", {"document": 0, "start": -1, "end": 1}, "start must be a whole number from 0 to 22"),
        ("read", {"document": 0, "start": 5, "end": 1}, "end must be a whole number from 5 to 22"),
        ("texts", {"first": 1, "end": 4}, "end must be a whole number from 1 to 3"),
        ("find", {"document": 0, "start": 0, "end": 1, "needle": 5, "last": False}, "needle must be a str"),
        ("grep", {"pattern": ""}, "pattern must be a str of 1 to 10,000 characters"),
        ("grep", {"pattern": "x", "ignore_case": 1}, "ignore_case must be True or False"),
        ("search", {"query": "x", "k": 0}, "k must be a whole number from 1 to 1,000"),
        ("search", {"query": "x", "k": 1, "within": [1]}, "within must be a name"),
        ("search", {"query": "x", "k": 1, "within": ["a.lgo"]}, "no text is named or matches 'a.lgo'; like it: a.log"),
        ("more", {"handle": 0, "start": 0, "count": 1}, "there is no query to have more rows of"),
    ],
)
def test_a_wrong_question_is_answered_with_what_is_wrong(
    ask: Asked, name: str, arguments: dict[str, object], says: str
) -> None:
    answer = ask.service.answer(name, arguments, lambda: False)
    assert isinstance(answer, str)
    assert says in answer


@pytest.mark.parametrize(("pattern", "says"), [("(", "bad pattern: missing )"), (r"(?=x)", "grep has no look-around")])
def test_a_bad_pattern_is_said_to_be_one(ask: Asked, pattern: str, says: str) -> None:
    assert says in ask.grep(pattern)


def test_a_text_that_is_gone_is_said_to_be(ask: Asked, context: Context) -> None:
    Path(context.documents[0].path).unlink()
    assert "a.log was there when the run began" in ask("read", document=0, start=0, end=1)
    found = ask.grep("red")
    assert (found["counts"], found["unreadable"][0][0]) == ({"b.log": 1}, "a.log")


def test_of_a_json_value_no_helper_knows_anything() -> None:
    value = from_any([1, 2])
    assert Asked(value).grep("1") == "`context` is a list, not text: look at it with Python"
    value.discard()


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-2, 30) | st.integers() | st.floats() | st.text(max_size=9),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=2),
    max_leaves=4,
)
_SHAPES = st.lists(
    st.sampled_from(["(", ")", "[", "]", "{9999}", "*", "+", "?", "|", "^", "$", "\\", "\\p{L}", "a", "\0", "é", "."])
)
_SQL = st.lists(
    st.sampled_from(
        [
            *(
                "SELECT",
                "*",
                "FROM",
                "t",
                "WHERE",
                "name",
                "=",
                "'",
                '"',
                ";",
                "--",
                "(",
                ")",
                ",",
                "1",
                "UNION",
                "ATTACH",
                "COPY",
            ),
            *(
                "TO",
                "read_text('/etc/hostname')",
                "PRAGMA",
                "INSTALL",
                "LOAD",
                "'/tmp/a.csv'",
                "WITH RECURSIVE",
                "\0",
                "DROP TABLE t",
            ),
            *(
                "getenv('HOME')",
                "glob('/*')",
                "SET enable_external_access=true",
                "CREATE TABLE x AS",
                "range(1000000000)",
                "LIMIT 1",
            ),
        ]
    ),
    min_size=1,
    max_size=8,
).map(" ".join)
_ARGUMENTS = st.fixed_dictionaries(
    {},
    optional={
        "pattern": _SHAPES.map("".join) | _JSON,
        "query": st.text(max_size=20) | _JSON,
        "within": st.none() | st.lists(_SHAPES.map("".join), max_size=2) | st.just("*.log") | _JSON,
        "needle": st.text(max_size=4) | _JSON,
        **dict.fromkeys(["ignore_case", "fixed", "last"], st.booleans() | _JSON),
        **dict.fromkeys(
            ["context", "limit", "k", "document", "start", "end", "first", "handle", "count"], st.integers(0, 25) | _JSON
        ),
    },
)
_PLAIN = {
    "ignore_case": False,
    "fixed": False,
    "last": False,
    "context": 0,
    "limit": 10,
    "k": 3,
    "document": 0,
    "start": 0,
    "end": 5,
}


@pytest.fixture(scope="module")
def probed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Asked]:
    folder = tmp_path_factory.mktemp("probed")
    (folder / "a.log").write_bytes("grün\r\nred apple\nblue\n".encode())
    (folder / "t.csv").write_text("name,n\nx,1\ny,2\n")
    made = from_any(Sources(("a.log", "t.csv"), base=str(folder)))
    asked = Asked(made)
    yield asked
    asked.service.close()
    made.discard()


@settings(max_examples=400)
@given(st.sampled_from(["listing", "read", "texts", "fits", "find", "count", "grep", "search", "more", "launch"]), _ARGUMENTS)
def test_whatever_is_asked_there_is_an_answer_or_what_is_wrong_with_the_question(
    probed: Asked, name: str, arguments: dict[str, object]
) -> None:
    for given_arguments in (arguments, _PLAIN | arguments):
        answer = probed.service.answer(name, given_arguments, lambda: False)
        assert isinstance(answer, bytes) or (answer and len(answer) < 20_000)
    probed.service.touched([*arguments.values(), -1, 10**30])


@settings(max_examples=60)
@given(_SQL)
def test_whatever_sql_is_asked_it_reads_the_tables_alone_and_ends(probed: Asked, query: str) -> None:
    answer = probed.service.answer("sql", {"query": query, "limit": 5}, lambda: False)
    text = answer if isinstance(answer, str) else answer.decode()
    for outside in (Path("/etc/hostname").read_text().strip(), os.environ["HOME"]):
        assert outside not in text
    assert not Path("/tmp/a.csv").exists()  # noqa: S108 - what a query tries to write


def test_too_many_patterns_are_refused_and_a_very_long_one_takes_no_time(ask: Asked) -> None:
    assert "at most 1,000 patterns" in ask.grep("a", within=[f"{number}*" for number in range(1001)])
    assert "no text is named or matches" in ask.grep("a", within=["*a" * 100_000])
