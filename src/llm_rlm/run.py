"""One run: a sandbox session, its sub-calls, its budget, its journal, its answer. What the two tools do.

A run does not know who drives it: the loop of `rlm`, or LLM's own chain through the toolbox.
"""

from __future__ import annotations

import json
import threading
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Protocol

from .budget import Budget, Limits
from .dispatch import CONCURRENCY, Dispatcher
from .errors import SandboxError
from .journal import Journal
from .sandbox import Answer, CellResult, MissingVariableError, NotAnAnswerError, Offer, Session

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from .budget import Tokens
    from .context import Context
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


class Start:
    """A context and the sandbox that is loading it: what a run begins with, before its models are known."""

    def __init__(self, context: Context, settings: Settings) -> None:
        """Start the sandbox. Returns at once."""
        self.context = context
        self.settings = settings
        offer = Offer(str(context.path) if context.path is not None else None, context.kind)
        try:
            self.session = Session(offer, cell_limit=settings.cell_limit, output_limit=settings.output_limit)
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


class Run:
    """One run. Its methods may be called from any thread; cells run one after another."""

    def __init__(self, start: Start, sub: SubModels, asked: Asked, observer: Observer | None = None) -> None:
        """Record the run. What was started is the run's from here on. Raises RLMError if the journal cannot be opened."""
        from ulid import ULID  # noqa: PLC0415 - not needed for --help

        self.id = str(ULID()).lower()
        self.context = start.context
        self.settings = start.settings
        self.budget = Budget(asked.limits)
        self.answer: Answer | None = None
        self.digest: str | None = None
        """SHA-256 of the context, once `end` has returned and if a cell has run."""
        self._observer = observer or Unobserved()
        self._turn: int | None = None
        self._cell_running = threading.Lock()
        self._cells = 0
        self._stopped: str | None = None
        self._digest: threading.Thread | None = None
        self._ended = False
        try:
            self._journal = Journal(journal_path() if asked.keep else None)
            self._dispatcher = Dispatcher(self._journal, self.id, self.budget, sub, start.settings.concurrency)
            self._record(asked, sub)
        except BaseException:
            start.discard()
            raise
        self._session = start.session
        self._session.serve(self._dispatcher)
        self._observer.run_started(self.budget)

    def begin_turn(self, say: str | None, results: Sequence[str]) -> None:
        """Count and record a turn before the root model is asked: what is said to it, and the results of its tools.

        Raises LimitReachedError instead of going over the limit of turns.
        """
        self.budget.reserve_turn()
        number = self._turn = self.budget.usage.turns
        self._observer.turn_started(number)
        self._journal.begin_turn(self.id, number, json.dumps({"say": say, "results": list(results)}, ensure_ascii=False))

    def end_turn(self, reply: Mapping[str, object], tokens: Tokens) -> None:
        """Record what the root model said."""
        assert self._turn is not None
        self._journal.end_turn(self.id, self._turn, json.dumps(reply, ensure_ascii=False), tokens)
        self.budget.settle(tokens)

    def execute(self, code: object) -> CellResult | str:
        """Run a cell. A str is an error in the arguments, for the model."""
        if not isinstance(code, str) or not code.strip():
            return f"Error: {EXECUTE} needs `code`, Python source as one string."
        with self._cell_running:
            if self._stopped is not None:
                return f"Error: not run: {self._stopped}."
            self._cells += 1
            number = self._dispatcher.cell = self._cells
            self._journal.begin_cell(self.id, number, code, self._turn)
            self._observer.cell_started(number, code)
            result = self._session.run_cell(code, self._observer.cell_output)
            self._journal.end_cell(self.id, number, result.output, result.outcome, result.running)
            self._observer.cell_finished(result)
            self._start_digest()
        if result.submitted is not None:
            self.answer = result.submitted
        if self._dispatcher.problem is not None:
            raise self._dispatcher.problem
        return result

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

    def end(self, finish: str | None, error: str | None = None) -> None:
        """End the session, and record how the run ended. Safe to call more than once."""
        if self._ended:
            return
        self._ended = True
        try:
            self._dispatcher.stop("the run has ended")
            self._session.close()
            self._await_digest()
            self._record_end(finish, error)
        finally:
            # Calls under way may be paid: they are recorded before the journal closes.
            self._dispatcher.close(then=self._journal.close)
            self.context.discard()

    def _record(self, asked: Asked, sub: SubModels) -> None:
        settings = json.dumps({**asdict(self.settings), "limits": asdict(asked.limits)})
        self._journal.begin_run(
            self.id, question=asked.question, model=asked.model, sub_model=sub.default.model_id, settings=settings
        )
        context = self.context
        if context.path is not None:
            path = None if context.temporary else str(context.path)
            self._journal.add_document(self.id, name=context.name, kind=context.kind, bytes=context.size, path=path)

    def _record_end(self, finish: str | None, error: str | None) -> None:
        answer, reached = self.answer, self.budget.reached
        self._journal.end_run(
            self.id,
            answer=answer.text if answer is not None else None,
            answer_is_json=answer.is_json if answer is not None else None,
            finish=finish,
            limit_kind=reached.kind if reached is not None else None,
            error=error,
        )

    def _start_digest(self) -> None:
        """Hash the context beside what comes after the first cell, so that the start does not wait for it."""
        if self._digest is None and self.context.path is not None:
            self._digest = threading.Thread(target=self._take_digest, name="llm-rlm-digest", daemon=True)
            self._digest.start()

    def _await_digest(self) -> None:
        if self._digest is not None:
            self._digest.join()
        if self.digest is not None:
            self._journal.add_digest(self.id, self.context.name, self.digest)

    def _take_digest(self) -> None:
        with suppress(OSError):  # the file may be gone by now; then there is no hash of it
            self.digest = self.context.digest()


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
