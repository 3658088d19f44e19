"""Which calls of a cell are awaited elsewhere in it: handed to `gather`, kept in a list that is, given to who awaits it.

What is awaited is followed backwards, from each `await` to where its value comes from. The depth says what of a value is
awaited: 0 itself, 1 its items, 2 the items of its items.
"""

from __future__ import annotations

import ast
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .scopes import Place, Scopes

type Flow = tuple[ast.expr, int]

AWAITING = {
    "gather": 0,
    "wait_for": 0,
    "shield": 0,
    "create_task": 0,
    "ensure_future": 0,
    "Task": 0,
    "run_until_complete": 0,
    "run_coroutine_threadsafe": 0,
    "wait": 1,
    "as_completed": 1,
}
"""Functions that await what they are given, and whether it is the argument itself or its items."""
_SAME = frozenset({"list", "tuple", "set", "sorted", "reversed", "enumerate", "zip", "iter", "dict", "cast"})
_SAME_METHODS = frozenset({"values", "items", "copy"})
_TAKING_METHODS = frozenset({"pop", "popleft", "get", "get_nowait", "popitem"})
_ADDING_METHODS = {"append": -1, "add": -1, "appendleft": -1, "put": -1, "put_nowait": -1, "setdefault": -1, "insert": -1}
_EXTENDING_METHODS = {"extend": 0, "update": 0}
_DEEPEST = 3


def last_name(function: ast.expr) -> str:
    """The name under which a function is called: `gather` of `asyncio.gather`."""
    if isinstance(function, ast.Attribute):
        return function.attr
    return function.id if isinstance(function, ast.Name) else ""


def runs_a_loop(call: ast.Call, scopes: Scopes) -> bool:
    """Whether it is `asyncio.run(...)`, or `run_until_complete(...)` of whatever loop."""
    match call.func:
        case ast.Attribute(attr="run_until_complete") | ast.Attribute(value=ast.Name(id="asyncio"), attr="run"):
            return True
        case ast.Name() as name:
            return scopes.imported(name, "asyncio") == "run"
    return False


