"""Whether limits hold, nothing paid for is lost, and runs resume: the long versions of what the tests show in short.

    uv run python benchmarks/endurance.py faults    # 10,000 sub-calls, three faults in ten
    uv run python benchmarks/endurance.py kills     # 100 kills, each resumed
    uv run python benchmarks/endurance.py limits    # 1,000 calls at once against limits of calls, tokens and cost
    uv run python benchmarks/endurance.py long      # 50,000 sub-calls in one run: memory and descriptors

Each prints what it saw and exits with 1 if something did not hold. Everything is on loopback, the models are scripted.
"""

import argparse
import json
import os
import platform
import queue
import random
import shutil
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psutil

from llm_rlm import RLM, Limits, Result
from llm_rlm.budget import Budget
from llm_rlm.calls import CallReply, CallRequest
from llm_rlm.config import Rate
from llm_rlm.events import Event, RunStarted
from llm_rlm.journal import Journal
from llm_rlm.providers.dispatch import Dispatcher, Manner, SubModels
from llm_rlm.providers.models import find, keep_clients
from llm_rlm.providers.prices import Prices
from llm_rlm.root.names import EXECUTE, SUBMIT
from llm_rlm.testing import Faulty, Reply, Request, ScriptedServer, call, say

ROOT, SUB = "root", "sub"
MEGABYTE = 1 << 20


@dataclass
class Report:
    """What was seen, and what of it should not be."""

    title: str
    figures: dict[str, object] = field(default_factory=dict)
    broken: list[str] = field(default_factory=list)

    def check(self, holds: bool, otherwise: str) -> None:  # noqa: FBT001 - as `assert` takes it
        """Note `otherwise` unless it holds."""
        if not holds:
            self.broken.append(otherwise)

    def show(self) -> None:
        print(self.title)
        for name, value in self.figures.items():
            print(f"  {name}: {value}")
        for what in self.broken[:20]:
            print(f"  DOES NOT HOLD: {what}")
        print("  everything held" if not self.broken else f"  {len(self.broken)} checks failed", flush=True)


def step(request: Request) -> int:
    """How many cells the root model has seen the results of."""
    return sum(message["role"] == "tool" for message in request.messages)


def play(cells: Sequence[str], request: Request) -> Reply:
    """Run these cells one after another, then submit the variable `report`. Knows nothing but what the request says."""
    done = step(request)
    return call(EXECUTE, code=cells[done]) if done < len(cells) else call(SUBMIT, variable_name="report")


def answer_to(request: Request) -> Reply:
    return say(f"answer to {request.prompt}")


# Three faults in ten


UNKNOWN = ("500", "502", "drop_before", "drop_mid_stream", "empty", "wrong_type", "malformed")
"""Faults after which a client cannot know whether its request was worked on."""


