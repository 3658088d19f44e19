"""How many hostile programs are contained, and at what price: `uv run python benchmarks/attacks.py [--limit S] [--only TEXT]`.

The programs are those of `llm_rlm.testing.conformance`, and with `--list FILE` those of a file too: a JSON object a line
(`family`, `name`, `code`). `--skip NAME` leaves one out, such as one that calls models until a budget ends it.
"""

import argparse
import json
import os
import tempfile
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from llm_rlm.sandbox import Offer, Session
from llm_rlm.testing.conformance.containment import MOST_OUTPUT, Containment, Surroundings, contain
from llm_rlm.testing.conformance.programs import Program, programs
from llm_rlm.testing.conformance.subject import Echo

PRICES = ("kept", "restored", "gone")

ALLOWED = 1.0
"""Seconds that a result may come after the cell's time."""


def run(program: Program, limit: float) -> Containment:
    """What comes of a program in a session of its own."""
    with tempfile.TemporaryDirectory() as folder, Surroundings(Path(folder)) as around:
        session = Session(Offer(), Echo(), cell_limit=limit, output_limit=MOST_OUTPUT)
        try:
            return contain(session, program, around, limit)
        finally:
            session.close()


def chosen(file: str | None, only: str, skip: list[str]) -> list[Program]:
    lines = Path(file).read_text("utf-8").splitlines() if file else []
    every = [*programs(), *(Program(**json.loads(line)) for line in lines)]
    return [program for program in every if only in str(program) and program.name not in skip]


def table(done: list[Containment]) -> str:
    families = defaultdict(list)
    for each in done:
        families[each.program.family].append(each)
    lines = [
        "| family | programs | contained | variables kept | restored | gone | most s over | host grew by, MB |",
        "|" + "---|" * 8,
    ]
    for name, own in [*sorted(families.items()), ("all", done)]:
        prices = [each.price for each in own]
        figures = [
            len(own),
            sum(not each.problems for each in own),
            *(prices.count(price) for price in PRICES),
        ]
        most = max(each.over for each in own)
        grown = max(each.grown for each in own) >> 20
        lines.append(f"| {name} | {' | '.join(map(str, figures))} | {most:.2f} | {grown} |")
    return "\n".join(lines)


@dataclass(frozen=True)
class Run:
    """A program, and how much else the machine did."""

    done: Containment
    load: float
    """Processes that ran or waited to, over the last minute, when it was done."""


def lateness(runs: list[Run]) -> str:
    """How late results came that came after their time, and which came too late."""
    late = sorted((each for each in runs if each.done.over), key=lambda each: each.done.over)
    if not late:
        return "No result came after its time."
    done, loads = [each.done for each in late], sorted(each.load for each in runs)
    most = [each for each in late[::-1] if each.done.over > ALLOWED]
    lines = [
        f"results after their time: {_seconds([each.over for each in done])}",
        *(
            f"{price}: {_seconds(own)}"
            for price in PRICES
            if (own := [each.done.over for each in late if each.done.price == price])
        ),
        f"load {loads[0]:.1f} to {loads[-1]:.1f}, median {median(loads):.1f}",
        f"{len(most)} by more than {ALLOWED:g} s:",
        *(f"    {each.done.program}: {each.done.over:.2f} s, {each.done.price}, load {each.load:.1f}" for each in most),
    ]
    return "\n".join(lines)


def _seconds(overs: list[float]) -> str:
    """Of seconds in order: the one in the middle, the one that 99 of 100 are below, the last."""
    return (
        f"{len(overs)}: {median(overs):.2f} s (median), {overs[int(0.99 * len(overs))]:.2f} s (99 %), {overs[-1]:.2f} s (most)"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--limit", type=float, default=1.0, help="seconds that a cell may run")
    parser.add_argument("--only", default="", help="programs with this in their family or name")
    parser.add_argument("--list", help="a file with programs, a JSON object a line")
    parser.add_argument("--skip", action="append", default=[], help="a program to leave out, by its name")
    parser.add_argument("-v", action="store_true", help="say what came of each")
    arguments = parser.parse_args()
    runs = []
    for program in chosen(arguments.list, arguments.only, arguments.skip):
        each = run(program, arguments.limit)
        runs.append(Run(each, os.getloadavg()[0]))
        if arguments.v or each.problems:
            show(each, whole=arguments.v)
    print(table([each.done for each in runs]))
    print(f"\n{lateness(runs)}")


def show(each: Containment, *, whole: bool) -> None:
    told = f"{each.program}: {each.result.outcome}, {each.price}, {each.over:.2f} s over, +{each.grown >> 20} MB"
    print(told, *each.problems, sep="\n    ", flush=True)
    if whole:
        print("    >", repr(each.result.output[-150:]), each.result.notes, flush=True)


if __name__ == "__main__":
    main()
