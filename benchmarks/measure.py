"""Run one system once against the scripted server, and keep what was seen of it: at the server, in /proc, and by itself."""

import json
import os
import platform
import subprocess
import sys
import tempfile
import threading
import time
from contextlib import ExitStack
from dataclasses import dataclass, field
from itertools import count, pairwise
from pathlib import Path
from statistics import median
from typing import Self

HERE = Path(__file__).parent
_POLL = 0.05
_numbers = count(1)


class NotRunError(Exception):
    """A system could not do this. The text says why."""


@dataclass(frozen=True)
class Side:
    """One system."""

    name: str
    environment: str
    script: str
    form: str
    """How its cells are written: a name that `script.py` knows."""
    variables: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Scenario:
    """What the scripted root model does."""

    kind: str
    count: int
    sub_delay: int = 0
    """Milliseconds that each sub-call takes."""


@dataclass(frozen=True)
class Observed:
    """One run. Times are seconds on the system's monotonic clock, memory is bytes."""

    spawned: float
    itself: dict
    requests: list[dict]
    inner_peak: int | None
    """Peak memory of the process beside the host that runs the cells, if there is one."""

    @property
    def first_request(self) -> float:
        return self.requests[0]["arrived"] - self.spawned

    @property
    def first_request_over_base(self) -> float:
        """Where the first request counts from the end of `import llm`."""
        return self.requests[0]["arrived"] - self.itself["base"]

    @property
    def import_time(self) -> float:
        return self.itself["imported"] - self.itself["started"]

    @property
    def first_cell(self) -> float:
        """From the question to the end of a first cell that uses the whole context."""
        return self.requests[1]["arrived"] - self.itself["asked"]

    @property
    def turn(self) -> float:
        """The median turn, without the first."""
        return median(after["arrived"] - before["answered"] for before, after in list(pairwise(self.requests))[1:])

    @property
    def second_cell(self) -> float:
        """The cell that does the work of the scenario."""
        return self.requests[2]["arrived"] - self.requests[1]["answered"]

    @property
    def host_peak(self) -> float:
        return self.itself["peak"]

    @property
    def inner(self) -> float:
        if self.inner_peak is None:
            message = "no process beside the host"
            raise NotRunError(message)
        return self.inner_peak


@dataclass(frozen=True)
class Taken:
    """Seconds of a process."""

    wall: float
    cpu: float
    """Processor time, which other work on the machine disturbs less."""


class Bench:
    """The server, the contexts and the systems' interpreters. A context manager."""

    def __init__(self, pythons: dict[str, Path], limit: float) -> None:
        """`limit` is the seconds that one run may take."""
        self._pythons = pythons
        self._limit = limit
        self._exit = ExitStack()
        self._contexts: dict[int, Path] = {}

    def __enter__(self) -> Self:
        self._home = Path(self._exit.enter_context(tempfile.TemporaryDirectory(prefix="llm-rlm-benchmark-")))
        self._log = self._home / "requests.jsonl"
        command = [self._pythons["ours"], "-m", "llm_rlm.testing.server", "--script", f"{HERE / 'script.py'}:reply"]
        server = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=_environment(BENCHMARK_LOG=str(self._log))
        )
        self._exit.callback(_end, server)
        self.url = server.stdout.readline().strip()
        return self

    def __exit__(self, *_: object) -> None:
        self._exit.close()

    def context(self, size: int) -> Path:
        """A file of that many bytes of log-like lines, made once, always the same."""
        if size not in self._contexts:
            self._contexts[size] = self._home / f"context-{size}.log"
            _write_log(self._contexts[size], size)
        return self._contexts[size]

    def forget_context(self, size: int) -> None:
        """Remove the file."""
        self._contexts.pop(size).unlink()

    def run(self, side: Side, scenario: Scenario, size: int) -> Observed:
        """Run a system once. Raises NotRunError."""
        root = f"root-{side.form}-{scenario.kind}-{scenario.count}-{next(_numbers)}"
        sub = f"sub-{scenario.sub_delay}"
        context = self.context(size)
        with tempfile.TemporaryDirectory(prefix="user-", dir=self._home) as user:
            _write_models(Path(user), self.url, root, sub)
            arguments = ["--url", self.url, "--context", str(context), "--model", root, "--sub-model", sub]
            turns = scenario.count + 5 if scenario.kind == "turns" else 10
            command = [
                str(self._pythons[side.environment]),
                str(HERE / "sides" / side.script),
                *arguments,
                "--turns",
                str(turns),
            ]
            spawned = time.monotonic()
            output, inner = self._watch(command, _environment(LLM_USER_PATH=user, **side.variables))
        requests = self._requests(root)
        _check(scenario, size, requests, verify=side.form != "chain")
        return Observed(spawned, _last_json(output), requests, inner)

    def time_process(self, environment: str, *command: str, **variables: str) -> Taken:
        """What a short process takes, `{python}` and `{bin}` in `command` being the environment's."""
        python = self._pythons[environment]
        filled = [part.format(python=python, bin=python.parent, here=HERE) for part in command]
        with tempfile.TemporaryDirectory(prefix="user-", dir=self._home) as user:
            before, started = _children_seconds(), time.perf_counter()
            subprocess.run(
                filled, check=True, capture_output=True, env=_environment(LLM_USER_PATH=user, **variables), timeout=60
            )
            return Taken(time.perf_counter() - started, _children_seconds() - before)

    def output_of(self, environment: str, *command: str, **variables: str) -> tuple[str, str]:
        """What a process says on stdout and stderr. Raises NotRunError."""
        python = self._pythons[environment]
        filled = [part.format(python=python, bin=python.parent, here=HERE) for part in command]
        with tempfile.TemporaryDirectory(prefix="user-", dir=self._home) as user:
            environ = _environment(LLM_USER_PATH=user, **variables)
            done = subprocess.run(filled, check=False, capture_output=True, text=True, env=environ, timeout=self._limit)
        if done.returncode:
            raise NotRunError(_why(done.stderr))
        return done.stdout, done.stderr

    def _watch(self, command: list[str], environment: dict[str, str]) -> tuple[str, int | None]:
        """Run a process to its end. Returns its output and the highest peak memory of a process below it."""
        with tempfile.TemporaryFile("w+") as out, tempfile.TemporaryFile("w+") as err:
            process = subprocess.Popen(command, stdout=out, stderr=err, stdin=subprocess.DEVNULL, env=environment)
            memory = _Memory(process.pid)
            memory.start()
            try:
                code = process.wait(self._limit)
            except subprocess.TimeoutExpired:
                message = f"took longer than {self._limit:g} s"
                raise NotRunError(message) from None
            finally:
                memory.stop()
                _kill_tree(process)
            out.seek(0)
            err.seek(0)
            if code:
                raise NotRunError(_why(err.read()))
            return out.read(), memory.peak

    def _requests(self, root: str) -> list[dict]:
        events = map(json.loads, self._log.read_text().splitlines()) if self._log.exists() else ()
        return [event for event in events if event["model"] == root]


