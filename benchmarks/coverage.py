"""What finding out which parts of the input reached a model takes: `python benchmarks/coverage.py`. See README.md beside it."""

import argparse
import json
import os
import random
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from llm_rlm import RLM, Limits
from llm_rlm.context import Document
from llm_rlm.context.evidence import coverage as looked_at
from llm_rlm.context.evidence.coverage import Coverage
from llm_rlm.root.names import EXECUTE
from llm_rlm.testing import Reply, Request, call

MB = 10**6
CALLS = 1000
MOST_ADDED = 0.05
DELAY = 0.1
"""Seconds that a sub-call takes."""

_WORDS = [
    "alpha",
    "user",
    "session",
    "request",
    "timeout",
    "refused",
    "connection",
    "opened",
    "closed",
    "retry",
    "cache",
    "hit",
]
_WORDS += ["miss", "worker", "queue", "flushed"]


def log_line(number: int, draw: random.Random) -> str:
    user, words = draw.randrange(10**6), " ".join(draw.choices(_WORDS, k=8))
    return f"2026-03-{number % 28 + 1:02} 10:{number // 60 % 60:02}:{number % 60:02} INFO user={user} {words}\n"


def novel_line(_: int, draw: random.Random) -> str:
    return " ".join("".join(draw.choices("etaoinshrdlucmfwypvbgké", k=draw.randrange(2, 9))) for _ in range(12)) + "\n"


TEXTS = {"log": log_line, "prose": novel_line}

SLICES = f"""
size = len(context) // {CALLS}
head = "Summarize this part of the text in one sentence:\\n\\n"
prompts = [head + context[at * size:(at + 1) * size] for at in range({CALLS})]
"""
GROUPS = f"""
import json, random
lines = context.splitlines()
groups = [lines[at * 50:(at + 1) * 50] for at in range({CALLS})]
"""
SHUFFLE = "\nimport random\nrandom.Random(1).shuffle(prompts)\n"
NUMBERED = (
    GROUPS
    + 'prompts = ["Label each:\\n" + "\\n".join(f"{at}: {line}" for at, line in enumerate(group, 1)) for group in groups]'
)
AS_JSON = GROUPS + 'prompts = ["Label each: " + json.dumps(group) for group in groups]'


@dataclass(frozen=True)
class Case:
    """Prompts over a text."""

    name: str
    code: str
    """Makes `prompts` of `context`."""
    sizes: tuple[int, ...] = (5, 50)
    """MB of the text."""
    limited: bool = True
    """Whether matching has to stay within the limit."""


CASES = (
    Case("slices in order", SLICES),
    Case("slices in any order", SLICES + SHUFFLE),
    Case("50 numbered lines", NUMBERED),
    Case("50 numbered lines, in any order", NUMBERED + SHUFFLE, (5,)),
    Case("50 lines as JSON", AS_JSON),
    Case("50 lines as JSON, in any order", AS_JSON + SHUFFLE, (5,)),
    Case(
        "50 lines here and there",
        GROUPS + f'prompts = ["Which matter?\\n" + "\\n".join(random.Random(at).sample(lines, 50)) for at in range({CALLS})]',
        limited=False,
    ),
)


def script(request: Request) -> Reply:
    """What the server answers: the question is the number of a case."""
    if not request.tools:
        return Reply("label: none", delay=DELAY)
    question = next(message["content"] for message in request.messages if message["role"] == "user")
    case = CASES[int(question.split("case=")[1].split(".")[0])]
    return call(EXECUTE, code=case.code + '\nrs = await llm_batch(prompts)\nsubmit(sum(r == "label: none" for r in rs))')


