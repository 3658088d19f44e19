"""A cell's result as the root model is shown it."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from llm_rlm.sandbox import CellResult


def show(result: CellResult, limit: int | None = None) -> str:
    """A cell's result as a REPL would show it, and what the root model must know of the session.

    Output is kept to `limit` characters; to what the sandbox has kept where it is None.
    """
    result = replace(result, output=_narrowed(result, limit))
    return "\n".join(part for part in (result.output.rstrip("\n"), *result.notes) if part) or "(no output)"


def _narrowed(result: CellResult, limit: int | None) -> str:
    """The output of a cell, its head and its tail, with the true length between them if it is longer than `limit`."""
    output = result.output
    if limit is None or len(output) <= limit:
        return output
    # Characters that are no text are shown as several.
    total = result.total if result.total > limit else len(output)
    head, tail = limit - limit // 2, limit // 2
    return f"{output[:head]}\n... [{total - limit:,} of {total:,} characters not shown] ...\n{output[len(output) - tail :]}"
