"""Every call to a sub-model goes through here, in one order: journal, cache, budget, record, send, record, settle, reply."""

from __future__ import annotations

import json
import queue
import threading
import time
from collections import Counter
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING, Any, Protocol

from llm_rlm import prompts
from llm_rlm.budget import Bound, Spent
from llm_rlm.calls import CallReply, CallRequest
from llm_rlm.errors import LimitReachedError, ModelError, RLMError
from llm_rlm.events import CallFinished, CallRetried, CallsAsked, CallStarted, Waiting, unobserved
from llm_rlm.journal import CallRecord, call_key

from . import models, schemas
from .attachments import Attachments, token_bound
from .gate import Gate
from .prices import Prices, how_to_give
from .retries import Policy, failure_of, persist
from .spending import Spending

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    import llm

    from llm_rlm.budget import Budget
    from llm_rlm.calls import CallKind
    from llm_rlm.events import CallState, Observer
    from llm_rlm.journal import Journal
    from llm_rlm.journal.history import Earlier

    from .gate import Ticket
    from .models import Completion
    from .retries import Failure
    from .spending import Offer

CONCURRENCY = 256
"""Calls at once, unless told otherwise."""

CHILDREN = 4
"""Child runs at once, unless told otherwise."""

_MOST_REFUSED_RECORDED = 10_000
_EMPTY = "the model answered nothing"
_DAY = 86_400.0
_MOST_SAID = 20_000
"""Characters of an answer that are quoted to the model that gave it."""


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
    prices: Prices = field(default_factory=Prices)


@dataclass(frozen=True)
class Manner:
    """How calls are made."""

    concurrency: int = CONCURRENCY
    """Calls at once, of all models and of each."""
    call_timeout: float | None = None
    """Seconds of silence after which an attempt is given up; None for what the provider's client has."""
    cache_days: float | None = 0
    """Days for which an answer serves later runs; 0 for none, None for ever."""
    policy: Policy = field(default_factory=Policy)
    children: int = CHILDREN
    """Child runs at once, at each depth."""


type Deliver = Callable[[CallReply], None]
"""Takes what came of a call. Called from any thread."""


class Performer(Protocol):
    """Does what is asked that is not a question to a model: a child run, a function of the user."""

    def perform(self, request: CallRequest, number: int, stopped: Callable[[], bool]) -> CallReply:
        """Do it, and say what came of it; what goes wrong is the error of the reply. Called from any thread, many at once.

        `number` is the call's id in the journal, where it is recorded before and after. To give up soon once `stopped`.
        """


@dataclass(frozen=True)
class _Call:
    request: CallRequest
    key: str
    occurrence: int
    cell: int | None
    run_id: str
    """The run whose cell asks: this one, or one that it follows, whose cell is run again."""
    mends: bool = False
    """Whether it asks once more for what did not fit its schema."""


@dataclass(frozen=True)
class _Lane:
    """What calls of one model have in common."""

    model: llm.Model
    key: str | None = field(repr=False)
    gate: Gate
    spending: Spending


class _StoppedError(RLMError):
    """The run was stopped before another attempt could be made."""


class _Shared:
    """What the dispatchers of a run and of all runs below it share: so many calls at once are those of the whole tree."""

    def __init__(self, manner: Manner) -> None:
        self.calls = _Pool(manner.concurrency)
        self.gates: dict[str, Gate] = {}
        self.lanes: dict[str | None, _Lane] = {}
        self.lock = threading.Lock()
        """Guards all but the first."""
        self._most = manner.children
        self._children: list[_Pool] = []
        """For each depth a pool: a run waits for those below it, which therefore must not wait for its place."""

    def children(self, depth: int) -> _Pool:
        """The threads in which the children of runs at that depth go on."""
        with self.lock:
            while len(self._children) <= depth:
                self._children.append(_Pool(self._most))
            return self._children[depth]

    def close(self, then: Callable[[], None]) -> None:
        """Let the threads end, those of children first: what they still ask is made. Calls `then` at the end of the last."""
        with self.lock:
            pools = [self.calls, *reversed(self._children)]
        for pool in pools:
            then = partial(pool.close, then)
        then()


