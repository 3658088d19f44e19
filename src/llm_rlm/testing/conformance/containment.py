"""Whether a hostile program came to nothing, and what that cost.

A program is contained if the host answers in time and grows within bounds, nothing of the host gets out, nothing is written, no
connection is made, what the root model is told is short and clear, and the next cell works: with the variables there were, or
with a word on which are gone.
"""

from __future__ import annotations

import os
import socket
import sys
import threading
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal, Self

import psutil

from llm_rlm.sandbox import MissingVariableError, NotAnAnswerError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from llm_rlm.sandbox import CellResult

    from .programs import Program
    from .subject import Sandbox

type Price = Literal["kept", "restored", "gone"]
"""What became of the variables: kept; made again, in a sandbox that had to be started anew; gone, and said to be."""

SECRET = "CANARY-" + "5e11f00d"
"""What must not get out. In two pieces, so that a search in the memory of the suite itself finds none."""

MOST_MEMORY = 700 << 20
"""Bytes by which the host may grow while a program runs."""

MOST_OUTPUT = 4096
"""Characters that a sandbox which is held to this may show of a cell."""

_LONGEST_NOTE = 1000
_VARIABLE = "OPENAI_API_KEY"
_BEFORE = "kept = list(range(300))\npaid = await llm_query('keep')"
_AFTER = "print(len(kept), paid, 1 + 1)"
_WELL = "300 re: keep 2\n"
_FAILED = "NameError: name 'kept_nowhere' is not defined\n"
_FAILING = "def fails():\n    return kept_nowhere\nfails()"
_LOOK_EVERY = 0.02


class Surroundings:
    """What a sandbox must leave alone: a file with a secret, a folder to be left as it is, a listener, the environment.

    To be entered before the sandbox is started.
    """

    def __init__(self, directory: Path) -> None:
        """`directory` is an empty folder."""
        self.directory = directory
        self._secret = directory / "canary.txt"
        self._environment: str | None = None

    def __enter__(self) -> Self:
        """Put the secret in the file and in the environment, and listen."""
        self._secret.write_text(SECRET, "utf-8")
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._listener.settimeout(0)
        self._environment = os.environ.get(_VARIABLE)
        os.environ[_VARIABLE] = SECRET
        return self

    def __exit__(self, *_: object) -> None:
        """Put the environment back, and stop listening."""
        self._listener.close()
        if self._environment is None:
            os.environ.pop(_VARIABLE, None)
        else:
            os.environ[_VARIABLE] = self._environment

    def fill(self, code: str) -> str:
        """Code with the placeholders of programs replaced."""
        values = {
            "CANARY_FILE": str(self._secret),
            "CANARY_FILE_REL": str(self._secret)[1:],
            "PWNED": str(self.directory / "PWNED"),
            "DIRECTORY": str(self.directory),
            "PORT": str(self._listener.getsockname()[1]),
        }
        for name, value in values.items():
            code = code.replace(f"{{{name}}}", value)
        return code

    def harm(self) -> Iterator[str]:
        """What is not as it was."""
        if [path.name for path in self.directory.iterdir()] != [self._secret.name]:
            yield "something was written on the host"
        if self._secret.read_text("utf-8") != SECRET:
            yield "the secret was changed"
        with suppress(BlockingIOError):
            self._listener.accept()[0].close()
            yield "a connection was made"


@dataclass(frozen=True)
class Containment:
    """What came of a program."""

    program: Program
    result: CellResult
    """Of the program itself."""
    price: Price
    over: float
    """Seconds from the end of the cell's time to its result, a new start of the sandbox included; 0.0 if it was sooner."""
    grown: int
    """Bytes that the host had at most more than before."""
    problems: tuple[str, ...]
    """What was not contained: nothing, if all is well."""


def contain(sandbox: Sandbox, program: Program, around: Surroundings, limit: float) -> Containment:
    """Run a program in a sandbox that is new, and look whether it came to nothing. `limit` is the sandbox's own, in seconds."""
    before = sandbox.run_cell(1, _BEFORE)
    started = time.monotonic()
    with _Growth() as growth:
        result = sandbox.run_cell(2, around.fill(program.code))
    over = max(0.0, time.monotonic() - started - limit)
    after = [sandbox.run_cell(3, _AFTER), sandbox.run_cell(4, _FAILING)]
    price = _price(result, after[0])
    problems = [
        *([f"the cell before it failed: {before.output}"] if before.outcome != "ok" else []),
        *([f"the host grew by {growth.most:,} bytes"] if growth.most > MOST_MEMORY else []),
        *_of_telling(result),
        *_of_the_next(after, price),
        *([] if price == "gone" else _of_the_value(sandbox)),
        *around.harm(),
    ]
    return Containment(program, result, price, over, growth.most, tuple(problems))


def _price(result: CellResult, after: CellResult) -> Price:
    lost = result.outcome == "lost" or any("was ended" in note for note in after.notes)
    if "NameError" in after.output and any("gone" in note for note in (*result.notes, *after.notes)):
        return "gone"
    return "restored" if lost else "kept"


def _of_telling(result: CellResult) -> Iterator[str]:
    """What is wrong with what the root model is told."""
    told = "\n".join((result.output, *result.notes, *map(str, result.variables)))
    if found := next((text for text in (SECRET, *_ours()) if text in told), None):
        yield f"{found!r} got out"
    if len(result.output) > MOST_OUTPUT + _LONGEST_NOTE:
        yield f"{len(result.output):,} characters were shown"
    lines = (*result.notes, *map(str, result.variables))
    if unclear := next((line for line in lines if not line.isprintable() or len(line) > _LONGEST_NOTE), None):
        yield f"not one clear line: {unclear[:200]!r}"
    last = result.output.rstrip("\n").rpartition("\n")[2]
    if result.outcome == "timeout" and not last.startswith("TimeoutError: "):
        yield f"it was stopped, and this was said: {last[:200]!r}"
    if result.outcome == "lost" and not any("was ended" in note for note in result.notes):
        yield "the sandbox was ended, and nobody said so"


def _ours() -> tuple[str, ...]:
    """Texts that show how the host is made."""
    return (str(Path(__file__).parents[2]), sys.prefix, "wasmtime", "wasm backtrace")


def _of_the_next(after: Sequence[CellResult], price: Price) -> Iterator[str]:
    working, failing = after
    if price != "gone" and _WELL not in working.output:  # before and after it comes what tasks have printed
        yield f"the next cell showed {working.output[:500]!r}"
    if "in fails\n    return kept_nowhere" not in failing.output or not failing.output.endswith(_FAILED):
        yield f"a cell with an error showed {failing.output[-500:]!r}"


def _of_the_value(sandbox: Sandbox) -> Iterator[str]:
    try:
        value = sandbox.value("kept").value
    except (MissingVariableError, NotAnAnswerError) as problem:
        yield f"a variable could not be had: {problem!r}"
    else:
        if value != list(range(300)):
            yield f"a variable had another value: {value!r:.200}"


class _Growth:
    """Looks, while it is entered, by how much this process grows."""

    def __enter__(self) -> Self:
        self._process = psutil.Process()
        self._before = self._process.memory_info().rss
        self.most = 0
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._look)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._done.set()
        self._thread.join()

    def _look(self) -> None:
        while not self._done.wait(_LOOK_EVERY):
            self.most = max(self.most, self._process.memory_info().rss - self._before)