def faults(folder: Path, calls: int = 10_000, *, batches: int = 4, seed: int = 1) -> Report:
    """One run, three faults in ten requests, and one in fifty dropped unread: every answer comes, and comes once."""
    report = Report(f"{calls:,} sub-calls, three faults in ten")
    size = calls // batches
    asked = [
        f'(await llm_batch([f"item {{i}}" for i in range({n * size}, {n * size + size})]))["responses"]' for n in range(batches)
    ]
    cells = ["found = []", *(f"found += {batch}" for batch in asked)]
    cells.append('report = [len(found), sum(r == f"answer to item {i}" for i, r in enumerate(found))]\nprint(report)')
    faulty = Faulty(lambda request: play(cells, request) if request.tools else answer_to(request), share=0.3, seed=seed)
    with ScriptedServer(faulty, keep=0, unread=lambda number: number % 50 == 7) as server:
        server.write_models_yaml(folder, ROOT, SUB)
        began = time.monotonic()
        result = RLM(ROOT, SUB, limits=Limits(calls=calls)).ask("How many?", context="x")
        seconds = time.monotonic() - began
        met, arrived, dropped = faulty.faults, server.count + server.dropped, server.dropped
    usage, answered = result.usage, {who: times for who, times in faulty.answered.items() if who.startswith(f'["{SUB}"')}
    roots = sum(faulty.answered.values()) - sum(answered.values())
    report.figures = {
        "seconds": f"{seconds:.1f}",
        "calls/s": f"{calls / seconds:.0f}",
        "requests sent": f"{arrived:,}, of which {dropped:,} were dropped unread",
        "faults": ", ".join(f"{kind} {times:,}" for kind, times in sorted(met.items())),
        "usage": f"calls {usage.calls:,}, failed {usage.failed}, retried {usage.retried:,}, unsettled {usage.unsettled:,}",
    }
    with closing(sqlite3.connect(folder / "rlm.db")) as db:
        failed = db.execute("select error, attempts, shown_error from calls where state = 'failed'").fetchall()
    report.check(not failed, f"{len(failed)} calls failed: {failed[:5]}")
    report.check(result.answer == [calls, calls], f"answers and right ones: {result.answer}, of {calls}")
    report.check(len(answered) == calls, f"{len(answered)} calls were answered, not {calls}")
    twice = [who for who, times in answered.items() if times != 1]
    report.check(not twice, f"{len(twice)} calls were answered more than once in full, {twice[:1]} for one")
    report.check(roots == len(cells) + 1, f"the root model answered {roots} times, not {len(cells) + 1}")
    report.check(usage.failed == 0 and usage.calls == calls, f"calls {usage.calls}, failed {usage.failed}")
    expected = arrived - calls - len(cells) - 1
    report.check(usage.retried == expected, f"retried {usage.retried}, but {expected} requests were one more")
    unknown = sum(met[kind] for kind in UNKNOWN) + dropped
    report.check(usage.unsettled == unknown, f"unsettled {usage.unsettled}, but {unknown} ended unknown")
    return report


# Kills


SAMPLES, DRAWS, PIECES, CHAIN, SHARED = 8, 12, 60, 4, 15


def cells_of(tag: str) -> list[str]:
    """Batches, equal prompts, random numbers, calls that need earlier answers, and prompts that other runs ask as well."""
    cells = (
        f"""lines = context.split()
a = (await llm_batch([f"{tag} one {{x}}" for x in lines[:{PIECES}]]))["responses"]""",
        f"""b = (await llm_batch(["{tag} same"] * {SAMPLES} + [f"shared {{i}}" for i in range({SHARED})]))["responses"]""",
        f"""import random
draws = [random.randrange(10**9) for _ in range({DRAWS})]
c = (await llm_batch([f"{tag} draw {{d}}" for d in draws]))["responses"]""",
        f"""e = []
for i in range({CHAIN}):
    e.append((await llm_query(f"{tag} after {{i}} of {{a[i]}}"))["response"])
more = random.random()""",
        f"""good = [r == f"answer to {tag} draw {{d}}" for r, d in zip(c, draws)]
report = [len(a), a[-1], len(set(b)), sum(good), e[-1]]
print(report, more)""",
    )
    return [f'print("step {number}")\n{cell}' for number, cell in enumerate(cells, 1)]


def answer_of(tag: str, lines: Sequence[str]) -> list[object]:
    """What every run of `cells_of` submits."""
    last = f"answer to {tag} after {CHAIN - 1} of answer to {tag} one {lines[CHAIN - 1]}"
    return [PIECES, f"answer to {tag} one {lines[PIECES - 1]}", 1 + SHARED, DRAWS, last]


