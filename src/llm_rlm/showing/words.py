"""Numbers, times and texts as they are shown in one line."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

from llm_rlm.errors import amount
from llm_rlm.status import clean

if TYPE_CHECKING:
    from llm_rlm.budget import Usage

_MINUTE = 60
_HOUR = 3600


def one_line(text: str, longest: int | None = None) -> str:
    """A text without line ends and control characters, cut if it is longer than so many characters."""
    text = " ".join(clean(text).split())
    return text if longest is None or len(text) <= longest else f"{text[: longest - 1]}…"


def when(seconds: float) -> str:
    """A time, seconds since 1970, in the local zone: `2026-11-28 16:04`."""
    return datetime.fromtimestamp(seconds, UTC).astimezone().strftime("%Y-%m-%d %H:%M")


def iso(seconds: float | None) -> str | None:
    """A time in UTC, as programs read it."""
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds") if seconds is not None else None


def lasting(seconds: float | None) -> str:
    """A duration: `3.2 s`, `4 min 05 s`, `2 h 03 min`."""
    if seconds is None:
        return "-"
    if seconds < _MINUTE:
        return f"{max(0.0, seconds):.1f} s"  # a clock may have been set back
    minutes, rest = divmod(round(seconds), _MINUTE)
    return f"{minutes} min {rest:02} s" if seconds < _HOUR else f"{minutes // 60} h {minutes % 60:02} min"


def tokens(count: int) -> str:
    """So many tokens in few characters: `950`, `12.3k`, `4.5M`."""
    for unit, size in (("M", 1_000_000), ("k", 10_000)):
        if count >= size:
            return f"{count / min(size, 1_000_000 if unit == 'M' else 1_000):.1f}{unit}"
    return f"{count:,}"


def cost(usage: Usage) -> str:
    """What is known of the cost: `$0.12`, `$0.12+?` where a price is not known, `?` where none is."""
    if not usage.unpriced:
        return amount("cost", usage.cost)
    return f"{amount('cost', usage.cost)}+?" if usage.cost else "?"


def counted(count: int, what: str) -> str:
    """`1 call`, `2 calls`."""
    return f"{count:,} {what}" + ("" if count == 1 else "s")
