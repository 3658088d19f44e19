from __future__ import annotations

import ast

import pytest

from llm_rlm.sandbox.guest.scopes import Scopes


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        ("x", "cell"),
        ("def f(): x", "cell"),
        ("def f(x): x", "plain"),
        ("def f(*x): x", "plain"),
        ("async def f():\n    x\n    x = 1", "async"),
        ("def f():\n    global x\n    x = 1\n    x", "cell"),
        ("def f(x):\n    def g():\n        nonlocal x\n        x = 1\n        x", "plain"),
        ("def f(a=x, x=1): pass", "cell"),
        ("lambda x: x", "lambda"),
        ("lambda a=x: a", "cell"),
        ("class A:\n    x = 1\n    x", "class"),
        ("class A:\n    x = 1\n    def f(self): x", "cell"),
        ("[x for x in a]", "comprehension"),
        ("[a for x in x]", "cell"),
        ("def f(): [(x := 1) for _ in a]; x", "plain"),
        ("sum(x for x in a)", "generator"),
        ("def f():\n    import x.y\n    x", "plain"),
        ("def f():\n    try: pass\n    except E as x: x", "plain"),
        ("def f():\n    match a:\n        case [1, *x]: x", "plain"),
    ],
)
def test_a_name_means_the_variable_that_python_means(code: str, kind: str) -> None:
    ((place, _),) = [item for item in Scopes(ast.parse(code)).uses.items() if item[0][1] == "x"]
    assert place[0].kind == kind


def test_a_name_that_is_bound_once_more_is_no_function() -> None:
    scopes = Scopes(ast.parse("def f(): pass\ndef g(): pass\ng = 1"))
    assert [len(scopes.definitions((scopes.cell, name))) for name in "fg"] == [1, 0]


def test_what_was_imported_is_known_by_its_own_name() -> None:
    scopes = Scopes(ast.parse("from asyncio import run as go\ngo"))
    ((name,),) = scopes.uses.values()
    assert (scopes.imported(name, "asyncio"), scopes.imported(name, "other")) == ("run", None)