class Ledger:
    """What the server was asked: sub-calls by prompt, turns of the root model by run and step."""

    def __init__(self, seed: int) -> None:
        self._seen: Counter[str] = Counter()
        self._random = random.Random(seed)
        self._lock = threading.Lock()

    def script(self, request: Request) -> Reply:
        tag = next(message["content"] for message in request.messages if message["role"] == "user").split()[-1]
        with self._lock:
            self._seen[f"{tag} turn {step(request)}" if request.tools else request.prompt] += 1
            delay = self._random.uniform(0.02, 0.1)
        reply = play(cells_of(tag), request) if request.tools else answer_to(request)
        return Reply(reply.text, reply.tool_calls, delay=delay)

    def seen(self) -> Counter[str]:
        with self._lock:
            return self._seen.copy()

    def settled(self) -> Counter[str]:
        """What was asked, once nothing more comes: what a dead client has sent may still be on its way."""
        before, now = None, self.seen()
        while before != now:
            time.sleep(0.1)
            before, now = now, self.seen()
        return now


@dataclass(frozen=True)
class State:
    """What the journal has of one run."""

    run: str | None
    answered: Counter[str]
    """Paid calls and turns whose answer is kept."""
    open: frozenset[tuple[str, int]]
    """Calls and turns that were begun and have no outcome, with their numbers in the journal."""
    begun: Counter[str]
    """All calls and turns that may have been sent."""
    cells: int
    """Cells that were begun and are not finished."""
    finish: str | None


def state_of(journal: Path, tag: str) -> State:
    """Read a copy, so that the next process finds what the killed one has left."""
    with tempfile.TemporaryDirectory() as folder:
        for suffix in ("", "-wal"):
            if (path := journal.with_name(journal.name + suffix)).exists():
                shutil.copy(path, folder)
        with closing(sqlite3.connect(Path(folder) / journal.name)) as db:
            return (
                _state(db, tag)
                if db.execute("select 1 from sqlite_master where name = 'calls'").fetchone()
                else _state(None, tag)
            )


def _state(db: sqlite3.Connection | None, tag: str) -> State:
    run: tuple[Any, ...] | None = None
    if db is not None:
        run = db.execute("select id, finish from runs where question = ?", (question_of(tag),)).fetchone()
    if db is None or run is None:
        return State(None, Counter(), frozenset(), Counter(), 0, None)
    answered, begun = Counter[str](), Counter[str]()
    under_way: set[tuple[str, int]] = set()
    for number, request, kind in db.execute(
        "select id, request, state from readable_calls where run_id = ? and cached_from is null and state != 'refused'", run[:1]
    ):
        prompt = json.loads(request)["prompt"]
        begun[prompt] += 1
        answered[prompt] += kind == "answered"
        under_way |= {(prompt, number)} if kind == "sent" else set()
    for number, sent, reply, ended, dropped in db.execute(
        "select number, sent, reply, ended, dropped from readable_turns where run_id = ? order by number", run[:1]
    ):
        turn = f"{tag} turn {_step_of(sent)}"
        begun[turn] += 1
        answered[turn] += reply is not None
        under_way |= {(turn, number)} if ended is None and not dropped else set()
    (cells,) = db.execute("select count(*) from cells where run_id = ? and shown_hash is null", run[:1]).fetchone()
    return State(run[0], answered, frozenset(under_way), begun, cells, run[1])


def _step_of(sent: str) -> int:
    """How many cells the root model had seen the results of: each says which step it is."""
    told = json.loads(sent)["results"]
    return int(told[0].split()[1]) if told else 0


def question_of(tag: str) -> str:
    return f"What comes of {tag}"


