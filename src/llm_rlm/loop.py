"""The loop between the root model and its run: ask, do what the reply says, tell what came of it, until there is an answer."""

from __future__ import annotations

import queue
import threading
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING

from . import models, prompts
from .errors import LimitReachedError, ModelError, RLMError, amount
from .retries import Policy, failure_of, persist
from .root import reply_from
from .run import EXECUTE, SUBMIT, show
from .spending import OUTPUT_TOKENS
from .tools import perform

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    import llm

    from .budget import Budget
    from .continuation import Continuation
    from .result import Finish
    from .retries import Failure
    from .root import Reply, Root, ToolCall
    from .run import Run
    from .sandbox import CellResult
    from .spending import Offer, Spending

_MOST_MALFORMED = 3
_WAIT = 0.5
_MOST_NAMED = 10
_SHOWN_LAST, _CUT = 4_000, 3_000
"""Tokens that a last turn can always be told anew, and bytes of what tools said among them."""
_TIME_IS_UP = "the time limit of the run is reached"


class AbortedError(RLMError):
    """The caller aborted the run."""


class Loop:
    """Takes turns until the root model has answered. `stop` and `abort` may be called from any thread."""

    def __init__(
        self, root: Root, run: Run, question: str, spending: Spending, log: Callable[[llm.Response], None] | None = None
    ) -> None:
        """Nothing is sent yet. `spending` tells what the root model's turns take; `log` gets each of its responses."""
        self._root = root
        self._run = run
        self._question = question
        self._spending = spending
        self._log = log
        self._results: list[tuple[ToolCall, str]] = []
        self._prose = ""
        self._asked_to_submit = False
        self._malformed = 0
        self._stopped: str | None = None
        self._aborted: str | None = None
        self._ended = threading.Event()
        """Set when no attempt of the root model is waited for any more."""
        self._events: queue.SimpleQueue[Reply | Exception] = queue.SimpleQueue()
        """Replies of the root model, and what ends the waiting for them."""

    def stop(self, why: str) -> None:
        """Stop spending: no cell and no sub-call any more, and one last turn for the best answer there is."""
        self._stopped = self._stopped or why
        self._run.interrupt(why)
        self._run.cancel()

    def abort(self, why: str) -> None:
        """End now: `turns` raises AbortedError."""
        self._aborted = why
        self._ended.set()
        self._run.interrupt(why)
        self._run.cancel()
        self._events.put(AbortedError(why))
        models.cancel(self._root.model)

    def turns(self, resumed: Continuation | None = None) -> Finish:
        """Ask the root model and do what it says, until it has submitted or may not go on.

        Raises ModelError when the root model fails, SandboxError, and AbortedError.
        """
        say: str | None = self._question
        last: str | None = None
        with self._time_limit():
            reply = self._recall(resumed) if resumed is not None else None
            shown = resumed.shown if resumed is not None else {}
            while True:
                if reply is not None:
                    say, shown = self._act(reply, shown), {}
                    if self._run.answer is not None or last is not None or self._is_over(reply):
                        return self._finish()
                last = self._why_last()
                reply, last = self._turn(say, last)
                if reply is None:
                    return self._finish()

    def _recall(self, resumed: Continuation) -> Reply | None:
        """Go on from the turns of an earlier life of the run: the reply that is to be acted on, if there is one."""
        replies = [reply_from(turn.reply) for turn in resumed.turns]
        self._prose = next((reply.text for reply in reversed(replies[:-1]) if reply.is_prose and reply.text.strip()), "")
        self._asked_to_submit = any(reply.is_prose for reply in replies[:-1])
        messages = [message for turn in resumed.turns for message in turn.messages]
        self._root.recall(self._run.id, self._question, messages)
        return replies[-1] if replies else None

    def _why_last(self) -> str | None:
        """Why the turn to come is the last, if it is."""
        budget = self._run.budget
        left = budget.left()
        if left["seconds"] == 0:
            budget.reach("seconds", budget.seconds())
        elif left["turns"] == 1:
            budget.reach("turns", budget.usage.turns + 1)
        return self._stopped or (str(budget.reached) if budget.reached is not None else None)

    def _turn(self, say: str | None, last: str | None) -> tuple[Reply | None, str | None]:
        """Ask the root model once, and record it. Returns its reply, and why that was the last if it was.

        There is no reply when it has not come by the end of the time limit and its grace, or when no limit leaves room for it.
        """
        if self._aborted is not None:
            raise AbortedError(self._aborted)
        try:
            offer, last = self._reserve(say, last)
        except LimitReachedError:
            return None, last
        results, self._results = self._results, []
        run, said = self._run, say if last is None else _joined(say, prompts.render("last_turn", why=last, submit=SUBMIT))
        run.begin_turn(say, [output for _, output in results], offer.bound, last)
        turn = partial(self._root.ask, said, results, offer.options)
        threading.Thread(target=self._ask, args=(turn, offer), name="llm-rlm-root", daemon=True).start()
        reply = self._wait()
        if reply is None or isinstance(reply, Exception):
            self._ended.set()
            self._fail(offer, reply)
            return None, last
        spent = self._spending.spent(reply.tokens)
        run.end_turn(reply.as_dict(), reply.messages, spent)
        run.budget.settle(offer.bound, spent)
        self._hold()
        if self._log is not None and reply.response is not None:
            self._log(reply.response)
        return reply, last

    def _fail(self, offer: Offer, problem: Exception | None) -> None:
        """Record a turn without a reply. Raises what that means for the run; nothing if a limit is why."""
        budget, failure = self._run.budget, failure_of(problem) if problem is not None else None
        maybe_paid = failure is None or failure.maybe_paid
        budget.settle(offer.bound, None, maybe_paid=maybe_paid)
        self._run.fail_turn(maybe_paid=maybe_paid)
        if problem is None:
            models.cancel(self._root.model)
            budget.reach("seconds", budget.seconds())
        elif isinstance(problem, AbortedError):
            raise problem
        elif not isinstance(problem, LimitReachedError):
            message = f"{self._root.model.model_id} did not answer: {models.describe(problem, self._root.key)}"
            raise ModelError(message) from problem

    def _reserve(self, say: str | None, last: str | None) -> tuple[Offer, str | None]:
        """Room for the turn, and why it has to be the last if it has. Raises LimitReachedError where there is none at all."""
        offers = self._offers(say)
        if last is None:
            if (offer := self._reserve_turn(offers)) is not None:
                return offer, None
            last = str(self._run.budget.reached)
        try:
            return self._reserve_last_turn(offers), last
        except LimitReachedError:
            each = _CUT // max(1, len(self._results))
            self._results = [(call, _cut(output, each)) for call, output in self._results]
            return self._reserve_last_turn(self._offers(say)), last

    def _offers(self, say: str | None) -> Sequence[Offer]:
        return self._spending.offers(self._root.input_tokens(say, self._results))

    def _reserve_turn(self, offers: Sequence[Offer]) -> Offer | None:
        """Reserve a turn and what a last one after it takes. None where both do not fit."""
        after = [self._spending.bound(offer.bound.tokens + _SHOWN_LAST, OUTPUT_TOKENS[-1]) for offer in offers]
        bounds = [(offer.bound, later) for offer, later in zip(offers, after, strict=True)]
        taken = self._run.budget.reserve_turn(self._run.id, bounds)
        return offers[taken] if taken is not None else None

    def _reserve_last_turn(self, offers: Sequence[Offer]) -> Offer:
        return offers[self._run.budget.reserve_last_turn(self._run.id, [offer.bound for offer in offers])]

    def _hold(self) -> None:
        """Hold back what a last turn takes after the one that is over."""
        tokens = self._root.input_tokens(None) + _SHOWN_LAST
        self._run.budget.hold(self._run.id, self._spending.bound(tokens, OUTPUT_TOKENS[-1]))

    def _ask(self, turn: Callable[[], Reply], offer: Offer) -> None:
        """In a thread of its own, because nothing ends a request that hangs."""
        try:
            self._events.put(persist(turn, Policy(), partial(self._again, offer), self._ended))
        except Exception as problem:  # noqa: BLE001 - raised again by the thread that waits
            self._events.put(problem)

    def _again(self, offer: Offer, failure: Failure) -> None:
        """Before another attempt: count it, and record that the last one failed."""
        self._run.budget.retry(offer.bound, maybe_paid=failure.maybe_paid)
        self._run.retry_turn(maybe_paid=failure.maybe_paid)
        self._run.observer.warned(f"{self._root.model.model_id} did not answer and is asked again")

    def _wait(self) -> Reply | Exception | None:
        """What comes next; None once the time limit and its grace are over. In short waits: Windows interrupts no other."""
        budget = self._run.budget
        while True:
            try:
                return self._events.get(timeout=_WAIT)
            except queue.Empty:
                if budget.limits.seconds is not None and budget.seconds() > budget.limits.seconds + budget.limits.grace:
                    return None

    def _act(self, reply: Reply, shown: Mapping[int, str]) -> str | None:
        """Do what the reply asks for, but for tool calls whose cells have `shown` something already. Returns what to say next.

        What the tools said is kept for the next turn.
        """
        if reply.malformed is not None:
            return self._ask_again(reply.malformed)
        self._malformed = 0
        self._results = [(call, shown.get(number) or self._call(call, number)) for number, call in enumerate(reply.calls)]
        if not reply.is_prose:
            return None
        self._prose = reply.text.strip() or self._prose
        return prompts.render("no_tool_call", execute=EXECUTE, submit=SUBMIT)

    def _is_over(self, reply: Reply) -> bool:
        """Whether prose is the answer: the root model was asked to submit it, and has not."""
        if not reply.is_prose:
            return False
        asked, self._asked_to_submit = self._asked_to_submit, True
        return asked

    def _ask_again(self, problem: str) -> str:
        self._malformed += 1
        if self._malformed >= _MOST_MALFORMED:
            message = f"{self._root.model.model_id} sent {self._malformed} replies that could not be read: {problem}"
            raise ModelError(message)
        return prompts.render("malformed_call", problem=problem)

    def _call(self, call: ToolCall, number: int) -> str:
        """Call a tool. What is wrong with the call is a result that says what to do."""
        if self._run.answer is not None:
            return "Error: not run, the answer has been submitted."
        done = perform(self._run, call.name, None if call.malformed else call.arguments, number)
        return done if isinstance(done, str) else f"{show(done)}\n{standing(self._run.budget, done)}"

    def _finish(self) -> Finish:
        """What the model last said without submitting it is the best answer there is, if it has not submitted."""
        submitted = self._run.answer is not None
        if not submitted and self._prose:
            self._run.submit(self._prose)
        if self._stopped is not None:
            return "interrupted"
        if self._run.budget.reached is not None:
            return "limit"
        return "submitted" if submitted else "prose"

    @contextmanager
    def _time_limit(self) -> Iterator[None]:
        """Interrupt what runs when the time is up."""
        seconds = self._run.budget.limits.seconds
        if seconds is None:
            yield
            return
        left = max(0.0, seconds - self._run.budget.seconds())
        timer = threading.Timer(min(left, threading.TIMEOUT_MAX), self._run.interrupt, [_TIME_IS_UP])
        timer.daemon = True
        timer.start()
        try:
            yield
        finally:
            timer.cancel()


