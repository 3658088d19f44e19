"""Files that commands write: whole or not at all, and only for their owner, since they have what a run has read."""

from __future__ import annotations

import os
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from llm_rlm.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterable


def save(path: Path, texts: Iterable[str]) -> None:
    """Write texts one after another. A file that is there is replaced at the end, a pipe or a device written to.

    Raises UsageError, and what the texts raise; then what was there is as it was.
    """
    try:
        if path.exists() and not path.is_file():
            with path.open("w", encoding="utf-8", newline="\n") as file:
                file.writelines(texts)
        else:
            _replace(path.resolve(), texts)
    except OSError as problem:
        raise cannot_be_written(path, problem) from problem


def _replace(path: Path, texts: Iterable[str]) -> None:
    number, made = tempfile.mkstemp(prefix=".rlm-", suffix=path.suffix, dir=path.parent)  # only its owner may read it
    try:
        with os.fdopen(number, "w", encoding="utf-8", newline="\n") as file:
            file.writelines(texts)
        Path(made).replace(path)
    except BaseException:
        with suppress(FileNotFoundError):
            Path(made).unlink()
        raise


def cannot_be_written(path: Path, problem: OSError) -> UsageError:
    """The error that says so."""
    return UsageError(f"{path} cannot be written: {problem.strerror or problem}")
