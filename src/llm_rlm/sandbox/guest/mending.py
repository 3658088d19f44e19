"""Puts back what a cell may have broken for the driver: the modules that it relies on, their classes and functions."""

from __future__ import annotations

import ast
import sys
from types import FunctionType, ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_RELIED_ON = (
    "_colorize",
    "_eryx_async",
    "ast",
    "asyncio",
    "asyncio.events",
    "asyncio.futures",
    "asyncio.tasks",
    "codecs",
    "collections.abc",
    "contextlib",
    "inspect",
    "io",
    "linecache",
    "traceback",
    "types",
)
_CLOSE = ("_eryx_async", "ast", "asyncio.events", "traceback")
"""Those whose classes and functions are looked at too, beside the driver's own modules."""

_IS_IMMUTABLE = 1 << 8


def mender() -> Callable[[], None]:
    """What puts everything back as it is now. It looks nothing up by a name that code could change.

    What code has added to modules is left there. Comparing is done in C, some hundred microseconds for all.
    """
    modules = [module for name, module in sys.modules.items() if _root(name) == "rlm" or name in _RELIED_ON]
    close = [module for module in modules if module.__name__ in _CLOSE or _root(module.__name__) == "rlm"]
    kinds = list(_classes(close))
    contents = [dict(vars(kind)) for kind in kinds]
    parts = (_of_sys(), _of_modules(modules), _of_functions(list(_functions(close, contents))), _of_classes(kinds, contents))

    def mend() -> None:
        for part in parts:
            part()

    return mend


def _of_sys() -> Callable[[], None]:
    """What is missing in `sys`, and modules that are missing or others."""
    every, at_hand = sys.modules, vars(sys)
    loaded, there, put_back = dict(every), list(at_hand.items()), at_hand.setdefault

    def mend() -> None:
        every.update(loaded)
        at_hand["modules"] = every
        for name, value in there:
            put_back(name, value)

    return mend


def _of_modules(modules: list[ModuleType]) -> Callable[[], None]:
    dicts = [(vars(module).update, dict(vars(module))) for module in modules]

    def mend() -> None:
        for update, copy in dicts:
            update(copy)

    return mend


def _of_functions(functions: list[FunctionType]) -> Callable[[], None]:
    code, each, paired = FunctionType.__dict__["__code__"].__get__, map, zip
    codes = [function.__code__ for function in functions]

    def mend() -> None:
        if [*each(code, functions)] != codes:
            for function, own in paired(functions, codes):
                function.__code__ = own

    return mend


def _of_classes(kinds: list[type], contents: list[dict[str, Any]]) -> Callable[[], None]:
    """Here what was added is removed: it would stand before what a class inherits."""
    content, put, drop = type.__dict__["__dict__"].__get__, type.__setattr__, type.__delattr__
    each, paired, whatever = map, zip, BaseException

    def is_whole() -> bool:
        try:
            return [*each(content, kinds)] == contents
        except whatever:  # what was put there may be unwilling to be compared
            return False

    def mend() -> None:
        if is_whole():
            return
        for kind, copy in paired(kinds, contents):
            for name in [*content(kind)]:
                if name not in copy:
                    drop(kind, name)
            for name, value in copy.items():
                if content(kind).get(name) is not value:
                    put(kind, name, value)

    return mend


def _root(name: str) -> str:
    return name.partition(".")[0]


def _classes(modules: list[ModuleType]) -> Iterator[type]:
    """The classes of these modules that code can change, but for the nodes of `ast`."""
    for module in modules:
        for value in vars(module).values():
            own = isinstance(value, type) and value.__module__ in {module.__name__, "__main__", "builtins"}
            if own and not value.__flags__ & _IS_IMMUTABLE and not issubclass(value, ast.AST):
                yield value


def _functions(modules: list[ModuleType], contents: list[dict[str, Any]]) -> Iterator[FunctionType]:
    for there in (*map(vars, modules), *contents):
        yield from (value for value in there.values() if isinstance(value, FunctionType))
