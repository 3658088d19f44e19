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

    What code has added to modules is left there. Comparing is done in C, a few hundred microseconds for all.
    """
    modules = [module for name, module in sys.modules.items() if _root(name) == "rlm" or name in _RELIED_ON]
    every, at_hand = sys.modules, vars(sys)
    loaded, of_sys = dict(every), dict(at_hand)
    dicts = [(vars(module).update, dict(vars(module))) for module in modules]
    close = [module for module in modules if module.__name__ in _CLOSE or _root(module.__name__) == "rlm"]
    kinds = list(_classes(close))
    contents = [dict(vars(kind)) for kind in kinds]
    functions = list(_functions(close, contents))
    codes = [function.__code__ for function in functions]
    content, put, drop = type.__dict__["__dict__"].__get__, type.__setattr__, type.__delattr__
    code, put_back, each, whatever = FunctionType.__dict__["__code__"].__get__, at_hand.setdefault, map, BaseException

    def mend() -> None:
        every.update(loaded)
        at_hand["modules"] = every
        for name in of_sys:
            put_back(name, of_sys[name])
        for update, copy in dicts:
            update(copy)
        if [*each(code, functions)] != codes:
            for index, own in enumerated(codes):
                functions[index].__code__ = own
        try:
            same = [*each(content, kinds)] == contents
        except whatever:
            same = False
        if not same:
            for kind, copy in zipped(kinds, contents):
                for name in [*content(kind)]:
                    if name not in copy:
                        drop(kind, name)
                for name in copy:
                    if content(kind).get(name) is not copy[name]:
                        put(kind, name, copy[name])

    enumerated, zipped = enumerate, zip
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
