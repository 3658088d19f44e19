"""What stands in for threads: an executor whose work is tasks, and the waiting that is put into cells (see `awaits`)."""

from __future__ import annotations

import asyncio
import concurrent.futures
import sys
import types
from collections.abc import Coroutine, Iterable, Iterator, Mapping
from types import GeneratorType
from typing import TYPE_CHECKING, Any, NoReturn, Self

from .calls import NotAwaited

if TYPE_CHECKING:
    from collections.abc import Callable

NO_THREADS = "there are no threads in this sandbox: use `await llm_batch(prompts)` or `asyncio.gather`"
_NO_PROCESSES = "there are no other processes in this sandbox: use `await llm_batch(prompts)` or a loop"

_create_task = asyncio.create_task
_gather = asyncio.gather
_wait = asyncio.wait


async def together(items: Iterable[object]) -> object:
    """Await each item: calls side by side, other coroutines one after another.

    Gives a list for a list, a dict for a dict (of its values), and an iterator for what can only be iterated.
    """
    if isinstance(items, Mapping):
        return dict(zip(items, await _all(items.values()), strict=True))
    found = await _all(items)
    return found if isinstance(items, list) else iter(found)


async def _all(items: Iterable[object]) -> list[object]:
    found = [item if isinstance(item, NotAwaited) else await _value(item) for item in items]
    answers = iter(await _gather(*[item for item in found if isinstance(item, NotAwaited)]))
    return [next(answers) if isinstance(item, NotAwaited) else item for item in found]


async def _value(item: object) -> object:
    return await item if isinstance(item, Coroutine) else item


async def finished(work: object) -> object:
    """Wait for futures of an `Executor`, alone or in a collection, and for the results of its `map`; give what was given."""
    if isinstance(work, GeneratorType | map | filter):
        work = list(work)
    match work:
        case Results(futures=futures):
            await _settled(futures)
        case Future():
            await _settled([work])
        case list() | tuple() | set() | frozenset() | dict():
            await _settled(work)
    return work


async def _settled(futures: Iterable[object]) -> None:
    tasks = [future.task for future in futures if isinstance(future, Future) and future.task is not None]
    if tasks:
        await _wait(tasks)


class Future(concurrent.futures.Future[Any]):
    """What an executor was given to do."""

    task: asyncio.Task[None] | None = None
    """Who does it, where it did not end at once."""

    def result(self, timeout: float | None = None) -> Any:  # noqa: ANN401 - whatever the function returned
        """As in `concurrent.futures`, but it cannot wait."""
        self._must_be_done()
        return super().result(timeout)

    def exception(self, timeout: float | None = None) -> BaseException | None:
        """As in `concurrent.futures`, but it cannot wait."""
        self._must_be_done()
        return super().exception(timeout)

    async def settle(self, work: Coroutine[Any, Any, object]) -> None:
        """Take on what a coroutine returns or raises."""
        try:
            self.set_result(await work)
        except BaseException as problem:
            self.set_exception(problem)
            if not isinstance(problem, Exception):
                raise

    def _must_be_done(self) -> None:
        if not self.done():
            raise RuntimeError(NO_THREADS)


class Results(Iterator[Any]):
    """What `Executor.map` returns."""

    def __init__(self, futures: list[Future]) -> None:
        """`futures` are in the order of what was mapped."""
        self.futures = futures
        self._rest = iter(futures)

    def __next__(self) -> Any:  # noqa: ANN401 - whatever the function returned
        """The next result, or the error that its function raised."""
        return next(self._rest).result()


class Executor:
    """Does at once what a plain function does, and side by side what an async function does."""

    any_made = False
    """Whether there was ever one."""

    def __init__(self, *_: object, **__: object) -> None:
        """Whatever a pool of threads or processes takes."""
        Executor.any_made = True
        self._futures: list[Future] = []

    def submit(self, function: Callable[..., object], /, *args: object, **options: object) -> Future:
        """Call a function."""
        future = Future()
        self._futures.append(future)
        try:
            value = function(*args, **options)
        except Exception as problem:  # noqa: BLE001 - it belongs to whoever asks for the result
            future.set_exception(problem)
            return future
        if isinstance(value, Coroutine):
            future.task = _create_task(future.settle(value))
        else:
            future.set_result(value)
        return future

    def map(self, function: Callable[..., object], *iterables: Iterable[object], **_: object) -> Results:
        """Call a function with each item."""
        return Results([self.submit(function, *args) for args in zip(*iterables, strict=False)])

    def shutdown(self, *_: object, **__: object) -> None:
        """Nothing is to be ended."""

    def __enter__(self) -> Self:
        """Begin."""
        return self

    def __exit__(self, *_: object) -> None:
        """Go on at once: whoever asks for a result waits for it."""

    async def __aenter__(self) -> Self:
        """Begin."""
        return self

    async def __aexit__(self, *_: object) -> None:
        """Wait for all that was submitted."""
        await finished(self._futures)


def stand_in() -> None:
    """Put what stands in for threads, processes and event loops where cells look for it."""
    for name in ("ThreadPoolExecutor", "ProcessPoolExecutor"):
        setattr(concurrent.futures, name, Executor)
    asyncio.new_event_loop = asyncio.get_running_loop
    sys.modules.update(_MODULES)


def refuse_thread(*_: object, **__: object) -> NoReturn:
    """Stand in for `Thread.start`."""
    raise RuntimeError(NO_THREADS)


def _refuse_process(name: str) -> NoReturn:
    if name.startswith("__"):
        raise AttributeError(name)
    raise RuntimeError(_NO_PROCESSES)


def _module(name: str, **content: object) -> types.ModuleType:
    module = types.ModuleType(name)
    vars(module).update(content)
    return module


_MODULES = {
    "nest_asyncio": _module("nest_asyncio", apply=lambda *_: None),
    **{
        name: _module(name, __path__=[], __getattr__=_refuse_process, cpu_count=lambda: 1)
        for name in ("multiprocessing", "multiprocessing.pool", "multiprocessing.dummy")
    },
}
