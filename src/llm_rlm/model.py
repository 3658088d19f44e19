"""How a drop-in model answers: what it is given is kept out of the window of the model behind it."""

from __future__ import annotations

import queue
import threading
import weakref
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from llm.parts import StreamEvent, TextPart

from . import prompts
from .budget import Limits
from .config import load
from .context import Readable, Sources
from .display.clean import clean
from .display.closing import with_references
from .errors import SandboxError, UsageError
from .events import CellFinished, CellStarted, TurnRetried, TurnStarted, Warned
from .rlm import RLM
from .runs.llmlog import is_kept
from .runs.result import RunFailedError
from .runs.resume import Following
from .runs.session import Session
from .runs.start import Settings

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import llm

    from .events import Event, Observer
    from .registry import Entry
    from .runs.asking import Asking
    from .runs.result import Result

LONG_PROMPT = 20_000
"""Characters of a prompt from which on it is the context, and not the question."""

_QUOTED = 1_000
_MARK = "llm_rlm"
_TOLD = ("run_id", "finish", "limit", "error", "turns", "calls", "cost", "seconds", "citations")
"""What of a result LLM's log gets; the journal has the rest."""

_GONE = "the caller went away"
_WAIT = 0.5
_LIMITS = {"max_cost": "cost", "max_calls": "calls", "max_tokens": "tokens", "max_turns": "turns", "timeout": "seconds"}
_OURS = {*_LIMITS, "sub_model", "concurrency", "cite", "depth", "protocol"}


class Answering:
    """One question on its way, in a thread of its own, and what is to be told of it."""

    def __init__(self, name: str, entry: Entry, prompt: llm.Prompt, key: str | None, response: Any) -> None:  # noqa: ANN401
        """`name` is the model behind; `response` is LLM's, of either kind. Raises UsageError."""
        self._name = name
        self._entry = entry
        given = {name: value for name, value in prompt.options.model_dump().items() if value is not None}
        self._engine = self._engine_of(given, prompt, key)
        self._prompt = prompt
        self._request = _request(prompt)  # here: the command's own arguments are known in its thread only
        self._response = response
        self._events: queue.SimpleQueue[StreamEvent | BaseException | None] = queue.SimpleQueue()
        self._progress = _Progress(self._say)
        self._asking: Asking | None = None
        self._gone = False
        self._done = False

    def _engine_of(self, given: dict[str, Any], prompt: llm.Prompt, key: str | None) -> RLM:
        config, params = load(), _params()
        defaults = Limits()
        limits = {kind: given.get(option, getattr(defaults, kind)) for option, kind in _LIMITS.items()}
        settings = {"concurrency": given["concurrency"]} if "concurrency" in given else {}
        return RLM(
            self._name,
            given.get("sub_model") or self._entry.sub_model,
            Limits(**limits),
            Settings(**settings, cache_days=config.cache_days),
            system=prompt.system or None,
            schema=prompt.schema,
            options={name: value for name, value in given.items() if name not in _OURS},
            key=key,
            log=is_kept(params),
            prices=config.prices,
            windows=config.windows,
            default_cost=config.max_cost,
            cite=bool(given.get("cite")),
            depth=given.get("depth", 1),
            protocol=given.get("protocol"),
        )

    @contextmanager
    def running(self, conversation: object) -> Iterator[None]:
        """Work meanwhile; who leaves early aborts the run."""
        threading.Thread(target=self._work, args=(conversation,), name="llm-rlm-model", daemon=True).start()
        try:
            yield
        finally:
            self._gone = True
            if self._asking is not None and not self._done:
                self._asking.abort(_GONE)

    def next(self) -> StreamEvent | None:
        """The next event; None at the end. Raises what the run raised. In short waits: Windows interrupts no other."""
        while True:
            with suppress(queue.Empty):
                event = self._events.get(timeout=_WAIT)
                if isinstance(event, BaseException):
                    raise event
                return event

    def _say(self, line: str) -> None:
        self._events.put(StreamEvent(type="reasoning", chunk=f"{line}\n"))

    def _work(self, conversation: object) -> None:
        try:
            self._tell(self._ask(conversation))
        except BaseException as problem:  # noqa: BLE001 - raised by who waits
            self._events.put(problem)
        else:
            self._events.put(None)
        finally:
            self._progress.leave()  # the session knows it, and must not keep the conversation alive

    def _ask(self, conversation: object) -> Result:
        if self._request.said is not None:
            self._say(self._request.said)
        session, told = _session(self._engine, self._request, self._prompt, self._progress)
        try:
            self._asking = session.begin(told, self._progress, self._engine)
            if self._gone:
                self._asking.abort(_GONE)
            result = _answered(session.finish(self._asking))
            self._done = True
        except BaseException as problem:
            self._done = True
            if _can_go_on(problem):
                _keep(session, _run_before(self._prompt), conversation)
            else:
                session.close()
            raise
        _keep(session, result.run_id, conversation)
        return result

    def _tell(self, result: Result) -> None:
        """What came of it, for LLM's log and for who reads the answer."""
        usage = result.usage
        told = {name: value for name, value in result.as_dict().items() if name in _TOLD}
        self._response.response_json = told
        calls = {"turns": usage.turns, "sub_calls": usage.calls, "cost": result.cost}
        self._response.set_usage(input=usage.input, output=usage.output, details={_MARK: calls})
        self._events.put(
            StreamEvent(type="text", chunk=with_references(result), provider_metadata={_MARK: {"run": result.run_id}})
        )


