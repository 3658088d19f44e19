"""Questions over one input, one after another: the session stays warm, its variables and the earlier answers stay known."""

from __future__ import annotations

import asyncio
import threading
from functools import partial
from typing import TYPE_CHECKING, Self

from llm_rlm.errors import UsageError
from llm_rlm.events import guarded

from .asking import Asking, finish_in_thread
from .ready import Ready
from .turns import AbortedError

if TYPE_CHECKING:
    from types import TracebackType

    from llm_rlm.context import AnyContext
    from llm_rlm.events import Observer

    from .engine import Engine
    from .result import Result
    from .resume import Following

_ABORTED = "a question was aborted"


class Session:
    """Asks several questions of one input. Each is a run of its own, with limits of its own, that follows the one before.

    >>> import llm_rlm
    >>> with llm_rlm.RLM("gpt-5.2").session(log) as session:  # doctest: +SKIP
    ...     session.ask("Which user had the most failed logins?").answer
    ...     session.ask("From which addresses?").answer

    One question at a time; methods may be called from any thread.
    """

    def __init__(
        self,
        engine: Engine,
        context: AnyContext = None,
        *,
        observer: Observer | None = None,
        following: Following | None = None,
    ) -> None:
        """Check everything and start the sandbox. Raises what `RLM.ask` raises before anything is sent.

        `following` is a run of the journal to go on from: its context is used, and its variables are brought back.
        """
        self._observer = guarded(observer)
        self._ready = Ready(engine, following.context if following is not None else context, self._observer, following)
        self._asking: Asking | None = None
        self._lock = threading.Lock()
        """Guards `_busy`."""
        self._busy = False
        self._over: str | None = None

    def ask(self, question: str, *, observer: Observer | None = None) -> Result:
        """Ask the next question, and wait for the answer.

        Raises UsageError for an empty question or a session that has ended, and RunFailedError when the run fails; the next
        question can then be asked unless the sandbox is what failed.
        """
        return self.finish(self.begin(question, observer))

    async def aask(self, question: str, *, observer: Observer | None = None) -> Result:
        """As `ask`, for callers in an event loop. Cancelling it aborts the run, and the session with it."""
        try:
            return await finish_in_thread(partial(self.begin, question, observer), self.finish)
        except asyncio.CancelledError:
            self._over = self._over or _ABORTED
            raise

    def begin(self, question: str, observer: Observer | None = None, engine: Engine | None = None) -> Asking:
        """Begin the next question; `finish` waits for its answer. Raises UsageError, also while another is under way.

        `engine` has the limits, the root model's options, the schema and the wish for quotes for this question, if they are
        others than those of the session.
        """
        with self._lock:
            if self._over is not None or self._busy:
                message = f"the session has ended: {self._over}" if self._over else "a question is under way: one at a time"
                raise UsageError(message)
            self._busy = True
        try:
            ready = self._ready if engine is None else self._ready.asked_by(engine)
            self._asking = Asking(ready, question, observer or self._observer, self._asking)
        except BaseException:
            self._busy = False
            raise
        return self._asking

    def finish(self, asking: Asking) -> Result:
        """Wait for the answer of a question that was begun. Raises RunFailedError."""
        try:
            return asking.finish(leave=True)
        except (AbortedError, KeyboardInterrupt, SystemExit):
            self._over = _ABORTED
            raise
        finally:
            self._busy = False

    def close(self) -> None:
        """End the session. Safe to call more than once."""
        self._over = self._over or "it was closed"
        if self._asking is not None:
            self._asking.close()
        else:
            self._ready.discard()

    def __enter__(self) -> Self:
        """Use as `with rlm.session(...) as session:`, which closes it."""
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        """Close."""
        self.close()
