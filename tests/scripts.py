"""Models whose replies are written down in the test."""

import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import llm
from llm.plugins import pm

from llm_rlm.root.names import EXECUTE, SUBMIT
from llm_rlm.testing import Reply, Request, ScriptedModel, ScriptedServer, ToolCall, call


def run(code: str) -> Reply:
    """Run a cell."""
    return call(EXECUTE, code=code)


def submit(answer: str) -> Reply:
    """Submit a text."""
    return call(SUBMIT, answer=answer)


def submit_variable(name: str) -> Reply:
    """Submit a variable."""
    return call(SUBMIT, variable_name=name)


def raw(name: str, arguments: str) -> Reply:
    """Call a tool with arguments that are sent as they are."""
    return Reply(tool_calls=(ToolCall(name, arguments),))


class Models:
    """A scripted server with two models at it, `chat` and `responses`, that answer alike."""

    def __init__(self, server: ScriptedServer) -> None:
        self.server = server

    @property
    def root_requests(self) -> list[Request]:
        """What the root model was asked."""
        return [request for request in self.server.requests if request.tools]

    @property
    def sub_requests(self) -> list[Request]:
        """What sub-models were asked."""
        return [request for request in self.server.requests if not request.tools]

    @property
    def tool_results(self) -> list[str]:
        """What the tools told the root model, up to its latest turn."""
        return [message["content"] for message in self.root_requests[-1].messages if message["role"] == "tool"]


def scripted(*replies: Reply | str, model_id: str = "root") -> ScriptedModel:
    """A model in this process that gives these replies, one a call, the last for ever."""
    left = list(replies)

    def script(_: llm.Prompt) -> Reply | str:
        return left.pop(0) if len(left) > 1 else left[0]

    return ScriptedModel(script, model_id)


def alive(pid: int) -> bool:
    """Whether a process runs."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def until(condition: Callable[[], bool], seconds: float = 10.0) -> bool:
    """Wait for a condition; whether it came about."""
    end = time.monotonic() + seconds
    while not condition() and time.monotonic() < end:
        time.sleep(0.01)
    return condition()


def once(condition: Callable[[], bool], act: Callable[[], None]) -> None:
    """Act when a condition has come about."""
    assert until(condition)
    act()


@contextmanager
def plugged(plugin: object) -> Iterator[None]:
    """LLM has this plugin meanwhile."""
    pm.register(plugin)
    try:
        yield
    finally:
        pm.unregister(plugin)