def _answered(result: Result) -> Result:
    """The result. Raises RunFailedError where a limit left no room for an answer."""
    if result.answer is None:
        raise RunFailedError(result)
    return result


def _can_go_on(problem: BaseException) -> bool:
    """Whether the next question can be asked in the session of one that failed so."""
    return isinstance(problem, RunFailedError | UsageError) and not isinstance(problem.__cause__, SandboxError)


class _Progress:
    """An observer that says what a run does, a line at a time."""

    def __init__(self, say: Callable[[str], None]) -> None:
        self._say = say

    def leave(self) -> None:
        """Say nothing more, to nobody."""
        self._say = _say_nothing

    def __call__(self, event: Event) -> None:
        """Say it, if it is of interest. The code is how the model reasons."""
        match event:
            case TurnStarted():
                self._say(f"turn {event.number}")
            case CellStarted():
                self._say(f"cell {event.number}:\n{clean(event.code)}")
            case CellFinished():
                self._say(f"({event.seconds:.1f} s)")
            case TurnRetried():
                self._say("Warning: the root model did not answer and is asked again")
            case Warned():
                self._say(f"Warning: {event.text}")
            case _:
                pass


def _say_nothing(_: str) -> None:
    """What is said of a run that nobody listens to."""


# What is asked


@dataclass(frozen=True)
class _Request:
    """A prompt, taken apart."""

    question: str
    sources: tuple[Path | Readable, ...] = ()
    """What it came with that is to be the context."""
    said: str | None = None
    """What the user should know of how it was taken apart."""


def _request(prompt: llm.Prompt) -> _Request:
    """Fragments are the context; of a long prompt, what came by stdin, else all of it. Raises UsageError if it is empty."""
    text = prompt._prompt or ""  # noqa: SLF001 - the prompt without its fragments, which LLM shows nowhere else
    fragments = [fragment for fragment in prompt.fragments or () if fragment]
    sources = tuple(_source(fragment, number) for number, fragment in enumerate(fragments, start=1))
    if len(text) <= LONG_PROMPT:
        if not text.strip():
            message = "the question is empty: give it as the prompt, and the input as fragments (-f)"
            raise UsageError(message)
        return _Request(text, sources)
    command = _params()
    typed = str(command.get("prompt") or "") if not command.get("template") else ""  # a template puts its words around it
    if typed and len(typed) <= LONG_PROMPT and text.endswith(f" {typed}"):
        given = text[: -len(typed) - 1]
        said = f"The {len(given):,} characters of stdin are the context."
        return _Request(typed, (*sources, _Text("stdin", given)), said)
    question = prompts.render("long_prompt", size=f"{len(text):,}", begin=text[:_QUOTED], end=text[-_QUOTED:])
    said = f"The prompt of {len(text):,} characters is the context; its beginning and its end are the question."
    return _Request(question, (*sources, _Text("prompt", text)), said)


