"""The REPL loop in the guest: takes frames from the host, runs cells, sends what they show and ask for."""

from __future__ import annotations

import asyncio
import builtins
import gc
import inspect
import io
import sys
import threading
import time
import traceback
from codecs import utf_8_decode
from types import FunctionType
from typing import TYPE_CHECKING, Any, NoReturn, Protocol

from . import asking, awaits, calls, clock, dialects, dice, functions, helpers, lazytext, mapping, runs, source, together
from .jsontext import decode, encode
from .output import Output, Stream
from .results import LLMError, Mapped, Response

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator
    from types import CodeType

PIECE = 4_000_000
"""Characters of a long text that go in one frame."""

_PIECE_BYTES = 1 << 20
_MOST_ANSWER = 1 << 28
_SHOWN_WHOLE = 1_000_000
_MOST_BETWEEN = 2000
_MOST_VARIABLES = 40
_LONGEST_NAME = 100
_TIME_TO_REPORT = 0.1
"""Seconds in which an exception's own methods may say what it is, though the cell's time may be up."""
_MOST_QUOTES = 200
_LONGEST_QUOTE = 20_000
_SIZED = (str, bytes, bytearray, list, tuple, dict, set, frozenset)
_PLAIN = (*_SIZED, int, float, bool, complex, type(None))
_PRISTINE = dict(vars(builtins))
_type_name = vars(type)["__name__"].__get__
_create_task = asyncio.create_task
_pause = asyncio.sleep


class Host(Protocol):
    """The two ways out of the guest."""

    def send(self, frame: bytes) -> None:
        """Hand a frame to the host, in order."""

    async def receive(self) -> str:
        """Wait for frames from the host: a JSON list."""


