"""One run: a sandbox session, its sub-calls, its budget, its journal, its answer. What the two tools do.

A run does not know who drives it: the loop of `rlm`, or LLM's own chain through the toolbox.
"""

from __future__ import annotations

import json
import threading
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field, replace
from typing import TYPE_CHECKING, Any, Protocol

from llm_rlm.budget import Budget, Limits
from llm_rlm.errors import SandboxError
from llm_rlm.events import CellOutput, Progressed, RunFinished, RunStarted, guarded
from llm_rlm.journal import Journal
from llm_rlm.journal.history import child_run
from llm_rlm.journal.owner import claim, drop_after, let_go, take_over
from llm_rlm.places import cache_path, journal_path
from llm_rlm.providers.attachments import Attachments
from llm_rlm.providers.dispatch import Dispatcher, Manner, Performer
from llm_rlm.root.names import EXECUTE, SUBMIT
from llm_rlm.sandbox import MOST_CODE, Answer, CellResult, MissingVariableError, NotAnAnswerError

from .answers import Answers, as_answer
from .evidence import Evidence
from .functions import Performer as FunctionPerformer
from .record import Record
from .shown import show

if TYPE_CHECKING:
    from collections.abc import Mapping

    from llm_rlm.events import Observer
    from llm_rlm.journal.history import PastRun
    from llm_rlm.providers.dispatch import SubModels

    from .continuation import Continuation, Followed
    from .start import Settings, Start

_STARTS_CHILDREN = "rlm_query"
_OVER = "the run has ended"


@dataclass(frozen=True)
class Asked:
    """What a run is for and what it may use."""

    question: str | None = None
    """None where LLM's own chain has it."""
    model: str | None = None
    """The root model; None where it is not known."""
    limits: Limits = field(default_factory=Limits)
    keep: bool = True
    """Whether the run is kept in the journal on disk."""
    system: str | None = None
    """The root model's system prompt."""
    cite: bool = False
    """Whether the answer is to come with quotes of the input."""
    schema: dict[str, Any] | None = None
    """The JSON Schema that the answer has to fit."""
    more: Mapping[str, object] = field(default_factory=dict)
    """Whatever else is needed to go on with the run, as JSON can hold it."""


@dataclass(frozen=True)
class Above:
    """The run that another is a child of, and what the two share."""

    run: str
    call: int
    """The call that asks for the child, as the journal knows it."""
    depth: int
    """How many runs there are above the child."""
    budget: Budget
    journal: Journal
    dispatcher: Dispatcher
    evidence: Evidence


class Below(Performer, Protocol):
    """The child runs of a run."""

    def expect(self) -> None:
        """A cell is about to run that may start some."""

    def stop(self, why: str) -> None:
        """End those that go on, and begin no other. Returns at once."""

    def close(self) -> None:
        """Wait a while for those that were stopped to end."""


