"""The answers in the journal that serve later runs: how many there are, and letting them serve no more."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import sqlite3

    from .journal import Journal

SERVING = "state = 'answered' and servable and cached_from is null"
"""What holds for a call whose answer may serve."""
_SOUND = "typeof(model) = 'text' and typeof(ended) = 'real' and abs(ended) < 250000000000.0"
"""What holds of all calls that a run has written, and not of those in a damaged file."""


@dataclass(frozen=True)
class Served:
    """The answers of one model that may serve."""

    model: str
    answers: int
    bytes: int
    """Of the answers, as UTF-8."""
    oldest: float
    """Seconds since 1970."""
    hits: int
    """How often they have served."""
    saved: float
    """USD that serving them saved, as far as the cost is known."""


def serving(journal: Journal) -> list[Served]:
    """The answers that may serve, model by model."""
    rows = journal.rows(
        "select model, count(*) as answers, sum(length(cast(text as blob))) as bytes, min(ended) as oldest,"  # noqa: S608 - our own names
        " coalesce(sum(hits), 0) as hits, coalesce(sum(hits * cost), 0.0) as saved"
        f" from (select model, response_hash, ended, cost, id from calls where {SERVING} and {_SOUND}) as kept"
        " join texts on hash = response_hash"
        " left join (select cached_from, count(*) as hits from calls where cached_from not null group by cached_from)"
        " on cached_from = kept.id group by model order by model"
    )
    return [Served(**row) for row in rows]


def clear(journal: Journal, *, before: float, model: str | None = None) -> int:
    """Let answers given before that time serve no more, of all models or one; the runs keep them. Returns how many."""

    def work(db: sqlite3.Connection) -> int:
        done = db.execute(
            f"update calls set servable = 0 where {SERVING} and ended < ? and model = coalesce(?, model)",  # noqa: S608 - our own names
            (before, model),
        )
        return done.rowcount

    return journal.write(work)
