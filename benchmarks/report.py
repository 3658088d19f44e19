"""From what was measured to Markdown."""

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from statistics import median

from measure import NotRunError, Observed, Taken
from startup import Startup

KB, MB, GB = 10**3, 10**6, 10**9
PEERS = ("ours", "rlms", "dspy_local", "dspy_deno")
_HEADS = ("llm-rlm", "rlms, in-process `exec`", "dspy, local process, no sandbox", "dspy, Deno + Pyodide")
_SIZES = {KB: "1 KB", 10 * MB: "10 MB", 100 * MB: "100 MB", 300 * MB: "300 MB", GB: "1 GB"}

type Value = float | str
type Get = Callable[[Observed], float]


@dataclass(frozen=True)
class Run:
    """All that was measured."""

    results: dict[tuple[str, str, int], list[Observed] | NotRunError]
    startup: Startup
    import_llm: list[float]
    """Seconds of a process that only imports LLM."""
    in_process: dict[int, list[float] | NotRunError]
    """Seconds of 1,000 calls, by how many run at once."""
    quick: bool
    repeat: int
    replaced: bool
    """Whether Deno's `readLines` was replaced."""

    def value(self, side: str, kind: str, size: int, get: Get) -> Value:
        """The median, or why there is none."""
        found = self.results.get((side, kind, size), [])
        if isinstance(found, NotRunError):
            return f"not run: {found}"
        if not found:
            return "not run"
        try:
            return median(get(observed) for observed in found)
        except NotRunError as problem:
            return f"none: {problem}"


@dataclass(frozen=True)
class Target:
    """What the project has set itself."""

    name: str
    most: float
    found: Value
    show: Callable[[float], str]


def render(run: Run, machine: dict[str, str], versions: dict[str, str]) -> str:
    """The whole report."""
    about = "; ".join(f"{name} {value}" for name, value in machine.items())
    installed = ", ".join(f"{name} {version}" for name, version in versions.items())
    parts = [
        "# Results\n",
        f"{about}. {installed}.\n",
        _HOW.format(run.repeat),
        *([_REPLACED] if run.replaced else []),
        "## Side by side\n",
        _table(("", *_HEADS), list(_peers(run))),
        "## This project\n",
        _table(("", "measured"), list(_own(run))),
        "## Targets\n",
        _table(("", "target", "measured", ""), [_target(target) for target in _targets(run)]),
    ]
    return "\n".join(parts)


_HOW = (
    "Medians of {} runs (Deno with 100 MB: one); in brackets, the ratio to llm-rlm. Made by `compare.py`; README.md says how"
    " each thing is measured.\n"
)
_REPLACED = (
    "Deno's standard library could not be downloaded: `sides/read_lines.js` stands in for its `readLines`, the one function"
    " that dspy's interpreter takes from it.\n"
)


def seconds_in(output: str) -> float:
    """What a script printed as its `seconds`."""
    return float(json.loads(output.splitlines()[-1])["seconds"])


def _peers(run: Run) -> Iterator[list[str]]:
    yield _row(run, "import", "turns", KB, lambda o: o.import_time, _seconds)
    yield _row(run, "process start to first model request", "turns", KB, lambda o: o.first_request, _seconds)
    sizes = (KB, 10 * MB, 100 * MB, 300 * MB)
    for size in sizes:
        yield _row(run, f"a turn, {_SIZES[size]}", "turns", size, lambda o: o.turn, _seconds)
    for size in sizes[1:]:
        yield _row(run, f"question to first cell done, {_SIZES[size]}", "turns", size, lambda o: o.first_cell, _seconds)
    for size in sizes:
        yield _row(run, f"peak memory of the host, {_SIZES[size]}", "turns", size, lambda o: o.host_peak, _memory)
    for size in sizes:
        yield _row(run, f"peak memory of the cells' process, {_SIZES[size]}", "turns", size, lambda o: o.inner, _memory)
    yield _row(run, "100 sub-calls of 0.1 s", "calls-100", KB, lambda o: o.second_cell, _seconds)
    yield _row(run, "1,000 sub-calls of 0.1 s", "calls-1000", KB, lambda o: o.second_cell, _seconds)
    yield _row(run, "a sub-prompt of 10 MB", f"prompt-{10 * MB}", KB, lambda o: o.second_cell, _seconds)
    yield _row(run, "printing 5 MB", f"print-{5 * MB}", KB, lambda o: o.second_cell, _seconds)


def _row(run: Run, name: str, kind: str, size: int, get: Get, show: Callable[[float], str]) -> list[str]:
    values = [run.value(side, kind, size, get) for side in PEERS]
    ours = values[0]
    return [name, *(_beside(value, ours, show, first=not index) for index, value in enumerate(values))]


def _beside(value: Value, ours: Value, show: Callable[[float], str], *, first: bool) -> str:
    if isinstance(value, str):
        return value
    if first or isinstance(ours, str):
        return show(value)
    ratio = value / ours
    return f"{show(value)} ({f'{ratio:.2g}' if ratio < 10 else f'{ratio:,.0f}'}x)"


