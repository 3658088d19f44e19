"""The driver on pyeryx: its event loop made robust, its two channels. The only guest module that knows pyeryx.

Out go bytes through the call that reports output, which is immediate, ordered, and a hundred times cheaper than a callback.
In come the results of one callback, `_next`, which the host answers when it has something to say.
"""

from __future__ import annotations

import asyncio
import gc
import time
import traceback
from collections.abc import Coroutine
from contextlib import suppress
from contextvars import copy_context
from typing import TYPE_CHECKING, Any, NoReturn

from .driver import Driver, hide_task, suggest_nothing_that_fails
from .jsontext import decode, encode
from .mending import mender

if TYPE_CHECKING:
    from collections.abc import Callable

_DONE, _PENDING = 0, 2
_BREATH_EVERY = 0.02
_BREATH = 1_000_000

_monotonic = time.monotonic


class EryxHost:
    """The host as pyeryx shows it, through functions taken before any cell could replace them."""

    def __init__(self, eryx: Any, runtime: Any) -> None:  # noqa: ANN401 - modules that exist in the guest only
        """`eryx` and `runtime` are the modules `_eryx` and `_eryx_async`."""
        self._report = eryx._eryx_report_output
        self._invoke = eryx._eryx_invoke_async
        self._sleep = eryx._eryx_sleep_async
        self._join = eryx.waitable_join_
        self._new_set = eryx.waitable_set_new_
        self._result = eryx.promise_get_result_
        self._state = runtime._async_state
        self._loop = runtime._loop

    def send(self, frame: bytes) -> None:
        """Report a frame as output."""
        self._report(0, frame)

    async def receive(self) -> str:
        """Call `_next` and wait for its result."""
        kind, value = self._invoke("_next", "{}")
        if kind == _DONE:
            text: str = decode(value)
            return text
        if kind != _PENDING:
            message = f"the host cannot be reached: {value}"
            raise RuntimeError(message)
        task, _ = value
        await self._wait_for(task, self._state.get())
        result: str = decode(self._result(task))["value"]
        return result

    def breathe(self, state: Any) -> asyncio.Future[int] | None:  # noqa: ANN401 - pyeryx's own state
        """Have the loop woken again in a millisecond, or when the host speaks. None if no timer could be had."""
        timer = self._sleep(_BREATH)
        return self._wait_for(timer, state) if timer is not None else None

    async def leave_poll(self) -> None:
        """Wait for the loop's next `poll`: the one that runs now is still pyeryx's own."""
        while (breath := self.breathe(self._state.get())) is None:
            pass
        await breath

    def _wait_for(self, subtask: int, state: Any) -> asyncio.Future[int]:  # noqa: ANN401 - pyeryx's own state
        future: asyncio.Future[int] = self._loop.create_future()
        state.futures[subtask] = future
        if state.waitable_set is None:
            state.waitable_set = self._new_set()
        self._join(subtask, state.waitable_set)
        return future


def mend_loop(loop: Any, driver: Driver, host: EryxHost) -> None:  # noqa: ANN401, C901 - a loop's methods; its class is the guest's
    """Make pyeryx's event loop survive what a cell can do, tell the driver when it parks, and be clear about the rest."""

    def poll(state: Any) -> None:  # noqa: ANN401 - pyeryx's own state
        driver.wake()
        # A task that never waits for anything outside must not keep the others from hearing of the host.
        breath_at = _monotonic() + _BREATH_EVERY
        while state.handles:
            if _monotonic() > breath_at and host.breathe(state) is not None:
                break
            handles, state.handles = state.handles, []
            for handle in handles:
                if not handle._cancelled:
                    _survive(handle)
        driver.park()

    def call_soon(callback: Callable[..., object], *args: object, context: Any = None) -> Any:  # noqa: ANN401
        return original(callback, *args, context=context if context is not None else copy_context())

    def call_exception_handler(context: dict[str, Any]) -> None:
        problem = context.get("exception")
        text = "".join(traceback.format_exception_only(problem)) if problem else ""
        driver.report(f"{context.get('message', 'an error outside the cell')}\n{text}")

    def run_in_executor(_: object, function: Callable[..., object], *args: object) -> asyncio.Future[Any]:
        future: asyncio.Future[Any] = loop.create_future()
        try:
            value = function(*args)
            if isinstance(value, Coroutine):
                return asyncio.ensure_future(value, loop=loop)
            future.set_result(value)
        except Exception as problem:  # noqa: BLE001 - it belongs to whoever awaits the future
            future.set_exception(problem)
        return future

    def run_until_complete(*_: object) -> NoReturn:
        message = "the event loop already runs in this session: write `await` instead of run_until_complete"
        raise RuntimeError(message)

    original = loop.call_soon
    loop.poll = poll
    loop.call_soon = loop.call_soon_threadsafe = call_soon
    loop.call_exception_handler = call_exception_handler
    loop.run_in_executor = run_in_executor
    loop.run_until_complete = loop.run_forever = run_until_complete


def _survive(handle: asyncio.Handle) -> None:
    with suppress(BaseException):  # the task has it too; here it would end the session
        handle._run()


async def main(eryx: Any, runtime: Any, compiled: str | None) -> None:  # noqa: ANN401 - guest modules
    """Run a session until the host closes it. `compiled` is for the host to keep, if it is news."""
    host = EryxHost(eryx, runtime)
    if compiled is not None:  # the first frame: nothing has come in that could have changed it
        host.send(encode({"t": "compiled", "modules": compiled}).encode("ascii"))
    driver = Driver(host)
    mend_loop(runtime._loop, driver, host)
    task = asyncio.current_task()
    assert task is not None
    hide_task(task)
    suggest_nothing_that_fails()
    driver.mend = mender()
    # No cell finds what there is so far by `gc`: the driver's own objects, and the table of all names, which it could spoil.
    gc.freeze()
    gc.unfreeze = lambda: None
    try:
        await host.leave_poll()
        await driver.run()
    except BaseException as problem:
        driver.give_up("".join(traceback.format_exception_only(problem)).strip())
        raise