def standing(budget: Budget, result: CellResult) -> str:
    """The line that tells the root model where it stands after a cell."""
    left, usage, turns = budget.left(), budget.usage, budget.limits.turns
    parts = [f"{result.seconds:.1f} s", f"turn {usage.turns}" + (f" of {turns}" if turns is not None else "")]
    if usage.calls or usage.cached:
        parts.append(f"{usage.calls} sub-calls so far" + (f", {usage.failed} failed" if usage.failed else ""))
    if left["calls"] is not None:
        parts.append(f"{left['calls']:,.0f} sub-calls left")
    parts += [f"{amount(kind, value)} left" for kind in ("tokens", "cost") if (value := left[kind]) is not None]
    if left["seconds"] is not None:
        parts.append(f"{left['seconds']:.0f} s left")
    news = [str(variable) for variable in result.variables if variable.length is not None and variable.length > 1]
    if news:
        parts.append("variables: " + ", ".join(news[:_MOST_NAMED]))
    return f"[{'; '.join(parts)}]"


def _cut(text: str, most: int) -> str:
    """The beginning of a text of more than so many bytes, each of which may be a token."""
    data = text.encode("utf-8", "replace")
    return text if len(data) <= most else f"{data[:most].decode('utf-8', 'ignore')}\n... [cut]"


def _joined(*parts: str | None) -> str:
    return "\n\n".join(part for part in parts if part)
