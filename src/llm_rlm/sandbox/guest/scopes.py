"""Which variable a name of a cell means: the scopes of its tree, and what is bound and used in each."""

from __future__ import annotations

import ast
from collections import defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

type Kind = Literal["cell", "plain", "async", "lambda", "class", "comprehension", "generator"]
type Function = ast.FunctionDef | ast.AsyncFunctionDef
type Comprehension = ast.ListComp | ast.SetComp | ast.DictComp | ast.GeneratorExp


@dataclass(eq=False)
class Scope:
    """A part of the cell with variables of its own."""

    kind: Kind
    node: ast.AST
    parent: Scope | None
    bound: dict[str, list[ast.AST]] = field(default_factory=lambda: defaultdict(list))
    """What binds each name, in order: the definition of a function, else whatever node does."""
    elsewhere: set[str] = field(default_factory=set)
    """Names declared `global`."""
    above: set[str] = field(default_factory=set)
    """Names declared `nonlocal`."""

    def find(self, name: str) -> Place:
        """The variable that a name means here."""
        scope, inside = self, False
        while scope.parent is not None:
            if name in scope.elsewhere:
                return scope.cell, name
            if name in scope.bound and not (inside and scope.kind == "class"):
                return scope, name
            scope, inside = scope.parent, True
        return scope, name

    def bind(self, name: str, by: ast.AST) -> None:
        """Note that a node binds a name here."""
        if name in self.elsewhere:
            self.cell.bound[name].append(by)
        elif name in self.above and self.parent is not None:
            self.parent.find(name)[0].bound[name].append(by)
        else:
            self.bound[name].append(by)

    @property
    def cell(self) -> Scope:
        """The outermost scope."""
        scope = self
        while scope.parent is not None:
            scope = scope.parent
        return scope

    @property
    def function(self) -> Scope:
        """The scope that `:=` in a comprehension binds in."""
        scope = self
        while scope.kind in {"comprehension", "generator"} and scope.parent is not None:
            scope = scope.parent
        return scope


type Place = tuple[Scope, str]
"""A variable: where it lives, and its name."""


