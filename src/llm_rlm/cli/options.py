"""Options that commands have in common, and what they mean for the engine."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource

if TYPE_CHECKING:
    from collections.abc import Callable

    from llm_rlm.config import Rate

LIMITS = {"cost": "max_cost", "calls": "max_calls", "tokens": "max_tokens", "turns": "max_turns", "seconds": "timeout"}
"""Kinds of limits, and their options."""


def run_options(*, new: bool) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """The options of a run: of a `new` one, or of one that goes on, where limits that are not given are as they were."""
    calls, turns, concurrency = (1000, 30, 256) if new else (None, None, None)
    most, some = click.IntRange(min=1), click.FloatRange(min=0, min_open=True)
    cost = "Most USD" + ("; $1 where prices are known, or as rlm.toml says" if new else "")
    options = [
        click.option("--key", help="API key, or the name of one that `llm keys` has"),
        click.option("--max-cost", type=click.FloatRange(min=0), help=cost),
        click.option("--max-calls", type=click.IntRange(min=0), default=calls, show_default=new, help="Most sub-calls"),
        click.option("--max-tokens", type=most, help="Most tokens, in and out, root model and sub-calls"),
        click.option("--max-turns", type=most, default=turns, show_default=new, help="Most turns of the root model"),
        click.option("--timeout", type=some, help="Seconds for the whole run" if new else "Seconds from now on"),
        click.option("--concurrency", type=most, default=concurrency, show_default=new, help="Most sub-calls at once"),
        click.option("--price", "prices", multiple=True, metavar="MODEL=IN,OUT", help="A price, in USD per million tokens"),
        click.option("--no-cache", is_flag=True, help="Ask again what an earlier run has asked"),
        click.option("--no-stream", is_flag=True, help="Do not stream the root model's replies"),
        click.option("--log", is_flag=True, help="Keep a record, even after `llm logs off`"),
        click.option("-d", "--database", type=click.Path(dir_okay=False, path_type=Path), help="Database for LLM's own log"),
        click.option("--json", "json_output", is_flag=True, help="Print one JSON object instead of the answer"),
        click.option("-q", "--quiet", is_flag=True, help="Say nothing on stderr but errors"),
        click.option("-v", "--verbose", is_flag=True, help="Show each cell and its output"),
    ]

    def add(command: Callable[..., Any]) -> Callable[..., Any]:
        for option in reversed(options):
            command = option(command)
        return command

    return add


def is_given(ctx: click.Context, option: str) -> bool:
    """Whether the user has given this option."""
    return ctx.get_parameter_source(option) is ParameterSource.COMMANDLINE


def prices(given: dict[str, Any]) -> dict[str, Rate]:
    """The prices that were given. Raises UsageError, also for a name that no model has."""
    from llm_rlm.errors import UsageError  # noqa: PLC0415 - not needed for --help
    from llm_rlm.prices import is_known, parse  # noqa: PLC0415

    found = dict(parse(price) for price in given["prices"])
    for name in found:
        if not is_known(name):
            message = f"--price: LLM knows no model {name!r}: `llm models` lists those there are"
            raise UsageError(message)
    return found


def llm_log(given: dict[str, Any]) -> Path | None:
    """The database that LLM's log is written to, if it is."""
    from llm_rlm.llmlog import is_kept, log_path  # noqa: PLC0415 - not needed for --help

    return log_path(given["database"]) if is_kept(given) else None


def source(sources: tuple[str, ...]) -> Path | Any:  # noqa: ANN401 - a path, or stdin
    """The one source. Raises UsageError with advice where there is none: a mistyped command must not become a paid question."""
    from llm_rlm.errors import UsageError  # noqa: PLC0415 - not needed for --help

    if len(sources) > 1:
        message = "give one source with -c: several are not supported yet"
        raise UsageError(message)
    if not sources and sys.stdin.isatty():
        message = 'give the input with -c: llm rlm "QUESTION" -c FILE, or -c - for stdin (commands: llm rlm --help)'
        raise UsageError(message)
    if not sources or sources[0] == "-":
        return _Stdin()
    if not sources[0]:
        message = "-c is empty: name a text file, or - for stdin"
        raise UsageError(message)
    return Path(sources[0])


class _Stdin:
    """Standard input as a source."""

    name = "stdin"

    def read(self, size: int, /) -> bytes:
        return sys.stdin.buffer.read(size)
