"""How commands that show something print it: on a terminal in its width, with a pager; on a pipe plain."""

from __future__ import annotations

import io
import os
import sys
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from collections.abc import Iterable

    from rich.console import Console, RenderableType

_PLAIN_WIDTH = 100
"""Columns of what is not for a terminal."""


def print_all(parts: Iterable[RenderableType]) -> None:
    """Print what rich can draw: on a terminal by a pager, where it does not fit, and with colours."""
    terminal = sys.stdout.isatty()
    console = console_for(terminal=terminal)
    with console.capture() as captured:
        for part in parts:
            console.print(part)
    text = captured.get()
    if not terminal or text.count("\n") < console.height:
        tolerant()
        click.echo(text, nl=False)
        return
    os.environ.setdefault("LESS", "-FRX")  # as git does
    click.echo_via_pager(text)


def console_for(*, terminal: bool) -> Console:
    """A console that draws for stdout."""
    from rich.console import Console  # noqa: PLC0415 - slow to import

    wide = {} if terminal else {"width": _PLAIN_WIDTH}
    return Console(file=sys.stdout, highlight=False, emoji=False, markup=False, force_terminal=terminal or None, **wide)  # type: ignore[arg-type]


def tolerant() -> None:
    """Let stdout take any text, whatever its encoding."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")
