"""How commands print what they show: on a terminal in its width, with a pager; on a pipe plain; for programs as JSON."""

from __future__ import annotations

import io
import json
import os
import sys
from itertools import chain
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from collections.abc import Iterable

    from rich.console import Console, RenderableType

_PLAIN_WIDTH = 100
"""Columns of what is not for a terminal."""


def print_all(parts: Iterable[RenderableType]) -> None:
    """Print what rich can draw, each part as soon as it is drawn: on a terminal by a pager, where it does not fit."""
    terminal = sys.stdout.isatty()
    console = console_for(terminal=terminal)
    texts = (_drawn(console, part) for part in parts)
    if not terminal:
        for text in texts:
            click.echo("\n".join(line.rstrip() for line in text.split("\n")), nl=False)  # rich fills lines up
        return
    first: list[str] = []
    for text in texts:
        first.append(text)
        if sum(each.count("\n") for each in first) >= console.height:
            os.environ.setdefault("LESS", "-FRX")  # as git does
            click.echo_via_pager(chain(first, texts))
            return
    click.echo("".join(first), nl=False)


def _drawn(console: Console, part: RenderableType) -> str:
    with console.capture() as captured:
        console.print(part)
    return captured.get()


def print_json(value: object) -> None:
    """Print JSON, in ASCII for a terminal, which would act on some of what JSON lets stand, and for what takes no UTF-8."""
    is_utf = (sys.stdout.encoding or "ascii").lower().startswith("utf")
    click.echo(json.dumps(value, ensure_ascii=sys.stdout.isatty() or not is_utf, indent=2))


def console_for(*, terminal: bool) -> Console:
    """A console that draws for stdout."""
    from rich.console import Console  # noqa: PLC0415 - slow to import

    wide = {} if terminal else {"width": _PLAIN_WIDTH}
    return Console(file=sys.stdout, highlight=False, emoji=False, markup=False, force_terminal=terminal or None, **wide)  # type: ignore[arg-type]


def tolerant() -> None:
    """Let stdout take any text, whatever its encoding. All commands begin with it."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")
