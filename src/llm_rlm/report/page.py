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

from llm_rlm.display import words
from llm_rlm.errors import amount

from .texts import cut, visible

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from .data import Report

_CHUNK = 400_000
"""Characters of texts that the script reads at once."""
_ESCAPES = {character: f"\\u{ord(character):04x}" for character in "<>&\u2028\u2029"}
_POLICY = (
    "default-src 'none'; style-src '{style}'; script-src '{script}'; img-src data:; base-uri 'none'; form-action 'none';"
    " require-trusted-types-for 'script'; trusted-types 'none'"
)


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
        "cost": words.cost,
        "seconds": seconds,
        "size": words.size,
        "percent": words.percent,
        "when": _when,
        "json": lambda value: json.dumps(value, ensure_ascii=False, indent=2, default=str),
    }
    return environment


def _shown(value: Any) -> Any:  # noqa: ANN401 - whatever the template says
    """What the template puts into the page: nothing in it hides."""
    if value is None:
        return ""
    return visible(value) if isinstance(value, str) and not isinstance(value, Markup) else value


def seconds(value: float | None) -> str:
    """A duration, exact where it is short: `340 ms`, `12.4 s`."""
    if value is None:
        return "no end"
    return f"{value * 1000:.0f} ms" if value < 1 else words.lasting(value)


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