class Dispatcher:
    """Makes the calls of one run."""

    def __init__(
        self,
        journal: Journal,
        run_id: str,
        budget: Budget,
        sub: SubModels,
        manner: Manner | None = None,
        above: Dispatcher | None = None,
    ) -> None:
        """Nothing is sent yet. `above` is the dispatcher of the run that this one is a child of."""
        self.performers: dict[CallKind, Performer] = {}
        """Who does what is asked besides questions to models."""
        self.attachments = Attachments()
        """The files that can go with prompts."""
        self.tell: Observer = unobserved
        """Is told what becomes of calls."""
        self._journal = journal
        self._run_id = run_id
        self._budget = budget
        self._sub = sub
        self._manner = manner or Manner()
        days = self._manner.cache_days
        self._cached_since = 0.0 if days is None else time.time() - days * _DAY if days else None
        self._shared: _Shared = above._shared if above is not None else _Shared(self._manner)  # noqa: SLF001 - one of us
        self._depth: int = above._depth + 1 if above is not None else 0  # noqa: SLF001 - one of us
        self._lock = threading.Lock()
        """Guards what follows: calls are numbered and joined one at a time."""
        self._seen: Counter[str] = Counter()
        self._cell: int | None = None
        self._earlier: Sequence[Earlier] = ()
        self._cell_of = run_id
        """The run that the cell is of."""
        self._latest = 0
        """The last cell that may have calls in the journal."""
        self._rewound = False
        """Whether the journal may have calls that are asked now."""
        self._numbered = True
        """Whether `_seen` counts all calls before those of a cell after the latest."""
        self._refused = 0
        self.held_up: set[int | None] = set()
        """The cells of which a limit or a stop has kept a call from its answer."""
        self._waiting: dict[tuple[str, int], list[tuple[int, Deliver]]] = {}
        self._why_stopped = ""
        self._stopped = threading.Event()
        self.problem: BaseException | None = None
        """What broke the run itself, a full disk say; to be raised by the run."""

    def ask(self, requests: Sequence[CallRequest], deliver: Deliver) -> None:
        """Start calls; each is delivered once. Returns at once."""
        calls = [self._number(request) for request in requests]
        fresh = [call for call in calls if not self._join(call, deliver)]
        if fresh and not requests[0].replay:
            self.tell(CallsAsked(self._run_id, fresh[0].cell, len(fresh)))
        for pool, kinds in ((self._shared.calls, {"model", "function"}), (self._shared.children(self._depth), {"run"})):
            pool.submit([partial(self._answer, call) for call in fresh if call.request.kind in kinds])

    def below(self, run_id: str) -> Dispatcher:
        """A dispatcher for a child of this run, that shares with it what bounds the calls at once."""
        return Dispatcher(self._journal, run_id, self._budget, self._sub, self._manner, self)

    def begin_cell(self, number: int) -> int:
        """Calls from now on are those of this cell. Of one that ran before, equal calls are numbered as they were.

        Returns how many of its calls the journal has already.
        """
        with self._lock:
            new = number > self._latest
            self._rewound |= not new
            self._cell, self._latest = number, max(number, self._latest)
            self._cell_of = next((run.run_id for run in self._earlier if number <= run.last_cell), self._run_id)
            if new and self._numbered:
                return 0
            self._seen = self._journal.calls_before(self._cell_of, number)
            self._numbered = new
        return self._journal.calls_of(self._cell_of, number)

    def follow(self, earlier: Sequence[Earlier]) -> None:
        """The run goes on in the session of these, oldest first. What their cells asked is in the journal as theirs."""
        self._earlier = earlier
        self._latest = max([self._latest, *(run.last_cell for run in earlier)])

    def remember(self) -> None:
        """The run was begun by another process: what its calls brought is in the journal."""
        self._latest = max(self._latest, self._journal.last_cell_that_asked(self._run_id))
        self._rewound, self._numbered = True, False

    def left(self) -> dict[str, float | None]:
        """What is left of each limit."""
        return self._budget.left(self._run_id)

    def stop(self, why: str) -> None:
        """Send nothing more: calls that wait are answered with `why`, those under way are let finish."""
        with self._lock:
            self._why_stopped = self._why_stopped or why
            self._stopped.set()
        with self._shared.lock:
            gates = list(self._shared.gates.values())
        for gate in gates:
            gate.wake()
        self._budget.wake()

    def cancel(self) -> None:
        """Break off what is under way, of all runs, once stopped. Where a model's client does not allow it, it goes on."""
        with self._shared.lock:
            lanes = list(self._shared.lanes.values())
        for lane in lanes:
            models.cancel(lane.model)

    def close(self, then: Callable[[], None]) -> None:
        """Let the threads end, of all runs. `then` is called when the last call under way is recorded, perhaps much later."""
        self._shared.close(then)

    # Numbering and joining

    def _number(self, request: CallRequest) -> _Call:
        """Five equal prompts are five samples: each has a number of its own, the same when its cell runs again."""
        asked: dict[str, object] = {
            "model": self._name(request),
            "options": self._options(request.model),
            "prompt": request.prompt,
            "system": request.system,
            "schema": request.schema,
        }
        if request.each:
            asked |= {"each": True}
        if request.kind != "model":
            asked |= {"kind": request.kind, "payload": request.payload}
        contents = self.attachments.contents(request.attachments)
        if contents:
            asked |= {"attachments": [[each["sha256"] or each["name"], each["sha256"] is None] for each in contents]}
        key = call_key(asked)
        with self._lock:
            self._seen[key] += 1
            return _Call(request, key, self._seen[key], self._cell, self._cell_of)

    def _again_for(self, call: _Call, misfit: CallReply) -> _Call:
        """The call that asks once more for what did not fit its schema.

        It is numbered as the call that it mends, and not in the order in which answers come: that is another each time.
        """
        said = misfit.text if len(misfit.text) <= _MOST_SAID else f"{misfit.text[:_MOST_SAID]}…"
        prompt = prompts.render("mend", prompt=call.request.prompt, answer=said, error=misfit.error)
        return replace(
            call, request=replace(call.request, prompt=prompt), key=call_key({"mends": call.key, "prompt": prompt}), mends=True
        )

    def _join(self, call: _Call, deliver: Deliver) -> bool:
        """Whether this very call is already under way; then its answer serves both."""
        with self._lock:
            waiting = self._waiting.setdefault((call.key, call.occurrence), [])
            waiting.append((call.request.id, deliver))
            return len(waiting) > 1

    def _answer(self, call: _Call) -> None:
        try:
            reply = self._fitting(call)
        except BaseException as problem:  # noqa: BLE001 - kept, and raised by the run: this thread has nobody to raise it to
            self.problem = problem
            self.stop("the run is broken and will end")
            reply = CallReply(0, error="the run is broken and will end")
        with self._lock:
            waiting = self._waiting.pop((call.key, call.occurrence))
        for number, deliver in waiting:
            deliver(replace(reply, id=number))

    # The one order

    def _fitting(self, call: _Call) -> CallReply:
        """The reply; one that does not fit its schema is asked for once more, by a call of its own."""
        reply = self._reply(call)
        if reply.error is None or not reply.text or call.request.kind != "model" or call.request.each:
            return reply
        again = self._again_for(call, reply)
        mended = self._reply(again)
        if mended.error is None:
            if not call.request.replay:
                self._journal.let_serve(self._run_id, call.key, call.occurrence)
            return mended
        why = f"{mended.error} (asked twice)" if mended.text else f"{reply.error}; asked once more: {mended.error}"
        return replace(mended, error=why)

    def _reply(self, call: _Call) -> CallReply:
        recorded = self._recorded(call) or self._served(call)
        if recorded is not None:
            return recorded
        if self._stopped.is_set():
            return self._refuse(call, self._why_stopped, "stop")
        return self._ask(call) if call.request.kind == "model" else self._perform(call)

    def _ask(self, call: _Call) -> CallReply:
        """Ask a model."""
        try:
            lane = self._lane(call.request.model)
            arguments = self._arguments(call.request, lane)
            schema = json.dumps(arguments["schema"]) if "schema" in arguments else None
            bound = models.input_bound(arguments["prompt"], call.request.system, schema)
            offers = lane.spending.offers(bound + token_bound(arguments.get("attachments", ())))
            offer = self._reserve(offers)
        except ModelError as problem:
            return self._refuse(call, str(problem), "arguments")
        except LimitReachedError as problem:
            return self._refuse(call, str(problem), "limit")
        ticket = lane.gate.enter(self._stopped.is_set) if offer is not None else None
        if offer is None or ticket is None:
            if offer is not None:
                self._budget.give_back_call(offer.bound)
            return self._refuse(call, self._why_stopped, "stop")
        sending = _Sending(lane, arguments, offer, ticket, self._manner.policy.seconds)
        sending.stopped = self._stopped.is_set
        sending.told_to_wait = partial(self._tell_wait, lane.model.model_id)
        return self._send(call, sending)

    def _perform(self, call: _Call) -> CallReply:
        """Have done what is no question to a model; recorded before and after, as those are."""
        performer = self.performers.get(call.request.kind)
        if performer is None:
            return self._refuse(call, f"this run has no {call.request.kind} {call.request.prompt[:100]!r}", "arguments")
        try:
            number = self._begin(call)
        except LimitReachedError as problem:
            return self._refuse(call, str(problem), "limit")
        reply = performer.perform(call.request, number, self._stopped.is_set)
        stopped = self._stopped.is_set() and reply.error is not None
        if reply.held_up or stopped:
            self.held_up.add(call.cell)
        if reply.error is None:
            self._journal.end_call(number, reply.text, Spent(cost=0.0), servable=False)
            if reply.held_up:
                self._journal.hold_up_call(number)
            self._tell_end(call, number, "answered", reply)
            return _checked(call.request, reply.text)
        self._journal.fail_call(number, "stop" if stopped else "limit" if reply.held_up else reply.error, reply.error)
        if call.request.kind == "run":
            self._budget.fail_child()
        self._tell_end(call, number, "failed", reply)
        return reply

    def _begin(self, call: _Call) -> int:
        """Record what is about to be done; a child run that goes on is where it was. Raises LimitReachedError."""
        if call.request.kind == "run":
            number = self._journal.begin_again(self._run_id, call.key, call.occurrence) if self._rewound else None
            if number is not None:
                self._tell_start(call, number)
                return number
            self._budget.count_child()
        number = self._journal.begin_call(self._run_id, self._record(call), Bound())
        self._tell_start(call, number)
        return number

    def _recorded(self, call: _Call) -> CallReply | None:
        """What the journal has of this very call, asked by the same cell before."""
        known = self._journal.outcome_of(call.run_id, call.key, call.occurrence) if self._rewound else None
        if known is not None and known.answer is not None and (call.request.replay or not known.held_up):
            reply = _checked(call.request, known.answer)
            if not call.request.replay:
                self._tell_end(call, None, "known", reply)
            return reply
        if call.request.replay:
            error = known.error if known is not None else "this call is not in the journal"
            return CallReply(0, error=error, unknown=known is None)
        return None

    def _served(self, call: _Call) -> CallReply | None:
        """The answer that an earlier run was given to the same call."""
        if self._cached_since is None or call.request.kind != "model":
            return None
        kept = self._journal.answer_for(call.key, call.occurrence, self._cached_since)
        if kept is None:
            return None
        number = self._journal.serve_call(self._run_id, self._record(call), kept)
        self._budget.count_cached()
        reply = _checked(call.request, kept.answer)
        self._tell_end(call, number, "cached", reply)
        return reply

    def _reserve(self, offers: Sequence[Offer]) -> Offer | None:
        """Room in the budget for a call; None once stopped. Raises LimitReachedError."""
        bound = self._budget.reserve_call([offer.bound for offer in offers], self._stopped.is_set)
        return next((offer for offer in offers if offer.bound is bound), None)

    def _refuse(self, call: _Call, shown: str, why: str) -> CallReply:
        """Not send a call; recorded, so that its cell can be run again, unless that has become a habit."""
        if why != "arguments":
            self.held_up.add(call.cell)
        self._refused += 1
        number = None
        if self._refused <= _MOST_REFUSED_RECORDED:
            number = self._journal.refuse_call(self._run_id, self._record(call), shown, why)
        reply = CallReply(0, error=shown)
        self._tell_end(call, number, "refused", reply)
        return reply

    def _record(self, call: _Call) -> CallRecord:
        request = call.request
        asked: dict[str, object] = {"prompt": request.prompt, "system": request.system, "schema": request.schema}
        asked |= {"each": True} if request.each else {}
        asked |= {"mends": True} if call.mends else {}
        asked |= {"payload": request.payload} if request.payload is not None else {}
        asked |= {"attachments": self.attachments.contents(request.attachments)} if request.attachments else {}
        model = self._name(request)
        return CallRecord(call.key, call.occurrence, model, json.dumps(asked, ensure_ascii=False), call.cell, request.kind)

    def _send(self, call: _Call, sending: _Sending) -> CallReply:
        try:
            number = self._journal.begin_call(self._run_id, self._record(call), sending.offer.bound)
        except BaseException:
            sending.leave()
            self._budget.give_back_call(sending.offer.bound)
            raise
        self._tell_start(call, number)
        again = partial(self._again, sending, number)
        try:
            completion = persist(sending.attempt, self._manner.policy, again, self._stopped)
        except Exception as problem:  # noqa: BLE001 - a plugin or provider may raise anything; it is this call's outcome
            return self._fail(call, number, sending, problem)
        return self._settle(call, number, sending, completion)

    def _again(self, sending: _Sending, number: int, failure: Failure) -> None:
        """Before another attempt: count it, and record that the last one failed."""
        self._budget.retry(sending.offer.bound, maybe_paid=failure.maybe_paid)
        self._journal.retry_call(number, sending.error, maybe_paid=failure.maybe_paid)
        self.tell(CallRetried(self._run_id, number, sending.error, failure.maybe_paid))

    def _settle(self, call: _Call, number: int, sending: _Sending, completion: Completion) -> CallReply:
        """Record an answer that was paid, before anybody sees it."""
        bound, spent = sending.offer.bound, sending.lane.spending.spent(completion.tokens)
        wrong = sending.why_no_answer(completion)
        if wrong is not None:
            self._budget.end_call(bound, spent, failed=True)
            self._journal.fail_call(number, wrong, wrong, spent)
            failed = CallReply(0, error=wrong)
            self._tell_end(call, number, "failed", failed, spent)
            return failed
        reply = _checked(call.request, completion.text)
        try:
            self._journal.end_call(number, completion.text, spent, servable=reply.error is None)
        finally:
            self._budget.end_call(bound, spent, failed=False)
        self._tell_end(call, number, "answered", reply, spent)
        return reply

    def _fail(self, call: _Call, number: int, sending: _Sending, problem: Exception) -> CallReply:
        """Record a call that brought no answer. One that a limit or a stop kept from another attempt is asked when resumed."""
        held_up = "limit" if isinstance(problem, LimitReachedError) else "stop" if self._stopped.is_set() else None
        if held_up is not None:
            self.held_up.add(call.cell)
        maybe_paid = not isinstance(problem, _StoppedError) and failure_of(sending.problem or problem).maybe_paid
        error, public = held_up or sending.error, str(problem) if isinstance(problem, RLMError) else public_error(problem)
        self._budget.end_call(sending.offer.bound, None, failed=True, maybe_paid=maybe_paid)
        self._journal.fail_call(number, error, public, maybe_paid=maybe_paid)
        reply = CallReply(0, error=public)
        self._tell_end(call, number, "failed", reply)
        return reply

    def _tell_start(self, call: _Call, number: int) -> None:
        request = call.request
        self.tell(CallStarted(self._run_id, number, call.cell, request.kind, self._name(request), request.prompt, call.mends))

    def _tell_end(
        self, call: _Call, number: int | None, state: CallState, reply: CallReply, spent: Spent | None = None
    ) -> None:
        kind, model, prompt = call.request.kind, self._name(call.request), call.request.prompt
        run, text, error = self._run_id, reply.text, reply.error
        self.tell(CallFinished(run, number, call.cell, kind, model, state, prompt, text, error, spent, call.mends))

    def _tell_wait(self, model: str, seconds: float) -> None:
        self.tell(Waiting(self._run_id, model, seconds))

    def _name(self, request: CallRequest) -> str:
        """The model that is asked, by name."""
        return request.model or self._sub.default.model_id

    # Models

    def _lane(self, name: str | None) -> _Lane:
        """What calls of that model have in common. Raises ModelError for one that cannot be called."""
        with self._shared.lock:
            if name not in self._shared.lanes:
                self._shared.lanes[name] = self._open_lane(name)
            return self._shared.lanes[name]

    def _open_lane(self, name: str | None) -> _Lane:
        model = models.find(name) if name is not None else self._sub.default
        if self._budget.limits.cost is not None and self._sub.prices.of(model, self._options(name)) is None:
            message = (
                f"the run has a limit of cost, and the price of {model.model_id} is not known: {how_to_give(model.model_id)}"
            )
            raise ModelError(message)
        models.keep_clients(model, timeout=self._manner.call_timeout)
        gate = self._shared.gates.setdefault(model.model_id, Gate(self._manner.concurrency))
        spending = Spending(model, self._options(name), self._sub.prices, self._budget.limits)
        return _Lane(model, self._key(model), gate, spending)

    def _options(self, model: str | None) -> dict[str, object]:
        """The options are the sub-model's: another model may not know them."""
        return dict(self._sub.options or {}) if model is None else {}

    def _arguments(self, request: CallRequest, lane: _Lane) -> dict[str, Any]:
        arguments: dict[str, Any] = {"prompt": request.prompt, "key": lane.key}
        if request.system is not None:
            arguments["system"] = request.system
        if request.attachments:
            arguments["attachments"] = self.attachments.of_call(request.attachments, lane.model)
        if request.schema is not None:
            schema = schemas.parse(request.schema)
            schema = schemas.each_of(schema) if request.each else schema
            if lane.model.supports_schema:
                arguments["schema"] = schema
            else:
                arguments["prompt"] = prompts.render("schema", prompt=request.prompt, schema=json.dumps(schema))
        return arguments

    def _key(self, model: llm.Model) -> str | None:
        same = model.needs_key is not None and model.needs_key == self._sub.key_for
        return models.key_for(model, self._sub.key if same else None)


