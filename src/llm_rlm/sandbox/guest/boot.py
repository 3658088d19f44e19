"""The first code to run in the guest: makes the package `rlm` of the sources that the host sends along."""

from __future__ import annotations

import builtins
import sys
import types
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Coroutine, Mapping

ORDER = (
    "clock",
    "jsontext",
    "scopes",
    "flows",
    "awaits",
    "source",
    "output",
    "results",
    "calls",
    "functions",
    "mapping",
    "together",
    "asking",
    "lazytext",
    "ahead",
    "corpus",
    "cutting",
    "pieces",
    "found",
    "helpers",
    "runs",
    "dice",
    "dialects",
    "driver",
    "bridge",
)
"""The modules of the package, each after those it imports."""


def boot(sources: Mapping[str, str]) -> Coroutine[Any, Any, None]:
    """Load the package and return the coroutine of its session. `sources` maps module names to their text."""
    # Our own copy, so that a cell that deletes or replaces builtins does not take the driver with it.
    own_builtins = dict(vars(builtins))
    package = types.ModuleType("rlm")
    package.__path__ = []
    sys.modules["rlm"] = package
    for name in ORDER:
        module = types.ModuleType(f"rlm.{name}")
        module.__package__ = "rlm"
        module.__dict__["__builtins__"] = own_builtins
        sys.modules[module.__name__] = module
        exec(compile(sources[name], f"<rlm {name}>", "exec"), module.__dict__)  # noqa: S102 - our own sources
        setattr(package, name, module)
    main = sys.modules["rlm.bridge"].main
    started: Coroutine[Any, Any, None] = main(__import__("_eryx"), __import__("_eryx_async"))
    return started
