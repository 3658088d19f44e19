"""Times of the helpers that look through sources for cells: `python benchmarks/helpers.py grep|index|files`.

python benchmarks/helpers.py grep --size 1000 --rg path/to/rg     # MB; rg if it is not on PATH
python benchmarks/helpers.py grep --guest 100                     # MB that `re` in the sandbox gets; 0: leave it out
python benchmarks/helpers.py index --size 100
python benchmarks/helpers.py index --file book.txt
python benchmarks/helpers.py files --files 100000                 # of 2 KB: read in a cell, and the whole command over them
"""

import argparse
import contextlib
import os
import random
import resource
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

from llm_rlm.context import Coverage, Document, Service, Sources, from_any
from llm_rlm.context.looking.grep import Query, grep
from llm_rlm.context.looking.index import Index
from llm_rlm.root.names import EXECUTE, SUBMIT
from llm_rlm.sandbox import Offer, Session
from llm_rlm.testing import Request, ScriptedServer, call

MB = 10**6

CASES = {
    "rare literal": ("request 77 of", False),
    "no match": ("zebra-crossing", False),
    "5 % of lines": ("Invalid user", False),
    "25 %, a regex": (r"Failed password for (invalid user )?\w+", False),
    "30 %, any case": ("INVALID USER", True),
    "every line": ("sshd", False),
    "no prefix": (r"[0-9]{12}", False),
}

KINDS = (
    ["Failed password for root from 10.0.{a}.{b} port {c} ssh2"] * 4
    + ["Failed password for invalid user guest{a} from 10.0.{a}.{b} port {c} ssh2"]
    + ["Invalid user guest{a} from 10.0.{a}.{b}"]
    + ["input_userauth_request: invalid user guest{a} [preauth]"] * 4
    + ["Connection closed by 10.0.{a}.{b} [preauth]", "pam_unix(sshd:auth): check pass; user unknown"] * 5
)


def write_log(path: Path, size: int) -> None:
    """About `size` bytes of lines as sshd writes them, each with its number, always the same."""
    draw = random.Random(7)
    kinds = [
        draw.choice(KINDS).format(a=draw.randrange(256), b=draw.randrange(256), c=draw.randrange(65536)) for _ in range(2000)
    ]
    number = written = 0
    with path.open("w", encoding="ascii") as file:
        while written < size:
            lines = [f"Dec 10 06:55:46 host sshd[24200]: request {number + at} of {kind}\n" for at, kind in enumerate(kinds)]
            number += len(lines)
            written += file.write("".join(lines))


def last_number(path: Path) -> str:
    """What only the last line of such a log holds."""
    with path.open("rb") as file:
        file.seek(-300, os.SEEK_END)
        return " ".join(file.read().decode().splitlines()[-1].split()[5:8])


def document(path: Path, size: int | None = None) -> Document:
    return Document(path.name, str(path), min(size or path.stat().st_size, path.stat().st_size))


def never() -> bool:
    return False


def seconds(work, repeat: int) -> float:
    """The best of some: what else runs on the machine only adds."""
    taken = []
    for _ in range(repeat):
        begun = time.perf_counter()
        work()
        taken.append(time.perf_counter() - begun)
    return min(taken)


class NoCalls:
    """Cells here make no calls."""

    def ask(self, requests, deliver) -> None:
        raise NotImplementedError

    def begin_cell(self, _: int) -> int:
        return 0

    def left(self) -> dict:
        return {}


class Guest:
    """A session with a part of a file as its context."""

    def __init__(self, path: Path, size: int) -> None:
        self._session = Session(Offer("text", str(path), size), NoCalls(), cell_limit=600.0)
        self._cells = 0
        self.run("import re, time; len(context)")

    def run(self, code: str) -> str:
        self._cells += 1
        result = self._session.run_cell(self._cells, code)
        if result.outcome != "ok":
            raise RuntimeError(result.output)
        return result.output

    def grep(self, pattern: str, *, ignore_case: bool) -> float:
        """Seconds in which `re` finds the same lines: from match to match, and not line by line, which takes longer."""
        code = f"""
p = re.compile({pattern!r}, {"re.I" if ignore_case else 0})
began, at, hits = time.perf_counter(), 0, []
while (m := p.search(context, at)):
    first, at = context.rfind('\\n', 0, m.start()) + 1, context.find('\\n', m.end())
    hits.append(context[first:at])
    if at < 0:
        break
    at += 1
print(time.perf_counter() - began)
"""
        return float(self.run(code).split()[-1])

    def close(self) -> None:
        self._session.close()


