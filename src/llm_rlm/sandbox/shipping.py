"""The guest's modules as a worker is sent them: compiled, where a guest has done so before, else as text.

Compiling takes a guest more time than all else at its start. What it made lies in `__pycache__`, as what Python compiles does.
"""

from __future__ import annotations

import json
import os
import sys
import threading
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from hashlib import sha256
from importlib import metadata, resources
from importlib.util import cache_from_source
from pathlib import Path

from .guest import boot


@dataclass(frozen=True)
class Shipment:
    """What a worker is sent."""

    code: str
    """What its guest runs first."""
    compiled: bool
    """Whether that holds the modules compiled. Else the guest sends them so, for `keep`."""


def shipment() -> Shipment:
    """What to send to the next worker."""
    sources = _sources()
    try:
        key, _, packed = _path().read_text("ascii").partition("\n")
    except (OSError, UnicodeDecodeError):
        key, packed = "", ""
    if key != _key():
        return Shipment(f"{sources['boot']}\n\nawait boot({json.dumps(sources)})\n", compiled=False)
    return Shipment(f"{sources['boot']}\n\nawait boot(packed={packed!r})\n", compiled=True)


def keep(packed: str) -> None:
    """Keep what a guest has compiled, for all later ones, if it can be written."""
    if sys.dont_write_bytecode:
        return
    path = _path()
    new = path.with_name(f"{path.name}.{os.getpid()}.{threading.get_ident()}")
    with suppress(OSError):
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            new.write_text(f"{_key()}\n{packed}", "ascii")
            new.replace(path)
        finally:
            new.unlink(missing_ok=True)


def forget() -> None:
    """Remove what is kept: a guest could not start with it."""
    with suppress(OSError):
        _path().unlink()


def _path() -> Path:
    return Path(cache_from_source(boot.__file__)).with_name("guest.eryx")


@cache
def _sources() -> dict[str, str]:
    package = resources.files("llm_rlm.sandbox.guest")
    return {name: (package / f"{name}.py").read_text("utf-8") for name in (*boot.ORDER, "boot")}


@cache
def _key() -> str:
    """What compiled code is of: these sources, by this version of pyeryx."""
    return sha256(json.dumps([metadata.version("pyeryx"), _sources()]).encode("ascii")).hexdigest()
