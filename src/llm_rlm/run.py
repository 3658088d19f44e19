"""One run: a sandbox session, its sub-calls, its budget, its journal, its answer. What the two tools do.

A run does not know who drives it: the loop of `rlm`, or LLM's own chain through the toolbox.
"""

from __future__ import annotations

import json
import threading
from contextlib import suppress
from dataclasses import asdict, dataclass, field, replace
from typing import TYPE_CHECKING, Protocol

from .budget import Bound, Budget, Limits
from .dispatch import CONCURRENCY, Dispatcher, Manner
from .errors import RLMError, SandboxError
from .journal import Journal
from .journal.owner import claim, drop_after, let_go, take_over
from .sandbox import Answer, CellResult, MissingVariableError, NotAnAnswerError, Offer, Session

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from .budget import Spent
    from .context import Context
    from .continuation import Continuation
    from .dispatch import SubModels

EXECUTE = "RLMToolbox_execute_python"
SUBMIT = "RLMToolbox_submit_answer"
"""The names of the two tools."""


@dataclass(frozen=True)
class Settings:
    """How a run runs."""

    concurrency: int = CONCURRENCY
    """Sub-calls at once."""
    output_limit: int = 8192
    """Characters of a cell's output that the root model is shown."""
    cell_limit: float = 120.0
    """Seconds of a cell's own running time."""
    call_timeout: float = 600.0
    """Seconds of silence after which a request to a model is given up, and tried again."""
    cache_days: float | None = 30.0
    """Days for which an answer of a sub-model serves later runs that ask the same; 0 for none, None for ever."""


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
    more: Mapping[str, object] = field(default_factory=dict)
    """Whatever else is needed to go on with the run, as JSON can hold it."""


class Start:
    """A context and the sandbox that is loading it: what a run begins with, before its models are known."""

    def __init__(self, context: Context, settings: Settings, resumed: Continuation | None = None) -> None:
        """Start the sandbox. Returns at once."""
        from ulid import ULID  # noqa: PLC0415 - not needed for --help

        self.context = context
        self.settings = settings
        self.resumed = resumed
        self.id = str(ULID()).lower() if resumed is None else resumed.past.id
        """The id of the run to be."""
        offer = Offer(str(context.path) if context.path is not None else None, context.kind)
        past = resumed.cells if resumed is not None else ()
        cell, output = settings.cell_limit, settings.output_limit
        try:
            self.session = Session(offer, cell_limit=cell, output_limit=output, seed=self.id, past=past)
        except OSError as problem:
            context.discard()
            message = f"the sandbox cannot be started: {problem}"
            raise SandboxError(message) from problem

    def discard(self) -> None:
        """End the sandbox of a run that will not be."""
        self.session.close()
        self.context.discard()


class Observer(Protocol):
    """Sees a run as it happens. Called from the run's threads; must not block."""

    def run_started(self, budget: Budget) -> None:
        """The run begins. `budget` says at any time what it has used."""

    def cell_started(self, number: int, code: str) -> None:
        """A cell is about to run."""

    def cell_output(self, text: str) -> None:
        """The running cell printed this."""

    def cell_finished(self, result: CellResult) -> None:
        """A cell has run."""

    def turn_started(self, number: int) -> None:
        """The root model is about to be asked."""

    def warned(self, text: str) -> None:
        """Something is not as the user would expect, and the run goes on."""


class Unobserved:
    """An Observer that looks away."""

    def run_started(self, budget: Budget) -> None:
        """Look away."""

    def cell_started(self, number: int, code: str) -> None:
        """Look away."""

    def cell_output(self, text: str) -> None:
        """Look away."""

    def cell_finished(self, result: CellResult) -> None:
        """Look away."""

    def turn_started(self, number: int) -> None:
        """Look away."""

    def warned(self, text: str) -> None:
        """Look away."""