@dataclass
class Killing:
    """Runs that are killed and resumed, one after another."""

    folder: Path
    server: ScriptedServer
    ledger: Ledger
    random: random.Random
    report: Report
    lines: list[str]
    kills: int = 0
    runs: int = 0
    where: Counter[str] = field(default_factory=Counter)
    life: float = 0.0
    """Seconds that a run takes if nobody kills it."""

    def play(self, wanted: int) -> None:
        """Begin runs, and kill and resume each until it is done, until `wanted` kills were made."""
        while self.kills < wanted:
            self._one_run(f"r{self.runs}", wanted, cached=self.runs % 2 == 1)
            self.runs += 1

    def _one_run(self, tag: str, wanted: int, *, cached: bool) -> None:
        ask = [question_of(tag), "-c", str(self.folder / "lines.txt"), "-m", ROOT, "--sub-model", SUB]
        ask += [] if cached else ["--no-cache"]
        before = self.ledger.seen()
        past: list[tuple[State, Counter[str]]] = []
        state = State(None, Counter(), frozenset(), Counter(), 0, None)
        while True:
            command = ask if state.run is None else ["resume", "last"]
            done = self._life(command, None if self.kills >= wanted else self.random.uniform(0.0, self.life))
            seen, old = self.ledger.settled(), state
            state = state_of(self.folder / "rlm.db", tag)
            self._check_repeats(tag, past, seen - before, state)
            if done is not None:
                self._check_end(tag, done, state, seen - before, cached=cached)
                return
            self.kills += 1
            self.where[_where(old, state, resumed=command[0] == "resume")] += 1
            past.append((state, seen - before))

    def _life(self, command: Sequence[str], seconds: float | None) -> Mapping[str, Any] | None:
        """Let the command run, and kill it after so many seconds. What it printed, if it was done before."""
        environment = os.environ | {"LLM_USER_PATH": str(self.folder), "SSL_CERT_DIR": str(self.folder)}
        program = [sys.executable, "-m", "llm", "rlm", *command, "--json"]
        process = subprocess.Popen(program, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment)
        try:
            out, err = process.communicate(timeout=seconds if seconds is not None else 120)
        except subprocess.TimeoutExpired:
            family = psutil.Process(process.pid).children(recursive=True)
            process.kill()
            process.communicate()
            self._check_family(family)
            return None
        self.report.check(process.returncode == 0, f"{command} ended with {process.returncode}: {err[-500:]}")
        return dict(json.loads(out)) if process.returncode == 0 else {"answer": None, "finish": err[-200:]}

    def _check_family(self, family: Sequence[psutil.Process]) -> None:
        """No worker outlives its host, neither one that was seen before the kill nor one that was just being started."""
        _, left = psutil.wait_procs(family, timeout=5)
        self.report.check(not left, f"kill {self.kills}: {len(left)} processes were left behind")
        mine = [each for each in psutil.process_iter() if _has(each, self.folder)]
        self.report.check(not mine, f"kill {self.kills}: processes with the run's environment were left behind: {mine}")

    def _check_repeats(self, tag: str, past: Sequence[tuple[State, Counter[str]]], seen: Counter[str], now: State) -> None:
        """What had its answer at a kill is not asked after it; what was under way, once more for each kill it was under way at.

        Equal prompts are told apart by their number: of eight, five of which were answered, three may be asked after it.
        """
        for number, (then, asked) in enumerate(past):
            lives = [state for state, _ in past[number + 1 :]] + ([now] if now.finish is None else [])
            repeats = Counter(
                what for what, _ in frozenset[tuple[str, int]]().union(*(state.open for state in lives)) - then.open
            )
            for what, times in (seen - asked).items():
                allowed = self._wanted(tag, what) - then.answered[what] + repeats[what]
                self.report.check(times <= allowed, f"after kill {number} of {tag}: {what!r} asked {times}, allowed {allowed}")
        for what, times in seen.items():
            self.report.check(times <= now.begun[what], f"{tag}: {what!r} asked {times}, recorded {now.begun[what]}")

    def _wanted(self, tag: str, what: str) -> int:
        return SAMPLES if what == f"{tag} same" else 1

    def _check_end(self, tag: str, said: Mapping[str, Any], now: State, seen: Counter[str], *, cached: bool) -> None:
        good = said["answer"] == answer_of(tag, self.lines) and said["finish"] == "submitted"
        self.report.check(good, f"{tag} answered {said['answer']} ({said['finish']})")
        draws = [what for what in seen if what.startswith(f"{tag} draw ")]
        self.report.check(len(draws) == DRAWS, f"{tag} drew {len(draws)} numbers, not {DRAWS}")
        once = {what: times for what, times in now.answered.items() if times != self._wanted(tag, what)}
        self.report.check(not once, f"{tag}: paid answers kept more than once: {once}")
        wanted = PIECES + 1 + DRAWS + CHAIN + len(cells_of(tag)) + 1 + (0 if cached else SHARED)
        self.report.check(len(now.answered) == wanted, f"{tag}: {len(now.answered)} different answers, not {wanted}")


