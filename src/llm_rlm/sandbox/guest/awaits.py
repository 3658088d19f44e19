"""Puts in the awaits that a cell forgot.

A plain function that needs one becomes `async def`, where all its uses in the cell can follow; code that runs plain
functions side by side in threads becomes tasks. What is awaited elsewhere in the cell is left alone, as are names that the
cell binds itself. Lines stay where they are.
"""

from __future__ import annotations

import ast
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, NoReturn

from .flows import AWAITING, Flows, last_name, runs_a_loop
from .scopes import Scopes

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .scopes import Function, Place, Scope

FUNCTIONS = (
    "llm_query",
    "llm_batch",
    "llm_map",
    "llm_query_batched",
    "rlm_query",
    "rlm_query_batch",
    "rlm_query_batched",
)
"""The functions of a session that are awaited."""

RUN = "__rlm_run__"
"""The coroutine function that stands in for `asyncio.run`."""
TOGETHER = "__rlm_together__"
"""The coroutine function that awaits the items of a list, of the values of a dict, or of what is iterated."""
FINISHED = "__rlm_finished__"
"""The coroutine function that waits for what an executor was given."""

_ITEM = "__rlm_item__"
_TRIGGERS = ("asyncio", "run_until_complete", "PoolExecutor")
_CONSUMERS = frozenset(
    {"join", "list", "tuple", "set", "frozenset", "sum", "sorted", "min", "max", "dict", "Counter", "deque", "extend"}
)
"""Functions that take all of a generator at once, so that a list does as well."""
_USERS = frozenset(
    {"print", "str", "int", "float", "len", "bool", "loads", "literal_eval", "submit", "join", "search", "match", "findall"}
) | {"split", "sub", "fullmatch", "finditer", "sum", "sorted", "set", "list", "dict", "tuple", "any", "all", "isinstance"}
"""Functions that want the answer itself, not what is to be awaited."""
_FOLLOWING = frozenset({"map", "submit", "to_thread", "run_in_executor"})
"""Functions that await what the function they are given returns."""

type How = Literal["await", "run", "together", "finished", "with", "stays", "drop"]


@dataclass(frozen=True)
class Known:
    """What names mean before the cell runs."""

    session: frozenset[str] = frozenset()
    """Names of the session's own functions."""
    made: frozenset[str] = frozenset()
    """Names of plain functions that earlier cells made async."""
    executors: frozenset[str] = frozenset()
    """Names of executors of earlier cells."""
    futures: bool = False
    """Whether an executor was ever made, so that `.result()` may be of its futures."""

    def may_be_in(self, source: str) -> bool:
        """Whether a cell may have anything to put an await to: if not, it need not be read."""
        triggers = (*_TRIGGERS, *([".result", *self.executors] if self.futures else []))
        return any(name in source for name in (*self.session, *self.made, *triggers))


def put_in(tree: ast.Module, known: Known) -> set[Function]:
    """Change the tree so that what is forgotten is awaited; the functions that were made async.

    Raises SyntaxError, with its line, where an answer is used in a place that cannot wait for it. Raises RecursionError for a
    tree that is very deep.
    """
    scopes = Scopes(tree)
    plan = _Plan(scopes, known)
    _Changer(plan, scopes).change()
    return set(plan.made)


@dataclass(frozen=True)
class _Need:
    """An expression or statement that is to be awaited."""

    node: ast.expr | ast.With
    how: How
    name: str
    """What is called there."""


@dataclass(frozen=True)
class _Host:
    """Where something would be awaited: in a plain function, perhaps; with generators that must become lists; or nowhere."""

    function: ast.FunctionDef | None = None
    generators: tuple[ast.GeneratorExp, ...] = ()
    problem: str | None = None


class _Cannot(Exception):  # noqa: N818 - no error: the function stays as it is
    """A function cannot become async. Says why."""