class Scopes:
    """A cell's tree, read once."""

    def __init__(self, tree: ast.Module) -> None:
        """Read the tree. Raises RecursionError for one that is very deep."""
        self.cell = Scope("cell", tree, None)
        self.scope: dict[ast.AST, Scope] = {}
        """In which scope each node is evaluated."""
        self.parent: dict[ast.AST, ast.AST] = {}
        self.nodes: dict[type[ast.AST], list[Any]] = defaultdict(list)
        """The nodes of each type, each before what is in it."""
        self.body: dict[ast.AST, Scope] = {}
        """The scope that a function, class or comprehension makes."""
        self._children(tree, self.cell)
        self.uses: dict[Place, list[ast.Name]] = defaultdict(list)
        """Where each variable is read."""
        for name in self.nodes[ast.Name]:
            if type(name.ctx) is ast.Load:
                self.uses[self.scope[name].find(name.id)].append(name)

    def place(self, node: ast.expr) -> Place | None:
        """The variable that an expression is; an attribute counts as one, whosever it is."""
        if isinstance(node, ast.Name):
            return self.scope[node].find(node.id)
        return (self.cell, f".{node.attr}") if isinstance(node, ast.Attribute) else None

    def imported(self, name: ast.Name, module: str) -> str | None:
        """What a name is in a module, where the cell imports it from there and binds it to nothing else."""
        scope, called = self.scope[name].find(name.id)
        match scope.bound.get(called, []):
            case [ast.alias(name=original) as alias] if (
                isinstance(source := self.parent[alias], ast.ImportFrom) and source.module == module
            ):
                return original
        return None

    def definitions(self, place: Place) -> list[Function]:
        """The functions that a variable may be; none if it may be something else."""
        binding = place[0].bound.get(place[1], [])
        functions = [node for node in binding if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]
        return functions if len(functions) == len(binding) else []

    def _all(self, nodes: Iterable[ast.AST | None], scope: Scope, parent: ast.AST) -> None:
        for node in nodes:
            if node is not None:
                self.parent[node] = parent
                self._read(node, scope)

    def _children(self, node: ast.AST, scope: Scope) -> None:
        parts = _PARTS.get(type(node))
        if parts is None:
            parts = _PARTS[type(node)] = tuple(part for part in node._fields if part not in _NO_PARTS)
        for part in parts:
            value = getattr(node, part, None)
            if type(value) is list:
                for item in value:
                    if isinstance(item, ast.AST):
                        self.parent[item] = node
                        self._read(item, scope)
            elif isinstance(value, ast.AST):
                self.parent[value] = node
                self._read(value, scope)

    def _read(self, node: ast.AST, scope: Scope) -> None:
        kind = type(node)
        self.nodes[kind].append(node)
        self.scope[node] = scope
        opens = _OPENS.get(kind)
        if opens is not None:
            opens(self, node, scope)
            return
        if kind in _BINDS:
            self._bind(node, scope)
        self._children(node, scope)

    def _read_lambda(self, node: ast.Lambda, scope: Scope) -> None:
        inner = self._open("lambda", node, scope)
        self._read_arguments(node.args, scope, inner)
        self._all([node.body], inner, node)

    def _read_class(self, node: ast.ClassDef, scope: Scope) -> None:
        scope.bind(node.name, node)
        self._all([*node.decorator_list, *node.bases, *node.keywords], scope, node)
        self._all(node.body, self._open("class", node, scope), node)

    def _bind(self, node: ast.AST, scope: Scope) -> None:
        match node:
            case ast.Name(ctx=ast.Load()):
                return
            case ast.Name(id=name):
                owner = scope.function if isinstance(self.parent[node], ast.NamedExpr) else scope
                owner.bind(name, node)
            case ast.Global(names=names):
                scope.elsewhere.update(names)
            case ast.Nonlocal(names=names):
                scope.above.update(names)
            case ast.alias(name=name, asname=asname):
                scope.bind(asname or name.partition(".")[0], node)
            case (
                ast.ExceptHandler(name=str(name))
                | ast.MatchAs(name=str(name))
                | ast.MatchStar(name=str(name))
                | ast.MatchMapping(rest=str(name))
            ):
                scope.bind(name, node)

    def _open(self, kind: Kind, node: ast.AST, parent: Scope) -> Scope:
        self.body[node] = Scope(kind, node, parent)
        return self.body[node]

    def _read_function(self, node: Function, scope: Scope) -> None:
        scope.bind(node.name, node)
        self._all(node.decorator_list, scope, node)
        inner = self._open("plain" if isinstance(node, ast.FunctionDef) else "async", node, scope)
        self._read_arguments(node.args, scope, inner)
        self._all([node.returns], scope, node)
        self._all(node.body, inner, node)

    def _read_arguments(self, arguments: ast.arguments, outer: Scope, inner: Scope) -> None:
        self.parent[arguments] = inner.node
        self._all([*arguments.defaults, *arguments.kw_defaults], outer, arguments)
        for argument in ast.walk(arguments):
            if isinstance(argument, ast.arg):
                inner.bind(argument.arg, argument)

    def _read_comprehension(self, node: Comprehension, scope: Scope) -> None:
        inner = self._open("generator" if isinstance(node, ast.GeneratorExp) else "comprehension", node, scope)
        for index, part in enumerate(node.generators):
            self.parent[part] = node
            self.nodes[ast.comprehension].append(part)
            self.scope[part] = inner
            self._all([part.iter], inner if index else scope, part)
            self._all([part.target, *part.ifs], inner, part)
        self._all([node.key, node.value] if isinstance(node, ast.DictComp) else [node.elt], inner, node)


_NO_PARTS = frozenset(
    {"ctx", "op", "ops", "id", "attr", "kind", "conversion", "level", "module", "type_comment", "type_params"}
)
"""Fields that hold no code."""
_PARTS: dict[type[ast.AST], tuple[str, ...]] = {}
_BINDS = frozenset(
    {ast.Name, ast.Global, ast.Nonlocal, ast.alias, ast.ExceptHandler, ast.MatchAs, ast.MatchStar, ast.MatchMapping}
)
_OPENS: dict[type[ast.AST], Callable[[Scopes, Any, Scope], None]] = {
    ast.FunctionDef: Scopes._read_function,
    ast.AsyncFunctionDef: Scopes._read_function,
    ast.Lambda: Scopes._read_lambda,
    ast.ClassDef: Scopes._read_class,
    ast.ListComp: Scopes._read_comprehension,
    ast.SetComp: Scopes._read_comprehension,
    ast.DictComp: Scopes._read_comprehension,
    ast.GeneratorExp: Scopes._read_comprehension,
}
