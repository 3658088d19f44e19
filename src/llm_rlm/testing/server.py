"""A scripted OpenAI-compatible server on loopback.

A script is a plain function from the `Request` that arrived to the `Reply` to send. The server
speaks `POST /v1/chat/completions` and `POST /v1/responses`, streaming and not, and
`GET /v1/models`:

    with ScriptedServer(lambda request: say("hello")) as server:
        model = Chat(model_id="m", model_name="m", api_base=server.url)

By hand: `python -m llm_rlm.testing.server --script echo`, and with `--fault-share 0.3` to have
faults in it (see `llm_rlm.testing.Faulty`).
"""

import asyncio
import contextlib
import json
import socket
import sys
import threading
import time
from collections import deque
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Self

from . import wire
from .exchange import Request, Script

HOST = "127.0.0.1"
_BACKLOG = 2048
_READ_LIMIT = 1024 * 1024


class ScriptedServer:
    """An OpenAI-compatible HTTP/1.1 server on 127.0.0.1, in a thread of its own.

    Use it as a context manager. `script` is called in the server's thread, one request at a time,
    and must not block. `delay` is the seconds between having read a request and answering it.
    `keep` bounds `requests`: the oldest are forgotten, 0 keeps none. `port` 0 picks a free one.

    `unread` drops requests that certainly were not handled: it is called with the number of each
    request to the two APIs, from 0 in the order they arrive, and where it is true the connection
    is closed with the head read, the body not, and the script not called. It runs in the server's
    thread and must not block.

    A script (or `unread`) that raises has its connection closed unanswered, and the first such
    exception is raised again on leaving the context. Entering raises `OSError` if the port cannot
    be had.
    """

    def __init__(
        self,
        script: Script,
        *,
        delay: float = 0.0,
        keep: int = 10_000,
        port: int = 0,
        unread: Callable[[int], bool] | None = None,
    ) -> None:
        """Prepare the server; nothing listens until the context is entered."""
        self._script = script
        self._unread = unread
        self._arrived = 0
        self._dropped = 0
        self._delay = delay
        self._port = port
        self._recorded: deque[Request] = deque(maxlen=keep)
        self._lock = threading.Lock()
        self._count = 0
        self._in_flight = 0
        self._peak = 0
        self._model_ids: list[str] = []
        self._connections: dict[asyncio.Task[None], asyncio.StreamWriter] = {}
        self._failures: list[BaseException] = []
        self._bound: int | None = None
        self._exit = contextlib.ExitStack()

    @property
    def url(self) -> str:
        """The base URL for clients, like "http://127.0.0.1:PORT/v1".

        Raises `RuntimeError` when the server is not running.
        """
        if self._bound is None:
            msg = "the server is not running"
            raise RuntimeError(msg)
        return f"http://{HOST}:{self._bound}/v1"

    @property
    def requests(self) -> list[Request]:
        """A copy of the requests given to the script, in the order they arrived."""
        with self._lock:
            return list(self._recorded)

    @property
    def count(self) -> int:
        """How many requests were given to the script."""
        return self._count

    @property
    def dropped(self) -> int:
        """How many requests were dropped because `unread` said so; `count` leaves them out."""
        return self._dropped

    @property
    def peak(self) -> int:
        """The highest number of requests that were being answered at once."""
        return self._peak

    def write_models_yaml(self, directory: Path, *model_ids: str, responses: bool = False, **extra: object) -> Path:
        """Add models at this server to `directory`/extra-openai-models.yaml; returns its path.

        `directory` is what LLM_USER_PATH names, and is made if need be. `extra` are further JSON
        values for each entry, replacing the defaults. A file that is there already is appended
        to and must hold a list with its dashes in the first column.
        """
        shared = {"api_base": self.url, "supports_tools": True, "supports_schema": True}
        shared |= {"responses": True} if responses else {}
        entries = [{"model_id": name, "model_name": name} | shared | extra for name in model_ids]
        directory.mkdir(parents=True, exist_ok=True)
        path = directory / "extra-openai-models.yaml"
        before = path.read_text(encoding="utf-8") if path.exists() else ""
        before += "\n" if before and not before.endswith("\n") else ""
        # JSON is YAML, so an entry needs no YAML library.
        lines = [f"- {json.dumps(entry, ensure_ascii=False)}\n" for entry in entries]
        path.write_text(before + "".join(lines), encoding="utf-8")
        self._model_ids.extend(model_ids)
        return path

    def __enter__(self) -> Self:
        """Listen, and serve in the background."""
        # Bound here so that a failure is raised here and the port is known at once.
        listener = socket.create_server((HOST, self._port), backlog=_BACKLOG)
        self._bound = listener.getsockname()[1]
        loop = asyncio.new_event_loop()
        stop = asyncio.Event()
        thread = threading.Thread(target=self._run, args=(loop, listener, stop), name="scripted-server", daemon=True)
        thread.start()
        self._exit.callback(thread.join)
        self._exit.callback(loop.call_soon_threadsafe, stop.set)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Close every connection, end the thread, and raise what the script raised."""
        self._exit.close()
        self._bound = None
        if self._failures and error is None:
            raise self._failures[0]

    def _run(self, loop: asyncio.AbstractEventLoop, listener: socket.socket, stop: asyncio.Event) -> None:
        with asyncio.Runner(loop_factory=lambda: loop) as runner:
            runner.run(self._serve(listener, stop))

    async def _serve(self, listener: socket.socket, stop: asyncio.Event) -> None:
        # asyncio sets TCP_NODELAY on every accepted connection itself.
        server = await asyncio.start_server(self._connected, sock=listener, limit=_READ_LIMIT, backlog=_BACKLOG)
        await stop.wait()
        # Stop accepting, but close the server last: a connection that asyncio is just setting up
        # would be lost unclosed. Those have tasks of asyncio's own, and turn up in a moment.
        asyncio.get_running_loop().remove_reader(listener.fileno())
        while others := asyncio.all_tasks() - {asyncio.current_task()}:
            for task, writer in self._connections.items():
                writer.transport.abort()
                task.cancel()
            await asyncio.wait(others)
        server.close()
        await server.wait_closed()

    def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        # Not left to asyncio, which mishandles the cancelling of its tasks before Python 3.12.2.
        task = asyncio.get_running_loop().create_task(self._connection(reader, writer))
        self._connections[task] = writer
        task.add_done_callback(self._disconnected)

    def _disconnected(self, task: asyncio.Task[None]) -> None:
        del self._connections[task]
        if not task.cancelled() and (error := task.exception()):
            self._failures.append(error)

    async def _connection(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            # These three are how a client that went away, or talks nonsense, shows itself.
            with contextlib.suppress(EOFError, OSError, asyncio.LimitOverrunError):
                while await self._exchange(reader, writer):
                    pass
        finally:
            await _close(writer)

    async def _exchange(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        """Read one request and answer it; false when the connection is to be closed."""
        try:
            head = wire.parse_head(await reader.readuntil(wire.HEAD_END))
            if head.route in wire.APIS and self._drops():
                return False
            body = await wire.read_body(head, reader, writer)
            if head.route == "GET /v1/models":
                writer.write(wire.models(self._model_ids or ["scripted"]))
                return head.keep_alive
            request = wire.read_request(head, body)
        except wire.RefusedError as refusal:
            writer.write(wire.refuse(refusal))
            return False
        return await self._perform(request, reader, writer) and head.keep_alive

    def _drops(self) -> bool:
        number = self._arrived
        self._arrived += 1
        if self._unread is None or not self._unread(number):
            return False
        self._dropped += 1
        return True

    async def _perform(self, request: Request, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        self._begin(request)
        try:
            reply = self._script(request)
            if reply.fault == "stall":
                await _until_gone(reader)
                return False
            data, keep_alive = wire.answer(request, reply)
            await _sleep_until(request.started + _first(reply.delay, self._delay))
            writer.write(data)
            await writer.drain()
            return keep_alive
        finally:
            self._in_flight -= 1

    def _begin(self, request: Request) -> None:
        with self._lock:
            self._recorded.append(request)
        self._count += 1
        self._in_flight += 1
        self._peak = max(self._peak, self._in_flight)


def _first(given: float | None, default: float) -> float:
    return default if given is None else given


async def _sleep_until(moment: float) -> None:
    if (seconds := moment - time.monotonic()) > 0:
        await asyncio.sleep(seconds)


async def _until_gone(reader: asyncio.StreamReader) -> None:
    while await reader.read(_READ_LIMIT):
        pass


async def _close(writer: asyncio.StreamWriter) -> None:
    writer.close()
    with contextlib.suppress(OSError):
        await writer.wait_closed()


if __name__ == "__main__":
    # The importable module, so that scripts and the server share one set of classes.
    from llm_rlm.testing.command import main

    sys.exit(main())
