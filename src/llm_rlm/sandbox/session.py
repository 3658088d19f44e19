"""One sandbox session as the run sees it: cells in, results out, whatever happens to the worker in between."""

from __future__ import annotations

import hashlib
import json
import math
import queue
import secrets
import threading
import time
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from llm_rlm.calls import CallReply, CallRequest
from llm_rlm.errors import SandboxError

from .client import Worker
from .types import Answer, CellResult, Variable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from .types import CallHandler, Offer

GRACE = 1.0
"""Seconds between asking a cell to stop and ending its worker."""

_TICK = 0.25
_REPLAY_GRACE = 10.0
_START_LIMIT = 120.0
_MOST_OPEN_CALLS = 50_000
_MOST_OPEN_CHARACTERS = 1 << 28
_BEGIN_LIMIT = 5.0
_MOST_NAMED = 12
_LONGEST_NAME = 100
_LONGEST_ERROR = 500

# Bytes of frames that the guest may send before the host stops listening. A frame counts for a little more than its size.
_FRAME = 16
_SETUP_BYTES = 1 << 16
_IDLE_BYTES = 1 << 24
_BYTES_A_CHARACTER = 100
_ANSWER_BYTES = 1 << 30


@dataclass(frozen=True)
class _Ended:
    """The worker is gone."""

    reason: str


@dataclass(frozen=True)
class _Past:
    """A cell that finished, to be run again should its worker be lost."""

    number: int
    code: str
    digest: str


@dataclass(frozen=True)
class _Attempt:
    """What came of running a cell once."""

    result: CellResult
    lost: str | None = None
    """Why the worker was lost, if it was."""
    began: bool = True


class _Mailbox:
    """What one worker has sent to whoever waits. It keeps no more than a driver would send.

    The reading thread puts in what the running cell takes out; the lock guards what may still be put in.
    """

    def __init__(self) -> None:
        self._events: queue.SimpleQueue[dict[str, Any] | _Ended] = queue.SimpleQueue()
        self._lock = threading.Lock()
        self._room = {False: _SETUP_BYTES, True: 0}
        self._listening = True

    def listen(self, output: int, answer: int) -> None:
        """From now on keep what comes: so many bytes of output, and of answers."""
        with self._lock:
            self._room = {False: output, True: answer}
            self._listening = True

    def ignore(self) -> None:
        """From now on keep nothing: no cell runs."""
        with self._lock:
            self._room = {False: _IDLE_BYTES, True: _IDLE_BYTES}
            self._listening = False

    def put(self, frame: dict[str, Any], size: int) -> bool:
        """Keep a frame if somebody listens. False if the sender has sent more than it may."""
        with self._lock:
            kind = frame["t"] in {"submit", "value"}
            self._room[kind] -= size + _FRAME
            if self._room[kind] < 0:
                return False
            if self._listening:
                self._events.put(frame)
            return True

    def end(self, reason: str) -> None:
        """The last event."""
        self._events.put(_Ended(reason))

    def get(self, timeout: float) -> dict[str, Any] | _Ended | None:
        """The next event, or None after `timeout` seconds."""
        try:
            return self._events.get(timeout=timeout)
        except queue.Empty:
            return None

    def drain(self) -> _Ended | None:
        """Forget what was sent; the end, if it has come."""
        while not self._events.empty():
            event = self._events.get()
            if isinstance(event, _Ended):
                return event
        return None


class _Outbox:
    """Replies on their way to one worker. Those that come while one is being sent go together in the next frame."""

    def __init__(self, worker: Worker, session: Session) -> None:
        self._worker = worker
        self._session = session
        self._lock = threading.Lock()
        self._replies: list[CallReply] = []
        self._sending = False

    def post(self, reply: CallReply) -> None:
        """Send a reply, now or with the next. Called from any thread."""
        with self._lock:
            self._replies.append(reply)
            if self._sending:
                return
            self._sending = True
        while replies := self._take():
            wired = [_wire(reply) for reply in replies]
            self._worker.send({"t": "replies", "replies": wired, "budget": self._session.left()})

    def _take(self) -> list[CallReply]:
        with self._lock:
            taken, self._replies = self._replies, []
            self._sending = bool(taken)
            return taken


class MissingVariableError(Exception):
    """No variable of that name; `names` are those there are."""

    def __init__(self, name: str, names: Sequence[str]) -> None:
        """Keep the names for a message."""
        super().__init__(name)
        self.names = list(names)


class NotAnAnswerError(Exception):
    """The variable holds what is neither text nor JSON. The text says what."""


