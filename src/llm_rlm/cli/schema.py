"""`--schema`: the JSON Schema that an answer has to fit, named as `llm prompt --schema` takes it."""

from __future__ import annotations

import sqlite3
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from collections.abc import Mapping

_FORMS = "give LLM's concise syntax ('name, age int'), JSON Schema as text or in a file, t:TEMPLATE, or an id of `llm schemas`"


def schema_of(given: Mapping[str, Any]) -> dict[str, Any] | None:
    """The schema, if one was given. Raises UsageError for what is none."""
    from llm_rlm.errors import UsageError  # noqa: PLC0415
    from llm_rlm.providers import schemas  # noqa: PLC0415 - not needed for --help

    text = given["schema"]
    if text is None:
        return None
    try:
        # LLM would take JSON with a mistake in it for its concise syntax.
        return schemas.given(text if text.lstrip().startswith("{") else _looked_up(text, given))
    except UsageError as problem:
        message = f"--schema: {problem}"
        raise UsageError(message) from None


def _looked_up(text: str, given: Mapping[str, Any]) -> object:
    import sqlite_utils  # noqa: PLC0415 - LLM has it
    from llm.cli import load_template  # noqa: PLC0415 - slow to import
    from llm.utils import resolve_schema_input  # noqa: PLC0415 - likewise

    from llm_rlm.errors import UsageError  # noqa: PLC0415 - not needed for --help
    from llm_rlm.runs.llmlog import log_path  # noqa: PLC0415

    path = log_path(given["database"])
    database = sqlite_utils.Database(path) if path.exists() else sqlite_utils.Database(memory=True)
    try:
        found = resolve_schema_input(database, text, load_template)  # type: ignore[no-untyped-call]
    except (click.ClickException, sqlite3.Error, OSError, UnicodeDecodeError) as problem:
        said = problem.message if isinstance(problem, click.ClickException) else str(problem)
        message = f"{text!r} is no schema ({said}): {_FORMS}"
        raise UsageError(message) from None
    finally:
        database.close()
    if not found:
        message = f"the schema is empty: {_FORMS}"
        raise UsageError(message)
    return found