def _where(before: State, now: State, *, resumed: bool) -> str:
    """What the kill hit."""
    if now.run is None:
        return "before the run was recorded"
    if now.finish is not None:
        return "after its end"
    if resumed and now.begun == before.begun:
        return "while it started again or replayed"
    if any(" turn " not in what for what, _ in now.open):
        return "with sub-calls under way"
    if now.open:
        return "in a turn of the root model"
    return "in a cell" if now.cells else "between two steps"


def _has(process: psutil.Process, folder: Path) -> bool:
    try:
        return process.environ().get("LLM_USER_PATH") == str(folder) and process.status() != psutil.STATUS_ZOMBIE
    except psutil.Error:
        return False


def kills(folder: Path, wanted: int = 100, *, seed: int = 1, life: float | None = None) -> Report:
    """The host is killed at random moments of runs, each resumed until it is done. `life` are seconds that a run takes."""
    report = Report(f"{wanted} kills at random moments, each resumed")
    ledger, lines = Ledger(seed), [f"line{n}" for n in range(100)]
    (folder / "lines.txt").write_text("\n".join(lines))
    with ScriptedServer(ledger.script, keep=0) as server:
        server.write_models_yaml(folder, ROOT, SUB)
        killing = Killing(folder, server, ledger, random.Random(seed), report, lines)
        began = time.monotonic()
        if life is None:
            killing._one_run("calm", 0, cached=False)
        killing.life = life or time.monotonic() - began
        killing.play(wanted)
        report.figures = {
            "seconds": f"{time.monotonic() - began:.0f}",
            "a run without kills": f"{killing.life:.1f} s",
            "runs": f"{killing.runs}, every other with the cache on",
            "kills": killing.kills,
            **{f"kills {where}": times for where, times in killing.where.most_common()},
            "requests": server.count,
        }
    return report


# Limits


RATE = Rate(1.0, 10.0)


def only(kind: str, limit: float) -> Limits:
    """One limit and no other."""
    none: dict[str, Any] = {"calls": None, "turns": None}
    return Limits(**none | {kind: limit})


class Bills:
    """A server that bills as much as it may: all input bytes as tokens and, every other time, all output it was allowed."""

    def __init__(self, cells: Sequence[str] = (), *, share: float = 0.0, seed: int = 0) -> None:
        self.tokens = 0
        self.cost = 0.0
        self.unbounded = 0
        self._cells = cells
        self._random = random.Random(seed)
        self._lock = threading.Lock()
        self._faulty = Faulty(self._answer, share=share, seed=seed, kinds=[*UNKNOWN, "429"])

    def script(self, request: Request) -> Reply:
        reply = self._faulty(request)
        if reply.status == 429:
            return reply
        with self._lock:
            given, made = self._tokens(request)
            self.tokens += given + made
            self.cost += (given * RATE.input + made * RATE.output) / 1e6
        return Reply(reply.text, reply.tool_calls, reply.delay, reply.status, reply.headers, given, made, fault=reply.fault)

    def _answer(self, request: Request) -> Reply:
        return play(self._cells, request) if request.tools else answer_to(request)

    def _tokens(self, request: Request) -> tuple[int, int]:
        most = request.body.get("max_tokens") or request.body.get("max_completion_tokens")
        self.unbounded += most is None
        given = sum(len(message["content"].encode()) for message in request.messages)
        made = most if most is not None and self._random.random() < 0.5 else self._random.randint(1, 500)
        return given, made


