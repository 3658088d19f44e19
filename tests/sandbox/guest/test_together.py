from __future__ import annotations

import asyncio
from typing import Any

import pytest

from llm_rlm.sandbox.guest.calls import NotAwaited
from llm_rlm.sandbox.guest.results import Batch, Failure, Response
from llm_rlm.sandbox.guest.together import Executor, finished, together


async def answer(text: str, waiting: list[str], most: list[int]) -> str:
    waiting.append(text)
    await asyncio.sleep(0)
    most.append(len(waiting))
    waiting.remove(text)
    return text.upper()


def test_calls_run_side_by_side_and_what_runs_code_of_the_cell_does_not() -> None:
    async def scenario(*, calls: bool) -> tuple[Any, int]:
        waiting: list[str] = []
        most: list[int] = []

        def ask(text: str) -> Any:
            return NotAwaited("f", lambda: answer(text, waiting, most)) if calls else answer(text, waiting, most)

        return await together([ask(text) for text in "abc"]), max(most)

    assert asyncio.run(scenario(calls=True)) == (["A", "B", "C"], 3)
    assert asyncio.run(scenario(calls=False)) == (["A", "B", "C"], 1)


def test_what_comes_back_is_of_the_kind_that_was_given() -> None:
    async def scenario() -> list[object]:
        values = await together({"a": answer("x", [], [])})
        rest = await together(answer(text, [], []) for text in "y")
        return [values, next(rest), await together([]), await together([1])]  # type: ignore[call-overload]

    assert asyncio.run(scenario()) == [{"a": "X"}, "Y", [], [1]]


def test_what_is_no_work_of_an_executor_is_given_back_untouched() -> None:
    async def scenario() -> None:
        future: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        lines = iter("ab")
        for thing in (future, lines, 1, "text", [1], {"a": 1}):
            assert await finished(thing) is thing
        assert next(lines) == "a"

    asyncio.run(scenario())


def test_a_future_cannot_be_waited_for_by_plain_code() -> None:
    async def scenario() -> None:
        with Executor(max_workers=3) as pool:
            future = pool.submit(answer, "a", [], [])
        for ask in (future.result, future.exception):
            with pytest.raises(RuntimeError, match="there are no threads"):
                ask()
        assert (await finished(future)) is future
        assert future.result() == "A"

    asyncio.run(scenario())


def test_what_was_awaited_gives_itself_again() -> None:
    async def scenario() -> None:
        things = [Response("a"), Failure("b"), Batch([])]
        assert all(one is other for one, other in zip(things, await asyncio.gather(*things), strict=True))

    asyncio.run(scenario())
