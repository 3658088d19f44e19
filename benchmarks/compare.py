"""Measure this project and its peers side by side: `python benchmarks/compare.py`. See README.md beside it."""

import argparse
import datetime as dt
import subprocess
import sys
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

import environments
import report
from environments import DSPY, LLM, PROJECT, RLMS
from measure import Bench, NotRunError, Observed, Scenario, Side, machine
from startup import Startup, measure_startup

KB, MB, GB = 10**3, 10**6, 10**9
HERE = Path(__file__).parent

ME = Side("ours", "ours", "ours.py", "ours")
RLM = Side("rlms", "rlms", "rlms.py", "rlms")
LOCAL = Side("dspy_local", "dspy", "dspy_local.py", "dspy")
DENO = Side("dspy_deno", "dspy", "dspy_deno.py", "dspy")
TOOLBOX = Side("toolbox", "ours", "toolbox.py", "toolbox")
CHAIN = Side("chain", "ours", "chain.py", "chain")
CHAIN_KEPT = Side("chain_kept", "ours", "chain_kept.py", "chain")
COMMAND = Side("command", "ours", "command.py", "ours")

CALLS_100 = Scenario("calls", 100, sub_delay=100)
CALLS_1000 = Scenario("calls", 1000, sub_delay=100)
PROMPT = Scenario("prompt", 10 * MB)
PRINT = Scenario("print", 5 * MB)
OTHERS = (CALLS_100, CALLS_1000, PROMPT, PRINT)


def turns(number: int) -> Scenario:
    """That many turns with a trivial cell."""
    return Scenario("turns", number)


@dataclass(frozen=True)
class Experiment:
    """One thing that one system does."""

    side: Side
    scenario: Scenario
    size: int
    once: bool = False
    """Too slow to be repeated."""

    @property
    def key(self) -> tuple[str, str, int]:
        """What the tables find it by: trivial turns count as one, however many there are."""
        kind = self.scenario.kind
        return self.side.name, kind if kind == "turns" else f"{kind}-{self.scenario.count}", self.size


type Results = dict[tuple[str, str, int], list[Observed] | NotRunError]


def experiments(*, quick: bool) -> list[Experiment]:
    """All that is run. Where small differences are wanted, what is compared runs in turn, three times."""
    small = [Experiment(side, turns(20), KB) for side in (ME, CHAIN_KEPT, TOOLBOX, CHAIN)]
    mine = small * 3 + [Experiment(COMMAND, turns(2), KB)]
    mine += [Experiment(ME, scenario, KB) for scenario in OTHERS]
    mine += [Experiment(ME, turns(20), size) for size in (10 * MB, 100 * MB)]
    if quick:
        return mine
    theirs = [Experiment(side, scenario, KB) for side in (RLM, LOCAL, DENO) for scenario in (turns(20), *OTHERS)]
    theirs += [Experiment(side, turns(20), 10 * MB) for side in (RLM, LOCAL)] + [Experiment(DENO, turns(3), 10 * MB)]
    large = [Experiment(RLM, turns(20), 100 * MB), Experiment(LOCAL, turns(5), 100 * MB)]
    large += [Experiment(DENO, turns(2), 100 * MB, once=True)]
    large += [Experiment(ME, turns(20), 300 * MB), Experiment(RLM, turns(20), 300 * MB), Experiment(LOCAL, turns(3), 300 * MB)]
    return [*mine, *theirs, *large, Experiment(ME, turns(5), GB)]


def run_all(bench: Bench, planned: list[Experiment], repeat: int, unable: dict[str, str]) -> Results:
    """Run everything `repeat` times, one thing after another, so that a slow minute of the machine meets all alike."""
    results: Results = defaultdict(list)
    for number in range(repeat):
        for experiment in planned:
            if not (number and experiment.once):
                _run_one(bench, experiment, results, unable)
    return results


def _run_one(bench: Bench, experiment: Experiment, results: Results, unable: dict[str, str]) -> None:
    key = experiment.key
    if reason := unable.get(experiment.side.name):
        results[key] = NotRunError(reason)
    if isinstance(results[key], NotRunError):
        return
    try:
        observed = bench.run(experiment.side, experiment.scenario, experiment.size)
    except NotRunError as problem:
        results[key] = problem
        print(*key, "not run:", problem, file=sys.stderr)
        return
    results[key].append(observed)
    print(*key, f"{observed.requests[-1]['arrived'] - observed.spawned:.1f} s", file=sys.stderr)