def time_grep(given: argparse.Namespace, folder: Path) -> None:
    path = folder / "sshd.log"
    write_log(path, given.size * MB)
    text = document(path)
    guest = Guest(path, given.guest * MB) if given.guest else None
    print(f"{text.size / MB:,.0f} MB; seconds a GB, best of {given.repeat}; ratios: how many times the time of grep")
    print(f"{'':16}{'hits':>10}{'grep':>7}{'count':>7}{'rg -n':>7}{'rg -c':>7}{'-j1':>7}{'re':>8}{'grep/rg':>9}{'re/grep':>9}")
    gb = text.size / 10**9
    with contextlib.ExitStack() as stack:
        if guest:
            stack.callback(guest.close)
        for name, (pattern, fold) in [*CASES.items(), ("the last line", (last_number(path), False))]:
            query, counting = Query(pattern, ignore_case=fold), Query(pattern, ignore_case=fold, limit=0)
            total = grep([(0, text)], counting, never).total
            ours = seconds(lambda query=query: grep([(0, text)], query, never), given.repeat) / gb
            count = seconds(lambda query=counting: grep([(0, text)], query, never), given.repeat) / gb
            rgs = [rg_seconds(given, flags, pattern, path, fold=fold) for flags in (["-n"], ["-c"], ["-c", "-j1"])]
            theirs = [f"{each / gb:7.2f}" if each else f"{'-':>7}" for each in rgs]
            inside = guest.grep(pattern, ignore_case=fold) / (given.guest * MB / 10**9) if guest else 0
            ratios = (f"{ours * gb / rgs[0]:9.1f}" if rgs[0] else f"{'-':>9}") + f"{inside / ours:9.1f}"
            print(f"{name:16}{total:10,}{ours:7.2f}{count:7.2f}{''.join(theirs)}{inside:8.2f}{ratios}", flush=True)
    time_small(given, folder)
    print(f"peak memory: {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:,.0f} MB")


def rg_seconds(given: argparse.Namespace, flags: list[str], pattern: str, path: Path, *, fold: bool = False) -> float:
    if not given.rg:
        return 0.0
    command = [given.rg, "--no-config", *flags, *(["-i"] if fold else []), "-e", pattern, str(path)]
    return seconds(lambda: subprocess.run(command, stdout=subprocess.DEVNULL, check=False), given.repeat)


