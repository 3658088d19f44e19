"""`llm rlm cache`: the answers that serve later runs."""

from __future__ import annotations

import json

import click
from click_default_group import DefaultGroup  # type: ignore[import-untyped]

from .reading import opened_journal


@click.group(cls=DefaultGroup, default="show", default_if_no_args=True)
def cache() -> None:
    """Answers of sub-models that serve later runs which ask the same.

    They are part of the record of runs (rlm.db in LLM's folder). How long they serve is set by `cache_days` in rlm.toml, 30 if
    it is not; --no-cache asks anew.
    """


@cache.command("show")  # type: ignore[untyped-decorator]
@click.option("--json", "json_output", is_flag=True, help="Print a JSON array")
def cache_show(*, json_output: bool) -> None:
    """Show which answers there are, model by model."""
    from datetime import UTC, datetime  # noqa: PLC0415 - not needed for --help

    from llm_rlm.display import words  # noqa: PLC0415
    from llm_rlm.display.clean import clean  # noqa: PLC0415
    from llm_rlm.errors import amount  # noqa: PLC0415
    from llm_rlm.journal.cache import serving  # noqa: PLC0415

    with opened_journal() as journal:
        kept = serving(journal)
    if json_output:
        click.echo(json.dumps([vars(each) for each in kept], indent=2))
        return
    if not kept:
        click.echo("No answers are kept.")
    for each in kept:
        oldest = datetime.fromtimestamp(each.oldest, UTC).astimezone().strftime("%Y-%m-%d")
        served = f"served {words.counted(each.hits, 'time')}" + (
            f", which saved {amount('cost', each.saved)}" if each.saved else ""
        )
        answers, size = words.counted(each.answers, "answer"), words.counted(each.bytes, "byte")
        click.echo(f"{clean(each.model)}: {answers}, {size}, the oldest of {oldest}; {served}")


@cache.command("clear")  # type: ignore[untyped-decorator]
@click.option("--older-than", type=click.FloatRange(min=0), default=0, metavar="DAYS", help="Only answers older than this")
@click.option("-m", "--model", help="Only answers of this model")
def cache_clear(older_than: float, model: str | None) -> None:
    """Let answers serve no more. The runs that were given them keep them in their record."""
    import time  # noqa: PLC0415 - not needed for --help

    from llm_rlm.display import words  # noqa: PLC0415
    from llm_rlm.journal.cache import clear  # noqa: PLC0415

    with opened_journal() as journal:
        count = clear(journal, before=time.time() - older_than * 86_400, model=model)
    click.echo(f"{words.counted(count, 'answer')} will serve no more.")