class _Sending:
    """One call on its way: its attempts, each let through by the gate of its model."""

    def __init__(self, lane: _Lane, arguments: Mapping[str, Any], offer: Offer, ticket: Ticket, longest: float) -> None:
        self.lane = lane
        self._longest = longest
        self.offer = offer
        self.problem: Exception | None = None
        self.error = ""
        """What became of the last attempt, for the journal."""
        self._arguments = arguments
        self._ticket: Ticket | None = ticket
        self.stopped: Callable[[], bool] = lambda: False
        self.told_to_wait: Callable[[float], None] = lambda _: None
        """Told for how many seconds the provider wants no request."""

    def attempt(self) -> Completion:
        """Ask once. Raises what the model or its provider raises."""
        self._ticket = self._ticket or self.lane.gate.enter(self.stopped)
        if self._ticket is None:
            message = "the run was stopped"
            raise _StoppedError(message)
        self.problem = None
        try:
            completion = models.complete(self.lane.model, options=self.offer.options, **self._arguments)
        except Exception as problem:
            self.problem, self.error = problem, models.describe(problem, self.lane.key)
            self.leave(failure_of(problem))
            raise
        self.leave()
        return completion

    def leave(self, failure: Failure | None = None) -> None:
        """Give back the place at the gate."""
        ticket, self._ticket = self._ticket, None
        assert ticket is not None
        if failure is None:
            self.lane.gate.leave(ticket)
        else:
            # What this call would not wait for itself, the others do not wait for either.
            after = failure.after if failure.after is not None and failure.after <= self._longest else 0.0
            self.lane.gate.leave(ticket, refused=failure.refused, after=after, succeeded=False)
            if after > 0:
                self.told_to_wait(after)

    def is_cut(self, completion: Completion) -> bool:
        """Whether the answer was cut because of a limit of the run."""
        return completion.cut and self.offer.capped is not None

    def why_no_answer(self, completion: Completion) -> str | None:
        """Why what came is no answer, if it is none."""
        if self.is_cut(completion):
            return f"the answer was cut at {self.offer.capped:,} tokens, to keep within the limit of the run"
        return None if completion.text.strip() else _EMPTY


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
    """The answer, its value checked against the schema if there was one. What a child run answers may be JSON by itself."""
    if request.kind == "run":
        return CallReply(0, text, data=schemas.value_of(text))
    if request.schema is None:
        return CallReply(0, text)
    check = schemas.validated_each if request.each else schemas.validated
    try:
        return CallReply(0, text, data=check(text, schemas.parse(request.schema)))
    except ModelError as problem:
        return CallReply(0, text, error=str(problem))


def public_error(problem: Exception) -> str:
    """What the sandbox may know of an error: its kind. The journal has the rest."""
    status = getattr(problem, "status_code", None)
    return f"the model did not answer ({type(problem).__name__}{f', HTTP {status}' if isinstance(status, int) else ''})"
