"""A run of the journal that is to go on: checked to be one that can, with the input that it had."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from . import context as contexts
from .continuation import continuation
from .errors import UsageError, amount
from .journal import Journal
from .journal.history import find_run, past_run
from .journal.owner import refuse_if_owned
from .result import Result
from .run import journal_path

if TYPE_CHECKING:
    from .budget import Limits
    from .context import AnyContext, Context
    from .continuation import Continuation
    from .journal.history import Document, PastRun
    from .result import Finish


class Resumption:
    """A run, checked to be one that can go on: with what, and from where."""

    def __init__(self, run: str, limits: Limits, context: AnyContext = None) -> None:
        """Read the run and check that it can go on within these limits. Raises UsageError."""
        past = read(run)
        self.past = past
        self.question = past.question or ""
        self.context: Context = contexts.no_context()
        self.result = _result_of(past) if past.finish in {"submitted", "prose"} else None
        """What came of the run, if it is finished."""
        if self.result is not None:
            return
        refuse_if_owned(past)
        _check_raised(past, limits)
        self.context = _same_context(past, context)

    def point(self) -> Continuation:
        """Where the run goes on."""
        return continuation(self.past)


def read(run: str) -> PastRun:
    """The run with that id, the only one that begins so, or the `last`. Raises UsageError, also for one of `llm -T`."""
    journal = Journal(journal_path())
    try:
        past = past_run(journal, find_run(journal, run))
    finally:
        journal.close()
    if "asked" not in past.settings:
        message = f"run {past.id} was driven by LLM's own chain and cannot be resumed; its answers serve runs that ask the same"
        raise UsageError(message)
    return past


def _result_of(past: PastRun) -> Result:
    """What came of a finished run."""
    answer: Any = past.answer
    if past.answer is not None and past.answer_is_json:
        answer = json.loads(past.answer)
    sources: list[dict[str, object]] = [
        {"name": document.name, "bytes": document.bytes, "sha256": document.sha256} for document in past.documents
    ]
    return Result(
        run_id=past.id,
        question=past.question or "",
        answer=answer,
        finish=cast("Finish", past.finish),
        limit=None,
        error=past.error,
        model=past.model or "",
        sub_model=past.sub_model or "",
        usage=past.usage,
        seconds=past.seconds,
        sources=tuple(sources),
    )


def _check_raised(past: PastRun, limits: Limits) -> None:
    """Raise UsageError where the run would meet the same limit at once."""
    if past.limit is None or past.limit["kind"] == "seconds":
        return
    kind = past.limit["kind"]
    now = getattr(limits, kind)
    if now is not None and now <= past.limit["limit"]:
        message = (
            f"run {past.id} has reached its limit of {amount(kind, past.limit['limit'])}: raise it with --max-{kind} to go on"
        )
        raise UsageError(message)


def _same_context(past: PastRun, context: AnyContext) -> Context:
    """The input of the run, checked to be what it was. Raises UsageError that names what has changed."""
    if not past.documents:
        if context is not None:
            message = f"run {past.id} had no input: resume it without one"
            raise UsageError(message)
        return contexts.no_context()
    document = past.documents[0]
    if context is None and document.path is None:
        message = (
            f"run {past.id} did not read a file but {document.name}, which is not stored: give the same input again with -c"
        )
        raise UsageError(message)
    made = contexts.from_any(context if context is not None else Path(document.path or ""))
    if (why := _difference(document, made, given=context is not None)) is not None:
        made.discard()
        message = f"{made.name} is not as it was when run {past.id} read it: {why}. Ask anew, or give the same input with -c"
        raise UsageError(message)
    return replace(made, name=document.name)


def _difference(document: Document, context: Context, *, given: bool) -> str | None:
    if (document.kind, document.bytes) != (context.kind, context.size):
        return f"{document.kind} of {document.bytes:,} bytes then, {context.kind} of {context.size:,} now"
    if document.sha256 is not None:
        return None if document.sha256 == context.digest() else "its content has changed"
    # The run ended before its hash was known.
    changed = not given and document.modified is not None and document.modified != context.modified
    return "it was written to since" if changed else None
