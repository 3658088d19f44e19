"""`llm rlm --dry-run`: what would be read, what is skipped, and what the run can cost at most. Nothing is sent."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from .output import print_json

if TYPE_CHECKING:
    from collections.abc import Iterator

    from llm_rlm.context import Context, Sources
    from llm_rlm.rlm import RLM


def show(engine: RLM, sources: Sources, *, as_json: bool) -> None:
    """Read the sources as a run would, and print what they are. Raises UsageError, UnknownModelError."""
    from llm_rlm.context import from_any  # noqa: PLC0415 - not needed for --help
    from llm_rlm.places import cache_path  # noqa: PLC0415

    context = from_any(sources, cache_path() if engine.log else None)
    try:
        worst = engine.worst_cost()
        if as_json:
            print_json(_as_dict(context, worst))
        else:
            for line in _lines(context, worst):
                click.echo(line)
    finally:
        context.discard()


def _as_dict(context: Context, worst: float | None) -> dict[str, Any]:
    return {
        "sources": [{"name": name, "bytes": size, "type": kind} for name, size, kind in _rows(context)],
        "skipped": [{"name": skipped.name, "reason": skipped.reason} for skipped in context.skipped],
        "bytes": context.size,
        "worst_cost": {"usd": worst, "known": worst is not None},
    }


def _rows(context: Context) -> Iterator[tuple[str, int, str]]:
    """Name, bytes and type of each text and table."""
    for document in context.documents:
        made = ", unpacked or converted" if document.origin not in {None, document.name} else ""
        made = f", from {document.encoding}" if document.encoding is not None else made
        yield document.name, document.size, (document.table or "text") + made
    for table in context.tables:
        yield table.name, table.size, table.format


def _lines(context: Context, worst: float | None) -> Iterator[str]:
    from llm_rlm.display import words  # noqa: PLC0415 - not needed for --help
    from llm_rlm.display.clean import clean  # noqa: PLC0415

    for name, size, kind in _rows(context):
        yield f"{size:>15,}  {clean(name)}  ({kind})"
    for skipped in context.skipped:
        yield f"{'skipped':>15}  {clean(skipped.name)}  ({skipped.reason})"
    count = len(context.documents) + len(context.tables)
    left_out = f", {len(context.skipped):,} skipped" if context.skipped else ""
    yield f"{words.counted(count, 'source')}, {words.counted(context.size, 'byte')} of text{left_out}"
    yield _told(worst)
    yield "Nothing was sent."


def _told(worst: float | None) -> str:
    from llm_rlm.errors import amount  # noqa: PLC0415 - not needed for --help

    if worst is None:
        return "What it costs at most is not known: no limit bounds it. Set one with --max-cost"
    return f"It costs at most {amount('cost', worst)}."
