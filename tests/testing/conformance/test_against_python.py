"""The same random cells, in the sandbox and in a plain Python namespace, show the same."""

from __future__ import annotations

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

_LITERALS = ("0", "1", "-3", "7", "2.5", "True", "None", "''", "'ab'", "'é\\n'", "[]", "[3, 1, 2]", "{}", "{'k': 1}", "(1, 2)", "b'x'")
_FORMS = (
    "{x} + {y}", "{x} - {y}", "{x} * 2", "{x} / {y}", "{x} // {y}", "{x} % {y}", "{x} == {y}", "{x} < {y}", "{x} in {y}", "not {x}",
    "{x} and {y}", "{x} or {y}", "{x} if {y} else {x}", "{x}[{y}]", "{x}[1:]", "{x}[::-1]", "len({x})", "str({x})", "repr({x})",
    "int({x})", "list({x})", "sorted({x})", "sum({x})", "max({x}, {y})", "abs({x})", "bool({x})", "type({x}).__name__",
    "f'{{{x}!r}} and {{{y}}}'", "f'{{{x}:>5}}'", "[i for i in {x} if i]", "{{i: {y} for i in {x}}}", "sum(i for i in {x})",
    "(lambda n: n + {x})({y})", "(d := {x})", "[*{x}, {y}]", "{{**{x}}}", "{x}.upper()", "{x}.get('k')", "{x}.append({y})",
    "'%s' % {x}", "', '.join(map(str, {x}))", "list(zip({x}, {y}))", "isinstance({x}, int)", "any({x})", "hash({x}) == hash({x})",
)  # fmt: skip
_CALLS = ("f({x})", "g({x}, {y})", "C({x})", "C({x}).n", "D({x}).twice()", "f", "list(g({x}, 2))", "C.made", "C({x}) == C({y})")
_LIBRARY = (
    "math.floor({x})", "json.dumps({x})", "json.loads(json.dumps({x}))", "re.sub('a', 'b', {x})", "collections.Counter({x}).most_common(1)",
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

_BLOCKS = (
    "{a} = {x}",
    "{a} = {x}",
    "{a} += {x}",
    "{a}, *{b} = {x}",
    "{a}[{x}] = {y}",
    "{a}: int = {x}",
    "del {a}",
    "print({x}, {y}, sep='|')",
    "print({x}, end='')",
    "import sys; print({x}, file=sys.stderr)",
    "raise ValueError({x})",
    "raise KeyError({x}) from TypeError({y})",
    "assert {x}, {y}",
    "if {x}:\n    {a} = {y}\nelse:\n    {b} = {y}",
    "for i in {x}:\n    print(i)\n    if i == {y}: break\nelse:\n    print('through')",
    "n = 3\nwhile n:\n    n -= 1\n    if n == 1: continue\n    print(n, {x})",
    "try:\n    {a} = {x}\n    print({y})\nexcept (TypeError, NameError) as e:\n    print(type(e).__name__)\nelse:\n    print('well')\nfinally:\n    print('at last')",
    "try:\n    raise OSError({x})\nexcept OSError as e:\n    print(e.args)\nprint('e' in globals())",
    "try:\n    {a} = {x}\nexcept* TypeError as e:\n    print(len(e.exceptions))",
    "def f(n, m={x}):\n    'doc'\n    return n, m, {y}",
    "def f(n):\n    global {a}\n    {a} = n\n    return {x}",
    "def f(n):\n    {a} = {a} if n else {x}\n    return {a}",
    "def g(n, m):\n    for i in range(2):\n        {b} = yield i, n\n    return m",
    "def g(n, m=0):\n    i = n\n    def inner():\n        nonlocal i\n        i = [i, m]\n        return i\n    return inner()",
    "g = lambda n, m=1: (n, m, {x})",
    "import asyncio\nasync def h(n):\n    await asyncio.sleep(0)\n    return n, {x}\nprint(await h({y}))",
    "import asyncio\nasync def h(n, m=0):\n    return n\n{a} = [await h({x}), await h({y})]\nprint(await asyncio.gather(*[h(n) for n in range(3)]))",
    "class C:\n    made = {x}\n    def __init__(self, n): self.n = n\n    def __repr__(self): return f'C({{self.n!r}})'\n    def __eq__(self, other): return self.n == other.n",
    "class D(C):\n    @property\n    def n(self): return [self._n]\n    @n.setter\n    def n(self, value): self._n = value\n    def twice(self): return self.n, self.n",
    "class D:\n    def __init__(self, n): raise RuntimeError(n)",
    "class e(Exception):\n    def __str__(self): return f'e of {{self.args}}'\nraise e({x})",
    "import {module}",
    "from {module} import *\nprint('imported')",
    "match {x}:\n    case int() | float(): print('number')\n    case [first, *_]: print('list', first)\n    case {{'k': {a}}}: print('dict')\n    case _: print('else')",
    "with __import__('contextlib').suppress(ZeroDivisionError, TypeError):\n    print({x})",
    "{a} = [i * 2 for i in range(3)]\n{a}",
    "exec('{a} = 5')",
    "{a} = eval('1 + 1')",
    "if True: pass",
)
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
    few = settings(max_examples=60, stateful_step_count=12, suppress_health_check=list(HealthCheck))
    run_state_machine_as_test(machine, settings=few)
