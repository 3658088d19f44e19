from __future__ import annotations

import asyncio
from typing import Any

import pytest

from llm_rlm.sandbox.guest import calls
from llm_rlm.sandbox.guest.calls import Calls, NotAwaited
from llm_rlm.sandbox.guest.results import LLMError


class Host:
    """Keeps what was sent and answers when told to."""

    def __init__(self) -> None:
        self.frames: list[list[dict[str, Any]]] = []
        self.calls = Calls(self._send)

    def _send(self, frame: dict[str, Any]) -> None:
        self.frames.append(frame["calls"])

    @property
    def prompts(self) -> list[list[str]]:
        return [[call["prompt"] for call in frame] for frame in self.frames]

    async def start(self, *prompts: str) -> list[asyncio.Task[Any]]:
        tasks = [asyncio.create_task(self.calls.ask({"prompt": prompt})) for prompt in prompts]
        await asyncio.sleep(0)
        self.calls.flush()
        return tasks

    def answer(self, *numbers: int) -> None:
        self.calls.settle([{"id": number, "text": f"answer {number}"} for number in numbers])
        self.calls.flush()


def test_calls_of_one_moment_go_in_one_frame_and_answers_find_their_calls() -> None:
    async def scenario() -> None:
        host = Host()
        tasks = await host.start("a", "b")
        assert host.prompts == [["a", "b"]]
        host.answer(2, 1)
        assert await asyncio.gather(*tasks) == ["answer 1", "answer 2"]

    asyncio.run(scenario())


def test_a_frame_is_no_longer_than_it_should_be(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(calls, "_MOST_IN_FRAME", 10)

    async def scenario() -> None:
        host = Host()
        tasks = await host.start("a" * 6, "b" * 4, "c", "d" * 20)
        assert [len(frame) for frame in host.frames] == [2, 1, 1]
        host.answer(1, 2, 3, 4)
        await asyncio.gather(*tasks)

    asyncio.run(scenario())


def test_calls_wait_until_the_host_has_room_for_their_text(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(calls, "_MOST_UNDER_WAY", 10)

    async def scenario() -> None:
        host = Host()
        tasks = await host.start("a" * 6, "b" * 6, "c" * 50)
        assert host.prompts == [["aaaaaa"]]
        host.answer(1)
        assert host.prompts[1:] == [["bbbbbb"]]
        host.answer(2)
        assert [len(frame[0]["prompt"]) for frame in host.frames] == [6, 6, 50]
        host.answer(3)
        await asyncio.gather(*tasks)

    asyncio.run(scenario())


def test_a_call_cancelled_before_it_was_sent_is_not_sent() -> None:
    async def scenario() -> None:
        host = Host()
        task = asyncio.create_task(host.calls.ask({"prompt": "a"}))
        await asyncio.sleep(0)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        host.calls.flush()
        assert host.frames == []

    asyncio.run(scenario())


def test_an_error_is_raised_and_in_a_batch_kept() -> None:
    async def scenario() -> None:
        host = Host()
        (single,) = await host.start("a")
        batch = asyncio.create_task(host.calls.ask_all([{"prompt": "b"}, {"prompt": "c"}]))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        host.calls.settle([{"id": 1, "error": "no"}, {"id": 2, "text": "yes"}, {"id": 3, "error": "never"}])
        with pytest.raises(LLMError, match="no"):
            await single
        results = await batch
        assert [bool(result) for result in results] == [True, False]
        assert [(failure.index, failure.error) for failure in results.errors] == [(1, "never")]

    asyncio.run(scenario())


def test_answers_to_nobody_are_ignored() -> None:
    Host().answer(1, 99)


def test_what_is_not_awaited_is_still_a_coroutine() -> None:
    async def answer() -> str:
        return "late"

    async def scenario() -> list[str]:
        made = [NotAwaited("llm_query", answer) for _ in range(3)]
        task = asyncio.create_task(made[0])
        return [await task, *await asyncio.gather(*made[1:])]

    assert asyncio.run(scenario()) == ["late"] * 3


def test_what_is_never_awaited_warns_of_nothing_and_says_what_to_write() -> None:
    async def answer() -> str:
        return "never"

    call = NotAwaited("llm_batch", answer)
    call.close()
    assert repr(call) == "<llm_batch(...) not awaited yet: write `await llm_batch(...)`>"


def test_a_prompt_too_long_to_send_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(calls, "MOST_PROMPT_CHARACTERS", 5)
    with pytest.raises(ValueError, match="prompt has 6 characters; at most 5 can be sent"):
        calls.request("a" * 6, None, None, None)
    with pytest.raises(ValueError, match="schema has 18 characters; at most 5 can be sent"):
        calls.request("a", None, None, {"type": "object"})


def test_a_schema_may_be_a_dict_or_concise() -> None:
    assert calls.request("a", "b", "c", {"type": "object"}) == {
        "prompt": "a",
        "system": "b",
        "model": "c",
        "schema": '{"type": "object"}',
    }
    assert calls.request("a", None, None, "name, age int")["schema"] == "name, age int"
