"""`llm rlm ask`: a question and its input."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from .options import LIMITS, check_output, is_given, llm_log, prices, run_options, window
from .resume import go_on
from .running import perform, shown_as_usage
from .schema import schema_of
from .sources import source_options, sources_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from llm_rlm.events import Observer
    from llm_rlm.rlm import RLM
    from llm_rlm.runs.asking import Asking

OF_A_NEW_RUN = (*("model", "sub_model", "system", "options", "sub_options", "no_log", "cite", "schema", "protocol", "dry_run"),)
"""Options that a run which goes on has already."""

_MODEL_OPTIONS = [
    click.option("-m", "--model", "model", envvar="LLM_MODEL", help="Root model; LLM's default if not given"),
    click.option("--sub-model", help="Model for sub-calls; the root model if not given"),
    click.option("-s", "--system", help="Added to the system prompt"),
    click.option("-o", "--option", "options", type=(str, str), multiple=True, help="Option of the root model: name and value"),
    click.option("--sub-option", "sub_options", type=(str, str), multiple=True, help="Option of the sub-model: name and value"),
    click.option(
        "--tool", "tools", multiple=True, metavar="NAME", help="LLM tool that cells may call; runs on this machine, as you"
    ),
    click.option(
        "--protocol",
        type=click.Choice(["tools", "code"]),
        help="How the root model runs code: by calling tools, or by writing blocks of code; by tools where it supports them",
    ),
    click.option("--schema", help="What the answer has to fit: concise, JSON Schema, file, t:TEMPLATE or id, as for llm"),
    click.option("--cite", is_flag=True, help="Ask for verbatim quotes, look them up, and say where they are"),
]


def model_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """The options that say who is asked, and how."""
    for option in reversed(_MODEL_OPTIONS):
        command = option(command)
    return command


@click.command()
@click.argument("question", required=False)
@source_options("The input: file, folder, glob, URL, archive, LLM fragment, or - for stdin; repeatable")
@model_options
@click.option("--dry-run", is_flag=True, help="Show what would be read and what it can cost at most; send nothing")
@click.option("--resume", "run", metavar="RUN", help="Go on with a run instead, as `llm rlm resume RUN` does")
@run_options(new=True)
@click.option("-n", "--no-log", is_flag=True, help="Keep no record; the run cannot be resumed")
@click.pass_context
def ask(ctx: click.Context, /, question: str | None, run: str | None, **given: Any) -> None:  # noqa: ANN401 - the options
    """Ask QUESTION about SOURCE.

    Prints the answer and nothing else on stdout. Exit codes: 0 answered, 1 failed, 2 bad usage, 3 a limit was reached,
    130 aborted.
    """
    check_output(ctx, given)
    if run is not None:
        if question is not None or any(is_given(ctx, name) for name in OF_A_NEW_RUN):
            message = "--resume goes on with the question, the models and the record of its run: give none of them"
            raise click.UsageError(message, ctx)
        go_on(ctx, run, given)
    elif given["dry_run"]:  # no question is needed to see what would be read
        from .dry_run import show  # noqa: PLC0415 - not needed for --help

        with shown_as_usage(ctx):
            show(engine_of(given), sources_of(given), as_json=given["json_output"])
    elif question is None:
        message = "Missing argument 'QUESTION'."
        raise click.UsageError(message, ctx)
    else:
        perform(ctx, given, lambda observer: _asking(given, question, observer))


def _asking(given: dict[str, Any], question: str, observer: Observer) -> Asking:
    from llm_rlm.runs.asking import begin  # noqa: PLC0415 - not needed for --help

    return begin(engine_of(given), question, sources_of(given), observer)


def engine_of(given: dict[str, Any]) -> RLM:
    """The engine that the options describe. Raises UsageError."""
    from llm_rlm.budget import Limits  # noqa: PLC0415 - not needed for --help
    from llm_rlm.config import load  # noqa: PLC0415
    from llm_rlm.rlm import RLM  # noqa: PLC0415
    from llm_rlm.runs.llmlog import is_kept  # noqa: PLC0415
    from llm_rlm.runs.start import Settings  # noqa: PLC0415

    config = load()
    limits = Limits(**{kind: given[option] for kind, option in LIMITS.items()})
    return RLM(
        given["model"],
        given["sub_model"],
        limits,
        Settings(concurrency=given["concurrency"], cache_days=0 if given["no_cache"] else config.cache_days),
        system=given["system"],
        options=dict(given["options"]),
        sub_options=dict(given["sub_options"]),
        key=given["key"],
        stream=not given["no_stream"],
        log=is_kept(given),
        llm_log=llm_log(given),
        prices={**config.prices, **prices(given)},
        windows={**config.windows, **window(given, given["model"])},
        default_cost=config.max_cost,
        cite=given["cite"],
        tools=given["tools"],
        protocol=given["protocol"],
        depth=given["depth"],
        schema=schema_of(given),
    )