class _Plan:
    """What is to be changed in a cell."""

    def __init__(self, scopes: Scopes, known: Known) -> None:
        self.how: dict[ast.AST, How] = {}
        self.cores: dict[ast.AST, ast.Call] = {}
        """The comprehensions whose calls are awaited side by side, and the call in each."""
        self.lists: set[ast.AST] = set()
        """The generators that become lists."""
        self.made: list[ast.FunctionDef] = []
        self._scopes = scopes
        self._session = {(scopes.cell, name) for name in known.session if name not in scopes.cell.bound}
        made_before = {(scopes.cell, name) for name in known.made if name not in scopes.cell.bound}
        self._flows = Flows(scopes, self._session)
        self._places = [*self._session, *made_before]
        self._pools = _pools(scopes) | {(scopes.cell, name) for name in known.executors}
        self._has_futures = bool(self._pools) or known.futures
        for need in self._others():
            self._take(need)
        for place in self._places:  # grows
            for use in scopes.uses[place]:
                if (found := self._need(use)) is not None:
                    self._take(found)

    # What needs an await

    def _need(self, use: ast.Name) -> _Need | None:
        """What must be awaited because an awaitable function is named here."""
        call = self._scopes.parent[use]
        if not isinstance(call, ast.Call):
            return None
        if call.func is use:
            return None if (call, 0) in self._flows.awaited else _Need(call, "await", use.id)
        if isinstance(call.func, ast.Name) and call.func.id == "map" and call.args[0] is use:
            return None if (call, 1) in self._flows.awaited else _Need(call, "together", use.id)
        return None

    def _others(self) -> Iterator[_Need]:
        """What must be awaited for other reasons: a loop that is run, what an executor was given."""
        nodes = self._scopes.nodes
        for call in nodes[ast.Call]:
            if runs_a_loop(call, self._scopes):
                yield _Need(call, "run", "asyncio.run")
        for wait in nodes[ast.Await]:
            if self._scopes.scope[wait].kind == "plain":
                called = last_name(wait.value.func) if isinstance(wait.value, ast.Call) else ""
                yield _Need(wait, "stays", called or "what it calls")
        if self._has_futures:
            yield from self._of_executors()

    def _of_executors(self) -> Iterator[_Need]:
        for block in self._scopes.nodes[ast.With]:
            match block.items:
                case [ast.withitem(context_expr=ast.Call() as pool)] if _is_pool(pool):
                    yield _Need(block, "with", "ThreadPoolExecutor")
        for call in self._scopes.nodes[ast.Call]:
            match call:
                case ast.Call(func=ast.Attribute(value=mapping, attr="map")) if self._is_pool(mapping):
                    yield _Need(call, "finished", "executor.map")
                case ast.Call(func=ast.Attribute(value=future, attr="result" | "exception")):
                    yield _Need(future, "finished", "future.result")
                case ast.Call(func=function, args=[futures, *_]) if self._waits_for_futures(function):
                    yield _Need(futures, "finished", "as_completed")

    def _is_pool(self, node: ast.expr) -> bool:
        return self._scopes.place(node) in self._pools or (isinstance(node, ast.Call) and _is_pool(node))

    def _waits_for_futures(self, function: ast.expr) -> bool:
        match function:
            case ast.Name():
                return self._scopes.imported(function, "concurrent.futures") in {"as_completed", "wait"}
            case ast.Attribute(value=module, attr="as_completed" | "wait"):
                return last_name(module) == "futures"
        return False

    # Where it is awaited

    def _take(self, need: _Need) -> None:
        """Plan an await, make the function around it async, or leave it. Raises SyntaxError."""
        host = self._host(need)
        if host.problem is not None:
            if self._is_used(need):
                _refuse(need, host.problem)
            return
        if host.function is not None:
            try:
                self._make_async(host.function)
            except _Cannot as reason:
                if self._is_used(need):
                    _refuse(need, _advice(host.function.name, need, str(reason)))
                return
        if need.how == "await":
            self._check_part(need)
        core = self._comprehension(need)
        if core is not None:
            assert isinstance(need.node, ast.Call)
            self.cores[core] = need.node
        else:
            self.how[need.node] = need.how
            if need.how == "await":
                self._drop_await_of_a_part(need.node)
        self.lists.update(host.generators)

    def _host(self, need: _Need) -> _Host:
        scope: Scope | None = self._scopes.scope[need.node]
        generators: list[ast.GeneratorExp] = []
        while scope is not None:
            match scope.kind, scope.node:
                case (("cell" | "async"), _):
                    break
                case "plain", ast.FunctionDef() as function:
                    return _Host(None if function in self.made else function, tuple(generators))
                case "generator", ast.GeneratorExp() as generator:
                    if self._has_consumer(generator):
                        generators.append(generator)
                    elif not (generator.elt is need.node and self._is_of_session(need)):
                        return _Host(problem=f"a generator cannot: write a list, `[... await {need.name}(...) ...]`")
                case "lambda", _:
                    return _Host(problem=f"a lambda cannot: write an `async def` with `await {need.name}(...)` instead")
                case "class", _:
                    return _Host(problem="the body of a class cannot: call it before the class, with `await`")
            scope = scope.parent
        return _Host(generators=tuple(generators))

    def _has_consumer(self, generator: ast.GeneratorExp) -> bool:
        match self._scopes.parent[generator]:
            case ast.Call(func=function, args=arguments):
                return generator in arguments and last_name(function) in _CONSUMERS
            case ast.Starred():
                return True
        return False

    def _is_of_session(self, need: _Need) -> bool:
        return (
            need.how == "await"
            and isinstance(need.node, ast.Call)
            and isinstance(need.node.func, ast.Name)
            and self._scopes.place(need.node.func) in self._session
        )

    def _comprehension(self, need: _Need) -> ast.AST | None:
        """The comprehension whose calls are awaited side by side: `[llm_query(p) for p in ps]`, perhaps with `["response"]`."""
        if not self._is_of_session(need):
            return None
        node = self._part(need.node)
        parent = self._scopes.parent[node]
        match parent:
            case ast.ListComp(elt=item) if item is node:
                return parent
            case ast.GeneratorExp(elt=item) if item is node and (node is need.node or self._has_consumer(parent)):
                return parent
            case ast.DictComp(value=item) if item is need.node:
                return parent
        return None

    def _part(self, node: ast.AST) -> ast.AST:
        """What is taken of an answer where it is asked for: `llm_query(p)["response"]`; the node itself if nothing is."""
        while _only_takes(self._scopes.parent[node], node):
            node = self._scopes.parent[node]
        return node

    def _drop_await_of_a_part(self, node: ast.AST) -> None:
        """`await llm_query(p)["response"]` awaits the call, not the part."""
        part = self._part(node)
        if part is not node and isinstance(outer := self._scopes.parent[part], ast.Await):
            self.how[outer] = "drop"

    def _check_part(self, need: _Need) -> None:
        """Refuse `gather(*[llm_query(p)["response"] for p in ps])`, where a part of an answer is to be awaited."""
        part = self._part(need.node)
        if part is need.node:
            return
        around = self._scopes.parent[part]
        while isinstance(around, ast.ListComp | ast.GeneratorExp | ast.Starred | ast.List):
            around = self._scopes.parent[around]
        if isinstance(around, ast.Call) and last_name(around.func) in AWAITING:
            _refuse(
                need, f"{last_name(around.func)} takes calls, not parts of their answers: take the parts of what it returns"
            )

    def _is_used(self, need: _Need) -> bool:
        """Whether an answer is wanted where it stands, so that to leave it alone would surely fail."""
        if need.how == "stays":
            return True
        return need.how in {"await", "together"} and isinstance(need.node, ast.expr) and self._wants_answer(need.node)

    def _wants_answer(self, node: ast.expr) -> bool:
        match self._scopes.parent[node]:
            case ast.Assign(targets=[ast.Name() as target]):
                place = self._scopes.scope[target].find(target.id)
                return any(_wants_answer_of(self._scopes.parent[use], use) for use in self._scopes.uses[place])
            case parent:
                return _wants_answer_of(parent, node)

    # Plain functions

    def _make_async(self, function: ast.FunctionDef) -> None:
        """Make a plain function and all that call it async. Raises _Cannot."""
        functions: list[ast.FunctionDef] = [function]
        for each in functions:  # grows
            functions += [other for other in self._others_to_follow(each) if other not in functions]
        for each in functions:
            if each not in self.made:
                self.made.append(each)
                self._places.append((self._scopes.scope[each], each.name))

    def _others_to_follow(self, function: ast.FunctionDef) -> Iterator[ast.FunctionDef]:
        """The functions that must become async with this one. Raises _Cannot."""
        place = (self._scopes.scope[function], function.name)
        for definition in self._definitions(place):
            if isinstance(definition, ast.FunctionDef):
                yield definition
        for use in self._scopes.uses[place]:
            need = self._need(use)
            if need is None:
                call = self._scopes.parent[use]
                if not (isinstance(call, ast.Call) and (call.func is use or last_name(call.func) in _FOLLOWING)):
                    message = f"{function.name} is used other than by calling it in line {use.lineno}"
                    raise _Cannot(message)
                continue
            host = self._host(need)
            if host.problem is not None:
                message = f"{function.name} is called in line {use.lineno}, where {host.problem}"
                raise _Cannot(message)
            if host.function is not None:
                yield host.function

    def _definitions(self, place: Place) -> list[Function]:
        """The functions of this name. Raises _Cannot for what cannot become async whoever calls it."""
        if place[0].kind == "class":
            message = f"{place[1]} is a method"
            raise _Cannot(message)
        definitions = self._scopes.definitions(place)
        if not definitions:
            message = f"{place[1]} is a name that something else has too"
            raise _Cannot(message)
        for each in definitions:
            if each.decorator_list:
                message = f"{place[1]} has a decorator"
                raise _Cannot(message)
            inner = self._scopes.body[each]
            if isinstance(each, ast.FunctionDef) and any(
                isinstance(node, ast.Yield | ast.YieldFrom) and self._scopes.scope.get(node) is inner for node in ast.walk(each)
            ):
                message = f"{place[1]} is a generator"
                raise _Cannot(message)
        return definitions