def in_process(bench: Bench, repeat: int, concurrency: int) -> list[float] | NotRunError:
    """Seconds of 1,000 calls to a model in the process."""
    options = ("--calls", "1000", "--concurrency", str(concurrency))
    command = ("{python}", "{here}/sides/in_process.py", *options)
    try:
        return [report.seconds_in(bench.output_of("ours", *command)[0]) for _ in range(repeat)]
    except NotRunError as problem:
        return problem


def prepare(project: Path, directory: Path, *, quick: bool) -> tuple[dict[str, Path], dict[str, str], dict[str, str]]:
    """Make the environments. Returns their interpreters, the versions of what is in them, and which systems cannot be run."""
    directory.mkdir(parents=True, exist_ok=True)
    pythons, versions, unable = {}, {}, {}
    sides = {RLMS.name: ("rlms",), DSPY.name: ("dspy_local", "dspy_deno")}
    mine = (environments.ours(project), LLM)
    for environment in mine if quick else (*mine, RLMS, DSPY):
        print("environment", environment.name, file=sys.stderr)
        try:
            pythons[environment.name] = environments.prepare(environment, directory)
            found = environments.versions(environment, pythons[environment.name])
            versions |= {name: version for name, version in found.items() if name not in versions}
        except subprocess.CalledProcessError as problem:
            if environment.name not in sides:
                sys.exit(problem.stderr)
            unable |= dict.fromkeys(sides[environment.name], "it could not be installed")
    return pythons, versions, unable


def prepare_deno(pythons: dict[str, Path], directory: Path, unable: dict[str, str]) -> bool:
    """See to it that Deno has what it needs. Returns whether a part had to be replaced."""
    if "dspy" not in pythons:
        return False
    try:
        mapped = environments.import_map(pythons["dspy"], directory)
    except subprocess.CalledProcessError:
        unable["dspy_deno"] = "Deno or Pyodide could not be had"
        return False
    if mapped is not None:
        DENO.variables["BENCHMARK_IMPORT_MAP"] = mapped
    return mapped is not None


def options() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--env-dir", type=Path, default=Path("~/.cache/llm-rlm-benchmarks").expanduser())
    parser.add_argument("--project", type=Path, default=PROJECT, help="the checkout to measure")
    parser.add_argument("--repeat", type=int, default=3, help="how often each thing is measured; medians are shown")
    parser.add_argument("--quick", action="store_true", help="leave out 300 MB, 1 GB and the peers")
    parser.add_argument("--limit", type=float, default=240.0, help="seconds that one run may take")
    parser.add_argument("--help-pairs", type=int, default=40, help="runs of `llm --help` with and without the plugin")
    parser.add_argument("--write", action="store_true", help="write RESULTS.md beside this file")
    return parser.parse_args()


def main() -> None:
    """Run everything and print the tables."""
    given = options()
    pythons, versions, unable = prepare(given.project, given.env_dir, quick=given.quick)
    revision = environments.revision(given.project)
    replaced = prepare_deno(pythons, given.env_dir, unable)
    with Bench(pythons, given.limit) as bench:
        warm_up(bench, pythons)
        startup: Startup = measure_startup(bench, given.help_pairs)
        base = [bench.time_process("ours", "{python}", "{here}/sides/import_llm.py").wall for _ in range(given.repeat)]
        calls = {at_once: in_process(bench, given.repeat, at_once) for at_once in (256, 1000)}
        results = run_all(bench, experiments(quick=given.quick), given.repeat, unable)
    when = dt.datetime.now(tz=dt.UTC).strftime("%Y-%m-%d %H:%M UTC")
    run = report.Run(results, startup, base, calls, quick=given.quick, repeat=given.repeat, replaced=replaced)
    text = report.render(run, {"date": when, **machine(), "revision": revision}, versions)
    print(text)
    if given.write:
        (HERE / "RESULTS.md").write_text(text, encoding="utf-8")


def warm_up(bench: Bench, pythons: dict[str, Path]) -> None:
    """Run each system once, so that none pays for what the system's disk cache does not hold yet."""
    sides = [ME, TOOLBOX, CHAIN, *([RLM] if "rlms" in pythons else []), *([LOCAL, DENO] if "dspy" in pythons else [])]
    for side in sides:
        try:
            bench.run(side, turns(2), KB)
        except NotRunError as problem:
            print(side.name, "warming up:", problem, file=sys.stderr)


if __name__ == "__main__":
    main()
