"""Numbers, times and shares as they are shown to a person."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Protocol

from llm_rlm.errors import amount

_MINUTE = 60
_HOUR = 3600
_KB = 1000.0


class Priced(Protocol):
    """What something took."""

    @property
    def cost(self) -> float:
        """USD, as far as it is known."""

    @property
    def unpriced(self) -> int:
        """Answers whose cost is not known."""


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
    if round(seconds, 1) < _MINUTE:
        return f"{max(0.0, seconds):.1f} s"  # a clock may have been set back
    whole = round(seconds)
    minutes, rest = divmod(whole, _MINUTE)
    return f"{minutes} min {rest:02} s" if whole < _HOUR else f"{minutes // 60:,} h {minutes % 60:02} min"


def tokens(count: int) -> str:
    """So many tokens in few characters: `950`, `12.3k`, `4.5M`."""
    for unit, least, size in (("M", 999_950, 1_000_000), ("k", 10_000, 1_000)):
        if count >= least:
            return f"{count / size:.1f}{unit}"
    return f"{count:,}"


def size(count: float) -> str:
    """Bytes: `12 bytes`, `1.2 MB`."""
    for unit in ("bytes", "KB", "MB", "GB"):
        if round(count, 1) < _KB:
            return f"{count:,.0f} {unit}" if unit == "bytes" else f"{count:,.1f} {unit}"
        count /= _KB
    return f"{count:,.1f} TB"


def percent(part: float, whole: float = 1.0) -> str:
    """A share: a little is not said to be nothing, nor nearly all to be all."""
    share = part / whole if whole else 1.0
    shown = f"{share:.0%}"
    if shown == "0%" and share > 0:
        return "under 1%"
    return "over 99%" if shown == "100%" and share < 1 else shown


def cost(taken: Priced) -> str:
    """What is known of the cost: `$0.12`, `unknown (but for $0.12)`, `unknown`."""
    if not taken.unpriced:
        return amount("cost", taken.cost)
    return f"unknown (but for {amount('cost', taken.cost)})" if taken.cost else "unknown"


def short_cost(taken: Priced) -> str:
    """The same in few characters: `$0.12`, `$0.12+?`, `?`."""
    if not taken.unpriced:
        return amount("cost", taken.cost)
    return f"{amount('cost', taken.cost)}+?" if taken.cost else "?"


def counted(count: int, what: str) -> str:
    """`1 call`, `2 calls`."""
    return f"{count:,} {what}" + ("" if count == 1 else "s")
