"""Options that commands have in common, and what they mean for the engine."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource

if TYPE_CHECKING:
    from collections.abc import Callable

    from llm_rlm.config import Rate

LIMITS = {"cost": "max_cost", "calls": "max_calls", "tokens": "max_tokens", "turns": "max_turns", "seconds": "timeout"}
"""Kinds of limits, and their options."""


class _Share(click.ParamType[float]):
    """A share: `95%` or `0.95`."""

    name = "share"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:  # noqa: ANN401 - click's
        """As a number from 0 to 1."""
        if isinstance(value, float):
            return value
        text = str(value).strip()
        try:
            share = float(text.removesuffix("%")) / (100 if text.endswith("%") else 1)
        except ValueError:
            share = -1.0
        if not 0 <= share <= 1:
            self.fail(f"{text!r} is no share: give one from 0% to 100%", param, ctx)
        return share


class AtLeastZero(click.FloatRange):
    """A number from 0 on: click lets `nan` through, which no comparison finds out."""

    def __init__(self) -> None:
        """There is no upper end."""
        super().__init__(min=0)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:  # noqa: ANN401 - click's
        """Read it."""
        number: float = super().convert(value, param, ctx)
        if math.isnan(number):
            self.fail(f"{value!r} is no number", param, ctx)
        return number


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
        click.option(
            "--depth", type=click.IntRange(min=0), default=1 if new else None, show_default=new, help="Levels of child runs"
        ),
        click.option("--window", type=most, metavar="TOKENS", help="What the root model takes at once, where it is not known"),
        click.option("--price", "prices", multiple=True, metavar="MODEL=IN,OUT", help="A price, in USD per million tokens"),
        click.option("--no-cache", is_flag=True, help="Ask again what an earlier run has asked"),
        click.option("--no-stream", is_flag=True, help="Do not stream the root model's replies"),
        click.option("--log", is_flag=True, help="Keep a record, even after `llm logs off`"),
        click.option("-d", "--database", type=click.Path(dir_okay=False, path_type=Path), help="Database for LLM's own log"),
        click.option(
            "--min-coverage", type=_Share(), metavar="SHARE", help="Exit with 3 if less of the input was touched: 95%"
        ),
        click.option("--json", "json_output", is_flag=True, help="Print one JSON object instead of the answer"),
        click.option(
            "--events", is_flag=True, help="Print what happens instead, one JSON object a line, at last that of --json"
        ),
        click.option("-q", "--quiet", is_flag=True, help="Say nothing on stderr but errors"),
        click.option("-v", "--verbose", is_flag=True, help="Show each cell, its output and its calls"),
    ]

    def add(command: Callable[..., Any]) -> Callable[..., Any]:
        for option in reversed(options):
            command = option(command)
        return command

    return add


def is_given(ctx: click.Context, option: str) -> bool:
    """Whether the user has given this option."""
    return ctx.get_parameter_source(option) is ParameterSource.COMMANDLINE


def check_output(ctx: click.Context, given: dict[str, Any]) -> None:
    """Raise click's UsageError where stdout would have to be two things at once."""
    if given["events"] and (given["json_output"] or given.get("dry_run")):
        message = "--events ends with what --json prints: give one of them" if given["json_output"] else "--events needs a run"
        raise click.UsageError(message, ctx)


def prices(given: dict[str, Any]) -> dict[str, Rate]:
    """The prices that were given. Raises UsageError, also for a name that no model has."""
    from llm_rlm.errors import UsageError  # noqa: PLC0415 - not needed for --help
    from llm_rlm.providers.prices import is_known, parse  # noqa: PLC0415

    found = dict(parse(price) for price in given["prices"])
    for name in found:
        if not is_known(name):
            message = f"--price: LLM knows no model {name!r}: `llm models` lists those there are"
            raise UsageError(message)
    return found


def window(given: dict[str, Any], model: str | None) -> dict[str, int]:
    """The window that was given, as that of the root model."""
    if given["window"] is None:
        return {}
    import llm  # noqa: PLC0415 - not needed for --help

    return {model or llm.get_default_model(): given["window"]}  # type: ignore[no-untyped-call]


def llm_log(given: dict[str, Any]) -> Path | None:
    """The database that LLM's log is written to, if it is."""
    from llm_rlm.runs.llmlog import is_kept, log_path  # noqa: PLC0415 - not needed for --help

    return log_path(given["database"]) if is_kept(given) else None
