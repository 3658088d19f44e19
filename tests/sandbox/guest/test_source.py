from __future__ import annotations

import builtins
import inspect
import io
import linecache
from contextlib import redirect_stdout
from types import FunctionType
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llm_rlm.sandbox.guest import awaits, clock, source

from . import programs

if TYPE_CHECKING:
    from collections.abc import Iterator

KNOWN = awaits.Known(session=frozenset({"llm_query"}))


@pytest.fixture(autouse=True)
def ticks() -> Iterator[list[int]]:
    """How often the time was checked."""
    made: list[int] = []

    def tick() -> bool:
        made.append(1)
        return True

    setattr(builtins, clock.TICK, tick)
    yield made
    delattr(builtins, clock.TICK)


def run(code: str) -> tuple[dict[str, Any], object]:
    """The namespace and the last value of a cell."""
    cell = source.compile_cell(code, "<test cell>", KNOWN)
    namespace: dict[str, Any] = {}
    if cell.body is not None:
        FunctionType(cell.body, namespace)()
    value = FunctionType(cell.last, namespace)() if cell.last is not None else None
    namespace.pop("__builtins__", None)
    return namespace, value


@given(st.lists(programs.statements, max_size=4), programs.expressions)
def test_a_program_that_asks_nothing_means_what_it_meant(statements: list[str], last: str) -> None:
    program = "\n".join([programs.BEGINNING, *statements])
    expected: dict[str, Any] = {}
    with redirect_stdout(io.StringIO()) as wanted_output:
        exec(program, expected)  # noqa: S102 - generated here
        wanted = eval(last, expected)  # noqa: S307 - generated here
    with redirect_stdout(io.StringIO()) as output:
        # Named, so that the cell is read for forgotten awaits.
        namespace, value = run(f"{program}  # llm_query, asyncio\n{last}")
    assert (value, output.getvalue()) == (wanted, wanted_output.getvalue())
    assert {name: namespace[name] for name in ("log", "a", "b", "c")} == {
        name: expected[name] for name in ("log", "a", "b", "c")
    }


@pytest.mark.parametrize(
    ("code", "checks"),
    [
        ("for i in range(3): pass", 3),
        ("n = 3\nwhile n: n -= 1", 3),
        ("[i for i in range(3)]", 3),
        ("[(i, j) for i in range(3) for j in range(2)]", 9),
        ("def f(): pass\nf(); f()", 2),
        ("x = 1", 0),
    ],
)
def test_every_turn_of_a_loop_and_every_call_checks_the_time(ticks: list[int], code: str, checks: int) -> None:
    run(code)
    assert len(ticks) == checks


def test_only_a_last_expression_has_a_value() -> None:
    assert run("1\n2")[1] == 2
    assert run("1\nx = 2")[1] is None
    assert source.compile_cell("", "<test cell>") == source.Cell(None, None)


def test_tracebacks_find_the_source() -> None:
    source.compile_cell("a = 1\nb = 2", "<test cell 7>")
    assert linecache.getline("<test cell 7>", 2) == "b = 2"


def test_top_level_await_makes_a_coroutine() -> None:
    cell = source.compile_cell("await f()\nawait g()", "<test cell>")
    for code in (cell.body, cell.last):
        assert code is not None
        assert code.co_flags & inspect.CO_COROUTINE


def test_a_cell_that_cannot_await_what_it_uses_is_a_syntax_error_with_its_line() -> None:
    with pytest.raises(SyntaxError) as problem:
        source.compile_cell("x = 1\nf = lambda: llm_query(x).strip()", "<test cell>", KNOWN)
    assert (problem.value.filename, problem.value.lineno) == ("<test cell>", 2)
    assert (problem.value.text or "").rstrip() == "f = lambda: llm_query(x).strip()"


def test_what_was_made_async_is_told_by_name_and_line() -> None:
    cell = source.compile_cell("x = 1\ndef f(): return llm_query(x)", "<test cell>", KNOWN)
    assert cell.made_async == {("f", 2)}


def test_code_that_is_nested_too_deeply_is_refused() -> None:
    with pytest.raises(SyntaxError, match="nested too deeply"):
        source.compile_cell("+".join(["1"] * 900), "<test cell>")


def test_what_a_program_prints_of_itself_does_not_show_the_checks() -> None:
    namespace, _ = run("def f():\n    'doc'\n    return 1")
    assert inspect.getsource(namespace["f"]) == "def f():\n    'doc'\n    return 1"
