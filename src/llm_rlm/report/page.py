"""A page of what was gathered: HTML that needs nothing else, and in which no text is anything but text."""

from __future__ import annotations

import base64
import hashlib
import json
from datetime import UTC, datetime
from importlib import metadata
from importlib.resources import files
from typing import TYPE_CHECKING, Any

from jinja2 import Environment, FunctionLoader, StrictUndefined
from markupsafe import Markup

from llm_rlm.errors import amount

from .texts import cut, visible

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from .data import Report, Sum

_CHUNK = 400_000
"""Characters of texts that the script reads at once."""
_ESCAPES = {character: f"\\u{ord(character):04x}" for character in "<>&\u2028\u2029"}
_POLICY = (
    "default-src 'none'; style-src '{style}'; script-src '{script}'; img-src data:; base-uri 'none'; form-action 'none';"
    " require-trusted-types-for 'script'; trusted-types 'none'"
)
_KB = 1000.0
_MINUTE, _HOUR = 60.0, 3600.0


def render(report: Report) -> Iterator[str]:
    """The page, piece by piece."""
    style, script = _resource("report.css"), _resource("report.js")
    chunks, firsts = _chunks(report.texts)
    return (
        _environment(report)
        .get_template("template.html.j2")
        .generate(
            report=report,
            style=Markup(style),  # noqa: S704 - our own file
            script=Markup(script),  # noqa: S704 - our own file
            policy=_POLICY.format(style=_digest(style), script=_digest(script)),
            data=as_json({**report.payload, "firsts": firsts}),
            chunks=(as_json(chunk) for chunk in chunks),
            version=metadata.version("llm-rlm"),
            now=datetime.now(UTC).timestamp(),
        )
    )


def as_json(value: object) -> Markup:
    """JSON text that can stand in a script element: nothing in it ends the element, or is an entity."""
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    for character, escape in _ESCAPES.items():
        text = text.replace(character, escape)
    return Markup(text)  # noqa: S704 - escaped


def _environment(report: Report) -> Environment:
    environment = Environment(
        loader=FunctionLoader(_resource),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=_shown,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "cut": lambda text: cut(text, report.most),
        "count": lambda number: f"{number:,}",
        "money": lambda usd: amount("cost", usd),
        "limit": lambda limit: amount(limit["kind"], limit["limit"]),
        "cost": cost,
        "seconds": seconds,
        "size": size,
        "percent": percent,
        "when": _when,
        "json": lambda value: json.dumps(value, ensure_ascii=False, indent=2, default=str),
    }
    return environment


def _shown(value: Any) -> Any:  # noqa: ANN401 - whatever the template says
    """What the template puts into the page: nothing in it hides."""
    if value is None:
        return ""
    return visible(value) if isinstance(value, str) and not isinstance(value, Markup) else value


def cost(total: Sum) -> str:
    """What is known of a cost."""
    if total.unpriced:
        return f"unknown (but for {amount('cost', total.cost)})" if total.cost else "unknown"
    return amount("cost", total.cost)


def seconds(value: float | None) -> str:
    """A time as a person reads it: `340 ms`, `12.4 s`, `3 min 20 s`."""
    if value is None:
        return "no end"
    if value < 1:
        return f"{value * 1000:.0f} ms"
    if value < _MINUTE:
        return f"{value:.1f} s"
    minutes, rest = divmod(round(value), 60)
    return f"{minutes} min {rest} s" if value < _HOUR else f"{minutes // 60:,} h {minutes % 60} min"


def size(count: float) -> str:
    """Bytes as a person reads them: `1.2 MB`."""
    for unit in ("bytes", "KB", "MB", "GB"):
        if count < _KB:
            return f"{count:,.0f} {unit}" if unit == "bytes" else f"{count:,.1f} {unit}"
        count /= _KB
    return f"{count:,.1f} TB"


def percent(part: float, whole: float = 1.0) -> str:
    """A share as a person reads it: a little is not said to be nothing, nor nearly all to be all."""
    share = part / whole if whole else 1.0
    shown = f"{share:.0%}"
    if shown == "0%" and share > 0:
        return "under 1%"
    return "over 99%" if shown == "100%" and share < 1 else shown


def _when(moment: float) -> str:
    return datetime.fromtimestamp(moment, UTC).astimezone().strftime("%Y-%m-%d %H:%M:%S %z")


def _chunks(texts: Sequence[str]) -> tuple[list[list[str]], list[int]]:
    """The texts in pieces that are read one at a time, and the number of the first text of each."""
    chunks: list[list[str]] = []
    firsts: list[int] = []
    room = 0
    for number, text in enumerate(texts):
        if len(text) > room or not chunks:
            chunks.append([])
            firsts.append(number)
            room = _CHUNK
        chunks[-1].append(text)
        room -= len(text)
    return chunks, firsts


def _digest(text: str) -> str:
    return f"sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}"


def _resource(name: str) -> str:
    return files(__package__).joinpath(name).read_text("utf-8")
