"""Options that name the input, and what they mean."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, BinaryIO

import click

if TYPE_CHECKING:
    from collections.abc import Callable

    from llm_rlm.context import Sources


def source_options(help_text: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """The options that name the input."""
    options = [
        click.option("-c", "--context", "sources", multiple=True, metavar="SOURCE", help=help_text),
        click.option(
            "-f", "--fragment", "fragments", multiple=True, metavar="FRAGMENT", help="Input from an LLM fragment, or as -c"
        ),
        click.option("--paths-from-stdin", is_flag=True, help="Read the files that stdin names: rg -l WORD | llm rlm … "),
        click.option("--hidden", is_flag=True, help="In folders, read hidden files too"),
        click.option("--no-ignore", is_flag=True, help="In folders, read what .gitignore and the like leave out"),
    ]

    def add(command: Callable[..., Any]) -> Callable[..., Any]:
        for option in reversed(options):
            command = option(command)
        return command

    return add


def are_given(given: dict[str, Any]) -> bool:
    """Whether the user has named an input."""
    return bool(given["sources"] or given["fragments"] or given["paths_from_stdin"])


def sources_of(given: dict[str, Any]) -> Sources:
    """The input. Raises UsageError with advice where there is none: a mistyped command must not become a paid question."""
    from llm_rlm.context import Sources, Walking, paths_from, stdin  # noqa: PLC0415 - not needed for --help
    from llm_rlm.errors import UsageError  # noqa: PLC0415

    names: list[Any] = [*given["sources"], *given["fragments"]]
    walking = Walking(hidden=given["hidden"], ignore=not given["no_ignore"])
    if given["paths_from_stdin"]:
        if "-" in names:
            message = "stdin is either the input or the names of files: give -c - or --paths-from-stdin, not both"
            raise UsageError(message)
        paths = list(paths_from(stdin().buffer))
        if not paths and not names:
            message = "--paths-from-stdin: stdin names no file"
            raise UsageError(message)
        return Sources((*names, *paths), walking)
    if not names and stdin().isatty():
        message = 'give the input with -c: llm rlm "QUESTION" -c FILE, or -c - for stdin (commands: llm rlm --help)'
        raise UsageError(message)
    if names.count("-") > 1:
        message = "-c - is given more than once: stdin can be read once"
        raise UsageError(message)
    return Sources(tuple(_Stdin(stdin().buffer) if name == "-" else name for name in names or ["-"]), walking)


class _Stdin:
    """Standard input as a source."""

    name = "stdin"

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream

    def read(self, size: int, /) -> bytes:
        return self._stream.read(size)
