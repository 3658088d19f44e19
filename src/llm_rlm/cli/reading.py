"""What commands share that only read the journal."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

import click

from .running import shown_as_usage

if TYPE_CHECKING:
    from collections.abc import Iterator

    from llm_rlm.journal import Journal


@contextmanager
def opened_journal() -> Iterator[Journal]:
    """The journal on disk, or an empty one where there is none yet: reading makes no file.

    Errors of ours, also of what is done with it, are shown as click shows them.
    """
    from llm_rlm.journal import Journal  # noqa: PLC0415 - not needed for --help
    from llm_rlm.places import journal_path  # noqa: PLC0415 - likewise

    with shown_as_usage(click.get_current_context()):
        path = journal_path()
        journal = Journal(path if path.exists() else None)
        try:
            yield journal
        finally:
            journal.close()