class _Meter:
    """A cell's own time: wall time while none of its calls is open, else processor time of the worker."""

    def __init__(self, worker: Worker) -> None:
        self._worker = worker
        self._at = time.monotonic()
        self._cpu: float | None = None
        self.used = 0.0

    def read(self, *, calls_open: bool) -> float:
        now = time.monotonic()
        if calls_open:
            cpu = self._worker.cpu_seconds()
            self.used += max(0.0, cpu - self._cpu) if self._cpu is not None else 0.0
            self._cpu = cpu
        else:
            self.used += now - self._at
            self._cpu = None
        self._at = now
        return self.used


class Session:
    """A Python session in a sandbox. Starts its worker at once and loads the context while the caller goes on.

    Methods may be called from any thread; cells run one after another.
    """

    def __init__(
        self, offer: Offer, calls: CallHandler | None = None, *, cell_limit: float = 120.0, output_limit: int = 8192
    ) -> None:
        """Start the session. `cell_limit` is in seconds of a cell's own time, `output_limit` in characters."""
        self._offer = offer
        self._handler = calls
        self._cell_limit = cell_limit
        self._output_limit = output_limit
        self._running = threading.Lock()
        self._lock = threading.Lock()
        """Guards which worker is the session's, its open calls, and that none is started once the session is closed."""
        self._open: dict[int, int] = {}
        self._open_characters = 0
        self._past: list[_Past] = []
        self._names: dict[str, Variable] = {}
        self._cells = 0
        self._untold: tuple[str, ...] = ()
        """What the next cell's result is to say of losses before it."""
        self._interrupted: str | None = None
        self._closed = False
        self._failed: str | None = None
        self._replay_broken: str | None = None
        self._replaying = False
        self._begin_worker()

    def serve(self, calls: CallHandler) -> None:
        """Let `calls` make the calls of the cells. Before the first cell, if the constructor was not given it."""
        self._handler = calls

    def left(self) -> dict[str, float | None]:
        """What is left of each limit."""
        return self._calls.left()

    # What the run calls

    def run_cell(self, code: str, on_output: Callable[[str], None] | None = None) -> CellResult:
        """Run a cell and wait for its result. `on_output` gets the first part of what it prints as it comes.

        Raises SandboxError if the sandbox cannot be started, or is closed meanwhile.
        """
        with self._running, self._not_interrupted_after():
            self._cells += 1
            started = time.monotonic()
            self._wait_until_ready()
            attempt, notes = self._begin_somehow(code, on_output or _ignore)
            result = attempt.result
            if attempt.lost is not None:
                notes = (*notes, f"The sandbox was ended: {attempt.lost}.", *self._rebuild())
                result = replace(result, outcome="lost")
            elif result.outcome != "timeout":
                self._past.append(_Past(self._cells, code, _digest(result)))
            self._names.update({variable.name: variable for variable in result.variables})
            untold, self._untold = self._untold, ()
            return replace(result, seconds=time.monotonic() - started, notes=(*untold, *notes))

    def value(self, name: str) -> Answer:
        """The value of a variable, of any size.

        Raises MissingVariableError and NotAnAnswerError, which the root model can mend, and SandboxError.
        """
        with self._running:
            self._wait_until_ready()
            self._mailbox.listen(_SETUP_BYTES, _ANSWER_BYTES)
            self._worker.send({"t": "value", "name": _clean(name)})
            try:
                return self._receive_value(name)
            finally:
                self._mailbox.ignore()

    def interrupt(self, why: str) -> None:
        """Stop the cell that runs now, if any, keeping its variables. Called from any thread."""
        self._interrupted = why

    def close(self) -> None:
        """End the worker. A cell that runs meanwhile raises SandboxError."""
        with self._lock:
            self._closed = True
        self._worker.close()

    # What the worker calls (Listener)

    def received(self, worker: Worker, frame: dict[str, Any], size: int) -> None:
        """Take a frame: calls go to the call handler, the rest to whoever waits."""
        with self._lock:
            if worker is not self._worker:
                return
            mailbox = self._mailbox
        if frame["t"] == "calls":
            self._ask(worker, frame["calls"])
        elif not mailbox.put(frame, size):
            worker.kill("it sent more output than it may")

    def ended(self, worker: Worker, reason: str) -> None:
        """Note that the worker is gone."""
        with self._lock:
            if worker is self._worker:
                self._mailbox.end(reason)

    # Cells

    @contextmanager
    def _not_interrupted_after(self) -> Iterator[None]:
        """An interrupt is for the cell that runs, or waits to; not for the next."""
        try:
            yield
        finally:
            self._interrupted = None

    @property
    def _calls(self) -> CallHandler:
        assert self._handler is not None
        return self._handler

    def _begin_somehow(self, code: str, on_output: Callable[[str], None]) -> tuple[_Attempt, tuple[str, ...]]:
        """Run a cell. Where what earlier cells left behind keeps it from beginning, rebuild the session, then empty it."""
        notes: tuple[str, ...] = ()
        for start_over in (self._rebuild, self._forget_all):
            attempt = self._attempt(self._cells, code, on_output)
            if attempt.began:
                return attempt, notes
            notes = (f"The sandbox was ended before this cell: {attempt.lost}.", *start_over())
        return self._attempt(self._cells, code, on_output), notes

    def _attempt(self, number: int, code: str, on_output: Callable[[str], None]) -> _Attempt:
        """Run a cell once."""
        key = secrets.token_hex(8)
        self._mailbox.listen(_BYTES_A_CHARACTER * self._output_limit + _SETUP_BYTES, _ANSWER_BYTES)
        self._worker.send(
            {
                "t": "cell",
                "n": number,
                "key": key,
                "code": _clean(code),
                "limit": self._limit(),
                "output": self._output_limit,
                "budget": self._calls.left(),
            }
        )
        try:
            return self._follow(_Shown(number, key, self._output_limit, on_output))
        finally:
            self._mailbox.ignore()

    def _follow(self, shown: _Shown) -> _Attempt:
        """Take what a cell sends until it is done, and stop it when its time is up."""
        meter = _Meter(self._worker)
        stopping: float | None = None
        while True:
            event = self._mailbox.get(_TICK)
            used = meter.read(calls_open=bool(self._open))
            if isinstance(event, _Ended):
                self._raise_if_closed()
                # What a guest said just before it crashed may be lost with it, that the cell began too.
                return _Attempt(shown.lost(used), event.reason, began=shown.began or not self._worker.was_killed)
            if event is None:
                # A guest that has ended is found out only when it is spoken to.
                self._worker.send({"t": "tick"})
            elif (done := shown.take(event)) is not None:
                return _Attempt(done)
            if not shown.began and used > _BEGIN_LIMIT:
                self._worker.kill("what an earlier cell started keeps it from answering")
            why = self._why_stop(used)
            if why is not None and stopping is None:
                stopping = time.monotonic()
                self._worker.send({"t": "stop", "why": why})
            elif stopping is not None and time.monotonic() - stopping > GRACE:
                self._worker.kill(f"{why}, and could not be stopped more gently")

    def _why_stop(self, used: float) -> str | None:
        """Why the cell that runs must stop, if it must. A replay is not interrupted: it brings the variables back."""
        if self._interrupted is not None and not self._replaying:
            return self._interrupted
        return f"stopped after {self._limit():g} s" if used > self._limit() + _TICK else None

    def _limit(self) -> float:
        """Seconds of its own time that a cell has; more for one that is run again, which was within its time once."""
        return self._cell_limit if not self._replaying else 2 * self._cell_limit + _REPLAY_GRACE

    def _receive_value(self, name: str) -> Answer:
        pieces: list[str] = []
        while True:
            event = self._mailbox.get(self._cell_limit)
            if event is None or isinstance(event, _Ended):
                self._raise_if_closed()
                self._worker.kill("it did not give the value of a variable in time")
                self._untold += self._rebuild()
                message = f"the value of {name!r} could not be turned into text"
                raise NotAnAnswerError(message)
            if event["t"] == "value":
                pieces.append(event["text"])
                if event["last"]:
                    return _value(name, event, "".join(pieces))

    # Calls

    def _ask(self, worker: Worker, calls: list[object]) -> None:
        try:
            requests = [_request(call, replay=self._replaying) for call in calls]
        except (TypeError, KeyError):
            worker.kill("it broke the protocol: a malformed call")
            return
        taken = self._take_on(requests)
        for request in requests[taken:]:
            self._outbox.post(CallReply(request.id, error=_TOO_MUCH))
        self._calls.ask(requests[:taken], lambda reply: self._reply(worker, reply))

    def _take_on(self, requests: list[CallRequest]) -> int:
        """Note as open as many of these calls as may be; how many."""
        with self._lock:
            for taken, request in enumerate(requests):
                size = len(request.prompt) + len(request.system or "") + len(request.schema or "")
                full = len(self._open) >= _MOST_OPEN_CALLS or self._open_characters + size > _MOST_OPEN_CHARACTERS
                if full or request.id in self._open:
                    return taken
                self._open[request.id] = size
                self._open_characters += size
        return len(requests)

    def _reply(self, worker: Worker, reply: CallReply) -> None:
        """Answer a call. Called from any thread, at any time: the worker that asked may be gone."""
        with self._lock:
            if worker is not self._worker or reply.id not in self._open:
                return
            self._open_characters -= self._open.pop(reply.id)
            outbox = self._outbox
        if reply.unknown:
            self._replay_broken = "it asked for another call than the first time"
        outbox.post(reply)

    # Workers

    def _begin_worker(self) -> None:
        """Start a worker and make it the session's. What the one before still sends is not heard."""
        with self._lock:
            self._raise_if_closed()
            self._mailbox = _Mailbox()
            self._ready = False
            self._open.clear()
            self._open_characters = 0
            self._worker = Worker(self._offer, self)
            self._outbox = _Outbox(self._worker, self)
        self._worker.start()

    def _raise_if_closed(self) -> None:
        if self._closed:
            message = "the session is closed"
            raise SandboxError(message)

    def _wait_until_ready(self) -> None:
        self._raise_if_closed()
        while not self._ready:
            event = self._mailbox.get(_START_LIMIT) if self._failed is None else None
            if isinstance(event, dict):
                self._ready = event["t"] == "ready"
                continue
            self._raise_if_closed()
            self._failed = self._failed or (event.reason if event is not None else f"not ready after {_START_LIMIT:g} s")
            message = f"the sandbox could not start: {self._failed}"
            raise SandboxError(message)
        self._mailbox.ignore()
        if (ended := self._mailbox.drain()) is not None:
            self._untold += (f"The sandbox was ended between two cells: {ended.reason}.", *self._rebuild())

    def _rebuild(self) -> tuple[str, ...]:
        """Start a new worker and run the finished cells again, their calls answered from the journal. Says what came of it."""
        before, self._names = self._names, {}
        broken, changed = self._replay()
        if broken is not None:
            self._forget_all()
        gone = [variable for name, variable in before.items() if name not in self._names]
        notes = []
        if self._names:
            notes.append(f"Variables that are back as they were before this cell: {_named(self._names.values())}.")
        if gone:
            notes.append(f"Variables that are gone: {_named(gone)}.")
        if broken is not None:
            notes.append(f"They could not be restored: {broken}.")
        if changed:
            notes.append(f"Run again to restore them, these cells showed something else: {_listed(changed)}.")
        return tuple(notes)

    def _forget_all(self) -> tuple[str, ...]:
        """Start a new worker with nothing in it. Says which variables that costs."""
        gone = list(self._names.values())
        self._past.clear()
        self._names.clear()
        self._calls.rewind()
        self._restart()
        return (f"Variables that are gone: {_named(gone)}.",) if gone else ()

    def _replay(self) -> tuple[str | None, list[str]]:
        """Run the finished cells in a new worker. Returns what went wrong, if anything, and which showed something else."""
        self._calls.rewind()
        self._restart()
        changed: list[str] = []
        self._replaying, self._replay_broken = True, None
        try:
            for past in self._past:
                attempt = self._attempt(past.number, past.code, _ignore)
                result = attempt.result
                broken = attempt.lost or self._why_broken() or ("it ran too long" if result.outcome == "timeout" else None)
                if broken is not None:
                    return f"cell {past.number} failed when it was run again ({broken})", changed
                self._names.update({variable.name: variable for variable in result.variables})
                if _digest(result) != past.digest:
                    changed.append(str(past.number))
        finally:
            self._replaying = False
        return None, changed

    def _why_broken(self) -> str | None:
        """Set by the thread that answers calls."""
        return self._replay_broken

    def _restart(self) -> None:
        old = self._worker
        self._begin_worker()
        old.close()
        self._wait_until_ready()


