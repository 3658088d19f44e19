"""Child runs: a question and a context of a cell, answered by a loop and a session of their own within the parent's budget."""

from __future__ import annotations

import json
import threading
import time
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any

from llm_rlm import context as contexts
from llm_rlm.budget import Limits
from llm_rlm.calls import CallReply
from llm_rlm.errors import RLMError, SandboxError, UsageError
from llm_rlm.providers.dispatch import public_error
from llm_rlm.providers.spending import Spending
from llm_rlm.sandbox import Spares

from .briefing import Brief, conversation
from .continuation import continuation
from .loop import Loop
from .run import Asked, Run
from .start import Reach, Start
from .turns import AbortedError, Turns

if TYPE_CHECKING:
    from collections.abc import Callable

    from llm_rlm.calls import CallRequest
    from llm_rlm.context import Context
    from llm_rlm.journal.history import PastRun
    from llm_rlm.providers.dispatch import SubModels

    from .continuation import Continuation

_PATIENCE = 5.0
"""Seconds that the end of a run waits for children that were stopped."""

_FINISHED = frozenset({"submitted", "prose"})


def check_depth(depth: object) -> None:
    """Raise UsageError for what cannot be a depth."""
    if isinstance(depth, bool) or not isinstance(depth, int) or depth < 0:
        message = f"depth must be a whole number of at least 0, how deep child runs may go, not {depth!r}"
        raise UsageError(message)


@dataclass(frozen=True)
class Rules:
    """What holds for the child runs of a run."""

    depth: int = 1
    """How many levels of them there may be, at least 1."""
    turns: int | None = Limits().turns
    """Turns that each may take."""
    stream: bool = True
    """Whether replies of their root models are streamed, where that can be had."""


class Children:
    """The child runs of one run. Their root model is the sub-model, which is their sub-model too."""

    def __init__(self, run: Run, sub: SubModels, rules: Rules, spares: Spares | None = None) -> None:
        """Nothing is started yet. Whoever gives no `spares` has some that end with the run."""
        self._run = run
        self._sub = sub
        self._rules = rules
        self._owns_spares = spares is None
        self._spares = spares or Spares()
        self._changed = threading.Condition()
        """Guards the rest. Notified when a child has ended."""
        self._going: dict[str, Loop] = {}
        self._why_stopped: str | None = None

    def perform(self, request: CallRequest, number: int, stopped: Callable[[], bool]) -> CallReply:
        """Answer a question by a child run, for the call of that number; or go on with the one it has begun before."""
        past = self._run.child(number)
        if past is not None and past.finish in _FINISHED and past.answer is not None:
            return CallReply(0, past.answer)
        if stopped():
            return self._stopped()
        try:
            context = self._context(request.payload)
            run, loop, resumed = self._start(request.prompt, context, past, number)
        except (UsageError, SandboxError) as problem:
            return CallReply(0, error=f"the child run could not start: {problem}")
        with self._changed:
            self._going[run.id] = loop
            why = self._why_stopped
        if why is not None:
            loop.abort(why)
        try:
            return _answer(run, loop, resumed)
        finally:
            with self._changed:
                del self._going[run.id]
                self._changed.notify_all()

    def expect(self) -> None:
        """Have a sandbox up for the first child."""
        self._spares.expect()

    def stop(self, why: str) -> None:
        """End the children that go on, and begin no other."""
        with self._changed:
            self._why_stopped = self._why_stopped or why
            going = list(self._going.values())
        for loop in going:
            loop.abort(why)

    def close(self) -> None:
        """Wait a while for the children that were stopped to end, and let the spare sandbox go."""
        until = time.monotonic() + _PATIENCE
        with self._changed:
            while self._going and (left := until - time.monotonic()) > 0:
                self._changed.wait(left)
        if self._owns_spares:
            self._spares.close()

    def _start(
        self, question: str, context: Context, past: PastRun | None, number: int
    ) -> tuple[Run, Loop, Continuation | None]:
        """A child run and its loop, of which no turn is taken yet. Raises SandboxError."""
        parent, sub, rules = self._run, self._sub, self._rules
        depth = rules.depth - 1
        resumed = continuation(past) if past is not None else None
        start = Start(context, parent.settings, resumed, None, Reach(children=depth > 0, spares=self._spares))
        limits, model, options = replace(parent.budget.limits, turns=rules.turns), sub.default, sub.options or {}
        key = sub.key if model.needs_key is not None and model.needs_key == sub.key_for else None
        window = partial(sub.prices.window, model, options)
        brief = Brief(model, model, limits, key=key, options=options, stream=rules.stream, children=depth, window=window)
        try:
            root = conversation(brief, start, past.system if past is not None else None)
            more = {"offered": root.offered()}
            asked = Asked(question, model.model_id, limits, keep=False, system=root.system, more=more)
            run = Run(start, sub, asked, parent.tell, parent.above(number))
        except BaseException:
            start.discard()
            raise
        if depth:
            run.have_children(Children(run, sub, replace(rules, depth=depth), self._spares))
        root.recall(run.id, question, resumed.turns if resumed is not None else ())
        turns = Turns(root, run, Spending(model, options, sub.prices, limits))
        return run, Loop(root, run, question, turns), resumed

    def _stopped(self) -> CallReply:
        return CallReply(0, error=self._why_stopped or "the run was stopped", held_up=True)

    def _context(self, payload: str | None) -> Context:
        """The context of a child. Raises UsageError for what cannot be one."""
        try:
            given: Any = json.loads(payload or "{}")
        except (ValueError, RecursionError):
            given = None
        match given:
            case {"whole": True}:
                return contexts.lent(self._run.context)
            case {"document": int(number)} if 0 <= number < len(self._run.context.documents):
                return contexts.lent(self._run.context, number)
            case {"value": value}:
                return contexts.from_value(value)
            case {**nothing} if not nothing:
                return contexts.from_any(None)
        message = "its context cannot be read"
        raise UsageError(message)


def _answer(run: Run, loop: Loop, resumed: Continuation | None) -> CallReply:
    """Take turns until there is an answer, and say what came of it."""
    try:
        finish = loop.turns(resumed)
    except AbortedError as problem:
        run.end("interrupted", hurry=True)
        return CallReply(0, error=str(problem), held_up=True)
    except RLMError as problem:
        run.end("error", str(problem), hurry=True)
        return CallReply(0, error=f"the child run failed: {_public(problem)}")
    except BaseException as problem:
        run.end("error", type(problem).__name__, hurry=True)  # its text could hold anything, a key too
        raise
    run.end(finish, hurry=True)
    # A limit of turns is the child's own: its answer stays what it is. The others are limits of all.
    held_up = finish == "limit" and run.budget.reached is not None
    if run.answer is not None:
        return CallReply(0, run.answer.text, held_up=held_up)
    reached = run.budget.reached_by(run.id)
    why = str(reached) if reached is not None else "its replies were empty"
    return CallReply(0, error=f"the child run gave no answer: {why}", held_up=held_up)


def _public(problem: RLMError) -> str:
    """What the sandbox may know of what ended a child run."""
    if isinstance(problem, SandboxError):
        return "its sandbox broke"
    return public_error(problem.__cause__) if isinstance(problem.__cause__, Exception) else "its model did not answer"