class Driver:
    """One session: its namespace, the cell that runs, the calls that wait."""

    def __init__(self, host: Host) -> None:
        """Make a session; nothing is sent yet."""
        self._host = host
        self._stream = Stream(lambda: self._output)
        self._between: list[str] = []
        self._output = self._output_between_cells()
        self._clock = clock.Clock(float("inf"))
        self._dice = dice.Dice("")
        self._cell: asyncio.Task[None] | None = None
        self._stop: str | None = None
        self._known: dict[str, tuple[int, int | None]] = {}
        self._budget: dict[str, object] = {}
        self._touched: list[int] = []
        """Texts that were read ahead and touched, which the host does not know yet."""
        self._answered = 0
        self._replaying = False
        self.calls = calls.Calls(self._send)
        self.namespace: dict[str, Any] = {"__name__": "__main__", "__builtins__": builtins}
        self._dialects = dialects.Dialects(self, self._submit)
        self._initial: dict[str, object] = {}
        self._given: dict[str, object] = {}
        self._made_async: set[tuple[str, str, int]] = set()
        self.mend: Callable[[], None] = lambda: None
        """Puts back what a cell may have broken in the modules that the driver relies on."""

    def start(self, setup: dict[str, Any]) -> None:
        """Put the context and the functions in the namespace.

        `setup` is what `Offer.in_guest` holds, the `seed` of `random`, the `window` that answers of the host are read from, and
        whether cells may have `children`.
        """
        self._dice = dice.Dice(str(setup["seed"]))
        self._map_prompt = str(setup["map"])
        self._asker = asking.Asker(str(setup["window"]), self._send, self._stop_from_host)
        self._watch = self._asker.watcher()
        helping = helpers.Helpers(self._asker, self._touched.append)
        self.namespace["context"] = _load_context(setup, helping)
        below = runs.Runs(self.calls, self.namespace["context"], self._stream.write, children=setup["children"])
        self.namespace.update(
            llm_query=self._llm_query,
            llm_batch=self._llm_batch,
            rlm_query=below.query,
            rlm_query_batch=below.batch,
            llm_map=self._llm_map,
            grep=helping.grep,
            search=helping.search,
            chunks=helping.chunks,
            sql=helping.sql,
            submit=self._submit,
            budget=self._left,
            LLMError=LLMError,
            HelperError=asking.HelperError,
        )
        if setup.get("attachable"):
            self.namespace["attachable"] = setup["attachable"]
        users = {spec["name"]: functions.made(spec, self.calls) for spec in setup.get("functions", ())}
        self.namespace.update(users)
        if setup["size"] > lazytext.MOST_COUNTED:
            self.namespace["len"] = lazytext.length
        self.namespace.update(self._dialects.names())
        # Not the context: a cell that puts something else in its place is to free it.
        self._initial = {name: value for name, value in self.namespace.items() if name != "context"}
        asking_host = (*awaits.FUNCTIONS, *users)
        self._given = {name: self.namespace[name] for name in asking_host if name in self.namespace}
        main = sys.modules["__main__"].__dict__
        main.pop("__file__", None)
        # What cells define is found in `__main__` too: pickle looks there.
        main["__getattr__"] = self._get_of_main
        gc.freeze()

    async def run(self) -> None:
        """Take frames until the host closes the session. The first is the setup: it may come long after the guest is up."""
        setup, *others = decode(await self._host.receive())
        self.start(setup)
        self._send({"t": "ready"})
        for frame in others:
            self._take(frame)
        while True:
            for frame in decode(await self._host.receive()):
                self._take(frame)

    def give_up(self, reason: str) -> None:
        """Tell the host that the session itself is broken."""
        self._send({"t": "broken", "reason": reason})

    # Frames

    def _take(self, frame: dict[str, Any]) -> None:
        match frame["t"]:
            case "replies":
                self._budget = frame["budget"]
                self.calls.settle(frame["replies"])
            case "cell":
                self._budget = frame["budget"]
                self._answered, self._replaying = frame["known"], frame["replay"]
                self._begin(frame)
            case "stop" if self._cell is not None:
                self._stop = frame["why"]
                self._clock.expire()
                self._cell.cancel()
            case "value":
                self._send_value(frame["name"])

    def _send(self, frame: dict[str, object]) -> None:
        """Send a frame; before it, which texts were touched: what leaves the guest may rest on them."""
        if self._touched:
            self._host.send(encode({"t": "touched", "documents": self._touched}).encode("ascii"))
            self._touched.clear()
        self._host.send(encode(frame).encode("ascii"))

    def _send_output(self, text: str) -> None:
        self._send({"t": "out", "text": text})

    def _output_between_cells(self) -> Output:
        """Takes what tasks print while no cell runs; the next cell shows it."""
        return Output(_MOST_BETWEEN, self._between.append)

    def _send_text(self, frame: str, text: str, **more: object) -> None:
        """Send a text of any length: in pieces, the last of which carries `more`."""
        for start in range(0, max(1, len(text)), PIECE):
            last = start + PIECE >= len(text)
            self._send({"t": frame, "text": text[start : start + PIECE], "last": last, **(more if last else {})})

    # Cells

    def _begin(self, frame: dict[str, Any]) -> None:
        self._stop = None
        self._cell = _create_task(self._run_cell(frame))

    async def _run_cell(self, frame: dict[str, Any]) -> None:
        key = frame["key"]
        self._send({"t": "begun", "key": key})
        self._start_output(frame["output"])
        self._clock = self._asker.clock = clock.Clock(frame["limit"], self._watch(key))
        self.mend()
        self._restore()
        error = await self._outcome(frame["code"], f"<cell {frame['n']}>")
        if error == "timeout":
            self._dice.take_back()
        self.calls.flush()
        self._cell = None
        running = self._clock.running()
        self._clock = clock.Clock(float("inf"))
        self._restore()
        done, self._output = self._output, self._output_between_cells()
        done.flush()
        if frame["value"] is not None:
            self._send_value(frame["value"])
        self._send(
            {
                "t": "done",
                "key": key,
                "error": error,
                "tail": done.tail(),
                "total": done.total,
                "running": running,
                "variables": self._news(),
            }
        )

    def _start_output(self, limit: int) -> None:
        self._output.flush()
        late, self._between[:] = "".join(self._between), []
        self._output = Output(limit, self._send_output)
        self._stream.write(late)

    async def _outcome(self, code: str, name: str) -> str | None:
        """Run a cell and say how it ended: None if well."""
        problem: BaseException | None = None
        mend = self.mend  # held here: a cell may empty the driver itself
        try:
            self._dice.begin_cell(code)
            cell = source.compile_cell(code, name, self._awaitable())
            self._made_async.update((name, function, line) for function, line in cell.made_async)
            await self._execute(cell)
            self._dialects.end_cell()
        except BaseException as raised:  # noqa: BLE001 - whatever a cell raises is its result
            problem = raised
        mend()
        # Before any other call: a tracer that the cell left may raise, which removes it, once for each kind.
        for _ in ("profiler", "tracer", "none"):
            try:
                sys.setprofile(None)
                sys.settrace(None)
            except BaseException:  # noqa: BLE001, S112 - whatever the cell's tracer raises
                continue
        try:
            return self._report(problem) if problem is not None else None
        finally:
            del problem  # else its traceback keeps it, and all that the cell's frames hold

    def _awaitable(self) -> awaits.Known:
        """The names whose calls are to be awaited: of the session's own functions, and of plain ones made async."""
        named = [(name, value) for name, value in self.namespace.items() if type(name) is str]
        own = {id(function) for function in self._given.values()}
        return awaits.Known(
            session=frozenset(name for name, value in named if id(value) in own),
            made=frozenset(name for name, value in named if self._is_made_async(value)),
            executors=frozenset(name for name, value in named if type(value) is together.Executor),
            futures=together.Executor.any_made,
        )

    def _is_made_async(self, value: object) -> bool:
        if type(value) is not FunctionType:
            return False
        code = value.__code__
        return (code.co_filename, code.co_name, code.co_firstlineno) in self._made_async

    async def _execute(self, cell: source.Cell) -> None:
        if cell.body is not None:
            await self._evaluate(cell.body)
        if cell.last is not None:
            value = await self._evaluate(cell.last)
            if isinstance(value, calls.NotAwaited):
                value = await value
            if value is not None:
                self.namespace["_"] = value
                self._stream.write(_shown(value) + "\n")
        await _pause(0)  # tasks that the cell has made begin: what they ask is asked by it

    async def _evaluate(self, code: CodeType) -> object:
        value = FunctionType(code, self.namespace)()
        return await value if code.co_flags & inspect.CO_COROUTINE else value

    def _report(self, problem: BaseException) -> str:
        """Print what went wrong, as a REPL does, and say of what kind it is."""
        if isinstance(problem, clock.CellTimeoutError | asyncio.CancelledError) and self._stop is not None:
            outcome, last_line = "timeout", f"TimeoutError: {self._stop}"
        elif isinstance(problem, clock.CellTimeoutError):
            outcome, last_line = "timeout", f"TimeoutError: {problem}"
        else:
            outcome, last_line = "exit" if isinstance(problem, SystemExit) else "error", None
        self._clock.extend(_TIME_TO_REPORT)
        try:
            text = _exit(problem) if isinstance(problem, SystemExit) else _format(problem, last_line)
        except BaseException as broken:  # noqa: BLE001 - the exception's own methods may raise anything
            text = f"{_name(problem)} (it cannot be shown: {_name(broken)})\n"
        self._stream.write(text + self._advice(problem))
        return outcome

    def _advice(self, problem: BaseException) -> str:
        """What to write where something was used that has not been awaited."""
        if type(problem) not in {TypeError, AttributeError}:
            return ""
        message = str(problem)
        if "NotAwaited" in message:
            return f"A call was not awaited: write `await llm_query(...)`{calls.IN_A_FUNCTION}\n"
        if "coroutine" in message and self._made_async:
            names = ", ".join(sorted({function for _, function, _ in self._made_async}))
            return f"Functions that call a model are async here ({names}): write `await` before their calls\n"
        return ""

    def _restore(self) -> None:
        """Undo what a cell may have broken for everyone."""
        vars(builtins).update(_PRISTINE)
        for name in [name for name in vars(builtins) if name not in _PRISTINE]:
            delattr(builtins, name)
        for stand_in, function in _STAND_INS.items():
            setattr(builtins, stand_in, function)
        self._clock.arm()
        self.namespace["__builtins__"] = builtins
        sys.settrace(None)
        sys.setprofile(None)
        sys.setrecursionlimit(1000)
        sys.stdin = sys.__stdin__ = io.StringIO()  # type: ignore[misc, assignment]
        sys.stdout = sys.stderr = sys.__stdout__ = sys.__stderr__ = self._stream  # type: ignore[assignment, misc]
        sys.unraisablehook = self._report_unraisable
        sys.addaudithook = _refuse_audit_hook  # type: ignore[assignment]
        time.sleep = self._sleep  # type: ignore[assignment]
        asyncio.run = _refuse_run
        threading.Thread.start = together.refuse_thread  # type: ignore[method-assign]
        together.stand_in()

    def _stop_from_host(self, why: str) -> NoReturn:
        """End the cell: the host has, while it was asked something."""
        self._stop = why
        self._clock.expire()
        raise clock.CellTimeoutError(why)

    def _sleep(self, seconds: float) -> None:
        self._clock.sleep(seconds)

    def _news(self) -> list[list[object]]:
        """The variables that are new or have another size, as name, type and length."""
        known, self._known = self._known, {}
        news: list[list[object]] = []
        for name, value in self._variables():
            size = _length(value)
            self._known[name] = (id(value), size)
            if known.get(name) != self._known[name] and issubclass(type(value), _PLAIN):
                news.append([name[:_LONGEST_NAME], _name(value), size])
        return news[:_MOST_VARIABLES]

    def _variables(self) -> Iterator[tuple[str, object]]:
        """What cells have made: names that they found there are theirs once they stand for something else."""
        for name, value in self.namespace.items():
            if _is_users(name) and name != "context" and not (name in self._initial and self._initial[name] is value):
                yield name, value

    def names(self) -> list[str]:
        """The names of the variables that cells have made; of many, the last."""
        return [name[:_LONGEST_NAME] for name, _ in self._variables()][-_MOST_VARIABLES:]

    def described(self) -> Iterator[str]:
        """Each of those variables with its type and length."""
        for name, value in self._variables():
            size = _length(value)
            yield f"{name[:_LONGEST_NAME]}: {_name(value)}" + (f"[{size}]" if size is not None else "")

    def show(self, text: str) -> object:
        """Show a text as if the cell had printed it."""
        return self._stream.write(text)

    # The event loop

    def park(self) -> None:
        """Nothing is left to do until the host calls: send what a cell asked, and stop counting.

        What tasks ask while no cell runs is sent by the next cell: the host refuses calls of none.
        """
        if self._cell is not None:
            self.calls.flush()
        self._output.flush()
        self._clock.park()

    def wake(self) -> None:
        """The host called."""
        self._clock.wake()

    def report(self, text: str) -> None:
        """Show what went wrong in a task that nobody awaits."""
        self._stream.write(text)

    def _report_unraisable(self, unraisable: Any) -> None:  # noqa: ANN401 - its class has no public name
        """Show what went wrong where nobody can catch it, in a `__del__` say."""
        if unraisable.exc_value is not None:
            self._stream.write("Exception ignored:\n" + _format(unraisable.exc_value, None))

    # Functions for cells

    def _llm_query(
        self,
        prompt: object,
        *,
        system: object = None,
        model: object = None,
        schema: object = None,
        attachments: object = (),
    ) -> calls.NotAwaited:
        """Ask a model: `r = await llm_query("Summarize: " + text)`, then `r["response"]`, or `r` as text.

        `attachments` are names of files in `attachable` that go with the prompt.
        """
        made = {**calls.request(prompt, system, model, schema), **calls.attached(attachments)}
        return calls.NotAwaited("llm_query", lambda: self.calls.ask(made))

    def _llm_batch(
        self,
        prompts: object,
        *,
        system: object = None,
        model: object = None,
        schema: object = None,
        attachments: object = None,
    ) -> calls.NotAwaited:
        """Ask a model many things side by side: `rs = await llm_batch(prompts)`, then `rs["responses"]`.

        `attachments` has an entry for each prompt: a name of a file in `attachable`, a list of such, or None.
        """
        made = calls.all_attached(calls.requests(prompts, system, model, schema), attachments)
        return calls.NotAwaited("llm_batch", lambda: self.calls.ask_all(made))

    def _llm_map(  # noqa: PLR0913 - the signature that cells are promised
        self,
        items: object,
        instruction: object,
        *,
        labels: object = None,
        schema: object = None,
        votes: object = 1,
        per_call: object = None,
        system: object = None,
        model: object = None,
    ) -> calls.NotAwaited:
        """A result for each item: `rs = await llm_map(lines, "Which tone has it?", labels=["good", "bad"])`; `rs.counts()`.

        Items go several to a prompt, numbered; what does not come back is asked again. With `votes=2` each is looked at twice,
        and where that differs once more: `rs.disagreements`. `rs.errors` are the items that got no result.
        """
        terms, texts = mapping.terms(labels, schema, votes, per_call), mapping.texts(items)
        made = calls.request(instruction, system, model, terms.wanted, "instruction")
        mapper = mapping.Mapper(self.calls.ask_all, self._map_prompt, made, terms, texts)

        async def work() -> Mapped:
            mapper.check(self._room())
            return await mapper.run()

        return calls.NotAwaited("llm_map", work)

    def _room(self) -> float | None:
        """How many calls the running cell can still have answered; None where nothing limits them.

        What it has asked when it ran before is there already; where it runs again only for its variables, there is no more.
        """
        left = self._budget.get("calls")
        if self._replaying:
            return self._answered
        return left + self._answered if isinstance(left, int | float) else None

    def _submit(self, answer: object, quotes: object = ()) -> None:
        """Give the final answer, any value that is text or JSON. The run ends after this cell.

        `quotes` are strings copied from `context` that the answer rests on.
        """
        kind, text = _as_answer(self._dialects.meant(answer))
        self._send_text("submit", text, kind=kind, quotes=_as_quotes(quotes))

    def _left(self) -> dict[str, object]:
        """What is left of `calls`, `turns`, `seconds`, `tokens` and `cost` (USD); None means no limit."""
        return dict(self._budget)

    def _get_of_main(self, name: str) -> object:
        try:
            return self.namespace[name]
        except KeyError:
            raise AttributeError(name) from None

    def _send_value(self, name: str) -> None:
        self.mend()
        self._restore()
        try:
            missing = name not in self.namespace or name.startswith("__")
            if missing or self._dialects.is_unused(self.namespace[name]):
                self._send_text("value", "", error="missing", names=self.names())
                return
            kind, text = _as_answer(self._dialects.meant(self.namespace[name]))
        except Exception as problem:  # noqa: BLE001 - a value may do anything while it is turned into text
            self._send_text("value", "", error=f"{type(problem).__name__}: {problem}"[:500], names=[])
        else:
            self._send_text("value", text, kind=kind)


