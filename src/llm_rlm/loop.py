"""The loop between the root model and its run: ask, do what the reply says, tell what came of it, until there is an answer."""

from __future__ import annotations

import queue
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING

from . import prompts
from .errors import ModelError, RLMError
from .run import EXECUTE, SUBMIT, show
from .tools import perform

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .budget import Budget
    from .result import Finish
    from .root import Reply, Root, ToolCall
    from .run import Run
    from .sandbox import CellResult

_MOST_MALFORMED = 3
_WAIT = 0.5
_MOST_NAMED = 10
_TIME_IS_UP = "the time limit of the run is reached"


class AbortedError(RLMError):
    """The caller aborted the run."""


class Loop:
    """Takes turns until the root model has answered. `stop` and `abort` may be called from any thread."""

    def __init__(self, root: Root, run: Run, question: str) -> None:
        """Nothing is sent yet."""
        self._root = root
        self._run = run
        self._question = question
        self._results: list[tuple[ToolCall, str]] = []
        self._prose = ""
        self._malformed = 0
        self._stopped: str | None = None
        self._aborted: str | None = None
        self._events: queue.SimpleQueue[Reply | Exception] = queue.SimpleQueue()
        """Replies of the root model, and what ends the waiting for them."""

    def stop(self, why: str) -> None:
        """Stop spending: no cell and no sub-call any more, and one last turn for the best answer there is."""
        self._stopped = self._stopped or why
        self._run.interrupt(why)

    def abort(self, why: str) -> None:
        """End now: `turns` raises AbortedError."""
        self._aborted = why
        self._run.interrupt(why)
        self._events.put(AbortedError(why))

    def turns(self) -> Finish:
        """Ask the root model and do what it says, until it has submitted or may not go on.

        Raises ModelError when the root model fails, SandboxError, and AbortedError.
        """
        say: str | None = self._question
        asked_to_submit = False
        with self._time_limit():
            while True:
                last = self._why_last()
                reply = self._turn(say if last is None else _joined(say, prompts.render("last_turn", why=last, submit=SUBMIT)))
                say = self._act(reply) if reply is not None else None
                if self._run.answer is not None or last is not None or reply is None:
                    return self._finish()
                if reply.is_prose:
                    if asked_to_submit:
                        return self._finish()
                    asked_to_submit = True
                    say = prompts.render("no_tool_call", execute=EXECUTE, submit=SUBMIT)

    def _why_last(self) -> str | None:
        """Why the turn to come is the last, if it is."""
        budget = self._run.budget
        left = budget.left()
        if left["seconds"] == 0:
            budget.reach("seconds", budget.seconds())
        elif left["turns"] == 1:
            budget.reach("turns", budget.usage.turns + 1)
        return self._stopped or (str(budget.reached) if budget.reached is not None else None)

    def _turn(self, say: str | None) -> Reply | None:
        """Ask the root model once, and record it. None when it has not replied by the end of the time limit and its grace."""
        if self._aborted is not None:
            raise AbortedError(self._aborted)
        results, self._results = self._results, []
        self._run.begin_turn(say, [output for _, output in results])
        threading.Thread(target=self._ask, args=(say, results), name="llm-rlm-root", daemon=True).start()
        reply = self._wait()
        if reply is None:
            self._run.budget.reach("seconds", self._run.budget.seconds())
            return None
        if isinstance(reply, Exception):
            raise reply
        self._run.end_turn(reply.as_dict(), reply.tokens)
        return reply

    def _ask(self, say: str | None, results: list[tuple[ToolCall, str]]) -> None:
        """In a thread of its own, because nothing ends a request that hangs."""
        try:
            self._events.put(self._root.ask(say, results))
        except Exception as problem:  # noqa: BLE001 - raised again by the thread that waits
            self._events.put(problem)

    def _wait(self) -> Reply | Exception | None:
        """What comes next; None once the time limit and its grace are over. In short waits: Windows interrupts no other."""
        budget = self._run.budget
        while True:
            try:
                return self._events.get(timeout=_WAIT)
            except queue.Empty:
                if budget.limits.seconds is not None and budget.seconds() > budget.limits.seconds + budget.limits.grace:
                    return None

    def _act(self, reply: Reply) -> str | None:
        """Do what the reply asks for. Returns what to say next, besides the results of tools."""
        if reply.malformed is not None:
            return self._ask_again(reply.malformed)
        self._malformed = 0
        if reply.is_prose:
            self._prose = reply.text.strip() or self._prose
        self._results = [(call, self._call(call)) for call in reply.calls]
        return None

    def _ask_again(self, problem: str) -> str:
        self._malformed += 1
        if self._malformed >= _MOST_MALFORMED:
            message = f"{self._root.model.model_id} sent {self._malformed} replies that could not be read: {problem}"
            raise ModelError(message)
        return prompts.render("malformed_call", problem=problem)

    def _call(self, call: ToolCall) -> str:
        """Call a tool. What is wrong with the call is a result that says what to do."""
        if self._run.answer is not None:
            return "Error: not run, the answer has been submitted."
        done = perform(self._run, call.name, None if call.malformed else call.arguments)
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
        parts.append(f"{left['calls']:g} sub-calls left")
    if left["seconds"] is not None:
        parts.append(f"{left['seconds']:.0f} s left")
    news = [str(variable) for variable in result.variables if variable.length is not None and variable.length > 1]
    if news:
        parts.append("variables: " + ", ".join(news[:_MOST_NAMED]))
    return f"[{'; '.join(parts)}]"


def _joined(*parts: str | None) -> str:
    return "\n\n".join(part for part in parts if part)
