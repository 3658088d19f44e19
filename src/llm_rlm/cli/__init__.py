"""The command `llm rlm`: its options, and nothing that takes long to import before it is needed."""

from __future__ import annotations

import click
from click_default_group import DefaultGroup  # type: ignore[import-untyped]

from .ask import ask
from .cache import cache
from .chat import chat
from .demo import demo
from .doctor import doctor
from .export import export
from .models import models
from .output import tolerant
from .report import report
from .resume import resume
from .runs import runs
from .show import show


class _Group(DefaultGroup):  # type: ignore[misc]  # the library has no types
    """Shows the options of `ask` in its own help: `llm rlm QUESTION` is `llm rlm ask QUESTION`."""

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the options of `ask`, then the commands."""
        ask = self.get_command(ctx, "ask")
        assert ask is not None
        click.Command.format_options(ask, ctx, formatter)
        self.format_commands(ctx, formatter)


_HELP = """Ask a question about input of any size.

The input is kept as a variable in a sandboxed Python session; the model writes code to look at it, and that code can call
further models on pieces of it.

\b
llm rlm "Which user had the most failed logins?" -c /var/log/auth.log
cat dump.jsonl | llm rlm "How many orders were refunded?" -c -
"""


@click.group(cls=_Group, default="ask", default_if_no_args=False, no_args_is_help=True, help=_HELP)
def rlm() -> None:
    """See _HELP."""
    tolerant()


for command in (ask, chat, resume, runs, show, report, export, models, cache, doctor, demo):
    rlm.add_command(command)


def add_command(cli: click.Group) -> None:
    """Add `llm rlm` to LLM's commands."""
    cli.add_command(rlm)