class _Changer:
    """Makes the changes of a plan, from the innermost outwards."""

    def __init__(self, plan: _Plan, scopes: Scopes) -> None:
        self._plan = plan
        self._parents = scopes.parent

    def change(self) -> None:
        """Make them."""
        changes: set[ast.AST] = {*self._plan.how, *self._plan.cores, *self._plan.lists, *self._plan.made}
        for node in sorted(changes, key=self._depth, reverse=True):
            self._replace(node, self._changed(node))

    def _depth(self, node: ast.AST) -> int:
        depth = 0
        while (parent := self._parents.get(node)) is not None:
            node, depth = parent, depth + 1
        return depth

    def _changed(self, node: ast.AST) -> ast.AST:
        how, core = self._plan.how.get(node), self._plan.cores.get(node)
        if node in self._plan.lists:
            assert isinstance(node, ast.GeneratorExp)
            node = ast.copy_location(ast.ListComp(node.elt, node.generators), node)
        if core is not None:
            return _side_by_side(node, core)
        if how is not None:
            return _awaited(node, how)
        if isinstance(node, ast.FunctionDef):
            return ast.copy_location(ast.AsyncFunctionDef(**dict(ast.iter_fields(node))), node)
        return node

    def _replace(self, old: ast.AST, new: ast.AST) -> None:
        parent = self._parents[old]
        for name, value in ast.iter_fields(parent):
            if value is old:
                setattr(parent, name, new)
            elif isinstance(value, list):
                value[:] = [new if item is old else item for item in value]