def _load_context(setup: dict[str, Any], helping: helpers.Helpers) -> object:
    if setup["kind"] == "none":
        return None
    if setup["kind"] in {"many", "large"}:
        return helping.context(setup["kind"], setup["size"])
    text = _read(setup["path"], setup["size"])
    return decode(text) if setup["kind"] == "json" else text


def _read(path: str, size: int) -> str:
    """Read `size` bytes of text in pieces. Raises OSError if there are fewer.

    For a large file this takes less than half the time and memory of reading it whole. Pieces of one size leave the heap so
    that the text at its end can grow in place.
    """
    text, rest, left = "", b"", size
    with open(path, "rb", buffering=0) as file:  # noqa: PTH123 - pathlib is slow to import in the guest
        while left and (piece := file.read(min(left, _PIECE_BYTES))):
            left -= len(piece)
            if rest:
                piece = rest + piece
            part, used = utf_8_decode(piece, "replace", False)  # noqa: FBT003 - takes no keywords
            rest = piece[used:]
            text += part
    if left:
        message = f"the input is {left:,} bytes shorter than it was when the run began"
        raise OSError(message)
    return text + rest.decode("utf-8", "replace")


def _is_users(name: object) -> bool:
    """Whether a name in the namespace is one that cells made; a cell can put anything there."""
    return type(name) is str and not name.startswith("_")