class _Shown:
    """What a cell has shown so far, until it is done."""

    def __init__(self, number: int, key: str, limit: int, on_output: Callable[[str], None]) -> None:
        self._number = number
        self._key = key
        self._limit = limit
        self._on_output = on_output
        self._head: list[str] = []
        self._length = 0
        self._submitting: list[str] = []
        self._submitted: Answer | None = None
        self.began = False

    def take(self, frame: dict[str, Any]) -> CellResult | None:
        """Take a frame; the result once the cell is done."""
        match frame["t"]:
            case "begun" if frame["key"] == self._key:
                self.began = True
            case "out":
                self._take_output(frame["text"])
            case "submit":
                self._submitting.append(frame["text"])
                if frame["last"]:
                    self._submitted = _answer(frame.get("kind"), "".join(self._submitting))
                    self._submitting = []
            case "done" if frame["key"] == self._key:
                return self._result(frame)
        return None

    def lost(self, used: float) -> CellResult:
        """The result of a cell whose worker was lost after `used` seconds: what it had shown by then."""
        shown = "".join(self._head)
        return CellResult(self._number, shown, "lost", used, used, total=self._length, submitted=self._submitted)

    def _take_output(self, text: str) -> None:
        """Keep text, no more than the driver would send."""
        text = text[: max(0, self._limit - self._length)]
        if text:
            self._length += len(text)
            self._head.append(_clean(text))
            self._on_output(self._head[-1])

    def _result(self, frame: dict[str, Any]) -> CellResult:
        tail = frame["tail"][-self._limit :]
        shown = self._length + len(tail)
        total = min(max(frame["total"], shown), _MOST_TOTAL)
        hidden = total - shown
        between = f"\n... [{hidden:,} of {total:,} characters not shown] ...\n" if hidden else ""
        error = frame["error"]
        running = max(0.0, frame["running"]) if math.isfinite(frame["running"]) else 0.0
        return CellResult(
            number=self._number,
            output="".join(self._head) + between + _clean(tail),
            outcome=error if error in {"error", "exit", "timeout"} else "ok",
            running=running,
            seconds=running,
            total=total,
            variables=tuple(_variables(frame["variables"])),
            submitted=self._submitted,
        )


