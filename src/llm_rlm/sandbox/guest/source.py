"""From the source of a cell to code: checks of the time, the value of the last line, `asyncio.run`."""

from __future__ import annotations

import ast
import linecache
from dataclasses import dataclass
from typing import TYPE_CHECKING

from .clock import TICK

if TYPE_CHECKING:
    from types import CodeType

RUN = "__rlm_run__"
"""The name of the coroutine function that stands in for `asyncio.run` where `await` is allowed."""

_FLAGS = ast.PyCF_ALLOW_TOP_LEVEL_AWAIT
_SYNC_RUNNERS = {"run_until_complete"}


@dataclass(frozen=True)
class Cell:
    """A compiled cell: what to run, and the expression whose value a REPL would show."""

    body: CodeType | None
    last: CodeType | None


def compile_cell(source: str, filename: str) -> Cell:
    """Compile a cell.

    Raises SyntaxError (and whatever else `compile` raises) for source that is not Python. Its lines are put in `linecache`,
    so that tracebacks show them.
    """
    linecache.cache[filename] = (len(source), None, source.splitlines(keepends=True), filename)
    tree = compile(source, filename, "exec", flags=ast.PyCF_ONLY_AST | _FLAGS, dont_inherit=True)
    assert isinstance(tree, ast.Module)
    tree = _instrument(tree)
    last: ast.Expression | None = None
    if tree.body and isinstance(end := tree.body[-1], ast.Expr):
        last = ast.Expression(end.value)
        tree.body.pop()
    return Cell(
        body=compile(tree, filename, "exec", flags=_FLAGS, dont_inherit=True) if tree.body else None,
        last=compile(last, filename, "eval", flags=_FLAGS, dont_inherit=True) if last else None,
    )


def _instrument(tree: ast.Module) -> ast.Module:
    """Put in the checks and the awaits. Raises SyntaxError for code that nests several hundred deep."""
    try:
        changed: ast.Module = ast.fix_missing_locations(_Awaits().visit(_Ticks().visit(tree)))
    except RecursionError:
        # Taken apart first: to free a tree that deep all at once ends the interpreter.
        for node in list(ast.walk(tree)):
            vars(node).clear()
        message = "the code is nested too deeply (an expression or elif chain of several hundred parts): use a list and a loop"
        raise SyntaxError(message) from None
    return changed


def _tick(at: ast.stmt | ast.expr) -> ast.Call:
    """A check that stands, for tracebacks, at the first word of `at`."""
    place = {"lineno": at.lineno, "col_offset": at.col_offset, "end_lineno": at.lineno, "end_col_offset": at.col_offset + 1}
    return ast.Call(ast.Name(TICK, ast.Load(), **place), [], [], **place)


def _tick_statement(at: ast.stmt) -> ast.Expr:
    return ast.copy_location(ast.Expr(tick := _tick(at)), tick)


class _Ticks(ast.NodeTransformer):
    """Puts a check of the time at the start of each loop's body, each function and each turn of a comprehension."""

    def _loop[Loop: (ast.For, ast.AsyncFor, ast.While)](self, node: Loop) -> Loop:
        self.generic_visit(node)
        node.body.insert(0, _tick_statement(node))
        return node

    def visit_For(self, node: ast.For) -> ast.For:
        return self._loop(node)

    def visit_AsyncFor(self, node: ast.AsyncFor) -> ast.AsyncFor:
        return self._loop(node)

    def visit_While(self, node: ast.While) -> ast.While:
        return self._loop(node)

    def _function[Function: (ast.FunctionDef, ast.AsyncFunctionDef)](self, node: Function) -> Function:
        self.generic_visit(node)
        has_docstring = ast.get_docstring(node, clean=False) is not None
        node.body.insert(int(has_docstring), _tick_statement(node))
        return node

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.FunctionDef:
        return self._function(node)

    def visit_AsyncFunctionDef(self, node: ast.AsyncFunctionDef) -> ast.AsyncFunctionDef:
        return self._function(node)

    def visit_comprehension(self, node: ast.comprehension) -> ast.comprehension:
        self.generic_visit(node)
        node.ifs.insert(0, _tick(node.iter))
        return node


class _Awaits(ast.NodeTransformer):
    """`asyncio.run(main())` means `await main()` in a session whose event loop is already running."""

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.FunctionDef:
        return node if not _has_async(node) else self._only_async_inside(node)

    def visit_Lambda(self, node: ast.Lambda) -> ast.Lambda:
        return node

    def visit_ClassDef(self, node: ast.ClassDef) -> ast.ClassDef:
        return self._only_async_inside(node)

    def visit_GeneratorExp(self, node: ast.GeneratorExp) -> ast.GeneratorExp:
        return node

    def visit_Call(self, node: ast.Call) -> ast.expr:
        self.generic_visit(node)
        if not _runs_a_loop(node.func):
            return node
        run = ast.copy_location(ast.Name(RUN, ast.Load()), node.func)
        call = ast.copy_location(ast.Call(run, node.args, node.keywords), node)
        return ast.copy_location(ast.Await(call), node)

    def _only_async_inside[Scope: (ast.FunctionDef, ast.ClassDef)](self, scope: Scope) -> Scope:
        """A plain function or class body cannot await, but an async function defined in it can."""
        for child in scope.body:
            for node in ast.walk(child):
                if isinstance(node, ast.AsyncFunctionDef):
                    self.generic_visit(node)
        return scope


def _has_async(node: ast.AST) -> bool:
    return any(isinstance(child, ast.AsyncFunctionDef) for child in ast.walk(node))


def _runs_a_loop(function: ast.expr) -> bool:
    if not isinstance(function, ast.Attribute):
        return False
    if function.attr in _SYNC_RUNNERS:
        return True
    return function.attr == "run" and isinstance(function.value, ast.Name) and function.value.id == "asyncio"
