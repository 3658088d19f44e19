"""`llm rlm resume`: a run goes on where it ended."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import click

from .options import LIMITS, check_output, is_given, llm_log, prices, run_options, window
from .running import perform
from .sources import are_given, source_options, sources_of

if TYPE_CHECKING:
    from llm_rlm.events import Observer
    from llm_rlm.rlm import RLM
    from llm_rlm.runs.asking import Asking
    from llm_rlm.runs.result import Result


@click.command()
@click.argument("run")
@source_options("The input, if it was stdin or has moved")
@click.option("--tool", "tools", multiple=True, metavar="NAME", help="LLM tool that cells could call, and may call again")
@run_options(new=False)
@click.pass_context
def resume(ctx: click.Context, /, run: str, **given: Any) -> None:  # noqa: ANN401 - the options
    """Go on with RUN, an id, the beginning of one, or `last`, where a crash, Ctrl-C or a limit has ended it.

    What was paid is not paid again. Limits are as they were, but for those that are given. A finished run prints its answer.
    """
    check_output(ctx, given)
    go_on(ctx, run, given)


def go_on(ctx: click.Context, run: str, given: dict[str, Any]) -> None:
    """Resume a run, with those of its limits changed that were given."""

    def begin(observer: Observer) -> Asking | Result:
        from llm_rlm.runs.asking import begin  # noqa: PLC0415
        from llm_rlm.runs.resume import Resumption  # noqa: PLC0415 - not needed for --help

        engine = resuming(ctx, run, given)
        resumption = Resumption(run, engine.limits, sources_of(given) if are_given(given) else None)
        if resumption.result is not None:
            return resumption.result
        try:
            check_tools(engine, given)
        except BaseException:
            resumption.context.discard()
            raise
        return begin(engine, resumption.question, resumption.context, observer, resumption)

    perform(ctx, given, begin)


def check_tools(engine: RLM, given: dict[str, Any]) -> None:
    """Raise UsageError unless the tools of a run were named again: the journal alone lets nothing run on this machine."""
    from llm_rlm.errors import UsageError  # noqa: PLC0415 - not needed for --help

    for tool in engine.tools:
        if tool not in given["tools"]:
            message = f"cells of that run could call the tool {tool}, which runs on this machine, as you: add --tool '{tool}'"
            raise UsageError(message)
    for tool in given["tools"]:
        if tool not in engine.tools:
            message = f"cells of that run could not call the tool {tool}: leave out --tool '{tool}'"
            raise UsageError(message)


def resuming(ctx: click.Context, run: str, given: dict[str, Any]) -> RLM:
    """The engine of a run, with what was given now. Raises UsageError."""
    from llm_rlm.rlm import RLM  # noqa: PLC0415

    engine = RLM.of_run(run, key=given["key"])
    changes = {kind: given[option] for kind, option in LIMITS.items() if is_given(ctx, option)}
    settings = {"concurrency": given["concurrency"]} if is_given(ctx, "concurrency") else {}
    settings |= {"cache_days": 0} if given["no_cache"] else {}
    return replace(
        engine,
        limits=replace(engine.limits, **changes),
        settings=replace(engine.settings, **settings),
        stream=engine.stream and not given["no_stream"],
        prices={**engine.prices, **prices(given)},
        windows={**engine.windows, **window(given, str(engine.model))},
        depth=given["depth"] if is_given(ctx, "depth") else engine.depth,
        llm_log=llm_log(given),
    )