_MOST_TOTAL = 1 << 62
_TOO_MUCH = f"too many calls at once: at most {_MOST_OPEN_CALLS:,}, of {_MOST_OPEN_CHARACTERS:,} characters in all, may wait"


def _ignore(_: str) -> None:
    """Take output that nobody watches."""


def _named(variables: Iterable[Variable]) -> str:
    return _listed([str(variable) for variable in variables])


def _listed(names: Sequence[str]) -> str:
    more = f" and {len(names) - _MOST_NAMED} more" if len(names) > _MOST_NAMED else ""
    return ", ".join(names[:_MOST_NAMED]) + more


def _digest(result: CellResult) -> str:
    return hashlib.sha256(result.output.encode("utf-8", "replace")).hexdigest()


def _clean(text: str) -> str:
    """Text that can be encoded: lone surrogates are shown as escapes."""
    return text if text.isascii() else text.encode("utf-8", "backslashreplace").decode("utf-8")


def _request(call: object, *, replay: bool) -> CallRequest:
    if not isinstance(call, dict) or not isinstance(call["id"], int):
        raise TypeError
    return CallRequest(
        call["id"],
        _text(call["prompt"]),
        system=_maybe_text(call.get("system")),
        model=_maybe_text(call.get("model")),
        schema=_maybe_text(call.get("schema")),
        replay=replay,
    )


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError
    return _clean(value)


