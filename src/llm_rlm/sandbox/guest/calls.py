"""`llm_query` and `llm_batch` as cells see them: requests to the host, awaited."""

from __future__ import annotations

import asyncio
import sys
from collections import deque
from collections.abc import Coroutine, Iterable, Mapping
from typing import TYPE_CHECKING, Any, NoReturn, TypedDict

from .jsontext import decode, encode
from .results import Batch, Failure, LLMError, Response

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

MOST_PROMPT_CHARACTERS = 20_000_000

IN_A_FUNCTION = " (in a function: in an `async def` that is awaited too)"
_MOST_UNDER_WAY = 1 << 26
_MOST_IN_FRAME = 1 << 22


class Reply(TypedDict, total=False):
    """What the host answers to one call: `text`, perhaps with `data` (JSON text), or `error`."""

    id: int
    text: str
    data: str
    error: str


class Calls:
    """The calls of one session that wait for their answer."""

    def __init__(self, send: Callable[[dict[str, object]], None]) -> None:
        """`send` takes a frame for the host."""
        self._send = send
        self._waiting: dict[int, asyncio.Future[Reply]] = {}
        self._asked: deque[dict[str, object]] = deque()
        self._last_id = 0
        self._under_way: dict[int, int] = {}
        self._characters = 0

    def flush(self) -> None:
        """Send what has been asked since the last time, as far as the host has room for so much text at once."""
        while frame := self._next_frame():
            self._send({"t": "calls", "calls": frame})

    def _next_frame(self) -> list[dict[str, object]]:
        """The next requests, no longer together than a frame should be."""
        frame: list[dict[str, object]] = []
        room = _MOST_IN_FRAME
        while self._asked:
            size = _size(self._asked[0])
            if (frame and size > room) or (self._under_way and self._characters + size > _MOST_UNDER_WAY):
                break
            request = self._asked.popleft()
            if self._is_wanted(request):
                frame.append(request)
                room -= size
                self._under_way[_id(request)] = size
                self._characters += size
        return frame

    def _is_wanted(self, request: dict[str, object]) -> bool:
        """Whether somebody still waits for it: a call that was cancelled before it was sent costs nothing."""
        return _id(request) in self._waiting

    def settle(self, replies: Iterable[Reply]) -> None:
        """Hand answers to those who wait for them."""
        for reply in replies:
            self._characters -= self._under_way.pop(reply["id"], 0)
            future = self._waiting.pop(reply["id"], None)
            if future is not None and not future.done():
                future.set_result(reply)

    async def ask(self, request: dict[str, object]) -> Response:
        """Make one call. Raises LLMError where it failed."""
        reply = await self._ask(request)
        if "error" in reply:
            raise LLMError(reply["error"])
        return _response(reply)

    async def ask_all(self, requests: Iterable[dict[str, object]]) -> Batch:
        """Make calls side by side; the results are in the order of the requests."""
        replies = await asyncio.gather(*[self._ask(request) for request in requests])
        return Batch(
            Failure(reply["error"], index) if "error" in reply else _response(reply) for index, reply in enumerate(replies)
        )

    async def _ask(self, request: dict[str, object]) -> Reply:
        self._last_id += 1
        number = self._last_id
        future: asyncio.Future[Reply] = asyncio.get_running_loop().create_future()
        self._waiting[number] = future
        self._asked.append({"id": number, **request})
        try:
            return await future
        finally:
            self._waiting.pop(number, None)


def _id(request: dict[str, object]) -> int:
    number = request["id"]
    assert isinstance(number, int)
    return number


def _size(request: dict[str, object]) -> int:
    """Characters of a request."""
    return sum(len(value) for value in request.values() if isinstance(value, str))


def _response(reply: Reply) -> Response:
    return Response(reply["text"], decode(reply["data"]) if "data" in reply else None)