def _name(value: object) -> str:
    """The name of a value's type, whatever its metaclass says."""
    return str.__str__(_type_name(type(value)))[:_LONGEST_NAME]


def _length(value: object) -> int | None:
    """The length of a value of a built-in type or of a text, without running any method that a cell wrote."""
    if issubclass(type(value), str):
        return str.__len__(value)  # type: ignore[arg-type]
    if issubclass(type(value), list):
        return list.__len__(value)  # type: ignore[arg-type]
    return len(value) if type(value) in _SIZED else None  # type: ignore[arg-type]


def _shown(value: object) -> str:
    """`repr`, but without a second copy of a huge text."""
    if isinstance(value, str | bytes) and type(value) in {str, bytes, Response} and len(value) > _SHOWN_WHOLE:
        return f"{value[:_SHOWN_WHOLE]!r}... ({len(value):,} in all)"
    return repr(value)


def _as_answer(value: object) -> tuple[str, str]:
    """The value as `text`, or as `json`. Raises TypeError or ValueError for what is neither."""
    if value is None:
        message = "the answer is None"
        raise ValueError(message)
    kind, text = ("text", str.__str__(value)) if isinstance(value, str) else ("json", encode(value))
    if len(text) > _MOST_ANSWER:
        message = f"the answer has {len(text):,} characters; at most {_MOST_ANSWER:,} can be given"
        raise ValueError(message)
    return kind, text