def limits(folder: Path, rounds: int = 20, *, calls: int = 1000, seed: int = 1) -> Report:
    """A thousand calls at once against limits of calls, tokens and cost, in one run and in two that share a budget."""
    report = Report(f"{rounds} times {calls:,} calls at once against each limit")
    began = time.monotonic()
    _limit_of_calls(folder / "calls", rounds, calls, report)
    _limits_of_spending(folder / "spending", rounds, calls, seed, report)
    _shared_limits(folder / "shared", rounds, calls, seed, report)
    report.figures["seconds"] = f"{time.monotonic() - began:.0f}"
    return report


@contextmanager
def _user_path(folder: Path) -> Iterator[Path]:
    """LLM's folder is this one."""
    before = os.environ.get("LLM_USER_PATH")
    folder.mkdir(parents=True, exist_ok=True)
    os.environ["LLM_USER_PATH"] = str(folder)
    try:
        yield folder
    finally:
        del os.environ["LLM_USER_PATH"]
        os.environ |= {"LLM_USER_PATH": before} if before is not None else {}


def _batch(calls: int, text: str = "p") -> str:
    code = f'rs = await llm_batch([f"{text} {{i}}" for i in range({calls})])\n'
    return code + "report = sum(1 for r in rs if r)\nprint(report, rs.errors[:1])"


def _limit_of_calls(folder: Path, rounds: int, calls: int, report: Report) -> None:
    limit, sent = 50, []
    for _ in range(rounds):
        count = Counter[bool]()

        def script(request: Request, count: Counter[bool] = count) -> Reply:
            count[bool(request.tools)] += 1
            return play([_batch(calls)], request) if request.tools else answer_to(request)

        with ScriptedServer(script, keep=0) as server, _user_path(folder):
            folder.joinpath("extra-openai-models.yaml").unlink(missing_ok=True)
            server.write_models_yaml(folder, ROOT, SUB)
            result = RLM(ROOT, SUB, Limits(calls=limit), log=False).ask("?", context="x")
        sent.append(count[False])
        report.check(count[False] == limit, f"{count[False]} calls at the server, with a limit of {limit}")
        report.check((result.usage.calls, result.finish) == (limit, "limit"), f"{result.usage.calls} calls, {result.finish}")
    report.figures[f"calls sent of {calls:,}, limit {limit}"] = f"{min(sent)} to {max(sent)}"


def _limits_of_spending(folder: Path, rounds: int, calls: int, seed: int, report: Report) -> None:
    for kind, limit in (("tokens", 2_000_000), ("cost", 5.0)):
        for share in (0.0, 0.3):
            used = []
            for number in range(rounds):
                bills = Bills([_batch(calls)], share=share, seed=seed * 1000 + number)
                with ScriptedServer(bills.script, keep=0) as server, _user_path(folder):
                    folder.joinpath("extra-openai-models.yaml").unlink(missing_ok=True)
                    server.write_models_yaml(folder, ROOT, SUB)
                    prices = {ROOT: RATE, SUB: RATE} if kind == "cost" else {}
                    engine = RLM(ROOT, SUB, only(kind, limit), log=False, prices=prices)
                    result = engine.ask("?", context="x")
                used.append(getattr(bills, kind) / limit)
                _check_bill(report, kind, limit, bills, result)
            told = f"{min(used):.1%} to {max(used):.1%}"
            report.figures[f"billed of {limit:,} {kind}, {share:.0%} faults"] = told


def _check_bill(report: Report, kind: str, limit: float, bills: Bills, result: Result) -> None:
    billed, usage = getattr(bills, kind), result.usage
    report.check(billed <= limit + 1e-9, f"{billed:,} {kind} billed, with a limit of {limit:,}")
    report.check(not bills.unbounded, f"{bills.unbounded} requests had no limit of output")
    report.check(result.finish == "limit" and usage.calls > 0, f"{kind}: finish {result.finish}, {usage.calls} calls")
    if kind == "cost":
        known = usage.cost + usage.possible_cost
        report.check(billed <= known + 1e-9, f"${billed} billed, but {usage.cost} and possibly {usage.possible_cost} counted")
    elif not usage.unsettled:
        report.check(billed == usage.tokens, f"{billed:,} tokens billed, {usage.tokens:,} counted")