class NotAwaited(Coroutine[Any, Any, Any]):
    """A call that has not been awaited yet. Using it as if it were the answer raises an error that says what to write."""

    def __init__(self, name: str, work: Callable[[], Coroutine[Any, Any, Any]]) -> None:
        """`work` is called when the call is first awaited."""
        self._name = name
        self._work = work
        self._coroutine: Coroutine[Any, Any, Any] | None = None
        self._told = False

    def _start(self) -> Coroutine[Any, Any, Any]:
        if self._coroutine is None:
            self._coroutine = self._work()
        return self._coroutine

    def send(self, value: Any) -> Any:  # noqa: ANN401 - the type of Coroutine.send
        """As a coroutine."""
        return self._start().send(value)

    def throw(self, *error: Any) -> Any:  # noqa: ANN401 - the type of Coroutine.throw
        """As a coroutine."""
        return self._start().throw(*error)

    def close(self) -> None:
        """As a coroutine."""
        if self._coroutine is not None:
            self._coroutine.close()

    def __await__(self) -> Generator[Any, Any, Any]:
        """Make the call."""
        return self._start().__await__()

    def __del__(self) -> None:
        """Say that nothing was asked, where nothing else says so."""
        if self._coroutine is None and not self._told and sys.stderr is not None:
            sys.stderr.write(f"{self._name}(...) was never awaited, so nothing was asked: write `await {self._name}(...)`\n")

    def _not_awaited(self) -> NoReturn:
        self._told = True
        message = f"{self._name}(...) was not awaited: write `await {self._name}(...)`{IN_A_FUNCTION}"
        raise TypeError(message)

    def __getitem__(self, key: object) -> NoReturn:
        """Raise: it was not awaited."""
        self._not_awaited()

    def __iter__(self) -> NoReturn:
        """Raise: it was not awaited."""
        self._not_awaited()

    def __len__(self) -> NoReturn:  # noqa: PLE0303 - it raises
        """Raise: it was not awaited."""
        self._not_awaited()

    def __add__(self, other: object) -> NoReturn:
        """Raise: it was not awaited."""
        self._not_awaited()

    def __radd__(self, other: object) -> NoReturn:
        """Raise: it was not awaited."""
        self._not_awaited()

    def __str__(self) -> NoReturn:  # noqa: PLE0307 - it raises
        """Raise: it was not awaited."""
        self._not_awaited()

    def __format__(self, spec: str) -> NoReturn:
        """Raise: it was not awaited."""
        self._not_awaited()

    def __getattr__(self, name: str) -> object:
        """Raise: it was not awaited."""
        if name.startswith(("_", "cr_")):
            raise AttributeError(name)
        self._not_awaited()

    def __repr__(self) -> str:
        """Show what to write."""
        return f"<{self._name}(...) not awaited yet: write `await {self._name}(...)`>"


def request(prompt: object, system: object, model: object, schema: object, name: str = "prompt") -> dict[str, object]:
    """Check the arguments of a call; `name` is the prompt's. Raises TypeError or ValueError that names the argument."""
    made: dict[str, object] = {"prompt": text_of(name, prompt)}
    if system is not None:
        made["system"] = text_of("system", system)
    if model is not None:
        made["model"] = text_of("model", model)
    if schema is not None:
        made["schema"] = _schema(schema)
    return made


def requests(prompts: object, system: object, model: object, schema: object) -> list[dict[str, object]]:
    """Check the arguments of a batch. Raises TypeError or ValueError that names the argument."""
    if isinstance(prompts, str | bytes | Mapping) or not isinstance(prompts, Iterable):
        message = f"prompts must be a list of str, not {type(prompts).__name__}"
        raise TypeError(message)
    made = []
    for index, prompt in enumerate(prompts):
        if not isinstance(prompt, str):
            message = f"prompts[{index}] must be str, not {type(prompt).__name__}"
            raise TypeError(message)
        made.append(request(prompt, system, model, schema))
    return made


def attached(names: object, argument: str = "attachments") -> dict[str, object]:
    """The part of a request that names the files which go with its prompt. Raises TypeError that names the argument."""
    given = [names] if isinstance(names, str) else [] if names is None else names
    if not isinstance(given, list | tuple) or not all(isinstance(name, str) for name in given):
        message = f"{argument} must be a list of names of files (str), see `attachable`"
        raise TypeError(message)
    return {"attachments": [str.__str__(name) for name in given]} if given else {}


def all_attached(made: list[dict[str, object]], names: object) -> list[dict[str, object]]:
    """The requests of a batch with the files that go with each. Raises TypeError or ValueError that names the argument."""
    if names is None:
        return made
    if not isinstance(names, list | tuple) or len(names) != len(made):
        found = f"{len(names)} of them" if isinstance(names, list | tuple) else type(names).__name__
        message = (
            f"attachments must have one entry for each of the {len(made)} prompts, not {found}:"
            " a name, a list of names, or None; the same for all is [names] * len(prompts)"
        )
        raise ValueError(message)
    return [
        {**request, **attached(each, f"attachments[{at}]")} for at, (request, each) in enumerate(zip(made, names, strict=True))
    ]


def text_of(name: str, value: object) -> str:
    """A text that may be sent. Raises TypeError or ValueError that names the argument."""
    if not isinstance(value, str):
        message = f"{name} must be str, not {type(value).__name__}"
        raise TypeError(message)
    text = str.__str__(value)
    if not text.strip():
        message = f"{name} is empty"
        raise ValueError(message)
    if len(text) > MOST_PROMPT_CHARACTERS:
        message = f"{name} has {len(text):,} characters; at most {MOST_PROMPT_CHARACTERS:,} can be sent"
        raise ValueError(message)
    return text


def _schema(value: object) -> str:
    if isinstance(value, str):
        return text_of("schema", value)
    if isinstance(value, dict):
        return text_of("schema", encode(value))
    message = f"schema must be a JSON Schema (dict) or LLM's concise schema string, not {type(value).__name__}"
    raise TypeError(message)
