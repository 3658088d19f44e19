"""One run: a sandbox session, its sub-calls, its budget, its journal, its answer. What the two tools do.

A run does not know who drives it: the loop of `rlm`, or LLM's own chain through the toolbox.
"""

from __future__ import annotations

import json
import threading
from contextlib import ExitStack
from copy import copy
from dataclasses import asdict, dataclass, field, replace
from typing import TYPE_CHECKING, Any, Protocol

from llm_rlm import prompts
from llm_rlm.budget import Bound, Budget, Limits, check_number
from llm_rlm.errors import SandboxError
from llm_rlm.events import (
    CellFinished,
    CellOutput,
    CellStarted,
    Progressed,
    RunFinished,
    RunStarted,
    TurnFailed,
    TurnFinished,
    TurnRetried,
    TurnStarted,
    Waiting,
    Warned,
    guarded,
)
from llm_rlm.journal import Journal
from llm_rlm.journal.history import Earlier, child_run
from llm_rlm.journal.owner import claim, drop_after, let_go, take_over
from llm_rlm.providers.attachments import Attachments
from llm_rlm.providers.dispatch import CHILDREN, CONCURRENCY, Dispatcher, Manner, Performer
from llm_rlm.root.names import EXECUTE, SUBMIT
from llm_rlm.sandbox import MOST_CODE, Answer, CellResult, MissingVariableError, NotAnAnswerError, Offer, Session, Spares

from .continuation import Followed
from .evidence import Evidence
from .fitting import Misfit, fit
from .functions import Performer as FunctionPerformer

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from llm_rlm.budget import Spent
    from llm_rlm.context import Citation, Context
    from llm_rlm.events import Observer
    from llm_rlm.journal.history import PastRun
    from llm_rlm.providers.dispatch import SubModels

    from .continuation import Continuation
    from .functions import Function

_MOST_QUOTED = 200
_STARTS_CHILDREN = "rlm_query"
_OVER = "the run has ended"
_LONGEST = 2_000_000
"""Seconds; some systems can wait for no more than twice as long."""


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
    children: int = CHILDREN
    """Child runs at once, at each depth."""
    seed: str | None = None
    """What the numbers of `random` in cells follow from; None for the id of the run, so that each run draws others."""

    def __post_init__(self) -> None:
        """Raise UsageError for a setting that no run could have."""
        for name in ("concurrency", "output_limit", "children"):
            check_number(name, getattr(self, name), 1, whole=True)
        for name in ("cell_limit", "call_timeout"):
            check_number(name, getattr(self, name), 0, _LONGEST)
        check_number("cache_days", self.cache_days, 0, none="no end")


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
class Reach:
    """What cells can do besides looking at their context and asking the sub-model."""

    functions: Sequence[Function] = ()
    """Functions of the user that they can call."""
    children: bool = False
    """Whether they may start child runs."""
    spares: Spares | None = None
    """Sandboxes that are up, one of which may serve."""


class Start:
    """A context and the sandbox that is loading it: what a run begins with, before its models are known."""

    def __init__(
        self,
        context: Context,
        settings: Settings,
        resumed: Continuation | None = None,
        followed: Followed | None = None,
        reach: Reach | None = None,
    ) -> None:
        """Start the sandbox. Returns at once.

        `followed` is what earlier runs of the session have left, `reach` what cells can do besides.
        """
        self.functions = reach.functions if reach is not None else ()
        self.context = context
        self.settings = settings
        self.resumed = resumed
        self.followed = followed
        self.id = _new_id() if resumed is None else resumed.past.id
        """The id of the run to be."""
        self.hashes = _hashes(resumed)
        """Of documents, by name, as far as they are known from before."""
        self._is_lent = False
        held = context.documents[0].path if context.kind in {"text", "json"} else None
        reach = reach or Reach()
        functions, names = tuple(function.spec for function in reach.functions), tuple(file.name for file in context.attachable)
        offer = Offer(context.kind, held, context.size, functions, reach.children, names)
        past = (*(followed.cells if followed is not None else ()), *(resumed.cells if resumed is not None else ()))
        seed = settings.seed or (followed.runs[0].run_id if followed is not None else self.id)
        cell, output = settings.cell_limit, settings.output_limit
        try:
            spare = reach.spares.take(offer) if reach.spares is not None else None
            self.session = Session(offer, cell_limit=cell, output_limit=output, seed=seed, past=past, spare=spare)
        except (OSError, SandboxError) as problem:
            context.discard()
            message = f"the sandbox cannot be started: {problem}"
            raise SandboxError(message) from problem

    def next(self, run: Run) -> Start:
        """The start of one that follows `run` in this same sandbox; who has this start ends that."""
        start = copy(self)
        before = self.followed.runs if self.followed is not None else ()
        start.followed = Followed((*before, Earlier(run.id, run.cells)))
        start.id, start.resumed, start._is_lent = _new_id(), None, True  # noqa: SLF001 - its own class
        start.hashes = run.evidence.hashes()
        return start

    def discard(self) -> None:
        """End the sandbox, unless it is an earlier run's."""
        if not self._is_lent:
            self.session.close()
            self.context.discard()


