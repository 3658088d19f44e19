"""Every call to a sub-model goes through here, in one order: journal, budget, record, send, record, settle, reply."""

from __future__ import annotations

import json
import queue
import threading
from collections import Counter
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING, Any

from . import models, prompts, schemas
from .calls import CallReply, CallRequest
from .errors import LimitReachedError, ModelError
from .journal import CallRecord, call_key

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    import llm

    from .budget import Budget
    from .journal import Journal

CONCURRENCY = 256
"""Calls at once, unless told otherwise."""

_MOST_REFUSED_RECORDED = 10_000
_EMPTY = "the model answered nothing"


@dataclass(frozen=True)
class SubModels:
    """Which models may be called and how."""

    default: llm.Model
    key: str | None = field(default=None, repr=False)
    """The key the user gave, for models that need the same one as `key_for`."""
    key_for: str | None = None
    """Name of the key that `key` is, as `llm keys` names it."""
    options: Mapping[str, object] | None = None
    """Options of the default model."""


type Deliver = Callable[[CallReply], None]
"""Takes what came of a call. Called from any thread."""


@dataclass(frozen=True)
class _Call:
    request: CallRequest
    key: str
    occurrence: int


class Dispatcher:
    """Makes the calls of one run."""

    def __init__(self, journal: Journal, run_id: str, budget: Budget, sub: SubModels, concurrency: int = CONCURRENCY) -> None:
        """Make at most `concurrency` calls at once."""
        self._journal = journal
        self._run_id = run_id
        self._budget = budget
        self._sub = sub
        self._pool = _Pool(concurrency)
        self._models: dict[str | None, llm.Model] = {}
        self._lock = threading.Lock()
        """Guards the three around it: calls are numbered, joined and given their model one at a time."""
        self._seen: Counter[str] = Counter()
        self._rewound = False
        self._refused = 0
        self._waiting: dict[tuple[str, int], list[tuple[int, Deliver]]] = {}
        self._stopped: str | None = None
        self.cell: int | None = None
        """The cell that runs, for the journal."""
        self.problem: Exception | None = None
        """What broke the run itself, a full disk say; to be raised by the run."""

    def ask(self, requests: Sequence[CallRequest], deliver: Deliver) -> None:
        """Start calls; each is delivered once. Returns at once."""
        calls = [self._number(request) for request in requests]
        self._pool.submit([partial(self._answer, call) for call in calls if not self._join(call, deliver)])

    def rewind(self) -> None:
        """The cells start again from the first: equal calls are counted from nothing."""
        with self._lock:
            self._seen.clear()
            self._rewound = True

    def left(self) -> dict[str, float | None]:
        """What is left of each limit."""
        return self._budget.left()

    def stop(self, why: str) -> None:
        """Send nothing more: calls that wait are answered with `why`, those under way are let finish."""
        self._stopped = self._stopped or why

    def close(self, then: Callable[[], None]) -> None:
        """Let the threads end. `then` is called when the last call under way has been recorded, perhaps much later."""
        self._pool.close(then)

    def _number(self, request: CallRequest) -> _Call:
        """Five equal prompts are five samples: each has a number of its own, the same when its cell runs again."""
        key = call_key(
            {
                "model": request.model or self._sub.default.model_id,
                "options": self._options(request),
                "prompt": request.prompt,
                "system": request.system,
                "schema": request.schema,
            }
        )
        with self._lock:
            self._seen[key] += 1
            return _Call(request, key, self._seen[key])

    def _join(self, call: _Call, deliver: Deliver) -> bool:
        """Whether this very call is already under way; then its answer serves both."""
        with self._lock:
            waiting = self._waiting.setdefault((call.key, call.occurrence), [])
            waiting.append((call.request.id, deliver))
            return len(waiting) > 1

    def _answer(self, call: _Call) -> None:
        try:
            reply = self._reply(call)
        except Exception as problem:  # noqa: BLE001 - kept, and raised by the run: this thread has nobody to raise it to
            self.problem = problem
            reply = CallReply(0, error="the run is broken and will end")
        with self._lock:
            waiting = self._waiting.pop((call.key, call.occurrence))
        for number, deliver in waiting:
            deliver(replace(reply, id=number))

    def _reply(self, call: _Call) -> CallReply:
        recorded = self._journal.outcome_of(self._run_id, call.key, call.occurrence) if self._rewound else None
        if recorded is not None and recorded.answer is not None:
            self._budget.count_cached()
            return _checked(call.request, recorded.answer)
        if call.request.replay:
            error = recorded.error if recorded is not None else "this call is not in the journal"
            return CallReply(0, error=error, unknown=recorded is None)
        if self._stopped is not None:
            return self._refuse(call, self._stopped)
        try:
            model = self._model(call.request.model)
            arguments = self._arguments(call.request, model)
            self._budget.reserve_call()
        except (LimitReachedError, ModelError) as problem:
            return self._refuse(call, str(problem))
        return self._send(call, model, arguments)

    def _refuse(self, call: _Call, why: str) -> CallReply:
        """Not send a call; recorded, so that its cell can be run again, unless that has become a habit."""
        self._refused += 1
        if self._refused <= _MOST_REFUSED_RECORDED:
            self._record(call, call.request.model or self._sub.default.model_id, refused=why)
        return CallReply(0, error=why)

    def _record(self, call: _Call, model: str, refused: str | None = None) -> int:
        asked = {"prompt": call.request.prompt, "system": call.request.system, "schema": call.request.schema}
        text = json.dumps(asked, ensure_ascii=False)
        return self._journal.begin_call(self._run_id, CallRecord(call.key, call.occurrence, model, text, self.cell), refused)

    def _send(self, call: _Call, model: llm.Model, arguments: dict[str, Any]) -> CallReply:
        number = self._record(call, model.model_id)
        try:
            completion = models.complete(model, **arguments)
        except Exception as problem:  # noqa: BLE001 - a plugin or provider may raise anything; it is this call's outcome
            return self._fail(number, models.describe(problem, arguments["key"]), _public(problem))
        self._budget.settle(completion.tokens)
        if not completion.text.strip():
            return self._fail(number, _EMPTY, _EMPTY)
        self._journal.end_call(number, completion.text, completion.tokens)
        self._budget.end_call(failed=False)
        return _checked(call.request, completion.text)

    def _fail(self, number: int, problem: str, public: str) -> CallReply:
        self._budget.end_call(failed=True)
        self._journal.fail_call(number, problem, public)
        return CallReply(0, error=public)

    def _model(self, name: str | None) -> llm.Model:
        """The model of that name, found once."""
        with self._lock:
            if name not in self._models:
                model = models.find(name) if name is not None else self._sub.default
                models.keep_clients(model)
                self._models[name] = model
            return self._models[name]

    def _options(self, request: CallRequest) -> dict[str, object]:
        """The options are the sub-model's: another model may not know them."""
        return dict(self._sub.options or {}) if request.model is None else {}

    def _arguments(self, request: CallRequest, model: llm.Model) -> dict[str, Any]:
        arguments: dict[str, Any] = {
            "prompt": request.prompt,
            "key": self._key(model),
            "options": self._options(request),
        }
        if request.system is not None:
            arguments["system"] = request.system
        if request.schema is not None:
            schema = schemas.parse(request.schema)
            if model.supports_schema:
                arguments["schema"] = schema
            else:
                arguments["prompt"] = prompts.render("schema", prompt=request.prompt, schema=json.dumps(schema))
        return arguments

    def _key(self, model: llm.Model) -> str | None:
        same = model.needs_key is not None and model.needs_key == self._sub.key_for
        return models.key_for(model, self._sub.key if same else None)


