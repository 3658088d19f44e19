"""What the plugin adds to every `llm` command."""

import json
import re
from dataclasses import dataclass
from statistics import median

from measure import Bench, Taken

_LINE = re.compile(r"import time:\s+(\d+) \|\s+(\d+) \|\s*(\S+)")
_HOOK = "{here}/sides/hook.py"
_HELP = ("{bin}/llm", "--help")


@dataclass(frozen=True)
class Startup:
    """Seconds."""

    with_plugin: float
    added: Taken
    """Over the same environment with LLM told to load no plugins: the medians of the differences of pairs."""
    added_to_llm_alone: Taken
    """Over an environment that has only LLM, likewise."""
    hook: float
    """Importing the plugin and running its hook, when all else is loaded."""
    imported: float
    """What Python says the modules take that only the plugin brings."""
    slowest: list[tuple[str, float]]
    """Of those modules, the slowest."""


def measure_startup(bench: Bench, pairs: int) -> Startup:
    """Run `llm --help` in turn with and without the plugin."""
    for environment in ("ours", "llm"):
        bench.time_process(environment, *_HELP)
    runs = [_three(bench, number) for number in range(pairs)]
    imported = _only_with_plugin(bench)
    return Startup(
        median(run[0].wall for run in runs),
        _added(runs, 1),
        _added(runs, 2),
        median(_hook_seconds(bench) for _ in range(pairs // 2 + 1)),
        sum(imported.values()),
        sorted(imported.items(), key=lambda item: -item[1])[:8],
    )


def _added(runs: list[list[Taken]], other: int) -> Taken:
    wall = median(run[0].wall - run[other].wall for run in runs)
    return Taken(wall, median(run[0].cpu - run[other].cpu for run in runs))


def _hook_seconds(bench: Bench) -> float:
    said, _ = bench.output_of("ours", "{python}", _HOOK, LLM_LOAD_PLUGINS="")
    return float(json.loads(said)["seconds"])


def _three(bench: Bench, number: int) -> list[Taken]:
    """With, without, and LLM alone; the order changes, so that what comes first has no advantage."""
    kinds = [("ours", {}), ("ours", {"LLM_LOAD_PLUGINS": ""}), ("llm", {})]
    times = [Taken(0, 0)] * 3
    for index in range(3):
        which = (index + number) % 3
        environment, variables = kinds[which]
        times[which] = bench.time_process(environment, *_HELP, **variables)
    return times


def _only_with_plugin(bench: Bench) -> dict[str, float]:
    """Seconds that each module takes by itself, of those that only the plugin brings; medians of five."""
    with_plugin = [_imports(bench, "with") for _ in range(5)]
    without = _imports(bench, "without")
    names = with_plugin[0].keys() - without.keys()
    return {name: median(run.get(name, 0.0) for run in with_plugin) for name in names}


def _imports(bench: Bench, which: str) -> dict[str, float]:
    _, said = bench.output_of("ours", "{python}", "-X", "importtime", _HOOK, which, LLM_LOAD_PLUGINS="")
    found = (_LINE.match(line) for line in said.splitlines())
    return {match[3]: int(match[1]) / 1e6 for match in found if match}
