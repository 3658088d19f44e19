"""A run of the journal that is to go on: checked to be one that can, with the input that it had."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING, Any

from llm_rlm import config
from llm_rlm import context as contexts
from llm_rlm.budget import Limits, check_number
from llm_rlm.context import Sources
from llm_rlm.errors import UsageError, amount
from llm_rlm.journal import Journal, sound
from llm_rlm.journal.history import find_run, past_run, runs_before
from llm_rlm.journal.owner import refuse_if_owned
from llm_rlm.places import cache_path, journal_path

from .continuation import continuation, follow
from .result import result_of
from .start import Settings

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from llm_rlm.context import AnyContext, Context
    from llm_rlm.context import Document as NowDocument
    from llm_rlm.journal.history import Document, PastRun

    from .continuation import Continuation, Followed

_MOST_NAMED = 3


class Resumption:
    """A run, checked to be one that can go on: with what, and from where."""

    def __init__(self, run: str, limits: Limits, context: AnyContext = None) -> None:
        """Read the run and check that it can go on within these limits. Raises UsageError."""
        *before, past = read_session(run)
        self.past = past
        self.followed = follow(before) if before else None
        """What the runs before it in its session have left."""
        self.question = past.question or ""
        self.context: Context = contexts.from_any(None)
        self.result = result_of(past) if past.finish in {"submitted", "prose"} else None
        """What came of the run, if it is finished."""
        if self.result is not None:
            return
        refuse_if_owned(past)
        missing = {"turns": past.turns and past.turns[-1].number > past.usage.turns, "the question": not self.question.strip()}
        if what := next((name for name, is_missing in missing.items() if is_missing), None):
            message = f"{what} of run {past.id} cannot be found"
            raise sound.damaged(message)
        _check_raised(past, limits)
        self.context = _same_context(past, context)

    def point(self) -> Continuation | None:
        """Where the run goes on."""
        return continuation(self.past)


class Following:
    """A run that has ended, whose session another one is to go on with, built up again."""

    def __init__(self, run: str, context: AnyContext = None) -> None:
        """Read the run and check that it can be followed. Raises UsageError."""
        runs = read_session(run)
        self.past = runs[-1]
        refuse_if_owned(self.past)
        self.context = _same_context(self.past, context)
        self.followed: Followed | None = follow(runs)
        """What the runs of the session have left."""

    def point(self) -> Continuation | None:
        """Nowhere: the run is another one."""
        return None


@dataclass(frozen=True)
class Recorded:
    """With what a run was asked, besides its models."""

    limits: Limits
    settings: Settings
    more: Mapping[str, Any]
    """Other fields of its engine."""


def recorded(past: PastRun) -> Recorded:
    """With what a run was asked, checked as what a user gives is. Raises DamagedError."""
    settings, asked = dict(past.settings), past.settings["asked"]
    # A field that the file names and no run records is not taken: it could be where LLM's log is written to.
    more = {name: asked.get(name) for name in (each.removesuffix("?") for each in sound.ASKED) if asked.get(name) is not None}
    more.pop("own_functions", None)
    try:
        more |= {"prices": config.prices(more.get("prices", {})), "windows": config.windows(more.get("windows", {}))}
        check_number("default_cost", more.get("default_cost"), 0, none="no limit")
        limits = Limits(**_known(Limits, settings.get("limits") or {}))
        return Recorded(limits, Settings(**_known(Settings, settings)), more)
    except UsageError as problem:
        what = f"in the settings of run {past.id}, {problem}"
        raise sound.damaged(what) from problem


def _known(kind: type, recorded: Mapping[str, Any]) -> dict[str, Any]:
    """What another version has recorded that this one knows as well."""
    names = {each.name for each in fields(kind)}
    return {name: value for name, value in recorded.items() if name in names}


def read(run: str) -> PastRun:
    """The run with that id, the only one that begins so, or the `last`. Raises UsageError, also for one of `llm -T`."""
    return read_session(run)[-1]


def read_session(run: str) -> list[PastRun]:
    """That run and those before it in its session, oldest first. Raises what `read` does."""
    journal = Journal(journal_path())
    try:
        past = past_run(journal, find_run(journal, run))
        before = runs_before(journal, past)
    finally:
        journal.close()
    if past.parent is not None:
        message = f"run {past.id} is a child of run {past.parent}: resume that one, and its children go on"
        raise UsageError(message)
    if past.settings.get("asked") is None:
        what = f"run {past.id} was driven by LLM's own chain or by cells of yours, and cannot be resumed or followed"
        message = f"{what}; its answers serve runs that ask the same"
        raise UsageError(message)
    return [*before, past]


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
    given, recorded = context is not None, past.settings.get("sources")
    if not past.documents and recorded is None:
        if given:
            message = f"run {past.id} had no input: resume it without one"
            raise UsageError(message)
        return contexts.from_any(None)
    if not given and recorded is None:
        names = _listed([document.name for document in past.documents])
        message = f"run {past.id} read {names}, which is not stored: give the same input again with -c"
        raise UsageError(message)
    if not given and recorded is not None and (withheld := recorded.get("withheld")):
        message = (
            f"run {past.id} read {_listed(withheld)} with a user and password, which are not kept:"
            " give the same input again with -c, the URL with its password"
        )
        raise UsageError(message)
    again = Sources.recorded(recorded) if recorded is not None and not given else None
    if again is not None and (once := again.once()) is not None:
        message = f"run {past.id} read {once}, which is not stored: give the same input again with -c"
        raise UsageError(message)
    made = contexts.from_any(again or context, cache_path())
    made = _renamed(made, past.documents)
    if (why := _difference(past.documents, made, given=given)) is not None:
        made.discard()
        what = past.documents[0].name if len(past.documents) == 1 else "the input"
        message = f"{what} is not as it was when run {past.id} read it: {why}. Ask anew, or give the same input with -c"
        raise UsageError(message)
    return made


def _renamed(context: Context, documents: Sequence[Document]) -> Context:
    """The one document under the name that it had: the file may have moved."""
    if len(context.documents) != 1 or len(documents) != 1:
        return context
    return replace(context, documents=(replace(context.documents[0], name=documents[0].name),))


def _difference(then: Sequence[Document], context: Context, *, given: bool) -> str | None:
    """What has changed of the documents, in a few words."""
    now = {document.name: document for document in context.documents}
    before = {document.name: document for document in then}
    if gone := [name for name in before if name not in now]:
        return f"{_listed(gone)} {'is' if len(gone) == 1 else 'are'} gone"
    if new := [name for name in now if name not in before]:
        return f"{_listed(new)} {'was' if len(new) == 1 else 'were'} not there then"
    kind = "json" if context.kind == "json" else "text"
    changed = {name: _change(document, now[name], kind, given=given) for name, document in before.items()}
    named = "{}: {}" if len(then) > 1 else "{1}"
    return next((named.format(name, change) for name, change in changed.items() if change is not None), None)


def _change(then: Document, now: NowDocument, kind: str, *, given: bool) -> str | None:
    if (then.kind, then.bytes) != (kind, now.size):
        return f"{then.kind} of {then.bytes:,} bytes then, {kind} of {now.size:,} now"
    untouched = not given and then.modified is not None and then.modified == now.modified
    if untouched:
        return None
    if then.sha256 is None:
        # The run ended before its hash was known. On what nobody has touched nothing rests.
        return None if given or then.modified is None or then.touched_bytes == 0 else "it was written to since"
    examined = contexts.examine(now, lambda: False)
    return None if examined is not None and examined.sha256 == then.sha256 else "its content has changed"


def _listed(names: Sequence[str]) -> str:
    more = f" and {len(names) - _MOST_NAMED:,} more" if len(names) > _MOST_NAMED else ""
    return ", ".join(names[:_MOST_NAMED]) + more
