from __future__ import annotations

import ast

import pytest

from llm_rlm.sandbox.guest.flows import Flows
from llm_rlm.sandbox.guest.scopes import Scopes


@pytest.mark.parametrize(
    ("code", "depths"),
    [
        ("await q()", {0}),
        ("await gather(q())", {0}),
        ("await gather(*q())", {1}),
        ("await q()[0]", {1}),
        ("x = q()\nawait x", {0}),
        ("x = q()\nawait gather(*x)", {1}),
        ("x = [q()]\nawait gather(*x)", {0}),
        ("x = [[q()]]\nfor y in x:\n    await gather(*y)", {0}),
        ("x = y = q()\nawait y", {0}),
        ("x = q()\nprint(x)", set()),
        ("await q(1) if a else 2", {0}),
        ("f = lambda: q()\nawait f", set()),
    ],
)
def test_what_is_awaited_is_followed_to_the_calls_it_comes_from(code: str, depths: set[int]) -> None:
    scopes = Scopes(ast.parse(code))
    flows = Flows(scopes, {(scopes.cell, "q")})
    assert {depth for call, depth in flows.awaited if isinstance(call.func, ast.Name) and call.func.id == "q"} == depths


def test_a_variable_that_is_made_of_itself_is_followed_once() -> None:
    Flows(Scopes(ast.parse("x = [x, *x]\nx = x[0]\nawait x\nawait gather(*x)")), set())
