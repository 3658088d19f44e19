from __future__ import annotations

import ast
import builtins
import inspect
import linecache
from types import FunctionType
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llm_rlm.sandbox.guest import clock, source

if TYPE_CHECKING:
    from collections.abc import Iterator


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
    cell = source.compile_cell(code, "<test cell>")
    namespace: dict[str, Any] = {}
    if cell.body is not None:
        FunctionType(cell.body, namespace)()
    value = FunctionType(cell.last, namespace)() if cell.last is not None else None
    namespace.pop("__builtins__", None)
    return namespace, value


_numbers = st.integers(-3, 5).map(str)
_names = st.sampled_from("abc")
_atoms = _numbers | _names
_expressions = st.recursive(
    _atoms,
    lambda inner: (
        st.builds("({} {} {})".format, inner, st.sampled_from(["+", "-", "*", "<", "and", "or"]), inner)
        | st.builds("sum([{} for i in range({}) if {}])".format, inner, st.integers(0, 4), inner)
        | st.builds("len({{i: {} for i in range(3)}})".format, inner)
        | st.builds("(lambda x: x + {})({})".format, inner, inner)
        | st.builds("({} if {} else {})".format, inner, inner, inner)
    ),
    max_leaves=4,
)


def _indented(lines: list[str]) -> str:
    return "\n".join("    " + line for part in lines for line in part.split("\n"))


def _body(inner: st.SearchStrategy[str]) -> st.SearchStrategy[list[str]]:
    return st.lists(inner, min_size=1, max_size=2)


_simple = st.builds("{} = {}".format, _names, _expressions) | st.builds("log.append({})".format, _expressions)
_statements = st.recursive(
    _simple,
    lambda inner: (
        st.builds(
            lambda n, body: f"for i in range({n}):\n{_indented(body)}\nelse:\n    log.append(i0)",
            st.integers(0, 3),
            _body(inner),
        )
        | st.builds(lambda n, body: f"k = {n}\nwhile k > 0:\n    k -= 1\n{_indented(body)}", st.integers(0, 3), _body(inner))
        | st.builds(lambda test, body: f"if {test}:\n{_indented(body)}", _expressions, _body(inner))
        | st.builds(
            lambda doc, body: (
                f"def f():\n{doc}    global a, b, c\n{_indented(body)}\n    return a\nlog.append((f(), f.__doc__))"
            ),
            st.sampled_from(["", '    "a docstring"\n']),
            _body(inner),
        )
        | st.builds(
            lambda body: f"try:\n{_indented(body)}\n    raise KeyError\nexcept KeyError as e:\n    log.append(repr(e))",
            _body(inner),
        )
    ),
    max_leaves=5,
)


@given(st.lists(_statements, max_size=4), _expressions)
def test_an_instrumented_program_computes_the_same(statements: list[str], last: str) -> None:
    program = "\n".join(["log, i0, a, b, c = [], 0, 1, 2, 3", *statements])
    expected: dict[str, Any] = {}
    exec(program, expected)  # noqa: S102 - generated here
    wanted = eval(last, expected)  # noqa: S307 - generated here
    namespace, value = run(f"{program}\n{last}")
    assert value == wanted
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


@pytest.mark.parametrize(
    ("code", "replaced"),
    [
        ("asyncio.run(main())", True),
        ("x = [asyncio.run(main())]", True),
        ("loop.run_until_complete(main())", True),
        ("async def f(): asyncio.run(main())", True),
        ("class C:\n    async def f(self): asyncio.run(main())", True),
        ("def outer():\n    async def f(): asyncio.run(main())", True),
        ("def f(): asyncio.run(main())", False),
        ("f = lambda: asyncio.run(main())", False),
        ("x = (asyncio.run(f) for f in fs)", False),
        ("subprocess.run(main())", False),
    ],
)
def test_asyncio_run_becomes_await_where_await_is_allowed(code: str, replaced: bool) -> None:
    tree = source._Awaits().visit(ast.parse(code))
    assert (source.RUN in ast.unparse(tree)) == replaced


def test_code_that_is_nested_too_deeply_is_refused() -> None:
    with pytest.raises(SyntaxError, match="nested too deeply"):
        source.compile_cell("+".join(["1"] * 900), "<test cell>")


def test_what_a_program_prints_of_itself_does_not_show_the_checks() -> None:
    namespace, _ = run("def f():\n    'doc'\n    return 1")
    assert inspect.getsource(namespace["f"]) == "def f():\n    'doc'\n    return 1"