@contextmanager
def served() -> Iterator[str]:
    """A scripted server in a process of its own, so that the processor time of this one is the host's."""
    program = [sys.executable, "-m", "llm_rlm.testing.server", "--script", f"{__file__}:script"]
    with subprocess.Popen(program, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as server:
        yield server.stdout.readline().strip()
        server.stdin.close()


@dataclass
class Timed:
    """Stands for `find_shown`, and takes its times."""

    find: Callable
    on: bool = True
    processor: float = 0.0
    wall: float = 0.0

    def __call__(self, documents, read, shown, cancelled):
        begun = time.thread_time(), time.perf_counter()
        result = self.find(documents, read, shown if self.on else (), cancelled)
        self.processor, self.wall = time.thread_time() - begun[0], time.perf_counter() - begun[1]
        return result


def run(case: int, path: Path, url: str) -> tuple[float, float]:
    """Processor seconds of the host for one run, and the share of the text that reached a model."""
    with tempfile.TemporaryDirectory() as folder:
        os.environ["LLM_USER_PATH"] = folder
        entries = [
            json.dumps({"model_id": name, "model_name": name, "api_base": url, "supports_tools": True})
            for name in ("root", "sub")
        ]
        Path(folder, "extra-openai-models.yaml").write_text("".join(f"- {each}\n" for each in entries), "utf-8")
        begun = time.process_time()
        result = RLM("root", "sub", Limits(calls=2 * CALLS)).ask(f"case={case}.", context=path)
        assert result.answer == CALLS, result.answer
        return time.process_time() - begun, result.coverage.sent


def runs(folder: Path, times: int, chosen: str) -> bool:
    good = True
    timed = looked_at.find_shown = Timed(looked_at.find_shown)
    print(f"processor seconds of the host, smallest of {times} interleaved; load {os.getloadavg()[0]:.1f}")
    print(f"{'text':6}{'MB':>3}  {'prompts':33}{'without':>8}{'with':>8}{'matching':>9}{'share':>7}{'waits':>8}{'sent':>7}")
    with served() as url:
        for kind, size, number, case in all_cases(chosen):
            path = written(folder, kind, size)
            totals: dict[bool, list[float]] = {True: [], False: []}
            matching, waits, sent = [], [], 0.0
            for _ in range(times):
                for timed.on in (False, True):
                    seconds, share_sent = run(number, path, url)
                    totals[timed.on].append(seconds)
                    if timed.on:
                        sent = share_sent
                        matching.append(timed.processor)
                        waits.append(timed.wall)
            without, most = min(totals[False]), min(matching)
            share = most / without
            ok = not case.limited or share < MOST_ADDED
            good = good and ok
            told = f"{without:8.2f}{min(totals[True]):8.2f}{most:9.3f}{share:7.1%}{min(waits):7.2f}s{sent:7.1%}"
            print(f"{kind:6}{size:3}  {case.name:33}{told}{'' if ok else '  TOO SLOW'}", flush=True)
    return good


def all_cases(chosen: str) -> Iterator[tuple[str, int, int, Case]]:
    for kind in TEXTS:
        for size in (5, 50):
            for number, case in enumerate(CASES):
                if size in case.sizes and chosen in f"{kind} {size} {case.name}":
                    yield kind, size, number, case


def written(folder: Path, kind: str, size: int) -> Path:
    """A text of so many MB."""
    path = folder / f"{kind}{size}"
    if not path.exists():
        draw, length, number = random.Random(0), 0, 0
        with path.open("w", encoding="utf-8") as file:
            while length < size * MB:
                text = "".join(TEXTS[kind](number + each, draw) for each in range(1000))
                length += len(text.encode())
                number += 1000
                file.write(text)
    return path


def alone(folder: Path, times: int, chosen: str) -> None:
    """Matching alone, without a run."""
    for kind, size, _, case in all_cases(chosen):
        path = written(folder, kind, size)
        names: dict = {"context": path.read_text("utf-8")}
        exec(case.code, names)
        length = path.stat().st_size
        coverage = Coverage([Document("text", str(path), length)])
        coverage.read(0, 0, length)
        taken = []
        for _ in range(times):
            begun = time.process_time()
            (covered,) = coverage.finish(names["prompts"], lambda: False)
            taken.append(time.process_time() - begun)
        whole = sum(len(each.encode()) for each in names["prompts"])
        told = f"{min(taken):8.3f} s, sent {covered.sent / length:.1%}, prompts {whole / length:.1%} of the text"
        print(f"{kind:6}{size:3}  {case.name:33}{told}", flush=True)


def repeat(path: Path, size: int, source: Path) -> None:
    """A large text of a small one, each copy of it with its own words in every line."""
    data = source.read_bytes()
    with path.open("wb") as file:
        for copy in range(size // len(data)):
            file.write(data.replace(b"user=", b"user=%d" % copy))


def memory(folder: Path, size: int) -> None:
    """A text of so many MB, all of it read, and 1,000 prompts of 50,000 characters from all over it."""
    path = folder / "large"
    repeat(path, size * MB, written(folder, "log", 5))
    length = path.stat().st_size
    coverage = Coverage([Document("text", str(path), length)])
    coverage.read(0, 0, length)

    def prompts() -> Iterator[str]:
        draw = random.Random(4)
        with path.open("rb") as file:
            for _ in range(CALLS):
                file.seek(draw.randrange(length - 50_000))
                yield "What is wrong here?\n" + file.read(50_000).decode("utf-8", "replace")

    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    begun = time.process_time()
    (covered,) = coverage.finish(prompts(), lambda: False)
    seconds = time.process_time() - begun
    more = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    told = f"{seconds:.1f} s, sent {covered.sent / MB:.1f} MB, {more / 1024:,.0f} MB of memory"
    print(f"{length / MB:,.0f} MB, 1,000 prompts of 50,000: {told}")


def main() -> int:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--memory", type=int, metavar="MB", help="show instead what a text of so many MB takes")
    options.add_argument("--alone", action="store_true", help="matching alone, without runs")
    options.add_argument("--times", type=int, default=3, help="how often each is measured")
    options.add_argument("--only", default="", metavar="WORDS", help="such as `log 5 slices`")
    chosen = options.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        os.environ["SSL_CERT_DIR"] = folder  # nothing here uses TLS, and reading certificates takes long
        if chosen.memory:
            memory(Path(folder), chosen.memory)
        elif chosen.alone:
            alone(Path(folder), chosen.times, chosen.only)
        else:
            return 0 if runs(Path(folder), chosen.times, chosen.only) else 1
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
