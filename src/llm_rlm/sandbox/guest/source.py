"""From the source of a cell to code: checks of the time, forgotten awaits, the value of the last line."""

from __future__ import annotations

import ast
import linecache
from dataclasses import dataclass
from typing import TYPE_CHECKING

from . import awaits
from .clock import TICK

if TYPE_CHECKING:
    from types import CodeType

_FLAGS = ast.PyCF_ALLOW_TOP_LEVEL_AWAIT
_NOTHING_KNOWN = awaits.Known()


@dataclass(frozen=True)
class Cell:
    """A compiled cell: what to run, and the expression whose value a REPL would show."""

    body: CodeType | None
    last: CodeType | None
    made_async: frozenset[tuple[str, int]] = frozenset()
    """Plain functions that became async so that they can await: their names and first lines."""


def compile_cell(source: str, filename: str, known: awaits.Known = _NOTHING_KNOWN) -> Cell:
    """Compile a cell. Awaits are put before calls of the functions that are `known`.

    Raises SyntaxError (and whatever else `compile` raises) for source that is not Python. Its lines are put in `linecache`,
    so that tracebacks show them.
    """
    linecache.cache[filename] = (len(source), None, source.splitlines(keepends=True), filename)
    tree = compile(source, filename, "exec", flags=ast.PyCF_ONLY_AST | _FLAGS, dont_inherit=True)
    assert isinstance(tree, ast.Module)
    made_async = _change(tree, filename, known if known.may_be_in(source) else None)
    last: ast.Expression | None = None
    if tree.body and isinstance(end := tree.body[-1], ast.Expr):
        last = ast.Expression(end.value)
        tree.body.pop()
    return Cell(
        body=compile(tree, filename, "exec", flags=_FLAGS, dont_inherit=True) if tree.body else None,
        last=compile(last, filename, "eval", flags=_FLAGS, dont_inherit=True) if last else None,
        made_async=made_async,
    )


def _change(tree: ast.Module, filename: str, known: awaits.Known | None) -> frozenset[tuple[str, int]]:
    """Put in the awaits and the checks; the functions that were made async.

    Raises SyntaxError for code that nests several hundred deep or uses an answer where it cannot be awaited.
    """
    try:
        made = awaits.put_in(tree, known) if known is not None else set()
        ast.fix_missing_locations(_Ticks().visit(tree))
    except RecursionError:
        # Taken apart first: to free a tree that deep all at once ends the interpreter.
        for node in list(ast.walk(tree)):
            vars(node).clear()
        message = "the code is nested too deeply (an expression or elif chain of several hundred parts): use a list and a loop"
        raise SyntaxError(message) from None
    except SyntaxError as problem:
        problem.filename, problem.text = filename, linecache.getline(filename, problem.lineno or 0)
        raise
    return frozenset((function.name, function.lineno) for function in made)


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