def time_small(given: argparse.Namespace, folder: Path) -> None:
    """Many small files."""
    root = folder / "small"
    texts = []
    with (folder / "sshd.log").open("rb") as file:
        lines = file.read(2 * MB).splitlines(keepends=True)
    for number in range(given.files):
        path = root / str(number // 1000) / f"{number}.log"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"".join(lines[number % 10000 : number % 10000 + 20]))
        texts.append((number, document(path)))
    query = Query("zebra-crossing")
    ours = seconds(lambda: grep(texts, query, never), given.repeat)
    theirs = rg_seconds(given, ["-n"], query.pattern, root)
    print(f"{given.files:,} files of 2 KB: grep {ours:.2f} s" + (f", rg {theirs:.2f} s: {ours / theirs:.1f}" if theirs else ""))


def time_index(given: argparse.Namespace, folder: Path) -> None:
    path = given.file or folder / "sshd.log"
    if not given.file:
        write_log(path, given.size * MB)
    text = document(path, given.size * MB)
    new = folder / "index.db"
    begun = time.perf_counter()
    index = Index.build([text], new, lambda _: None, never)
    taken = time.perf_counter() - begun
    size = new.stat().st_size
    print(f"{text.size / MB:,.0f} MB: {taken:.1f} s, {text.size / MB / taken:.0f} MB/s, {size / text.size:.0%} of it on disk")
    for query in given.query or ["connection closed", "Failed password for root", "the of and a in to"]:
        begun = time.perf_counter()
        found = index.search(query, 10, None)
        took = time.perf_counter() - begun
        print(
            f"  {query!r}: {took * 1000:.0f} ms, {len(found)} passages" + (f", best in line {found[0].line:,}" if found else "")
        )
    print(f"cancelled within {cancel_seconds(text, folder):.2f} s")
    print(f"peak memory: {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:,.0f} MB")


def cancel_seconds(text: Document, folder: Path) -> float:
    stop = threading.Event()
    asked = []
    timer = threading.Timer(0.5, lambda: (asked.append(time.perf_counter()), stop.set()))
    timer.start()
    with contextlib.suppress(Exception):
        Index.build([text], folder / "cancelled.db", lambda _: None, stop.is_set)
    timer.cancel()
    return time.perf_counter() - asked[0] if asked else 0.0


GOING = {
    "names": "len(context.names)",
    "in order": "n = sum(len(text) for text in context.values())",
    "every fifth": "n = sum(len(context[name]) for name in context.names[::5])",
    "1,000 anywhere": "n = sum(len(context[context.names[i * 7919 % len(context)]]) for i in range(1000))",
}
"""What cells do with many files; each begins with none of them loaded."""

MOST_SECONDS = 600


def write_files(root: Path, count: int) -> None:
    """Files of 2 KB, a hundred in each folder, a hundred folders in each."""
    draw = random.Random(7)
    words = ["".join(draw.choices("abcdefghijklmnopqrstuvwxyz", k=draw.randrange(2, 10))) for _ in range(3000)]
    for number in range(count):
        folder = root / f"{number // 10000:02}" / f"{number // 100 % 100:02}"
        if number % 100 == 0:
            folder.mkdir(parents=True)
        (folder / f"{number:06}.txt").write_text(f"file {number}\n" + " ".join(draw.choices(words, k=400))[:1980] + "\n")


def time_files(given: argparse.Namespace, folder: Path) -> None:
    root = folder / "files"
    write_files(root, given.files)
    begun = time.perf_counter()
    context = from_any(Sources((str(root),)))
    print(f"{given.files:,} files of 2 KB: found and looked at in {time.perf_counter() - begun:.2f} s")
    service = Service(context, Coverage(context.documents), None, lambda _: None)
    session = Session(Offer("many", None, context.size), NoCalls(), cell_limit=MOST_SECONDS)
    session.serve(NoCalls(), service)
    for number, (name, code) in enumerate(GOING.items(), 1):
        result = session.run_cell(number, f"context._kept.clear(); context._taken = 0\n{code}")
        print(f"  a cell, {name}: {result.seconds:.2f} s ({result.running:.2f} s its own), {result.outcome}")
    session.close()
    for name in ("names", "in order"):
        time_command(root, folder, name)


def time_command(root: Path, folder: Path, name: str) -> None:
    """The whole command, with a root model that runs one cell and submits. LLM's own log is there already."""
    stamps: list[float] = []

    def script(request: Request):
        stamps.append(time.perf_counter())
        told = any(message["role"] == "tool" for message in request.messages)
        return call(SUBMIT, answer="done") if told else call(EXECUTE, code=GOING[name])

    (small := folder / "small.txt").write_text("small\n")
    with ScriptedServer(script) as server, tempfile.TemporaryDirectory(dir=folder) as user:
        server.write_models_yaml(Path(user), "chat")
        command = [str(Path(sys.executable).with_name("llm")), "rlm", "ask", "?", "-m", "chat", "-q", "-c"]
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("LLM_", "PYTHON"))}
        environment = {**kept, "LLM_USER_PATH": user}  # a Python that may keep no bytecode compiles LLM for each command
        for source in (small, root):
            stamps.clear()
            begun, used = time.perf_counter(), resource.getrusage(resource.RUSAGE_CHILDREN)
            subprocess.run(
                [*command, str(source)], env=environment, timeout=MOST_SECONDS, check=True, stdout=subprocess.DEVNULL
            )
            ended, after = time.perf_counter(), resource.getrusage(resource.RUSAGE_CHILDREN)
            first, second = (stamp - begun for stamp in stamps)
            processor = after.ru_utime + after.ru_stime - used.ru_utime - used.ru_stime
            over = "one small file" if source == small else "all"
            print(
                f"  the command over {over}, {name}: first request after {first:.2f} s,"
                f" its cell {second - first:.2f} s, the end {ended - begun - second:.2f} s; {processor:.1f} s of the processor"
            )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["grep", "index", "files"])
    parser.add_argument("--size", type=int, default=100, help="MB of text")
    parser.add_argument("--guest", type=int, default=100, help="MB of it for `re` in the sandbox")
    parser.add_argument("--files", type=int, default=100_000, help="small files")
    parser.add_argument("--repeat", type=int, default=2)
    parser.add_argument("--rg", default=shutil.which("rg"), help="ripgrep")
    parser.add_argument("--file", type=Path, help="a text to index")
    parser.add_argument("--query", action="append")
    given = parser.parse_args()
    given.guest = min(given.guest, given.size)
    with tempfile.TemporaryDirectory(prefix="llm-rlm-benchmark-", dir=os.environ.get("TMPDIR")) as folder:
        {"grep": time_grep, "index": time_index, "files": time_files}[given.what](given, Path(folder))


if __name__ == "__main__":
    main()