class Run:
    """One run. Its methods may be called from any thread; cells run one after another."""

    def __init__(self, start: Start, sub: SubModels, asked: Asked, observer: Observer | None = None) -> None:
        """Record the run. What was started is the run's from here on. Raises RLMError if the journal cannot be opened."""
        resumed = start.resumed
        self.id = start.id
        self.context = start.context
        self.settings = start.settings
        self.budget = Budget(asked.limits) if resumed is None else _budget(asked.limits, resumed)
        self.answer = Answer(*resumed.answer) if resumed is not None and resumed.answer is not None else None
        self.digest = resumed.past.documents[0].sha256 if resumed is not None and resumed.past.documents else None
        """SHA-256 of the context, once `end` has returned and if a cell has run."""
        self.observer = observer or Unobserved()
        self._turn: int | None = None if resumed is None else resumed.last_turn
        self._cell_running = threading.Lock()
        self._cells = 0 if resumed is None else resumed.next_cell - 1
        self._stopped: str | None = None
        self._digest: threading.Thread | None = None
        self._ended = False
        self._untold = _not_back(resumed) if resumed is not None else ()
        self._owner = claim()
        try:
            self._journal = Journal(journal_path() if asked.keep else None)
            self._dispatcher = Dispatcher(self._journal, self.id, self.budget, sub, _manner(start.settings))
            if resumed is None:
                self._record(asked, sub)
            else:
                take_over(self._journal, resumed.past, self._owner, _settings(asked, self.settings))
                drop_after(self._journal, self.id, resumed.last_turn, resumed.next_cell)
                self._dispatcher.remember()
        except BaseException:
            let_go(self._owner)
            start.discard()
            raise
        self._session = start.session
        self._session.serve(self._dispatcher)
        self.observer.run_started(self.budget)

    def begin_turn(self, say: str | None, results: Sequence[str], bound: Bound = Bound(), last_why: str | None = None) -> None:  # noqa: B008 - frozen
        """Record a turn, counted by the budget, before the root model is asked.

        What is said to it, the results of its tools, the most that the turn can take, and why it is the last.
        """
        number = self._turn = self.budget.usage.turns
        self.observer.turn_started(number)
        sent = json.dumps({"say": say, "results": list(results)}, ensure_ascii=False)
        self._journal.begin_turn(self.id, number, sent, last_why, bound)

    def retry_turn(self, *, maybe_paid: bool) -> None:
        """Record that a turn is asked for once more."""
        assert self._turn is not None
        self._journal.retry_turn(self.id, self._turn, maybe_paid=maybe_paid)

    def fail_turn(self, *, maybe_paid: bool) -> None:
        """Record that a turn brought no reply."""
        assert self._turn is not None
        self._journal.fail_turn(self.id, self._turn, maybe_paid=maybe_paid)

    def end_turn(self, reply: Mapping[str, object], messages: Sequence[Mapping[str, object]], spent: Spent) -> None:
        """Record what the root model said, and what that adds to the conversation."""
        assert self._turn is not None
        said, added = json.dumps(reply, ensure_ascii=False), json.dumps(messages, ensure_ascii=False)
        self._journal.end_turn(self.id, self._turn, said, added, spent)

    def execute(self, code: object, call: int | None = None) -> CellResult | str:
        """Run a cell, for the tool call of that number in its turn. A str is an error in the arguments, for the model."""
        if not isinstance(code, str) or not code.strip():
            return f"Error: {EXECUTE} needs `code`, Python source as one string."
        with self._cell_running:
            if self._stopped is not None:
                return f"Error: not run: {self._stopped}."
            self._cells += 1
            number = self._cells
            self._journal.begin_cell(self.id, number, code, self._turn, call)
            self.observer.cell_started(number, code)
            result = self._session.run_cell(number, code, self.observer.cell_output)
            if self._dispatcher.problem is not None:
                raise self._dispatcher.problem
            result, self._untold = replace(result, notes=(*self._untold, *result.notes)), ()
            self._end_cell(number, result)
            self.observer.cell_finished(result)
            self._start_digest()
        return result

    def _end_cell(self, number: int, result: CellResult) -> None:
        """Record what came of a cell, and its answer if it has submitted one."""
        held_up = result.outcome == "interrupted" or number in self._dispatcher.held_up
        columns: dict[str, object] = {"outcome": result.outcome, "running": result.running, "held_up": held_up}
        given = result.submitted
        if given is not None:
            self.answer = given
            columns["answer_is_json"] = given.is_json
        answer = given.text if given is not None else None
        self._journal.end_cell(self.id, number, result.output, show(result), answer=answer, **columns)

    def submit(self, answer: object = None, variable_name: object = None) -> str | None:
        """Take the final answer. A str is what is wrong with the arguments, for the model."""
        answer, variable_name = (None if value == "" else value for value in (answer, variable_name))
        if (answer is None) == (variable_name is None):
            return f"Error: give {SUBMIT} either `answer` or `variable_name`, not {'neither' if answer is None else 'both'}."
        if variable_name is None:
            self.answer = _as_answer(answer)
            return None
        return self._submit_variable(variable_name)

    def _submit_variable(self, name: object) -> str | None:
        if not isinstance(name, str):
            return "Error: `variable_name` must be the name of a variable, as a string."
        try:
            self.answer = self._session.value(name)
        except MissingVariableError as problem:
            there = ", ".join(problem.names) or "none yet"
            return f"Error: there is no variable {name!r}. Variables: {there}."
        except NotAnAnswerError as problem:
            return f"Error: {problem}."
        return None

    def interrupt(self, why: str) -> None:
        """Stop the cell that runs now, run no other, and make no further sub-call. Called from any thread."""
        self._stopped = self._stopped or why
        self._dispatcher.stop(why)
        self._session.interrupt(why)

    def cancel(self) -> None:
        """Break off the sub-calls that are under way, where their models' clients allow it."""
        self._dispatcher.cancel()

    def end(self, finish: str | None, error: str | None = None) -> None:
        """End the session, and record how the run ended. Safe to call more than once."""
        if self._ended:
            return
        self._ended = True
        try:
            self._dispatcher.stop("the run has ended")
            self._session.close()
            self._await_digest()
            self.budget.release(self.id)
            self._record_end(finish, error)
        finally:
            let_go(self._owner)
            # Calls under way may be paid: they are recorded before the journal closes.
            self._dispatcher.close(then=self._journal.close)
            self.context.discard()

    def _record(self, asked: Asked, sub: SubModels) -> None:
        self._journal.begin_run(
            self.id,
            system=asked.system,
            documents=_documents(self.context),
            question=asked.question,
            model=asked.model,
            sub_model=sub.default.model_id,
            settings=_settings(asked, self.settings),
            process=self._owner,
        )

    def _record_end(self, finish: str | None, error: str | None) -> None:
        answer, reached = self.answer, self.budget.reached
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

    def _start_digest(self) -> None:
        """Hash the context beside what comes after the first cell, so that the start does not wait for it."""
        if self._digest is None and self.digest is None and self.context.path is not None:
            self._digest = threading.Thread(target=self._take_digest, name="llm-rlm-digest", daemon=True)
            self._digest.start()

    def _await_digest(self) -> None:
        if self._digest is not None:
            self._digest.join()

    def _take_digest(self) -> None:
        # The file may be gone by now; then there is no hash of it. A journal that is broken is noticed by those who need it.
        with suppress(OSError, RLMError):
            digest = self.context.digest()
            if digest is not None:
                self._journal.add_digest(self.id, self.context.name, digest)
            self.digest = digest


