"""LLM's own log: the root model's responses as `llm logs` shows them. Sub-calls are in the journal only."""

from __future__ import annotations

import sqlite3
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    import llm


class LLMLog:
    """A database of LLM's log. Its conversation has the run's id: `llm logs --cid RUN`."""

    def __init__(self, path: Path) -> None:
        """Nothing is opened before there is something to write."""
        self._path = path
        self._responses: list[llm.Response] = []

    def add(self, response: llm.Response) -> None:
        """Keep a response until the end of the run, when LLM logs too: writing takes as long as a turn."""
        self._responses.append(response)

    def write(self) -> str | None:
        """Log what was kept. Returns what is wrong with the log if it cannot be written: that does not end a run."""
        responses, self._responses = self._responses, []
        try:
            self._log(responses)
        except (sqlite3.Error, OSError) as problem:
            return f"LLM's log {self._path} cannot be written: {problem}"
        return None

    def _log(self, responses: Sequence[llm.Response]) -> None:
        if not responses:
            return
        import sqlite_utils  # noqa: PLC0415 - LLM has it, and it is not needed before
        from llm.migrations import migrate  # noqa: PLC0415 - see above

        self._path.parent.mkdir(parents=True, exist_ok=True)
        database = sqlite_utils.Database(self._path)
        try:
            migrate(database)  # type: ignore[no-untyped-call]
            for response in responses:
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