class Run:
    """One run. Its methods may be called from any thread; cells run one after another."""

    shown_limit: int | None = None
    """Characters of a cell's output that the root model is shown; None for as many as the sandbox keeps."""

    def __init__(
        self, start: Start, sub: SubModels, asked: Asked, observer: Observer | None = None, above: Above | None = None
    ) -> None:
        """Record the run. What was started is the run's from then on. Raises RLMError if it cannot be recorded."""
        resumed = start.resumed
        self._above = above
        self._below: Below | None = None
        self.id = start.id
        self.context = start.context
        self.settings = start.settings
        self.start = start
        """What it began with: another run can follow in its sandbox, see `leave`."""
        self.budget = above.budget if above is not None else _budget(asked.limits, resumed)
        self.tell = guarded(observer)
        """Tells the observer what happens."""
        self._cell_running = threading.Lock()
        self._cells = max(resumed.next_cell - 1 if resumed is not None else 0, _last_cell(start.followed))
        self._stopped: str | None = None
        self._ended = False
        self._untold = _not_back(start)
        self._owner = claim()
        with ExitStack() as undo:
            undo.callback(let_go, self._owner)
            if above is not None:
                taken = resumed.past.usage.turns if resumed is not None else 0
                above.budget.begin_child(self.id, self._is_stopped, asked.limits.turns, taken)
                self._journal, self._dispatcher = above.journal, above.dispatcher.below(self.id)
            else:
                self._journal = Journal(journal_path() if asked.keep else None)
                undo.callback(self._journal.close)
                self._dispatcher = Dispatcher(self._journal, self.id, self.budget, sub, _manner(start.settings))
            parent = above.evidence if above is not None else None
            self.evidence = Evidence(self.context, self._journal, self.id, start.hashes, parent)
            answer, last_turn = (resumed.answer, resumed.last_turn) if resumed is not None else (None, None)
            self.answers = Answers(self.evidence, self._is_stopped, asked.schema, answer, cite=asked.cite)
            self.record = Record(self._journal, self.id, self.tell, last_turn)
            _equip(self._dispatcher, start, self.tell)
            if resumed is None:
                self._record_start(asked, sub)
            else:
                take_over(self._journal, resumed.past, self._owner, _settings(asked, self.settings))
                drop_after(self._journal, self.id, resumed.last_turn, resumed.next_cell)
                self._dispatcher.remember()
            undo.pop_all()
        self._session = start.session
        self._session.serve(
            self._dispatcher,
            self.evidence.helpers(cache_path() if asked.keep else None, lambda text: self.tell(Progressed(self.id, text))),
        )
        for cell in resumed.cells if resumed is not None else ():
            self.evidence.cell_runs(cell.code)
        self.tell(self._started(asked, sub))

    def next_start(self) -> Start:
        """The start of a run that follows this one in the same sandbox; who has this one's start ends that."""
        return self.start.next(self._cells, self.evidence.hashes())

    def have_children(self, below: Below) -> None:
        """Let cells start child runs, which `below` carries out. Before the first cell."""
        self._below = self._dispatcher.performers["run"] = below

    def above(self, call: int) -> Above:
        """What a child has to know of its parent: a child that the call with that id asks for."""
        depth = self._above.depth + 1 if self._above is not None else 1
        return Above(self.id, call, depth, self.budget, self._journal, self._dispatcher, self.evidence)

    def child(self, call: int) -> PastRun | None:
        """The child run that a call of this run has begun in an earlier life, if it has."""
        return child_run(self._journal, self.id, call)

    def execute(self, code: object, call: int | None = None) -> CellResult | str:
        """Run a cell, for the tool call of that number in its turn. A str is an error in the arguments, for the model."""
        if not isinstance(code, str) or not code.strip():
            return f"Error: {EXECUTE} needs `code`, Python source as one string."
        if len(code) > MOST_CODE:
            return f"Error: the code has {len(code):,} characters; at most {MOST_CODE:,} can be run."
        with self._cell_running:
            if self._stopped is not None:
                return f"Error: not run: {self._stopped}."
            self._cells += 1
            number = self._cells
            self.record.begin_cell(number, code, call)
            if self._below is not None and _STARTS_CHILDREN in code:
                self._below.expect()
            try:
                result = self._session.run_cell(number, code, lambda text: self.tell(CellOutput(self.id, number, text)))
            except SandboxError:
                for document in self.context.documents:
                    document.check()  # of a text that is gone it says less than this does
                raise
            if self._dispatcher.problem is not None:
                raise self._dispatcher.problem
            result, self._untold = replace(result, notes=(*self._untold, *result.notes)), ()
            result = self._with_its_answer(result)
            # A cell that does not end when it is told loses its interpreter.
            stopped = result.outcome == "interrupted" or (result.outcome == "lost" and self._is_stopped())
            self.record.end_cell(result, self.show(result), held_up=stopped or number in self._dispatcher.held_up)
            self.evidence.cell_runs(code)
        return result

    def _with_its_answer(self, result: CellResult) -> CellResult:
        """Take what a cell has submitted, unless the root model is to look at its quotes again."""
        if result.submitted is None:
            return result
        wrong = self.answers.take(result.submitted)
        if wrong is None:
            return replace(result, submitted=self.answer)
        return replace(result, submitted=None, notes=(*result.notes, wrong))

    def _is_stopped(self) -> bool:
        return self._stopped is not None

    def show(self, result: CellResult) -> str:
        """What the root model is told of a cell, its output within the present limit."""
        return show(result, self.shown_limit)

    def submit(self, answer: object = None, variable_name: object = None, quotes: object = None) -> str | None:
        """Take the final answer, with verbatim quotes of the input. A str is what is wrong with it, for the model."""
        answer, variable_name = (None if value == "" else value for value in (answer, variable_name))
        if (answer is None) == (variable_name is None):
            return f"Error: give {SUBMIT} either `answer` or `variable_name`, not {'neither' if answer is None else 'both'}."
        given = [] if quotes is None else quotes
        if not isinstance(given, list) or not all(isinstance(quote, str) for quote in given):
            return "Error: `quotes` must be a list of strings."
        made = as_answer(answer) if variable_name is None else self._value(variable_name)
        return made if isinstance(made, str) else self.answers.take(replace(made, quotes=tuple(given)))

    def _value(self, name: object) -> Answer | str:
        """The value of a variable; a str is what is wrong with the name."""
        if not isinstance(name, str):
            return "Error: `variable_name` must be the name of a variable, as a string."
        try:
            return self._session.value(name)
        except MissingVariableError as problem:
            there = ", ".join(problem.names) or "none yet"
            return f"Error: there is no variable {name!r}. Variables: {there}."
        except NotAnAnswerError as problem:
            return f"Error: {problem}."

    def interrupt(self, why: str) -> None:
        """Stop the cell that runs now, run no other, and make no further sub-call. Called from any thread."""
        self._stopped = self._stopped or why
        self._dispatcher.stop(why)
        if self._below is not None:
            self._below.stop(why)
        self._session.interrupt(why)

    def cancel(self) -> None:
        """Break off the sub-calls that are under way, where their models' clients allow it."""
        self._dispatcher.cancel()

    @property
    def answer(self) -> Answer | None:
        """What was submitted and taken; None until there is something."""
        return self.answers.taken

    def leave(self, finish: str | None, error: str | None = None, *, hurry: bool = False) -> None:
        """Record how the run ended; in a `hurry` without coverage. The sandbox is left to a run that follows."""
        self._finish(finish, error, hurry=hurry, close=False)

    def end(self, finish: str | None, error: str | None = None, *, hurry: bool = False) -> None:
        """End the session, and record how the run ended; in a `hurry` without coverage. Safe to call more than once."""
        try:
            self._finish(finish, error, hurry=hurry, close=True)
        finally:
            self._session.close()
            self.context.discard()

    def _finish(self, finish: str | None, error: str | None, *, hurry: bool, close: bool) -> None:
        if self._ended:
            return
        self._ended = True
        try:
            self._dispatcher.stop(_OVER)
            if self._below is not None:
                self._below.stop(_OVER)
                self._below.close()
            if close:
                self._session.close()
            self.evidence.finish(hurry=hurry)
            self.budget.release(self.id)
            self._record_end(finish, error)
            reached = self.budget.reached_by(self.id)
            self.tell(RunFinished(self.id, finish, error, reached.kind if reached is not None else None))
        finally:
            let_go(self._owner)
            if self._above is None:
                # Calls under way may be paid: they are recorded before the journal closes.
                self._dispatcher.close(then=self._journal.close)

    def _started(self, asked: Asked, sub: SubModels) -> RunStarted:
        above = self._above
        return RunStarted(
            self.id,
            asked.question,
            asked.model,
            sub.default.model_id,
            self.budget,
            above.run if above is not None else None,
            above.call if above is not None else None,
            self.start.resumed is not None,
        )

    def _record_start(self, asked: Asked, sub: SubModels) -> None:
        above = self._above
        place = {"parent": above.run, "parent_call": above.call, "depth": above.depth} if above is not None else {}
        self._journal.begin_run(
            self.id,
            system=asked.system,
            question=asked.question,
            model=asked.model,
            sub_model=sub.default.model_id,
            settings=_settings(asked, self.settings),
            process=self._owner,
            sources=self.evidence.record(),
            follows=self.start.followed.runs[-1].run_id if self.start.followed is not None else None,
            **place,
        )

    def _record_end(self, finish: str | None, error: str | None) -> None:
        answer, reached = self.answer, self.budget.reached_by(self.id)
        self._journal.end_run(
            self.id,
            answer=answer.text if answer is not None else None,
            answer_is_json=answer.is_json if answer is not None else None,
            finish=finish,
            limit_kind=reached.kind if reached is not None else None,
            limit_value=reached.limit if reached is not None else None,
            limit_used=reached.used if reached is not None else None,
            error=error,
        )


