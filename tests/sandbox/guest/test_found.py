"""What the helpers return says where it is from, and prints well."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from llm_rlm.sandbox.guest.found import Hit, Hits, Passages, Row, Rows


def hits(count: int = 2, total: int | None = None, **more: object) -> Hits:
    found = [["a.py", at + 5, 3, 40, 45, f"line {at}", [], []] for at in range(count)]
    answer = {"hits": found, "total": count if total is None else total, "counts": {"a.py": 1}, "unreadable": []}
    return Hits({**answer, **more})


def never(*_: object) -> Any:
    raise AssertionError


def rows(count: int = 3, total: int | None = 3, handle: int | None = None, more: Any = never) -> Rows:
    answer = {"columns": ["name", "n"], "types": ["VARCHAR", "BIGINT"], "rows": [[f"x{at}", at] for at in range(count)]}
    return Rows({**answer, "total": total, "handle": handle, "tables": ["t"], "cut": 0, "notes": None}, more)


# Lines


def test_a_hit_is_its_line_with_its_place() -> None:
    (hit, _) = hits()
    assert hit == "line 0"
    assert (hit.name, hit.line, hit.column, hit.start, hit.end, hit.before, hit.after) == ("a.py", 5, 3, 40, 45, [], [])
    assert (hit["line"], hit["text"], hit[0], hit[:4]) == (5, "line 0", "l", "line")
    assert type(str(hit)) is str
    with pytest.raises(KeyError, match="'col': there are 'text', 'name', 'line'"):
        hit["col"]


def test_hits_are_shown_as_rg_shows_them() -> None:
    assert repr(hits()) == str(hits()) == "a.py:5:3: line 0\na.py:6:3: line 1"
    assert repr(Hit.made(["a", 5, 1, 0, 1, "x", ["v", "w"], ["y"]])) == "a-3- v\na-4- w\na:5:1: x\na-6- y"
    assert repr(Hit.made([None, 5, 1, 0, 1, "x", ["w"], []])) == "4- w\n5:1: x"
    assert repr(hits()[1:]) == "a.py:6:3: line 1"
    assert repr(hits(0)) == "(no line matches)"


def test_of_a_long_line_the_match_is_shown() -> None:
    shown = repr(Hit.made(["a", 1, 5001, 5000, 5005, "x" * 5000 + "match" + "y" * 5000, [], []]))
    assert "match" in shown
    assert len(shown) < 350
    assert shown.startswith("a:1:5001: …x")
    assert shown.endswith("y…")


def test_of_many_hits_some_are_shown_and_all_are_counted() -> None:
    found = hits(300, 3512, counts={"a.py": 3000, "b.py": 512}, unreadable=[["c", "gone"]])
    lines = repr(found).splitlines()
    assert lines[99:101] == ["a.py:104:3: line 99", "… 200 more, [100:]"]
    assert lines[101:] == [
        "… 3,512 lines match in 2 texts, see `.counts`; these are 300: narrow the pattern, or give limit=",
        "… not read: c (gone)",
    ]
    assert found.truncated
    assert not hits().truncated
    assert (len(found), found.total, found["total"], found.counts["b.py"]) == (300, 3512, 3512, 512)


def test_results_can_be_awaited() -> None:
    async def use() -> list[Hit]:
        return await hits()

    assert asyncio.run(use()) == ["line 0", "line 1"]


# Passages


def test_a_passage_is_its_text_with_its_place() -> None:
    found = Passages({"hits": [["a.md", 12, 100, 900, 7.25, "word " * 300], ["b.md", 1, 0, 5, 1.0, "short"]]})
    first = found[0]
    assert (first.name, first.line, first.start, first.end, first.score, first["score"]) == ("a.md", 12, 100, 900, 7.25, 7.25)
    assert first == "word " * 300
    assert repr(found).startswith("a.md:12 (score 7.2)\nword word")
    assert repr(found).endswith("…\n\nb.md:1 (score 1.0)\nshort\n")
    assert len(repr(found)) < 700
    assert repr(Passages({"hits": []})) == "(nothing fits)"


# Rows


def test_a_row_is_a_tuple_and_a_dict() -> None:
    row = rows()[1]
    assert row == ("x1", 1)
    name, number = row
    assert (name, number, row[0], row["n"], row.get("n"), row.get("no", 5)) == ("x1", 1, "x1", 1, 1, 5)
    assert dict(row) == {"name": "x1", "n": 1}
    assert isinstance(row, Row)
    with pytest.raises(KeyError, match="'m': the columns are 'name', 'n'"):
        row["m"]


def test_rows_are_shown_as_a_table() -> None:
    assert repr(rows()) == "name  n\n----  -\nx0    0\nx1    1\nx2    2\n(3 rows)"
    assert repr(rows(0, 0)) == "name  n\n----  -\n(0 rows)"
    wide = Rows(
        {**vars(rows()), "rows": [["a\n" * 100, None]], "total": 1, "handle": None, "notes": ["two lines cannot be read"]},
        never,
    )
    lines = repr(wide).splitlines()
    assert lines[2] == "a " * 19 + "a…  NULL"
    assert lines[-2:] == ["(1 row)", "two lines cannot be read"]


def test_more_rows_are_added_until_there_are_none() -> None:
    asked = []

    def more(handle: int, start: int, count: int) -> dict[str, object]:
        asked.append((handle, start, count))
        return {"rows": [[f"x{at}", at] for at in range(start, min(start + count, 5))], "handle": handle, "cut": 1}

    found = rows(2, 5, 7, more)
    assert (found.truncated, len(found)) == (True, 2)
    assert "(2 of 5 rows; `.more(n)` adds others)" in repr(found)
    del found[0]  # what a cell does with its list does not change what comes next
    assert found.more(2) is found
    assert [row["n"] for row in found] == [1, 2, 3]
    assert len(found.more(100)) == 4
    assert (found.truncated, len(found)) == (False, 4)
    assert found.more() is found
    assert asked == [(7, 2, 2), (7, 4, 100)]
    assert found.cut == 2


def test_rows_that_nobody_has_counted_end_where_there_are_none() -> None:
    found = rows(2, None, 7, lambda handle, *_: {"rows": [], "handle": handle})
    assert "(2 rows; `.more(n)` adds others)" in repr(found)
    assert not found.more().truncated