def _awaited(node: ast.AST, how: How) -> ast.AST:
    if isinstance(node, ast.With):
        return ast.copy_location(ast.AsyncWith(node.items, node.body), node)
    if how == "drop" and isinstance(node, ast.Await):
        return node.value
    assert isinstance(node, ast.expr)
    if how == "stays":
        return node
    if how == "run":
        assert isinstance(node, ast.Call)
        node.func = ast.copy_location(ast.Name(RUN, ast.Load()), node.func)
    elif how != "await":
        node = _call(TOGETHER if how == "together" else FINISHED, node)
    return ast.copy_location(ast.Await(node), node)


def _side_by_side(node: ast.AST, core: ast.Call) -> ast.AST:
    """`[item["a"] for item in await together([call for ...])]` for `[call["a"] for ...]`."""
    if isinstance(node, ast.DictComp):
        return _awaited(node, "together")
    assert isinstance(node, ast.ListComp | ast.GeneratorExp)
    if node.elt is core:
        return _awaited(node, "together")
    item = ast.copy_location(ast.Name(_ITEM, ast.Load()), core)
    taken: ast.expr = _Replacer(core, item).visit(node.elt)  # type: ignore[assignment]
    node.elt = core
    answers = _awaited(node, "together")
    assert isinstance(answers, ast.expr)
    target = ast.copy_location(ast.Name(_ITEM, ast.Store()), core)
    return ast.copy_location(ast.ListComp(taken, [ast.comprehension(target, answers, [], 0)]), node)


