"""LLM's own log: the root model's responses as `llm logs` shows them. Sub-calls are in the journal only."""

from __future__ import annotations

import sqlite3
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    import llm

    from .run import Observer


class LLMLog:
    """A database of LLM's log. Its conversation has the run's id: `llm logs --cid RUN`."""

    def __init__(self, path: Path, observer: Observer) -> None:
        """Nothing is opened before there is something to write."""
        self._path = path
        self._observer = observer
        self._broken = False

    def write(self, response: llm.Response) -> None:
        """Log a response. A log that cannot be written is told of once, and does not end the run."""
        if self._broken:
            return
        try:
            self._log(response)
        except (sqlite3.Error, OSError) as problem:
            self._broken = True
            self._observer.warned(f"LLM's log {self._path} cannot be written: {problem}")

    def _log(self, response: llm.Response) -> None:
        import sqlite_utils  # noqa: PLC0415 - LLM has it, and it is not needed before
        from llm.migrations import migrate  # noqa: PLC0415 - see above

        self._path.parent.mkdir(parents=True, exist_ok=True)
        database = sqlite_utils.Database(self._path)
        try:
            migrate(database)  # type: ignore[no-untyped-call]
            response.log_to_db(database)  # type: ignore[no-untyped-call]
        finally:
            database.close()


def log_path(database: Path | None) -> Path:
    """The database that LLM logs to: the one that was named, or its own."""
    import llm  # noqa: PLC0415 - slow to import

    own: Path = llm.user_dir() / "logs.db"  # type: ignore[no-untyped-call]
    return database or own


def is_kept(options: Mapping[str, object]) -> bool:
    """Whether a command with these options may record anything: not with `-n`, and after `llm logs off` only with `--log`."""
    import llm  # noqa: PLC0415 - slow to import

    off: bool = (llm.user_dir() / "logs-off").exists()  # type: ignore[no-untyped-call]
    return not options.get("no_log") and (bool(options.get("log")) or not off)