def _new_id() -> str:
    from ulid import ULID  # noqa: PLC0415 - not needed for --help

    return str(ULID()).lower()


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
        self.answer = resumed.answer if resumed is not None else None
        self.misfit: Misfit | None = None
        """The last answer that did not fit the schema, if there is none that does."""
        self.tell = guarded(observer)
        """Tells the observer what happens."""
        self._turn: int | None = None if resumed is None else resumed.last_turn
        self._cell_running = threading.Lock()
        self._cells = max(resumed.next_cell - 1 if resumed is not None else 0, _last_cell(start.followed))
        self._stopped: str | None = None
        self._cite = asked.cite
        self._schema = asked.schema
        self._asked_to_quote = False
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
            _equip(self._dispatcher, start, self.tell)
            if resumed is None:
                self._record(asked, sub)
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

    def begin_turn(self, say: str | None, results: Sequence[str], bound: Bound = Bound(), last_why: str | None = None) -> None:  # noqa: B008 - frozen
        """Record a turn, counted by the budget, before the root model is asked.

        What is said to it, the results of its tools, the most that the turn can take, and why it is the last.
        """
        number = self._turn = self.budget.turns(self.id)
        sent = json.dumps({"say": say, "results": list(results)}, ensure_ascii=False)
        self._journal.begin_turn(self.id, number, sent, last_why, bound)
        self.tell(TurnStarted(self.id, number))

    def compact_turn(self, room: int) -> None:
        """Record that what was said before a turn has been shortened for it, to so many characters."""
        assert self._turn is not None
        self._journal.compact_turn(self.id, self._turn, room)
        self.warn(f"history shortened before turn {self._turn}: it came near the end of the root model's window")

    def retry_turn(self, *, maybe_paid: bool) -> None:
        """Record that a turn is asked for once more."""
        assert self._turn is not None
        self._journal.retry_turn(self.id, self._turn, maybe_paid=maybe_paid)
        self.tell(TurnRetried(self.id, self._turn, maybe_paid))

    def fail_turn(self, *, maybe_paid: bool) -> None:
        """Record that a turn brought no reply."""
        assert self._turn is not None
        self._journal.fail_turn(self.id, self._turn, maybe_paid=maybe_paid)
        self.tell(TurnFailed(self.id, self._turn, maybe_paid))

    def end_turn(self, reply: Mapping[str, object], messages: Sequence[Mapping[str, object]], spent: Spent) -> None:
        """Record what the root model said, and what that adds to the conversation."""
        assert self._turn is not None
        said, added = json.dumps(reply, ensure_ascii=False), json.dumps(messages, ensure_ascii=False)
        self._journal.end_turn(self.id, self._turn, said, added, spent)
        self.tell(TurnFinished(self.id, self._turn, str(reply.get("text") or ""), spent))

    def wait(self, model: str, seconds: float) -> None:
        """Tell the observer that a provider asked for patience."""
        self.tell(Waiting(self.id, model, seconds))

    def warn(self, text: str) -> None:
        """Tell the observer of what the user would not expect."""
        self.tell(Warned(self.id, text))

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
            self._journal.begin_cell(self.id, number, code, self._turn, call)
            self.tell(CellStarted(self.id, number, code))
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
            self._end_cell(number, result)
            self.tell(_finished(self.id, result))
            self.evidence.cell_runs(code)
        return result

    def _with_its_answer(self, result: CellResult) -> CellResult:
        """Take what a cell has submitted, unless the root model is to look at its quotes again."""
        if result.submitted is None:
            return result
        wrong = self._take(result.submitted)
        if wrong is None:
            return replace(result, submitted=self.answer)
        return replace(result, submitted=None, notes=(*result.notes, wrong))

    def _take(self, answer: Answer) -> str | None:
        """Take an answer that fits the schema, its quotes looked up. A str is what the root model is to mend first.

        Quotes it is asked to mend once.
        """
        fitted = self._fitted(answer)
        if isinstance(fitted, Misfit):
            self.misfit = fitted
            return _does_not_fit(fitted)
        answer = fitted
        if answer.quotes or self._cite:
            missing = [each for each in self.evidence.look_up(answer.quotes, self._is_stopped) if each.found is None]
            wrong = _what_is_wrong(answer, missing)
            if self._cite and wrong is not None and not self._asked_to_quote and not self._is_stopped():
                self._asked_to_quote = True
                return wrong
        self.answer = answer
        return None

    def _fitted(self, answer: Answer) -> Answer | Misfit:
        return fit(answer, self._schema) if self._schema is not None else answer

    def _is_stopped(self) -> bool:
        return self._stopped is not None

    def _end_cell(self, number: int, result: CellResult) -> None:
        """Record what came of a cell, and its answer if it has submitted one."""
        # A cell that is busy cannot be stopped gently: its interpreter is lost.
        stopped = result.outcome == "interrupted" or (result.outcome == "lost" and self._is_stopped())
        held_up = stopped or number in self._dispatcher.held_up
        columns: dict[str, object] = {"outcome": result.outcome, "running": result.running, "held_up": held_up}
        given = result.submitted
        if given is not None:
            columns |= {"answer_is_json": given.is_json, "quotes": json.dumps(given.quotes)}
        answer = given.text if given is not None else None
        self._journal.end_cell(self.id, number, result.output, self.show(result), answer=answer, **columns)

    def show(self, result: CellResult) -> str:
        """What the root model is told of a cell, its output within the present limit."""
        return show(replace(result, output=_narrowed(result, self.shown_limit)))

    def submit(self, answer: object = None, variable_name: object = None, quotes: object = None) -> str | None:
        """Take the final answer, with verbatim quotes of the input. A str is what is wrong with it, for the model."""
        answer, variable_name = (None if value == "" else value for value in (answer, variable_name))
        if (answer is None) == (variable_name is None):
            return f"Error: give {SUBMIT} either `answer` or `variable_name`, not {'neither' if answer is None else 'both'}."
        given = [] if quotes is None else quotes
        if not isinstance(given, list) or not all(isinstance(quote, str) for quote in given):
            return "Error: `quotes` must be a list of strings."
        made = _as_answer(answer) if variable_name is None else self._value(variable_name)
        return made if isinstance(made, str) else self._take(replace(made, quotes=tuple(given)))

    def take_prose(self, text: str) -> None:
        """Take what the root model has said, and not submitted, for its answer, if it fits the schema."""
        fitted = self._fitted(Answer(text))
        if isinstance(fitted, Misfit):
            self.misfit = self.misfit or fitted
        else:
            self.answer = fitted

    def wrong_with(self, text: str) -> str | None:
        """Why a text cannot be taken for the answer, for the root model; None if it can."""
        fitted = self._fitted(Answer(text)) if text else None
        return _does_not_fit(fitted) if isinstance(fitted, Misfit) else None

    def keep_misfit(self) -> str | None:
        """Where no answer fits the schema, keep the last that there was; why it does not fit."""
        if self.answer is not None or self.misfit is None:
            return None
        self.answer = self.misfit.answer
        return self.misfit.why

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
    def cells(self) -> int:
        """The number of the last cell."""
        return self._cells

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

    def _record(self, asked: Asked, sub: SubModels) -> None:
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


