"""The first code to run in the guest: makes the package `rlm` of what the host sends along, its text or its compiled code."""

from __future__ import annotations

import binascii
import builtins
import marshal
import sys
import types
import zlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Coroutine, Mapping
    from types import CodeType

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
    "mending",
    "driver",
    "bridge",
)
"""The modules of the package, each after those it imports."""


def boot(sources: Mapping[str, str] | None = None, packed: str = "") -> Coroutine[Any, Any, None]:
    """Load the package and return the coroutine of its session.

    `sources` maps module names to their text. Without it, `packed` is what a guest made of it once, which loads much faster.
    Raises RuntimeError if that was another Python.
    """
    codes = compiled(sources) if sources is not None else unpacked(packed)
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
        exec(codes[name], module.__dict__)  # noqa: S102 - our own code
        setattr(package, name, module)
    news = pack(codes) if sources is not None else None
    main = sys.modules["rlm.bridge"].main
    started: Coroutine[Any, Any, None] = main(__import__("_eryx"), __import__("_eryx_async"), news)
    return started


def compiled(sources: Mapping[str, str]) -> dict[str, CodeType]:
    """The code of each module."""
    return {name: compile(sources[name], f"<rlm {name}>", "exec") for name in ORDER}


def pack(codes: Mapping[str, CodeType]) -> str:
    """Code as text, for guests with the same Python."""
    whole = marshal.dumps((sys.version, marshal.dumps(dict(codes))))
    return binascii.b2a_base64(zlib.compress(whole), newline=False).decode("ascii")


def unpacked(packed: str) -> dict[str, CodeType]:
    """The code of each module. Raises RuntimeError for that of another Python."""
    version, whole = marshal.loads(zlib.decompress(binascii.a2b_base64(packed)))  # noqa: S302 - made by `pack`
    if version != sys.version:
        message = f"compiled by another Python: {version}"
        raise RuntimeError(message)
    codes: dict[str, CodeType] = marshal.loads(whole)  # noqa: S302 - made by `pack`
    return codes