def _equip(dispatcher: Dispatcher, start: Start, tell: Observer) -> None:
    """Give a dispatcher what the calls of a run need besides models."""
    dispatcher.tell = tell
    dispatcher.attachments = Attachments(start.context.attachable)
    dispatcher.performers["function"] = FunctionPerformer(start.functions)
    dispatcher.follow(start.followed.runs if start.followed is not None else ())


def _budget(limits: Limits, resumed: Continuation | None) -> Budget:
    """A budget, of which a part is used where the run goes on."""
    if resumed is None:
        return Budget(limits)
    past = resumed.past
    return Budget(limits, replace(past.usage), possible=past.possible)


def _last_cell(followed: Followed | None) -> int:
    return followed.last_cell if followed is not None else 0


def _not_back(start: Start) -> tuple[str, ...]:
    """What the root model must know of a run that goes on in a new sandbox."""
    stopped = [cell for before in (start.followed, start.resumed) if before is not None for cell in before.stopped]
    if not stopped:
        return ()
    cells = ", ".join(map(str, stopped))
    return (f"The sandbox is a new one: what cells that had to be stopped have made is gone (cells {cells}).",)


def _settings(asked: Asked, settings: Settings) -> str:
    """What is needed to go on with the run, as JSON text."""
    return json.dumps({**asdict(settings), "limits": asdict(asked.limits), **asked.more}, default=str)


def _manner(settings: Settings) -> Manner:
    return Manner(settings.concurrency, settings.call_timeout, settings.cache_days, children=settings.children)
