"""A call handler for the tests of the sandbox: answers from a thread, remembers what it answered."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from llm_rlm.calls import CallReply, CallRequest
from llm_rlm.sandbox import Session

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from llm_rlm.sandbox import CellResult

type Deliver = Callable[[CallReply], None]


class Notebook(Session):
    """A session that numbers its cells by itself."""

    last = 0

    def run(self, code: str, on_output: Callable[[str], None] | None = None) -> CellResult:
        self.last += 1
        return self.run_cell(self.last, code, on_output)


class Answering:
    """Answers `re: <prompt>` at once; a prompt with `fail` in it fails, one with `hang` waits for `release`."""

    def __init__(self) -> None:
        self.asked: list[CallRequest] = []
        self.together: list[int] = []
        """How many were asked at once."""
        self.began: list[int] = []
        self.held: list[tuple[CallRequest, Deliver]] = []
        self.forgetful = False
        self._known: dict[str, CallReply] = {}
        self._lock = threading.Lock()

    def ask(self, requests: Sequence[CallRequest], deliver: Deliver) -> None:
        with self._lock:
            self.asked.extend(requests)
            self.together.append(len(requests))
            self.held.extend((request, deliver) for request in requests if "hang" in request.prompt)
        now = [request for request in requests if "hang" not in request.prompt]
        threading.Thread(target=self._deliver, args=(now, deliver)).start()

    def begin_cell(self, number: int) -> int:
        self.began.append(number)
        return 0

    def know(self, prompt: str) -> None:
        """Have answered a prompt in an earlier life."""
        self._known[prompt] = CallReply(0)

    def left(self) -> dict[str, float | None]:
        return {"calls": 7.0, "seconds": None}

    def release(self, text: str) -> None:
        """Answer everything that was held back."""
        held, self.held = self.held, []
        for request, deliver in held:
            deliver(CallReply(request.id, text=text))

    def replayed(self) -> list[str]:
        """The prompts that were asked in a replay."""
        return [request.prompt for request in self.asked if request.replay]

    def _deliver(self, requests: Sequence[CallRequest], deliver: Deliver) -> None:
        for request in requests:
            deliver(self._answer(request))

    def _answer(self, request: CallRequest) -> CallReply:
        if request.replay and (self.forgetful or request.prompt not in self._known):
            return CallReply(request.id, error="not in the journal", unknown=True)
        self._known[request.prompt] = reply = _reply(request)
        return reply


def _reply(request: CallRequest) -> CallReply:
    if "fail" in request.prompt:
        return CallReply(request.id, error=f"no luck with {request.prompt}")
    if request.schema is not None:
        return CallReply(request.id, text='{"n": 4}', data='{"n": 4}')
    return CallReply(request.id, text=f"re: {request.prompt[:40]}")