def _as_quotes(quotes: object) -> list[str]:
    """Quotes as plain text. Raises TypeError for what is not a list of str, ValueError for too many."""
    given = [quotes] if isinstance(quotes, str) else list(quotes) if isinstance(quotes, list | tuple) else [quotes]
    for quote in given:
        if not isinstance(quote, str):
            message = f"quotes must be a list of str copied from the context, not of {type(quote).__name__}"
            raise TypeError(message)
    if len(given) > _MOST_QUOTES:
        message = f"{len(given)} quotes; at most {_MOST_QUOTES} can be given"
        raise ValueError(message)
    return [str.__str__(quote)[:_LONGEST_QUOTE] for quote in given]


def _format(problem: BaseException, last_line: str | None) -> str:
    """The traceback without the driver's own frames."""
    shown = traceback.TracebackException(type(problem), problem, problem.__traceback__, compact=True)
    parts = [shown]
    for part in parts:
        part.stack[:] = [frame for frame in part.stack if not frame.filename.startswith("<rlm ")]
        parts += [other for other in (part.__cause__, part.__context__, *(part.exceptions or ())) if other is not None]
    if last_line is None:
        return "".join(shown.format())
    lines = ["Traceback (most recent call last):\n", *shown.stack.format()] if shown.stack else []
    return "".join(lines) + last_line + "\n"


