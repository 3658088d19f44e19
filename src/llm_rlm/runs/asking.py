"""One question: start the run, let the loop take its turns, and say what came of it."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import TYPE_CHECKING

from llm_rlm import prompts
from llm_rlm.errors import RLMError
from llm_rlm.events import guarded
from llm_rlm.journal import sound
from llm_rlm.providers.spending import Spending
from llm_rlm.root.conversation import call_from

from .briefing import submit_name, wanted
from .children import Children, Rules
from .functions import of_callables
from .loop import Loop
from .ready import Ready, check_question
from .result import Coverage, Result, RunFailedError, Share
from .run import Asked, Run
from .turns import AbortedError, Turns

if TYPE_CHECKING:
    from collections.abc import Callable

    from llm_rlm.context import AnyContext, Context
    from llm_rlm.events import Observer
    from llm_rlm.root.conversation import Root

    from .engine import Engine
    from .result import Finish
    from .resume import Following, Resumption
    from .start import Start
    from .turns import Results


class Asking:
    """One question on its way to its answer."""

    def __init__(self, ready: Ready, question: str, observer: Observer | None = None, before: Asking | None = None) -> None:
        """Record the run. `before` is the question before it in its session, which has its answer.

        Raises UsageError for an empty question, and RLMError if the run cannot be recorded: what was ready is so still.
        """
        check_question(question)
        # Arguments of a command may hold bytes that are no text.
        self._question = question = question.encode("utf-8", "backslashreplace").decode()
        self._ready, self._model, self._log = ready, ready.model, ready.log
        engine, root = ready.engine, ready.root
        start = ready.start if before is None else before.next_start()
        self._resumed = resumed = start.resumed
        more = {
            "asked": _asked(replace(engine, protocol=root.way.name)),
            "sources": start.context.again,
            "offered": root.offered(),
        }
        keep = engine.log or resumed is not None
        asked = Asked(question, self._model.model_id, ready.limits, keep, root.system, engine.cite, ready.schema, more)
        self._run = Run(start, ready.sub, asked, observer)
        if engine.depth:
            self._run.have_children(Children(self._run, ready.sub, Rules(engine.depth, ready.limits.turns, engine.stream)))
        results = _recall(root, start, question) if before is None else before.unsent
        spending = Spending(self._model, engine.options, ready.prices, ready.limits)
        turns = Turns(root, self._run, spending, self._log.add if self._log is not None else None)
        said = question
        if start.followed is not None:
            follow_up = prompts.render("follow_up", question=question, submit=submit_name(root.way))
            new = [part for part in wanted(root.way, ready.schema, cite=engine.cite) if part not in root.system]
            said = "\n\n".join([follow_up, *new])
        self._loop = Loop(root, self._run, said, turns, results)

    def next_start(self) -> Start:
        """Where a further question begins: in the same session."""
        return self._run.next_start()

    @property
    def unsent(self) -> Results:
        """The results of tools that the root model has not been told yet."""
        return self._loop.results

    @property
    def run_id(self) -> str:
        """The id of the run."""
        return self._run.id

    @property
    def so_far(self) -> Result:
        """What there is of the run, for one that was interrupted and has ended without a result."""
        return self._result("interrupted")

    def stop(self, why: str) -> None:
        """Stop spending, and let the root model give its best answer from what it has. Called from any thread."""
        self._loop.stop(why)

    def abort(self, why: str) -> None:
        """End the run now: `finish` raises AbortedError. Called from any thread."""
        self._loop.abort(why)

    def finish(self, *, leave: bool = False) -> Result:
        """Take turns until there is an answer. Raises RunFailedError.

        The session ends with it, unless it is to be left to a further question, see `next`; then `close` ends it.
        """
        try:
            return self._finish(leave=leave)
        finally:
            wrong = self._log.write() if self._log is not None else None
            if wrong is not None:
                self._run.record.warn(wrong)

    def close(self) -> None:
        """End the session that was left. Safe to call more than once."""
        self._run.end("interrupted", hurry=True)

    def _finish(self, *, leave: bool) -> Result:
        end = self._run.leave if leave else self._run.end
        try:
            finish = self._loop.turns(self._resumed)
        except (AbortedError, KeyboardInterrupt, SystemExit):
            self._run.end("interrupted", hurry=True)
            raise
        except RLMError as problem:
            end("error", str(problem))
            raise RunFailedError(self._result("error", str(problem))) from problem
        except BaseException as problem:
            self._run.end("error", type(problem).__name__)  # its text could hold anything, a key too
            raise
        if self._run.answer is None and finish in {"submitted", "prose"}:
            error = f"{self._model.model_id} gave no answer: its replies were empty"
            end("error", error)
            raise RunFailedError(self._result("error", error))
        if (why := self._run.answers.keep_misfit()) is not None:
            error = f"there is no answer that fits the schema: {why}"
            finish = "interrupted" if finish == "interrupted" else "error"
            end(finish, error)
            raise RunFailedError(self._result(finish, error))
        end(finish)
        return self._result(finish)

    def _result(self, finish: Finish, error: str | None = None) -> Result:
        """What came of the run, which has ended."""
        run = self._run
        reached = run.budget.reached
        before = self._resumed.past.seconds if self._resumed is not None else 0.0
        return Result(
            run_id=run.id,
            question=self._question,
            answer=run.answer.value if run.answer is not None else None,
            finish=finish,
            limit={"kind": reached.kind, "limit": reached.limit, "used": reached.used} if reached is not None else None,
            error=error,
            model=self._model.model_id,
            sub_model=self._ready.sub.default.model_id,
            usage=replace(run.budget.usage),
            seconds=before + run.budget.seconds(),
            sources=_sources(run),
            skipped=tuple({"name": skipped.name, "reason": skipped.reason} for skipped in run.context.skipped),
            citations=_citations(run),
            coverage=_coverage(run),
        )


def begin(
    engine: Engine,
    question: str,
    context: AnyContext | Context,
    observer: Observer | None = None,
    past: Resumption | Following | None = None,
) -> Asking:
    """Begin a run. Raises what `RLM.ask` raises before anything is sent."""
    check_question(question)
    observer = guarded(observer)
    ready = Ready(engine, context, observer, past)
    try:
        return Asking(ready, question, observer)
    except BaseException:
        ready.discard()
        raise


def _recall(root: Root, start: Start, question: str) -> Results:
    """Let the root model know what was said before. Returns the results of tools that it has not been told."""
    followed, turns = start.followed, start.resumed.turns if start.resumed is not None else ()
    earlier = followed.turns if followed is not None else ()
    session = followed.runs[0].run_id if followed is not None else start.id
    try:
        root.recall(session, question, *earlier, turns)
    except ValueError as problem:
        message = f"what was said in run {session} cannot be read ({problem})"
        raise sound.damaged(message) from problem
    unanswered = followed.results if followed is not None and not turns else ()
    return [(call_from(call), output) for call, output in unanswered]


def _asked(engine: Engine) -> dict[str, object]:
    """What of the engine is recorded besides models, limits and settings: whatever JSON can hold."""
    return {
        "system": engine.system,
        "options": dict(engine.options),
        "sub_options": dict(engine.sub_options),
        "stream": engine.stream,
        "prices": {name: vars(rate) for name, rate in engine.prices.items()},
        "windows": dict(engine.windows),
        "default_cost": engine.default_cost,
        "cite": engine.cite,
        "tools": list(engine.tools),
        "own_functions": [function.name for function in of_callables(engine.functions)],
        "protocol": engine.protocol,
        "depth": engine.depth,
        "schema": engine.schema,
    }


async def finish_in_thread(start: Callable[[], Asking], finish: Callable[[Asking], Result]) -> Result:
    """Begin a run and finish it, for callers in an event loop. Cancelling it aborts the run."""
    loop = asyncio.get_running_loop()
    starting = loop.run_in_executor(None, start)
    try:
        asking = await asyncio.shield(starting)
    except asyncio.CancelledError:
        starting.add_done_callback(_abandon)
        raise
    finishing = loop.run_in_executor(None, finish, asking)
    try:
        return await asyncio.shield(finishing)
    except asyncio.CancelledError:
        finishing.add_done_callback(lambda done: done.exception())
        asking.abort("the caller cancelled the run")
        raise


def _abandon(starting: asyncio.Future[Asking]) -> None:
    """End a run that was cancelled while it started."""
    if not starting.cancelled() and starting.exception() is None:
        starting.result().close()


def _sources(run: Run) -> tuple[dict[str, object], ...]:
    """The documents and tables, as `--json` has them."""
    found = []
    for document in run.context.documents:
        source = {"name": document.name, "bytes": document.size, "sha256": run.evidence.sha256(document.name)}
        examined = run.evidence.examined.get(document.name)
        source |= {"undecodable": examined.undecodable} if examined is not None and examined.undecodable else {}
        source |= {"encoding": document.encoding} if document.encoding is not None else {}
        found.append(source)
    found += [{"name": table.name, "bytes": table.size, "sha256": None} for table in run.context.tables]
    return tuple(found)


def _citations(run: Run) -> tuple[dict[str, object], ...]:
    names = ("source", "line", "column", "place", "start", "end", "times", "why")
    return tuple(
        {"quote": citation.quote, "found": citation.found is not None, "how": citation.found}
        | {name: getattr(citation, name) for name in names}
        | {"sha256": run.evidence.sha256(citation.source) if citation.source is not None else None}
        for citation in run.evidence.citations
    )


def _coverage(run: Run) -> Coverage | None:
    covered = run.evidence.covered
    if covered is None:
        return None
    names = run.context.documents
    shares = (Share(names[each.document].name, each.size, each.read, each.sent, each.either) for each in covered)
    return Coverage(tuple(shares), run.evidence.complete)