class _Text(BytesIO):
    """A text as a source."""

    def __init__(self, name: str, text: str) -> None:
        super().__init__(text.encode("utf-8", "surrogatepass"))
        self.name = name


def _source(fragment: str, number: int) -> Path | Readable:
    """The file that a fragment was read from, if that still holds it; else its text."""
    name = str(getattr(fragment, "source", "") or "")
    path = Path(name)
    text = fragment.encode("utf-8", "surrogatepass")
    try:
        same = bool(name) and path.is_file() and path.stat().st_size == len(text) and path.read_bytes() == text
    except (OSError, ValueError):
        same = False
    return path if same else _Text(name if name not in {"", "-"} else f"fragment-{number}", str.__str__(fragment))


def _params() -> dict[str, Any]:
    """The options of the command that this is part of, if it is."""
    command = click.get_current_context(silent=True)
    return command.params if command is not None else {}


# Conversations


_live: dict[str, Session] = {}
"""Sessions that the next question of a conversation can go on with, by their last run."""


def _session(engine: RLM, request: _Request, prompt: llm.Prompt, observer: Observer) -> tuple[Session, str]:
    """The session to ask in, and what to ask there: the one of the conversation, if there is one. Raises UsageError."""
    before = _run_before(prompt)
    live = _live.pop(before, None) if before is not None else None
    if live is not None and not request.sources:
        return live, request.question
    if live is not None:
        live.close()
    context = Sources(request.sources) if request.sources else None
    if before is None:
        return Session(engine, context, observer=observer), request.question
    try:
        return Session(engine, observer=observer, following=Following(before, context)), request.question
    except UsageError as problem:
        if context is None:
            message = f"the conversation cannot go on: {problem}. Give its input again with -f"
            raise UsageError(message) from problem
        told = prompts.render("earlier", conversation=_conversation(prompt), question=request.question)
        return Session(engine, _again(request), observer=observer), told


def _again(request: _Request) -> Sources:
    """The sources from their beginning: they have been read."""
    for source in request.sources:
        if isinstance(source, _Text):
            source.seek(0)
    return Sources(request.sources)


def _run_before(prompt: llm.Prompt) -> str | None:
    """The run that gave the last answer of the conversation, as that answer says itself."""
    for message in reversed(prompt.messages):
        for part in message.parts:
            kept = (getattr(part, "provider_metadata", None) or {}).get(_MARK)
            if kept is not None:
                return str(kept["run"])
    return None


def _conversation(prompt: llm.Prompt) -> str:
    """What was said before, without the input that was said with it."""
    said = [
        f"{message.role}: {part.text[-_QUOTED:]}"
        for message in prompt.messages[:-1]
        for part in message.parts
        if message.role in {"user", "assistant"} and isinstance(part, TextPart)
    ]
    return "\n".join(said)


def _keep(session: Session, run: str | None, conversation: object) -> None:
    """Keep a session for the next question of its conversation, whose last answer `run` gave, as long as that is there."""
    if conversation is None or run is None:
        session.close()
        return
    _live[run] = session
    weakref.finalize(conversation, _forget, run)


def _forget(run: str) -> None:
    """Close the session that waits for what comes after `run`; one that goes on by now, perhaps for somebody else, is left."""
    session = _live.pop(run, None)
    if session is not None:
        session.close()
