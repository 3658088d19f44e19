"""One turn of the root model: room for it in the budget, its record, its attempts, and the waiting for its reply."""

from __future__ import annotations

import queue
import threading
from functools import partial
from typing import TYPE_CHECKING

from llm_rlm.errors import LimitReachedError, ModelError, RLMError
from llm_rlm.providers import models
from llm_rlm.providers.retries import Policy, failure_of, is_too_long, persist
from llm_rlm.providers.spending import OUTPUT_TOKENS

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import llm

    from llm_rlm.providers.retries import Failure
    from llm_rlm.providers.spending import Offer, Spending
    from llm_rlm.root.conversation import Reply, Root, ToolCall

    from .run import Run

_WAIT = 0.5
_SHOWN_LAST, _CUT = 4_000, 3_000
"""Tokens that a last turn can always be told anew, and bytes of what tools said among them."""

type Results = Sequence[tuple[ToolCall, str]]
"""The root model's tool calls, and what came of each."""


class AbortedError(RLMError):
    """The caller aborted the run."""


class Turns:
    """Asks a root model, turn by turn, within the budget of its run. `abort` may be called from any thread."""

    def __init__(self, root: Root, run: Run, spending: Spending, log: Callable[[llm.Response], None] | None = None) -> None:
        """Nothing is sent yet. `spending` tells what turns take; `log` gets each response."""
        self._root = root
        self._run = run
        self._spending = spending
        self._log = log
        self._ended = threading.Event()
        """Set when no attempt is waited for any more."""
        self._why_aborted = ""
        self._events: queue.SimpleQueue[Reply | Exception] = queue.SimpleQueue()
        """Replies, and what ends the waiting for them."""

    def abort(self, why: str) -> None:
        """Let the turn under way, and any later one, raise AbortedError."""
        self._why_aborted = why
        self._ended.set()
        self._events.put(AbortedError(why))
        models.cancel(self._root.model)

    def take(self, say: str | None, results: Results, last: str | None) -> tuple[Reply | None, str | None]:
        """Say something, or give the results of tools, or both. Returns the reply, and why this was the last turn if it was.

        `last` is why it has to be, if that is known already. There is no reply when none has come by the end of the time limit
        and its grace, or when no limit leaves room for a turn. Raises ModelError and AbortedError.
        """
        room = self._root.make_room(say, results)
        try:
            offer, results, last = self._reserve(say, results, last)
        except LimitReachedError:
            return None, last
        self._run.record.begin_turn(
            self._run.budget.turns(self._run.id), say, [output for _, output in results], offer.bound, last
        )
        if room is not None:
            self._run.record.compact_turn(room)
        last_words = self._root.way.last_turn(last) if last is not None else None
        said = "\n\n".join(part for part in (say, last_words) if part)
        turn = partial(self._say, said, results, offer)
        threading.Thread(target=self._ask, args=(turn, offer), name="llm-rlm-root", daemon=True).start()
        reply = self._wait()
        if reply is None or isinstance(reply, Exception):
            self._ended.set()
            self._fail(offer, reply)
            return None, last
        self._settle(offer, reply)
        return reply, last

    # Room in the budget

    def _reserve(self, say: str | None, results: Results, last: str | None) -> tuple[Offer, Results, str | None]:
        """Room for the turn, what it can be told of the results, and why it has to be the last if it has.

        Raises LimitReachedError where there is no room at all.
        """
        offers = self._offers(say, results)
        if last is None:
            if (offer := self._reserve_one_of_many(offers)) is not None:
                return offer, results, None
            if self._ended.is_set():
                raise AbortedError(self._why_aborted)
            last = str(self._run.budget.reached_by(self._run.id))
        try:
            return self._reserve_last(offers), results, last
        except LimitReachedError:
            cut = [(call, _cut(output, _CUT // len(results))) for call, output in results]
            return self._reserve_last(self._offers(say, cut)), cut, last

    def _offers(self, say: str | None, results: Results) -> Sequence[Offer]:
        return self._spending.offers(self._root.input_tokens(say, results))

    def _reserve_one_of_many(self, offers: Sequence[Offer]) -> Offer | None:
        """Reserve a turn and what a last one after it takes. None where both do not fit."""
        after = [self._spending.bound(offer.bound.tokens + _SHOWN_LAST, OUTPUT_TOKENS[-1]) for offer in offers]
        bounds = [(offer.bound, later) for offer, later in zip(offers, after, strict=True)]
        taken = self._run.budget.reserve_turn(self._run.id, bounds)
        return offers[taken] if taken is not None else None

    def _reserve_last(self, offers: Sequence[Offer]) -> Offer:
        return offers[self._run.budget.reserve_last_turn(self._run.id, [offer.bound for offer in offers])]

    # The request

    def _say(self, said: str, results: Results, offer: Offer) -> Reply:
        """Take a turn. One that is too long for the model's window is asked for once more, after what was said is shortened."""
        try:
            return self._root.ask(said, results, offer.options)
        except Exception as problem:
            room = self._root.make_room_anyway() if is_too_long(problem) else None
            if room is None:
                self._tell_wait(problem)
                raise
            self._run.budget.retry(offer.bound, maybe_paid=False)
            self._run.record.retry_turn(maybe_paid=False)
            self._run.record.compact_turn(room)
            return self._root.ask(said, results, offer.options)

    def _tell_wait(self, problem: Exception) -> None:
        """Tell the observer if there is a pause before the next attempt."""
        failure = failure_of(problem)
        if failure.retry and failure.after is not None and 0 < failure.after <= Policy().seconds:
            self._run.record.wait(self._root.model.model_id, failure.after)

    def _ask(self, turn: Callable[[], Reply], offer: Offer) -> None:
        """In a thread of its own, because nothing ends a request that hangs."""
        try:
            self._events.put(persist(turn, Policy(), partial(self._again, offer), self._ended))
        except Exception as problem:  # noqa: BLE001 - raised again by the thread that waits
            self._events.put(problem)

    def _again(self, offer: Offer, failure: Failure) -> None:
        """Before another attempt: count it, and record that the last one failed."""
        self._run.budget.retry(offer.bound, maybe_paid=failure.maybe_paid)
        self._run.record.retry_turn(maybe_paid=failure.maybe_paid)

    def _wait(self) -> Reply | Exception | None:
        """What comes next; None once the time limit and its grace are over. In short waits: Windows interrupts no other."""
        budget = self._run.budget
        while True:
            try:
                return self._events.get(timeout=_WAIT)
            except queue.Empty:
                if budget.limits.seconds is not None and budget.seconds() > budget.limits.seconds + budget.limits.grace:
                    return None

    # What came of it

    def _settle(self, offer: Offer, reply: Reply) -> None:
        """Record a reply before anybody acts on it, and hold back what a last turn takes after it."""
        spent = self._spending.spent(reply.tokens)
        self._run.record.end_turn(reply.as_dict(), reply.messages, spent)
        budget, tokens = self._run.budget, self._root.input_tokens(None) + _SHOWN_LAST
        budget.settle(offer.bound, spent)
        budget.hold(self._run.id, self._spending.bound(tokens, OUTPUT_TOKENS[-1]))
        if self._log is not None and reply.response is not None:
            self._log(reply.response)

    def _fail(self, offer: Offer, problem: Exception | None) -> None:
        """Record a turn without a reply. Raises what that means for the run; nothing if a limit is why."""
        maybe_paid = problem is None or failure_of(problem).maybe_paid
        self._run.budget.settle(offer.bound, None, maybe_paid=maybe_paid)
        self._run.record.fail_turn(maybe_paid=maybe_paid)
        if problem is None:
            models.cancel(self._root.model)
            self._run.budget.reach("seconds", self._run.budget.seconds())
        elif isinstance(problem, AbortedError):
            raise problem
        elif not isinstance(problem, LimitReachedError):
            message = f"{self._root.model.model_id} did not answer: {models.describe(problem, self._root.key)}"
            raise ModelError(message) from problem


def _cut(text: str, most: int) -> str:
    """The beginning of a text of more than so many bytes, each of which may be a token."""
    data = text.encode("utf-8", "replace")
    return text if len(data) <= most else f"{data[:most].decode('utf-8', 'ignore')}\n... [cut]"