def _shared_limits(folder: Path, rounds: int, calls: int, seed: int, report: Report) -> None:
    for kind, limit in (("calls", 50), ("tokens", 2_000_000), ("cost", 5.0)):
        used = []
        for number in range(rounds):
            bills = Bills(share=0.0 if kind == "calls" else 0.3, seed=seed * 1000 + number)
            with ScriptedServer(bills.script, keep=0) as server, _user_path(folder):
                folder.joinpath("extra-openai-models.yaml").unlink(missing_ok=True)
                server.write_models_yaml(folder, SUB)
                budget = Budget(only(kind, limit))
                replies = _ask_in_two_runs(budget, calls)
                count = server.count
            billed = {"calls": count, "tokens": bills.tokens, "cost": bills.cost}[kind]
            used.append(billed / limit)
            report.check(billed <= limit + 1e-9, f"shared: {billed:,} {kind} at the server, with a limit of {limit:,}")
            answered = sum(reply.error is None for reply in replies)
            report.check(len(replies) == 2 * calls, f"shared: {len(replies)} replies to {2 * calls} calls")
            report.check(
                answered == budget.usage.calls - budget.usage.failed > 0, f"shared: {answered} answers, {budget.usage}"
            )
            report.check(budget.in_flight == 0, f"shared: {budget.in_flight} calls in flight at the end")
        told = f"{min(used):.1%} to {max(used):.1%}"
        report.figures[f"shared by two runs: used of {limit:,} {kind}"] = told


def _ask_in_two_runs(budget: Budget, calls: int) -> list[CallReply]:
    """Two dispatchers with a journal each, asked from two threads at once."""
    delivered: queue.SimpleQueue[CallReply] = queue.SimpleQueue()
    made, prices, start = [], Prices({SUB: RATE}), threading.Barrier(2)
    for name in ("one", "two"):
        journal, model = Journal(None), find(SUB)
        keep_clients(model)
        journal.begin_run(name, settings="{}")
        made.append((Dispatcher(journal, name, budget, SubModels(model, prices=prices), Manner()), journal))

    def ask(dispatcher: Dispatcher) -> None:
        start.wait()
        dispatcher.ask([CallRequest(number, f"p{number}") for number in range(calls)], delivered.put)

    threads = [threading.Thread(target=ask, args=(dispatcher,)) for dispatcher, _ in made]
    for thread in threads:
        thread.start()
    replies = [delivered.get(timeout=120) for _ in range(2 * calls)]
    for dispatcher, journal in made:
        dispatcher.close(then=journal.close)
    return replies


# A long run


def quick(request: Request) -> Reply:
    """What the server of the long run answers, in a process of its own."""
    count = int(os.environ["ENDURANCE_CALLS"])
    size = min(5_000, count)
    cells = [
        "report = 0",
        *(
            f'rs = await llm_batch([f"p {{i}}" for i in range({start}, {start + size})])\n'
            f'report += sum(r == f"answer to p {{i}}" for i, r in enumerate(rs["responses"], {start}))\ndel rs'
            for start in range(0, count, size)
        ),
    ]
    return play(cells, request) if request.tools else answer_to(request)


class Samples:
    """Looks at this process and its worker as a run goes on."""

    def __init__(self) -> None:
        self.taken: list[tuple[int, int, int, int, int]] = []
        """Calls so far, bytes of the host, of its worker, descriptors and threads."""
        self._over = threading.Event()

    def __call__(self, event: Event) -> None:
        if isinstance(event, RunStarted):
            threading.Thread(target=self._sample, args=(event.budget,), daemon=True).start()

    def end(self) -> None:
        self._over.set()

    def _sample(self, budget: Budget) -> None:
        host = psutil.Process()
        while not self._over.wait(0.25):
            workers = sum(each.memory_info().rss for each in host.children() if "worker" in " ".join(each.cmdline()))
            now = host.memory_info().rss, workers, host.num_fds(), host.num_threads()
            self.taken.append((budget.usage.calls, *now))