class _Replacer(ast.NodeTransformer):
    def __init__(self, old: ast.AST, new: ast.AST) -> None:
        self._old, self._new = old, new

    def visit(self, node: ast.AST) -> ast.AST:
        return self._new if node is self._old else self.generic_visit(node)


def _call(name: str, argument: ast.expr) -> ast.Call:
    function = ast.copy_location(ast.Name(name, ast.Load()), argument)
    return ast.copy_location(ast.Call(function, [argument], []), argument)


def _only_takes(parent: ast.AST, node: ast.AST) -> bool:
    """Whether it takes something of a value and does nothing else: `value["a"]`, `value.strip()`."""
    match parent:
        case ast.Subscript(value=value, slice=ast.Constant()) | ast.Attribute(value=value):
            return value is node
        case ast.Call(func=ast.Attribute() as function, args=arguments, keywords=[]):
            return function is node and all(isinstance(argument, ast.Constant) for argument in arguments)
    return False


def _wants_answer_of(parent: ast.AST, node: ast.expr) -> bool:
    match parent:
        case ast.Call(func=function, args=arguments):
            return node in arguments and last_name(function) in _USERS
        case ast.Subscript(value=value):
            return value is node
        case ast.If(test=test) | ast.While(test=test) | ast.IfExp(test=test):
            return test is node
        case ast.For(iter=iterable) | ast.comprehension(iter=iterable):
            return iterable is node
    return isinstance(
        parent, ast.Attribute | ast.BinOp | ast.UnaryOp | ast.BoolOp | ast.Compare | ast.FormattedValue | ast.Expr | ast.Assert
    )


def _pools(scopes: Scopes) -> set[Place | None]:
    """The variables that are executors; something, at least, where there are any."""
    pools: set[Place | None] = set()
    for call in scopes.nodes[ast.Call]:
        if not _is_pool(call):
            continue
        pools.add((scopes.cell, ""))
        match scopes.parent[call]:
            case ast.Assign(targets=[target]) | ast.withitem(optional_vars=ast.expr() as target):
                pools.add(scopes.place(target))
    pools.discard(None)
    return pools


def _is_pool(call: ast.Call) -> bool:
    return last_name(call.func) in {"ThreadPoolExecutor", "ProcessPoolExecutor"}


def _advice(function: str, need: _Need, reason: str) -> str:
    return (
        f"the plain function {function} cannot: write `async def {function}` with `await {need.name}(...)`, "
        f"and `await {function}(...)` where it is called ({reason})"
    )


def _refuse(need: _Need, problem: str) -> NoReturn:
    assert isinstance(need.node, ast.expr)
    message = f"{need.name}(...) must be awaited, and {problem}"
    end = (need.node.end_lineno, (need.node.end_col_offset or 0) + 1)
    raise SyntaxError(message, ("", need.node.lineno, need.node.col_offset + 1, "", *end))
