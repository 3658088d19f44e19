"""What finding out which parts of the input reached a model takes: `python benchmarks/coverage.py`. See README.md beside it."""

import argparse
import json
import random
import resource
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from llm_rlm.context.document import Document
from llm_rlm.context.evidence.coverage import Coverage

MB = 10**6
CALLS = 1000
MOST_ADDED = 0.05
RUNS = {5: 4.0, 50: 10.0}
"""Seconds that a run with 1,000 sub-calls of 0.1 s takes with a text of so many MB."""

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
    "miss",
    "hit",
    "worker",
    "queue",
    "flushed",
]


@dataclass(frozen=True)
class Case:
    """Prompts over a text."""

    name: str
    size: int
    """MB."""
    prompts: Callable[[Path, int], Iterator[str]]
    limited: bool = True
    """Whether the time has to stay within the limit."""
    read: float = 1.0
    """Share of the text that code has read."""


def log_line(number: int, draw: random.Random) -> str:
    user, words = draw.randrange(10**6), " ".join(draw.choices(_WORDS, k=8))
    return f"2026-03-{number % 28 + 1:02} 10:{number // 60 % 60:02}:{number % 60:02} INFO user={user} {words}\n"


def novel_line(_: int, draw: random.Random) -> str:
    return " ".join("".join(draw.choices("etaoinshrdlucmfwypvbgké", k=draw.randrange(2, 9))) for _ in range(12)) + "\n"


def write(path: Path, size: int, line: Callable[[int, random.Random], str]) -> None:
    draw, written, number = random.Random(0), 0, 0
    with path.open("w", encoding="utf-8") as file:
        while written < size:
            text = "".join(line(number + each, draw) for each in range(1000))
            written += len(text.encode())
            number += 1000
            file.write(text)


def repeat(path: Path, size: int, source: Path) -> None:
    """A large text of a small one, each copy of it with its own words in every line."""
    data = source.read_bytes()
    with path.open("wb") as file:
        for copy in range(size // len(data)):
            file.write(data.replace(b"user=", b"user=%d" % copy))


def in_order(path: Path, size: int) -> Iterator[str]:
    with path.open(encoding="utf-8", errors="replace", newline="") as file:
        for _ in range(CALLS):
            yield "Summarize this part of the text in one sentence:\n\n" + file.read(size // CALLS)


def shuffled(path: Path, size: int) -> Iterator[str]:
    prompts = list(in_order(path, size))
    random.Random(1).shuffle(prompts)
    return iter(prompts)


def apart(path: Path, _: int) -> Iterator[str]:
    """5,000 characters a call, from all over the text."""
    text = path.read_text("utf-8")
    for number in random.Random(2).sample(range(len(text) // 5000), CALLS):
        yield "Which users are named here?\n" + text[number * 5000 : (number + 1) * 5000]


def few_lines(path: Path, _: int) -> Iterator[str]:
    """Lines from all over the text, 50 to a prompt, as `grep` finds them."""
    lines = path.read_text("utf-8").splitlines()
    draw = random.Random(3)
    for _ in range(CALLS):
        yield "Which of these matter?\n" + "\n".join(draw.sample(lines, 50))


def numbered(path: Path, size: int) -> Iterator[str]:
    for number, prompt in enumerate(in_order(path, size)):
        yield "\n".join(f"{number}-{at}: {line}" for at, line in enumerate(prompt.splitlines()))


def escaped(path: Path, size: int) -> Iterator[str]:
    for prompt in in_order(path, size):
        yield json.dumps(prompt.splitlines())


CASES = (
    Case("slices in order", 5, in_order),
    Case("slices in order", 50, in_order),
    Case("slices in any order", 5, shuffled),
    Case("slices in any order", 50, shuffled),
    Case("5,000 characters here and there", 50, apart),
    Case("50 lines here and there", 5, few_lines, limited=False),
    Case("50 lines here and there", 50, few_lines, limited=False),
    Case("numbered lines", 5, numbered, limited=False),
    Case("lists of lines as JSON", 5, escaped, limited=False),
)


def measure(path: Path, prompts: list[str]) -> tuple[float, float, float]:
    """Processor seconds, and the shares of the text that were sent and that the prompts are as long as."""
    size = path.stat().st_size
    coverage = Coverage([Document("text", str(path), size)])
    coverage.read(0, 0, size)
    begun = time.process_time()
    (covered,) = coverage.finish(prompts, lambda: False)
    return time.process_time() - begun, covered.sent / size, sum(map(len, prompts)) / size


def measured(folder: Path) -> bool:
    good = True
    print(f"{'text':8}{'MB':>4}  {'prompts':34}{'seconds':>8}{'of run':>8}{'sent':>8}")
    for kind, line in (("log", log_line), ("prose", novel_line)):
        for size in (5, 50):
            path = folder / f"{kind}{size}"
            write(path, size * MB, line)
            for case in (case for case in CASES if case.size == size):
                prompts = list(case.prompts(path, size * MB))
                seconds, sent, _ = min(measure(path, prompts) for _ in range(3))
                share = seconds / RUNS[size]
                ok = not case.limited or share < MOST_ADDED
                good = good and ok
                print(f"{kind:8}{size:4}  {case.name:34}{seconds:8.3f}{share:8.1%}{sent:8.1%}{'' if ok else '  TOO SLOW'}")
    return good


def memory(folder: Path, size: int) -> None:
    """A text of so many MB, all of it read, and 1,000 prompts of 50,000 characters from all over it."""
    write(folder / "part", 5 * MB, log_line)
    path = folder / "large"
    repeat(path, size * MB, folder / "part")
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
    chosen = options.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        if chosen.memory:
            memory(Path(folder), chosen.memory)
            return 0
        return 0 if measured(Path(folder)) else 1


if __name__ == "__main__":
    raise SystemExit(main())