class _Memory(threading.Thread):
    """Looks at the processes below one again and again. The kernel keeps each one's peak, so that none is missed."""

    def __init__(self, pid: int) -> None:
        super().__init__(daemon=True)
        self._pid = pid
        self._ended = threading.Event()
        self.peak: int | None = None

    def run(self) -> None:
        while not self._ended.wait(_POLL):
            for child in children(self._pid):
                found = _peak_of(child)
                if found is not None:
                    self.peak = max(self.peak or 0, found)

    def stop(self) -> None:
        self._ended.set()
        self.join()


def children(pid: int) -> list[int]:
    """All processes below one, where /proc tells; else none."""
    found = []
    for listing in Path(f"/proc/{pid}/task").glob("*/children"):
        try:
            mine = [int(child) for child in listing.read_text().split()]
        except OSError:
            continue
        for child in mine:
            found += [child, *children(child)]
    return found


def _peak_of(pid: int) -> int | None:
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return None
    return next((int(line.split()[1]) * 1024 for line in status.splitlines() if line.startswith("VmHWM")), None)


def _kill_tree(process: subprocess.Popen) -> None:
    """End what this run started, if it has not ended by itself."""
    if process.poll() is None:
        for child in children(process.pid):
            try:
                os.kill(child, 9)
            except ProcessLookupError:
                continue
        process.kill()
        process.wait()


def _check(scenario: Scenario, size: int, requests: list[dict], *, verify: bool) -> None:
    """Raise NotRunError unless the cells did what they should."""
    if (wrong := _wrong(scenario, size, requests, verify=verify)) is not None:
        raise NotRunError(wrong)


def _children_seconds() -> float:
    times = os.times()
    return times.children_user + times.children_system


def _wrong(scenario: Scenario, size: int, requests: list[dict], *, verify: bool) -> str | None:
    """What went another way than the script has it."""
    least = scenario.count + 2 if scenario.kind == "turns" else 3
    if len(requests) < least:
        return f"{len(requests)} requests came, not {least}"
    if verify and requests[1]["length"] != size:
        return f"the context had length {requests[1]['length']}"
    if verify and not all(request["ran"] for request in requests[2:least]):
        return "a cell did not do what it should"
    return None


def _last_json(output: str) -> dict:
    lines = [line for line in output.splitlines() if line.startswith("{")]
    return json.loads(lines[-1]) if lines else {}


def _why(stderr: str) -> str:
    lines = [line.strip() for line in stderr.splitlines() if line.strip()]
    return lines[-1][:120] if lines else "it failed and said nothing"


def _environment(**variables: str) -> dict[str, str]:
    """The user's environment without what would change a result."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("LLM_", "OPENAI_", "DSPY_", "PYTHON"))}
    return {**kept, "NO_PROXY": "127.0.0.1", "no_proxy": "127.0.0.1", **variables}


def _write_models(directory: Path, url: str, *names: str) -> None:
    """JSON is YAML, so this needs no YAML library."""
    entries = [{"model_id": name, "model_name": name, "api_base": url, "supports_tools": True} for name in names]
    (directory / "extra-openai-models.yaml").write_text(json.dumps(entries))


def _write_log(path: Path, size: int) -> None:
    line = "2026-01-{:02} {:02}:{:02}:{:02} host{:03} service[{:05}]: request {:08x} took {} ms, status {}\n"
    block = "".join(
        line.format(
            n % 28 + 1, n % 24, n * 7 % 60, n * 11 % 60, n * 13 % 997, n * 17 % 32768, n * 2654435761 % 2**32, n % 977, 200
        )
        for n in range(12_000)
    ).encode("ascii")
    with path.open("wb") as file:
        for start in range(0, size, len(block)):
            file.write(block[: size - start])


def _end(server: subprocess.Popen) -> None:
    server.stdin.close()
    try:
        server.wait(10)
    except subprocess.TimeoutExpired:
        server.kill()
        server.wait()


def machine() -> dict[str, str]:
    """What it ran on."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9
    return {
        "cores": str(os.cpu_count()),
        "memory": f"{memory:.0f} GB",
        "system": f"{platform.system()} {platform.machine()}",
        "Python": sys.version.split()[0],
        "load average of the last 15 minutes, this benchmark included": f"{os.getloadavg()[2]:.1f}",
    }
