"""How many hostile programs are contained, and at what price: `uv run python benchmarks/attacks.py [--limit S] [--only TEXT]`.

The programs are those of `llm_rlm.testing.conformance`, or with `--list FILE` those of a file with a JSON object a line
(`family`, `name`, `code`).
"""

import argparse
import json
import tempfile
from collections import defaultdict
from pathlib import Path
from statistics import median

from llm_rlm.sandbox import Offer, Session
from llm_rlm.testing.conformance.containment import MOST_OUTPUT, Containment, Surroundings, contain
from llm_rlm.testing.conformance.programs import Program, programs
from llm_rlm.testing.conformance.subject import Echo


def run(program: Program, limit: float) -> Containment:
    """What comes of a program in a session of its own."""
    with tempfile.TemporaryDirectory() as folder, Surroundings(Path(folder)) as around:
        session = Session(Offer(), Echo(), cell_limit=limit, output_limit=MOST_OUTPUT)
        try:
            return contain(session, program, around, limit)
        finally:
            session.close()


def chosen(file: str | None, only: str) -> list[Program]:
    lines = Path(file).read_text("utf-8").splitlines() if file else []
    own = [Program(**json.loads(line)) for line in lines] if file else programs()
    return [program for program in own if only in str(program)]


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
            *(prices.count(price) for price in ("kept", "restored", "gone")),
        ]
        most = max(each.over for each in own)
        grown = max(each.grown for each in own) >> 20
        lines.append(f"| {name} | {' | '.join(map(str, figures))} | {most:.2f} | {grown} |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--limit", type=float, default=1.0, help="seconds that a cell may run")
    parser.add_argument("--only", default="", help="programs with this in their family or name")
    parser.add_argument("--list", help="a file with programs, a JSON object a line")
    parser.add_argument("-v", action="store_true", help="say what came of each")
    arguments = parser.parse_args()
    done = []
    for program in chosen(arguments.list, arguments.only):
        done.append(run(program, arguments.limit))
        each = done[-1]
        if arguments.v or each.problems:
            print(
                f"{program}: {each.result.outcome}, {each.price}, {each.over:.2f} s over, +{each.grown >> 20} MB",
                *each.problems,
                sep="\n    ",
                flush=True,
            )
            if arguments.v:
                print("    >", repr(each.result.output[-150:]), each.result.notes, flush=True)
    print(table(done))
    late = sorted(each.over for each in done if each.over)
    if late:
        print(f"\n{len(late)} results came after their time: by {median(late):.2f} s (median), {late[-1]:.2f} s (most)")


if __name__ == "__main__":
    main()