def _finished(run: str, result: CellResult) -> CellFinished:
    return CellFinished(
        run,
        result.number,
        result.output,
        max(result.total, len(result.output)),
        result.outcome,
        result.running,
        result.seconds,
        result.notes,
        submitted=result.submitted is not None,
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


def _hashes(resumed: Continuation | None) -> dict[str, str]:
    """What an earlier life of the run has found out about its documents."""
    documents = resumed.past.documents if resumed is not None else ()
    return {document.name: document.sha256 for document in documents if document.sha256 is not None}


def _what_is_wrong(answer: Answer, missing: Sequence[Citation]) -> str | None:
    """What the root model is told of quotes that are not in the input, or that it has not given."""
    if not answer.quotes:
        return prompts.render("no_quotes", submit=SUBMIT)
    if not missing:
        return None
    listed = "\n".join(f"- {citation.quote[:_MOST_QUOTED]!r}: {citation.why or 'not found'}" for citation in missing)
    return prompts.render("quotes_not_found", quotes=listed, submit=SUBMIT)


def _does_not_fit(misfit: Misfit) -> str:
    return prompts.render("does_not_fit", why=misfit.why)


def _settings(asked: Asked, settings: Settings) -> str:
    """What is needed to go on with the run, as JSON text."""
    return json.dumps({**asdict(settings), "limits": asdict(asked.limits), **asked.more}, default=str)


def _manner(settings: Settings) -> Manner:
    return Manner(settings.concurrency, settings.call_timeout, settings.cache_days, children=settings.children)


def show(result: CellResult) -> str:
    """A cell's result as a REPL would show it, and what the root model must know of the session."""
    return "\n".join(part for part in (result.output.rstrip("\n"), *result.notes) if part) or "(no output)"


def _narrowed(result: CellResult, limit: int | None) -> str:
    """The output of a cell, its head and its tail, with the true length between them if it is longer than `limit`."""
    output, total = result.output, max(result.total, len(result.output))
    # What is within the usual limit has a note of its own in it, and may be longer than it by that.
    if limit is None or len(output) <= limit or total <= limit:
        return output
    head, tail = limit - limit // 2, limit // 2
    return f"{output[:head]}\n... [{total - limit:,} of {total:,} characters not shown] ...\n{output[len(output) - tail :]}"


def _as_answer(answer: object) -> Answer:
    """Text as it is; what a model gave as a JSON value instead, as JSON."""
    if isinstance(answer, str):
        return Answer(answer)
    return Answer(json.dumps(answer, ensure_ascii=False), is_json=True)


def cache_path() -> Path:
    """The folder of what is made of sources once and serves later runs."""
    return journal_path().with_name("rlm-cache")


def journal_path() -> Path:
    """Where the journal is, beside LLM's own log: absolute, whatever LLM_USER_PATH is."""
    import llm  # noqa: PLC0415 - slow to import

    folder: Path = llm.user_dir()  # type: ignore[no-untyped-call]
    return folder.absolute() / "rlm.db"