def suggest_nothing_that_fails() -> None:
    """Have a traceback say no other name where looking for one fails, as it does over names that are no proper text."""
    suggest = traceback._compute_suggestion_error  # type: ignore[attr-defined]

    def suggestion(*arguments: object) -> object:
        try:
            return suggest(*arguments)
        except BaseException:  # noqa: BLE001 - it looks at what a cell has put in its namespace, and imports by a cell's finders
            return None

    traceback._compute_suggestion_error = suggestion  # type: ignore[attr-defined]


def _exit(problem: SystemExit) -> str:
    return f"SystemExit: {problem.code} (the session and its variables go on)\n"


async def _run(work: Awaitable[object], **_: object) -> object:
    """What `asyncio.run(work)` means in a session whose event loop already runs."""
    return await work


_STAND_INS = {awaits.RUN: _run, awaits.TOGETHER: together.together, awaits.FINISHED: together.finished}
"""What the code that is put into cells calls."""


def _refuse_run(*_: object, **__: object) -> NoReturn:
    message = (
        "asyncio.run() cannot be called inside a plain function here: the session already runs an event loop. "
        "Make the function `async def` and `await` it"
    )
    raise RuntimeError(message)


def _refuse_audit_hook(*_: object) -> NoReturn:
    message = "audit hooks cannot be set in this sandbox"
    raise RuntimeError(message)


def hide_task(task: asyncio.Task[Any]) -> None:
    """Keep `asyncio.all_tasks` from showing the driver's own task, so that a cell that cancels all does not end it."""
    all_tasks = asyncio.all_tasks

    def others(loop: asyncio.AbstractEventLoop | None = None) -> set[asyncio.Task[Any]]:
        return {other for other in all_tasks(loop) if other is not task}

    asyncio.all_tasks = others
    asyncio.tasks.all_tasks = others