class Flows:
    """What a cell awaits somewhere."""

    def __init__(self, scopes: Scopes, known: set[Place]) -> None:
        """Follow all that is awaited. `known` are the functions of the sandbox, which await nothing that they are given."""
        self.awaited: set[tuple[ast.Call, int]] = set()
        """Calls whose value is awaited elsewhere, at a depth."""
        self._scopes = scopes
        self._known = known
        self._sources: dict[Place, list[Flow]] = {}
        for kind in (ast.Assign, ast.AnnAssign, ast.AugAssign, ast.NamedExpr, ast.For, ast.comprehension, ast.Call):
            for node in scopes.nodes[kind]:
                self._note_sources(node)
        self._follow()

    def _follow(self) -> None:
        seen: set[tuple[Place, int]] = set()
        nodes = self._scopes.nodes
        waiting = [flow for node in (*nodes[ast.Await], *nodes[ast.Call]) for flow in self._seeds(node)]
        while waiting:
            for leaf, depth in self._leaves(*waiting.pop()):
                if isinstance(leaf, ast.Call):
                    self.awaited.add((leaf, depth))
                    continue
                place = self._scopes.place(leaf)
                if place is None or (place, depth) in seen:
                    continue
                seen.add((place, depth))
                waiting += [(source, depth + change) for source, change in self._sources.get(place, [])]

    def _seeds(self, node: ast.AST) -> Iterator[Flow]:
        if isinstance(node, ast.Await):
            yield node.value, 0
        elif isinstance(node, ast.Call):
            if (name := last_name(node.func)) in AWAITING:
                yield from ((argument, AWAITING[name]) for argument in node.args)
            elif runs_a_loop(node, self._scopes):
                yield from ((argument, 0) for argument in node.args)
            elif name == "close" and isinstance(node.func, ast.Attribute):
                yield node.func.value, 0

    def _leaves(self, node: ast.expr, depth: int) -> Iterator[Flow]:  # noqa: C901, PLR0912 - a case for each kind of expression
        if not 0 <= depth <= _DEEPEST:
            return
        match node:
            case ast.Name() | ast.Attribute():
                yield node, depth
            case ast.Starred(value=value):
                yield from self._leaves(value, depth + 1)
            case ast.NamedExpr(value=value):
                yield from self._leaves(value, depth)
            case ast.Subscript(value=value, slice=ast.Slice()):
                yield from self._leaves(value, depth)
            case ast.Subscript(value=value):
                yield from self._leaves(value, depth + 1)
            case ast.Tuple(elts=items):
                # A tuple that is taken apart, as in `for name, task in tasks`, is its items.
                for item in items:
                    yield from self._leaves(item, max(depth - 1, 0))
            case ast.List(elts=items) | ast.Set(elts=items):
                for item in items:
                    yield from self._leaves(item, depth - 1)
            case ast.Dict(values=items):
                for item in items:
                    yield from self._leaves(item, depth - 1)
            case ast.ListComp(elt=item) | ast.SetComp(elt=item) | ast.GeneratorExp(elt=item) | ast.DictComp(value=item):
                yield from self._leaves(item, depth - 1)
            case ast.IfExp(body=one, orelse=other) | ast.BinOp(left=one, right=other):
                yield from self._leaves(one, depth)
                yield from self._leaves(other, depth)
            case ast.BoolOp(values=items):
                for item in items:
                    yield from self._leaves(item, depth)
            case ast.Call():
                yield node, depth
                yield from self._through(node, depth)

    def _through(self, call: ast.Call, depth: int) -> Iterator[Flow]:
        """What a call hands on of what it is given."""
        match call.func:
            case ast.Name(id=name) if name in _SAME:
                for argument in call.args:
                    yield from self._leaves(argument, depth)
            case ast.Attribute(value=value, attr=name) if name in _SAME_METHODS:
                yield from self._leaves(value, depth)
            case ast.Attribute(value=value, attr=name) if name in _TAKING_METHODS:
                yield from self._leaves(value, depth + 1)
            case _ if depth == 0 and not self._is_known(call.func):
                # A function of another cell that is awaited may await what it is given: `await with_limit(llm_query(p))`.
                yield from ((argument, 0) for argument in call.args if isinstance(argument, ast.Call))

    def _is_known(self, function: ast.expr) -> bool:
        place = self._scopes.place(function)
        return place is not None and (place in self._known or bool(self._scopes.definitions(place)))

    def _note_sources(self, node: ast.AST) -> None:
        match node:
            case ast.Assign(targets=targets, value=value):
                for target in targets:
                    self._note_target(target, value, 0)
            case (
                ast.AnnAssign(target=target, value=ast.expr() as value)
                | ast.AugAssign(target=target, value=value)
                | ast.NamedExpr(target=target, value=value)
            ):
                self._note_target(target, value, 0)
            case ast.For(target=target, iter=value) | ast.comprehension(target=target, iter=value):
                self._note_target(target, value, 1)
            case ast.Call(func=ast.Attribute(value=base, attr=name), args=[*_, value]) if name in _ADDING_METHODS:
                self._note(base, value, -1)
            case ast.Call(func=ast.Attribute(value=base, attr=name), args=[*_, value]) if name in _EXTENDING_METHODS:
                self._note(base, value, 0)
            case ast.Call(func=ast.Name() as function):
                self._note_arguments(node, function)

    def _note_target(self, target: ast.expr, value: ast.expr, change: int) -> None:
        match target, value:
            case ast.Tuple(elts=names) | ast.List(elts=names), ast.Tuple(elts=items) | ast.List(elts=items) if (
                len(names) == len(items) and change == 0
            ):
                for name, item in zip(names, items, strict=True):
                    self._note_target(name, item, 0)
            case ((ast.Tuple(elts=names) | ast.List(elts=names)), _):
                for name in names:
                    self._note_target(name, value, max(change, 1))
            case ast.Starred(value=name), _:
                self._note(name, value, 0)
            case ast.Subscript(value=base), _:
                self._note(base, value, change - 1)
            case _:
                self._note(target, value, change)

    def _note(self, target: ast.expr, value: ast.expr, change: int) -> None:
        place = self._scopes.place(target)
        if place is not None:
            self._sources.setdefault(place, []).append((value, change))

    def _note_arguments(self, call: ast.Call, function: ast.Name) -> None:
        """The parameters of a function of the cell are what it is called with."""
        for definition in self._scopes.definitions(self._scopes.scope[function].find(function.id)):
            inner = self._scopes.body[definition]
            positional = [argument.arg for argument in (*definition.args.posonlyargs, *definition.args.args)]
            for name, value in zip(positional, call.args, strict=False):
                self._sources.setdefault((inner, name), []).append((value, 0))
            if definition.args.vararg is not None:
                for value in call.args[len(positional) :]:
                    self._sources.setdefault((inner, definition.args.vararg.arg), []).append((value, -1))
            for keyword in call.keywords:
                if keyword.arg is not None:
                    self._sources.setdefault((inner, keyword.arg), []).append((keyword.value, 0))
