"""From a run of the journal to a file."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from llm_rlm.errors import UsageError
from llm_rlm.journal import Journal
from llm_rlm.journal.history import find_run
from llm_rlm.places import journal_path
from llm_rlm.saving import cannot_be_written, save

from .data import gather

if TYPE_CHECKING:
    from collections.abc import Iterator

MARK = b'<meta name="generator" content="llm-rlm report">'
"""Stands near the beginning of each page: a file without it is somebody else's, and is not replaced unasked."""

_LOOKED_AT = 1024


def write(run: str, path: str | Path | None = None, *, full: bool = False, force: bool = False) -> Path:
    """Write the report of a run, an id, the beginning of one, or `last`. Returns where it is.

    Without a `path` that is `rlm-ID.html`, here. `full` has every text whole, however long. A file that is no report is only
    replaced with `force`. Its owner alone may read what is written, since it has what the run has read. Raises UsageError.
    """
    where = journal_path()
    journal = Journal(where if where.exists() else None)  # reading makes no file
    try:
        return write_from(journal, run, path, full=full, force=force)
    finally:
        journal.close()


def write_from(journal: Journal, run: str, path: str | Path | None, *, full: bool, force: bool) -> Path:
    """As `write`, from a journal that is open."""
    run_id = find_run(journal, run)
    path = Path(path) if path is not None else Path(f"rlm-{run_id}.html")
    if not force:
        check(path)
    save(path, pieces(journal, run_id, full=full))
    return path


def pieces(journal: Journal, run: str, *, full: bool) -> Iterator[str]:
    """The page of a run, piece by piece."""
    from .page import render  # noqa: PLC0415 - Jinja is imported only when it is used

    return render(gather(journal, find_run(journal, run), full=full))


def check(path: Path) -> None:
    """Raise UsageError if there is something at the path that a report should not replace."""
    if path.is_dir():
        message = f"{path} is a folder: name a file"
        raise UsageError(message)
    if not path.is_file():
        return
    try:
        with path.open("rb") as file:
            start = file.read(_LOOKED_AT)
    except OSError as problem:
        raise cannot_be_written(path, problem) from problem
    if start and MARK not in start:
        message = f"{path} is there and is no report: it is replaced only with --force"
        raise UsageError(message)