def _own(run: Run) -> Iterator[list[str]]:
    startup = run.startup
    yield ["`llm --help` with the plugin", _seconds(startup.with_plugin)]
    yield ["… more than with LLM_LOAD_PLUGINS empty (processor time)", _taken(startup.added)]
    yield ["… more than in an environment with LLM alone (processor time)", _taken(startup.added_to_llm_alone)]
    yield ["… importing the plugin and running its hook, all else loaded", _seconds(startup.hook)]
    yield ["… of which modules (`-X importtime`)", _seconds(startup.imported)]
    yield ["… the slowest of them", ", ".join(f"{name} {_seconds(each)}" for name, each in startup.slowest)]
    yield ["a process that only imports LLM", _seconds(median(run.import_llm))]
    yield ["first model request, counted from the end of `import llm`", _show(_first_over_base(run), _seconds)]
    command = run.value("command", "turns", KB, lambda o: o.first_request)
    chain = run.value("chain", "turns", KB, lambda o: o.requests[0]["arrived"] - o.itself["imported"])
    yield ["… the same for LLM's chain with a tool that does nothing", _show(chain, _seconds)]
    yield ["`llm rlm`: process start to first model request", _show(command, _seconds)]
    for side, name in _CHAINS.items():
        yield [f"a turn, {name}", _show(_turn(run, side), _seconds)]
    yield ["a turn of `RLM.ask` over that chain with one client kept", _show(_over_chain(run, "ours"), _seconds)]
    yield ["a turn of `RLMToolbox` over that chain with one client kept", _show(_over_chain(run, "toolbox"), _seconds)]
    for at_once, found in run.in_process.items():
        value = f"not run: {found}" if isinstance(found, NotRunError) else _seconds(median(found))
        yield [f"1,000 calls of 0.1 s to a model in the process, {at_once} at once", value]
    if not run.quick:
        yield ["question to first cell done, 1 GB", _show(_first_cell(run, GB), _seconds)]
        yield ["a turn, 1 GB", _show(run.value("ours", "turns", GB, lambda o: o.turn), _seconds)]
        yield ["memory that 1 GB adds to the host", _show(_host_added(run), _memory)]
        yield ["peak memory of the sandbox process, 1 GB", _show(_sandbox(run), _memory)]


_CHAINS = {
    "ours": "`RLM.ask`",
    "toolbox": "`RLMToolbox` in LLM's chain, one client kept",
    "chain": "LLM's chain with a tool that does nothing",
    "chain_kept": "the same, one client kept",
}


def _targets(run: Run) -> Iterator[Target]:
    yield Target("`llm --help`: added by the plugin", 0.015, run.startup.added.wall, _seconds)
    yield Target("first model request over `import llm`", 0.35, _first_over_base(run), _seconds)
    yield Target("a trivial turn of `RLM.ask` over LLM's chain", 0.003, _over_chain(run, "ours"), _seconds)
    yield Target("a trivial turn of `RLMToolbox` over LLM's chain", 0.003, _over_chain(run, "toolbox"), _seconds)
    yield Target("100 MB: question to first cell done", 0.4, _first_cell(run, 100 * MB), _seconds)
    calls = {count: run.value("ours", f"calls-{count}", KB, lambda o: o.second_cell) for count in (100, 1000)}
    yield Target("100 sub-calls of 0.1 s", 0.4, calls[100], _seconds)
    yield Target("1,000 sub-calls of 0.1 s", 2.5, calls[1000], _seconds)
    for at_once, found in run.in_process.items():
        value = str(found) if isinstance(found, NotRunError) else median(found)
        yield Target(f"1,000 calls in the process, {at_once} at once", 0.4, value, _seconds)
    if not run.quick:
        yield Target("1 GB: question to first cell done", 2.5, _first_cell(run, GB), _seconds)
        yield Target("1 GB: peak memory of the sandbox", 1.1 * GB, _sandbox(run), _memory)
        yield Target("1 GB: memory added to the host", 60 * MB, _host_added(run), _memory)


def _target(target: Target) -> list[str]:
    if isinstance(target.found, str):
        return [target.name, target.show(target.most), target.found, ""]
    verdict = "met" if target.found <= target.most else f"missed by {target.show(target.found - target.most)}"
    return [target.name, target.show(target.most), target.show(target.found), verdict]


def _turn(run: Run, side: str) -> Value:
    return run.value(side, "turns", KB, lambda o: o.turn)


def _first_over_base(run: Run) -> Value:
    return run.value("ours", "turns", KB, lambda o: o.first_request_over_base)


def _first_cell(run: Run, size: int) -> Value:
    return run.value("ours", "turns", size, lambda o: o.first_cell)


def _over_chain(run: Run, side: str) -> Value:
    """The median of the differences of runs that followed one another, which a slow minute of the machine met alike."""
    mine, chain = (run.results.get((name, "turns", KB), []) for name in (side, "chain_kept"))
    for found in (mine, chain):
        if isinstance(found, NotRunError):
            return f"not run: {found}"
    return median(one.turn - other.turn for one, other in zip(mine, chain, strict=True))


def _host_added(run: Run) -> Value:
    large, small = (run.value("ours", "turns", size, lambda o: o.host_peak) for size in (GB, KB))
    return _difference(large, small)


def _sandbox(run: Run) -> Value:
    return run.value("ours", "turns", GB, lambda o: o.inner)


def _difference(value: Value, base: Value) -> Value:
    if isinstance(value, str):
        return value
    return base if isinstance(base, str) else value - base


def _taken(taken: Taken) -> str:
    return f"{_seconds(taken.wall)} ({_seconds(taken.cpu)})"


def _show(value: Value, show: Callable[[float], str]) -> str:
    return value if isinstance(value, str) else show(value)


def _seconds(value: float) -> str:
    if abs(value) >= 1:
        return f"{value:.2f} s" if abs(value) < 10 else f"{value:.1f} s"
    milliseconds = value * 1000
    return f"{milliseconds:.1f} ms" if abs(milliseconds) < 100 else f"{milliseconds:.0f} ms"


def _memory(value: float) -> str:
    return f"{value / GB:.2f} GB" if value >= GB else f"{value / MB:.0f} MB"


def _table(head: Sequence[str], rows: list[list[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(cell.replace('|', '/') for cell in line)} |" for line in lines) + "\n"