def _maybe_text(value: object) -> str | None:
    return None if value is None else _text(value)


def _wire(reply: CallReply) -> dict[str, object]:
    if reply.error is not None:
        return {"id": reply.id, "error": reply.error}
    return {"id": reply.id, "text": reply.text, **({"data": reply.data} if reply.data is not None else {})}


def _variables(news: list[object]) -> list[Variable]:
    found = []
    for item in news:
        match item:
            case [str(name), str(kind), int() | None as length]:
                found.append(Variable(_clean(name[:_LONGEST_NAME]), _clean(kind[:_LONGEST_NAME]), length))
    return found


def _value(name: str, frame: dict[str, Any], text: str) -> Answer:
    if frame.get("error") == "missing":
        names = [_clean(other[:_LONGEST_NAME]) for other in frame.get("names") or () if isinstance(other, str)]
        raise MissingVariableError(name, names)
    if frame.get("error"):
        message = f"the variable {name!r} is not an answer: {_clean(frame['error'][:_LONGEST_ERROR])}"
        raise NotAnAnswerError(message)
    return _answer(frame.get("kind"), text)


def _answer(kind: object, text: str) -> Answer:
    """An answer as the guest gave it. What it calls JSON is checked: whoever reads the answer relies on it."""
    text = _clean(text)
    return Answer(text, is_json=kind == "json" and _is_json(text))


def _is_json(text: str) -> bool:
    try:
        json.loads(text)
    except (ValueError, RecursionError):
        return False
    return True