MOST_SECONDS = "14400"
"""After which a server ends, whatever becomes of what it was started for."""


@contextmanager
def server_apart(script: str, folder: Path, **environment: str) -> Iterator[None]:
    """A scripted server in a process of its own, so that the memory of this one is the host's."""
    program = [
        sys.executable,
        "-m",
        "llm_rlm.testing.server",
        "--script",
        f"{__file__}:{script}",
        "--max-seconds",
        MOST_SECONDS,
    ]
    pipe = subprocess.PIPE
    with subprocess.Popen(program, stdin=pipe, stdout=pipe, text=True, env=os.environ | environment) as server:
        assert server.stdin is not None
        assert server.stdout is not None
        url = server.stdout.readline().strip()
        entry = {"api_base": url, "supports_tools": True, "supports_schema": True}
        entries = [json.dumps({"model_id": name, "model_name": name} | entry) for name in (ROOT, SUB)]
        folder.joinpath("extra-openai-models.yaml").write_text("".join(f"- {each}\n" for each in entries))
        try:
            yield
        finally:
            server.stdin.close()


def long(folder: Path, calls: int = 50_000) -> Report:
    """One run of many calls: memory and descriptors do not grow with them, the journal does."""
    report, samples = Report(f"{calls:,} sub-calls in one run"), Samples()
    with server_apart("quick", folder, ENDURANCE_CALLS=str(calls)):
        began = time.monotonic()
        result = RLM(ROOT, SUB, Limits(calls=calls, turns=None)).ask("How many?", context="x", observer=samples)
        seconds = time.monotonic() - began
    samples.end()
    size = sum(path.stat().st_size for path in folder.glob("rlm.db*"))
    report.figures = {"seconds": f"{seconds:.0f}", "calls/s": f"{calls / seconds:.0f}"}
    marks = [next(each for each in samples.taken if each[0] >= calls * share) for share in (0.1, 0.5, 0.98)]
    for done, host, worker, descriptors, threads in marks:
        told = f"host {host / MEGABYTE:.0f} MB, worker {worker / MEGABYTE:.0f} MB, {descriptors} descriptors, {threads} threads"
        report.figures[f"after {done:,} calls"] = told
    report.figures["most"] = f"host {max(each[1] for each in samples.taken) / MEGABYTE:.0f} MB"
    report.figures["rlm.db"] = f"{size / MEGABYTE:.1f} MB, {size / calls:.0f} bytes a call"
    report.check(result.answer == calls, f"{result.answer} right answers, of {calls}")
    growth = marks[-1][1] - marks[0][1]
    report.check(growth < max(20 * MEGABYTE, calls * 1000), f"the host grew by {growth / MEGABYTE:.0f} MB")
    grown = marks[-1][3] - marks[0][3]
    report.check(grown < 32, f"{grown} more descriptors at the end than early on")
    return report


# The command


COMMANDS: Mapping[str, Callable[..., Report]] = {"faults": faults, "kills": kills, "limits": limits, "long": long}


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("command", choices=COMMANDS)
    parser.add_argument("--count", type=int, help="how many calls, kills or rounds")
    given = parser.parse_args(arguments)
    print(f"{datetime.now(UTC):%Y-%m-%d}, Python {platform.python_version()}, {os.cpu_count()} processors")
    with tempfile.TemporaryDirectory(prefix="endurance-") as name, _user_path(Path(name)) as folder:
        os.environ["SSL_CERT_DIR"] = name  # nothing here uses TLS, and reading certificates takes long
        report = COMMANDS[given.command](folder, *([given.count] if given.count is not None else []))
    report.show()
    return 1 if report.broken else 0


if __name__ == "__main__":
    sys.exit(main())
