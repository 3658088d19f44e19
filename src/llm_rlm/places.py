"""Where a user's things are: beside LLM's own log."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path


def cache_path() -> Path:
    """The folder of what is made of sources once and serves later runs."""
    return journal_path().with_name("rlm-cache")


def journal_path() -> Path:
    """Where the journal is, beside LLM's own log: absolute, whatever LLM_USER_PATH is."""
    import llm  # noqa: PLC0415 - slow to import

    folder: Path = llm.user_dir()  # type: ignore[no-untyped-call]
    return folder.absolute() / "rlm.db"