class _Pool:
    """Daemon threads, made as they are needed: a call that hangs must not keep the process from ending."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._jobs: queue.SimpleQueue[Callable[[], None] | None] = queue.SimpleQueue()
        self._lock = threading.Lock()
        """Guards the two below: there is a thread for each job that is not done, up to the most there may be."""
        self._undone = 0
        self._threads = 0
        self._then: Callable[[], None] | None = None

    def submit(self, jobs: Sequence[Callable[[], None]]) -> None:
        """Have these done, as many at once as there may be threads."""
        for job in jobs:
            self._jobs.put(job)
        with self._lock:
            self._undone += len(jobs)
            fresh = max(0, min(self._most, self._undone) - self._threads)
            self._threads += fresh
        self._start(fresh)

    def close(self, then: Callable[[], None]) -> None:
        """Let the threads end once all jobs are done, and call `then`."""
        with self._lock:
            threads, idle = self._threads, not self._undone
            self._then = then
        for _ in range(threads):
            self._jobs.put(None)
        if idle:
            then()

    def _start(self, count: int) -> None:
        """Start threads. Each starts half of the rest, since starting one waits until it runs."""
        if count:
            threading.Thread(target=self._work, args=(count - 1,), name="llm-rlm-call", daemon=True).start()

    def _work(self, more: int) -> None:
        self._start(more // 2)
        self._start(more - more // 2)
        while (job := self._jobs.get()) is not None:
            job()
            with self._lock:
                self._undone -= 1
                then = self._then if not self._undone else None
            if then is not None:
                then()


def _checked(request: CallRequest, text: str) -> CallReply:
    """The answer, its value checked against the schema if there was one."""
    if request.schema is None:
        return CallReply(0, text)
    try:
        return CallReply(0, text, data=schemas.validated(text, schemas.parse(request.schema)))
    except ModelError as problem:
        return CallReply(0, error=str(problem))


def _public(problem: Exception) -> str:
    """What the sandbox may know of an error: its kind. The journal has the rest."""
    status = getattr(problem, "status_code", None)
    return f"the model did not answer ({type(problem).__name__}{f', HTTP {status}' if isinstance(status, int) else ''})"
