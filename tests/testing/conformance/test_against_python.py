"""The same random cells, in the sandbox and in a plain Python namespace, show the same."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, rule, run_state_machine_as_test

from llm_rlm.sandbox import Offer, Session
from llm_rlm.testing.conformance import Echo

from .plain import Plain, comparable

if TYPE_CHECKING:
    from collections.abc import Iterator

_DATA, _FUNCTIONS, _CLASSES = ("a", "b", "c", "d"), ("f", "g"), ("C", "D")
_MODULES = ("math", "json", "re", "collections", "itertools", "string", "nowhere_at_all")
_ALL = (*_DATA, *_FUNCTIONS, *_CLASSES, *_MODULES, "i", "e", "n", "_")

_START = """
import asyncio, collections, itertools, json, math, re, string
a, b, c, d = 5, "ab", [1, 2, 3], {"k": 1}
def f(n): return n, n
def g(n, m=0):
    yield n
    yield m
class C:
    made = 0
    def __init__(self, n): self.n = n
    def __repr__(self): return f"C({self.n!r})"
class D(C):
    def twice(self): return [self.n, self.n]
"""

# Expressions

_LITERALS = (
    "0",
    "1",
    "-3",
    "7",
    "2.5",
    "True",
    "None",
    "''",
    "'ab'",
    "'é\\n'",
    "[]",
    "[3, 1, 2]",
    "{}",
    "{'k': 1}",
    "(1, 2)",
    "b'x'",
)
_FORMS = (
    "{x} + {y}", "{x} - {y}", "{x} * 2", "{x} / {y}", "{x} // {y}", "{x} % {y}", "{x} == {y}", "{x} < {y}", "{x} in {y}",
    "not {x}", "{x} and {y}", "{x} or {y}", "{x} if {y} else {x}", "{x}[{y}]", "{x}[1:]", "{x}[::-1]",
    "len({x})", "str({x})", "repr({x})",
    "int({x})", "list({x})", "sorted({x})", "sum({x})", "max({x}, {y})", "abs({x})", "bool({x})", "type({x}).__name__",
    "f'{{{x}!r}} and {{{y}}}'", "f'{{{x}:>5}}'", "[i for i in {x} if i]", "{{i: {y} for i in {x}}}", "sum(i for i in {x})",
    "(lambda n: n + {x})({y})", "(d := {x})", "[*{x}, {y}]", "{{**{x}}}", "{x}.upper()", "{x}.get('k')", "{x}.append({y})",
    "'%s' % {x}", "', '.join(map(str, {x}))", "list(zip({x}, {y}))", "isinstance({x}, int)", "any({x})",
)  # fmt: skip
_CALLS = ("f({x})", "g({x}, {y})", "C({x})", "C({x}).n", "D({x}).twice()", "f", "list(g({x}, 2))", "C.made", "C({x}) == C({y})")
_LIBRARY = (
    "math.floor({x})", "json.dumps({x})", "json.loads(json.dumps({x}))", "re.sub('a', 'b', {x})",
    "collections.Counter({x}).most_common(1)",
    "list(itertools.chain({x}, {y}))", "string.digits", "math.nothing",
)  # fmt: skip

_atoms = st.sampled_from(_LITERALS + _DATA * 3)


def _filled(forms: tuple[str, ...], inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    return st.builds(lambda form, x, y: form.format(x=x, y=y), st.sampled_from(forms), inner, inner)


_simple = _filled(_FORMS, _atoms)
_expressions = st.one_of(
    _atoms,
    _simple,
    _filled(_FORMS, st.one_of(_atoms, _simple.map("({})".format))),
    # A bare function or class shows its address.
    _filled(tuple(call for call in _CALLS if "(" in call or "." in call), _atoms),
    _filled(_LIBRARY, _atoms),
)

# Statements

_BLOCKS = (Path(__file__).parent / "statements.txt").read_text("utf-8").strip().split("\n\n")
_statements = st.builds(
    lambda form, names, x, y, module: form.format(a=names[0], b=names[1], x=x, y=y, module=module),
    st.sampled_from(_BLOCKS),
    st.tuples(st.sampled_from(_DATA), st.sampled_from(_DATA)),
    _expressions,
    _expressions,
    st.sampled_from(_MODULES),
)


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Session]:
    session = Session(Offer(), Echo(), cell_limit=20.0)
    yield session
    session.close()


class Cells(RuleBasedStateMachine):
    """Runs each cell in both."""

    sandbox: Session
    number = 0

    def __init__(self) -> None:
        super().__init__()
        self.plain = Plain()
        self.both(f"for name in {_ALL}:\n    globals().pop(name, None)\ndel name")
        self.both(_START)

    def teardown(self) -> None:
        self.plain.close()

    def both(self, code: str) -> None:
        """Run a cell in both; what it shows is the same."""
        type(self).number += 1
        seen = self.sandbox.run_cell(self.number, code).output
        wanted = self.plain.run(code)
        assert comparable(seen) == comparable(wanted), f"{code}\n--- the sandbox shows\n{seen}\n--- Python shows\n{wanted}"

    @rule(statements=st.lists(_statements, min_size=1, max_size=4))
    def statements_run(self, statements: list[str]) -> None:
        self.both("\n".join(statements))

    @rule(statement=_statements, last=_expressions)
    def a_value_is_shown(self, statement: str, last: str) -> None:
        self.both(f"{statement}\n{last}")

    @rule(last=_expressions)
    def an_expression_alone_is_shown(self, last: str) -> None:
        self.both(last)

    @rule()
    def the_last_value_is_known(self) -> None:
        self.both("print(_)")

    @rule()
    def all_names_are_looked_at(self) -> None:
        self.both(f"[(name, globals()[name]) for name in {_DATA} if name in globals()]")


def test_cells_show_what_python_shows(sandbox: Session) -> None:
    machine: Any = type("CellsOfTheSandbox", (Cells,), {"sandbox": sandbox})
    few = settings(max_examples=25, stateful_step_count=12, suppress_health_check=list(HealthCheck))
    run_state_machine_as_test(machine, settings=few)
