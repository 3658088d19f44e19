"""Which models have a drop-in beside them, `rlm/<model>`: a small file that the user's commands change."""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

from .errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

PREFIX = "rlm/"
"""What the names of drop-in models begin with."""


@dataclass(frozen=True)
class Entry:
    """What is kept of a drop-in model."""

    sub_model: str | None = None
    """The model for sub-calls; None for the root model."""


def entries() -> Mapping[str, Entry]:
    """The models that have a drop-in, by their names. Raises UsageError for a file that is broken."""
    path = _path()
    try:
        text = path.read_text("utf-8")
    except FileNotFoundError:
        return {}
    except (OSError, UnicodeDecodeError) as problem:
        message = f"{path} cannot be read: {problem}"
        raise UsageError(message) from problem
    try:
        return {name: Entry(**kept) for name, kept in json.loads(text).items()}
    except (ValueError, TypeError, AttributeError) as problem:
        message = f"{path} is not as `llm rlm models` wrote it: mend it, or remove it and add the models again"
        raise UsageError(message) from problem


def add(model: str, entry: Entry) -> None:
    """Keep a drop-in for a model, or change the one that there is. Raises UsageError."""
    _write({**entries(), model: entry})


def remove(model: str) -> None:
    """Forget the drop-in of a model. Raises UsageError where there is none."""
    kept = dict(entries())
    name = model.removeprefix(PREFIX)
    if name not in kept:
        there = ", ".join(PREFIX + each for each in kept) or "none"
        message = f"there is no drop-in model {PREFIX}{name}; there are: {there}"
        raise UsageError(message)
    del kept[name]
    _write(kept)


def _write(kept: Mapping[str, Entry]) -> None:
    """Replace the file whole: another command may read it meanwhile."""
    path = _path()
    new = path.with_name(f"{path.name}.{os.getpid()}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        new.write_text(json.dumps({name: asdict(entry) for name, entry in kept.items()}, indent=2) + "\n", "utf-8")
        new.replace(path)
    except OSError as problem:
        message = f"{path} cannot be written: {problem.strerror}"
        raise UsageError(message) from problem


def _path() -> Path:
    import llm  # noqa: PLC0415 - imported by then

    folder: Path = llm.user_dir()  # type: ignore[no-untyped-call]
    return folder / "rlm-models.json"