def _budget(limits: Limits, resumed: Continuation) -> Budget:
    """A budget of which a part is used."""
    past = resumed.past
    return Budget(limits, replace(past.usage), possible=past.possible)


def _not_back(resumed: Continuation) -> tuple[str, ...]:
    """What the root model must know of a run that goes on in a new sandbox."""
    if not resumed.stopped:
        return ()
    cells = ", ".join(map(str, resumed.stopped))
    return (f"The sandbox is a new one: what cells that had to be stopped have made is gone (cells {cells}).",)


def _documents(context: Context) -> list[dict[str, object]]:
    """The sources, as the journal has them."""
    if context.path is None:
        return []
    path = None if context.temporary else str(context.path)
    source = {"name": context.name, "kind": context.kind, "bytes": context.size, "path": path}
    return [source | {"modified": context.modified}]


def _settings(asked: Asked, settings: Settings) -> str:
    """What is needed to go on with the run, as JSON text."""
    return json.dumps({**asdict(settings), "limits": asdict(asked.limits), **asked.more}, default=str)


def _manner(settings: Settings) -> Manner:
    return Manner(settings.concurrency, settings.call_timeout, settings.cache_days)


def show(result: CellResult) -> str:
    """A cell's result as a REPL would show it, and what the root model must know of the session."""
    return "\n".join(part for part in (result.output.rstrip("\n"), *result.notes) if part) or "(no output)"


def _as_answer(answer: object) -> Answer:
    """Text as it is; what a model gave as a JSON value instead, as JSON."""
    if isinstance(answer, str):
        return Answer(answer)
    return Answer(json.dumps(answer, ensure_ascii=False), is_json=True)


def journal_path() -> Path:
    """Where the journal is: beside LLM's own log."""
    import llm  # noqa: PLC0415 - slow to import

    path: Path = llm.user_dir() / "rlm.db"  # type: ignore[no-untyped-call]
    return path
