"""The loop between the root model and its run: ask, do what the reply says, tell what came of it, until there is an answer."""

from __future__ import annotations

import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING

from llm_rlm import prompts
from llm_rlm.errors import ModelError, amount
from llm_rlm.root import compaction
from llm_rlm.root.conversation import reply_from

from .tools import perform
from .turns import AbortedError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from llm_rlm.budget import Budget
    from llm_rlm.root.conversation import Reply, Root, ToolCall
    from llm_rlm.sandbox import CellResult

    from .continuation import Continuation
    from .result import Finish
    from .run import Run
    from .turns import Results, Turns

_MOST_MALFORMED = 3
_MOST_NAMED = 10
_TIME_IS_UP = "the time limit of the run is reached"


class Loop:
    """Takes turns until the root model has answered. `stop` and `abort` may be called from any thread."""

    def __init__(self, root: Root, run: Run, question: str, turns: Turns, results: Results = ()) -> None:
        """Nothing is sent yet. `results` are those of the turn before, where the run follows another."""
        self._root = root
        self._run = run
        self._question = question
        self._turns = turns
        self._results = list(results)
        self._prose = ""
        self._asked_to_submit = False
        self._malformed = 0
        self._stopped: str | None = None
        self._aborted: str | None = None

    @property
    def results(self) -> Results:
        """The results of tools that the root model has not been told yet."""
        return self._results

    def stop(self, why: str) -> None:
        """Stop spending: no cell and no sub-call any more, and one last turn for the best answer there is."""
        self._stopped = self._stopped or why
        self._run.interrupt(why)
        self._run.cancel()

    def abort(self, why: str) -> None:
        """End now: `turns` raises AbortedError."""
        self._aborted = why
        self._run.interrupt(why)
        self._run.cancel()
        self._turns.abort(why)

    def turns(self, resumed: Continuation | None = None) -> Finish:
        """Ask the root model and do what it says, until it has submitted or may not go on.

        Raises ModelError when the root model fails, SandboxError, and AbortedError.
        """
        say: str | None = self._question
        last: str | None = None
        with self._time_limit():
            reply = self._recall(resumed) if resumed is not None else None
            if reply is None:
                self._root.begin()
            shown = resumed.shown if resumed is not None else {}
            while True:
                if reply is not None:
                    say, shown = self._act(reply, shown, last), {}
                    if self._run.answer is not None or last is not None or self._is_over(reply):
                        return self._finish()
                if self._aborted is not None:
                    raise AbortedError(self._aborted)
                reply, last = self._turns.take(say, self._results, self._why_last())
                if reply is None:
                    return self._finish()
                self._results = []

    def _recall(self, resumed: Continuation) -> Reply | None:
        """Go on from the turns of an earlier life of the run: the reply that is to be acted on, if there is one."""
        replies = [reply_from(turn.reply) for turn in resumed.turns]
        self._prose = next((reply.text for reply in reversed(replies[:-1]) if reply.is_prose and reply.text.strip()), "")
        self._asked_to_submit = any(reply.is_prose for reply in replies[:-1])
        return replies[-1] if replies else None

    def _why_last(self) -> str | None:
        """Why the turn to come is the last, if it is."""
        budget, run = self._run.budget, self._run.id
        left = budget.left(run)
        if left["seconds"] == 0:
            budget.reach("seconds", budget.seconds())
        elif left["turns"] == 1:
            budget.reach("turns", budget.turns(run) + 1, run)
        reached = budget.reached_by(run)
        return self._stopped or (str(reached) if reached is not None else None)

    def _act(self, reply: Reply, shown: Mapping[int, str], last: str | None) -> str | None:
        """Do what the reply asks for, but for tool calls whose cells have `shown` something already. Returns what to say next.

        What the tools said is kept for the next turn. There is none after the `last`: then what was withheld is done as well.
        """
        if reply.malformed is not None:
            return self._ask_again(reply.malformed)
        self._malformed = 0
        self._results = []
        for number, call in enumerate(reply.calls):
            self._results.append((call, shown.get(number) or self._call(call, number)))
        if reply.withheld is not None:
            if last is None:
                return prompts.render("answer_withheld")
            self._call(reply.withheld, len(reply.calls))
        if not reply.is_prose:
            return None
        self._prose = reply.text.strip() or self._prose
        again = self._root.way.nothing_done()
        wrong = self._run.answers.wrong_with(self._prose) if self._asked_to_submit else None
        return f"{again}\n\n{wrong}" if wrong is not None else again

    def _is_over(self, reply: Reply) -> bool:
        """Whether prose is the answer: the root model was asked to submit it, and has not; and it can be the answer."""
        if not reply.is_prose:
            return False
        asked, self._asked_to_submit = self._asked_to_submit, True
        return asked and self._run.answers.wrong_with(self._prose) is None

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
        run = self._run
        run.shown_limit = compaction.shown_limit(run.settings.output_limit, self._root.fill(self._results))
        done = perform(run, call.name, None if call.malformed else call.arguments, number)
        return done if isinstance(done, str) else f"{run.show(done)}\n{standing(run.budget, done, run.id)}"

    def _finish(self) -> Finish:
        """What the model last said without submitting it is the best answer there is, if it has not submitted."""
        submitted = self._run.answer is not None
        if not submitted and self._prose:
            self._run.answers.take_prose(self._prose)
        if self._stopped is not None:
            return "interrupted"
        if self._run.budget.reached_by(self._run.id) is not None:
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


def standing(budget: Budget, result: CellResult, run: str = "") -> str:
    """The line that tells the root model of a run where it stands after a cell."""
    left, usage, turns = budget.left(run), budget.usage, budget.turn_limit(run)
    parts = [f"{result.seconds:.1f} s", f"turn {budget.turns(run)}" + (f" of {turns}" if turns is not None else "")]
    if usage.calls or usage.cached:
        parts.append(f"{amount('sub-calls', usage.calls)} so far" + (f", {usage.failed} failed" if usage.failed else ""))
    if left["calls"] is not None:
        parts.append(f"{amount('sub-calls', left['calls'])} left")
    parts += [f"{amount(kind, value)} left" for kind in ("tokens", "cost") if (value := left[kind]) is not None]
    if left["seconds"] is not None:
        parts.append(f"{left['seconds']:.0f} s left")
    news = [str(variable) for variable in result.variables if variable.length is not None and variable.length > 1]
    if news:
        parts.append("variables: " + ", ".join(news[:_MOST_NAMED]))
    return f"[{'; '.join(parts)}]"
