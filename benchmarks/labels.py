"""What votes gain in `llm_map`, and what they take: `uv run python benchmarks/labels.py`. See README.md beside it.

A script plays the sub-model and slips at given rates: this measures the counting, not any language model.
"""

import argparse
import json
import os
import random
import tempfile
from dataclasses import dataclass
from pathlib import Path

from llm_rlm import RLM, Limits, Settings
from llm_rlm.root.names import EXECUTE, SUBMIT
from llm_rlm.testing import Labeller, ScriptedModel, Slips, call

LABELS = ["abbreviation", "description", "entity", "human", "location", "number"]
FORMAT = Slips(drop=0.01, double=0.005, invent=0.01, reorder=0.05, renumber=0.05, garble=0.01)
"""What goes wrong with answers besides wrong labels."""
WORDS = [
    "which",
    "how",
    "many",
    "river",
    "author",
    "short",
    "for",
    "made",
    "of",
    "tall",
    "when",
    "city",
    "who",
    "wrote",
    "the",
    "what",
    "is",
    "a",
]


@dataclass(frozen=True)
class Case:
    """How a script errs."""

    mislabel: float
    """The share of labels that are wrong by chance."""
    stubborn: float = 0.0
    """The share of items that are wrong each time."""

    @property
    def slips(self) -> Slips:
        return Slips(**{**vars(FORMAT), "mislabel": self.mislabel, "stubborn": self.stubborn})


CASES = (Case(0.02), Case(0.05), Case(0.1), Case(0.2), Case(0.05, 0.05))


def made(count: int) -> dict[str, str]:
    """Items that were made up, and their labels."""
    draw = random.Random(7)
    return {f"{number}. {' '.join(draw.choices(WORDS, k=9))}?": draw.choice(LABELS) for number in range(count)}


def measured(items: dict[str, str], case: Case, votes: int) -> dict:
    """What came of one map."""
    texts = list(items)
    code = (
        f"rs = await llm_map(context, 'Of which kind is the question?', labels={sorted(set(items.values()))!r}, votes={votes})"
    )
    found = "found = {'labels': [r or None for r in rs], 'calls': rs.calls, 'differ': len(rs.disagreements)}"
    replies = iter([call(EXECUTE, code=f"{code}\n{found}"), call(SUBMIT, variable_name="found")])
    root = ScriptedModel(lambda _: next(replies), "root")
    sub = ScriptedModel(Labeller(items.__getitem__, sorted(set(items.values())), case.slips, seed=votes), "labeller")
    engine = RLM(root, sub, Limits(calls=None), Settings(cache_days=0), log=False)
    answer = engine.ask("?", context=json.loads(json.dumps(texts))).answer
    pairs = list(zip(answer["labels"], items.values(), strict=True))
    return {
        "missing": sum(label is None for label, _ in pairs),
        "wrong": sum(label not in (None, right) for label, right in pairs) / len(pairs),
        "calls": answer["calls"],
        "differ": answer["differ"],
    }


def read(path: Path) -> dict[str, str]:
    """Items of a file of lines `label<tab>text`."""
    lines = [line.split("\t", 1) for line in path.read_text("utf-8").splitlines() if "\t" in line]
    return {text: label for label, text in lines}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=3000, help="items to make up")
    parser.add_argument("--file", type=Path, help="items of one's own instead: lines of a label, a tab, a text")
    given = parser.parse_args()
    items = read(given.file) if given.file else made(given.count)
    print(f"{len(items):,} items, {len(set(items.values()))} labels. A script plays the model; no language model is asked.\n")
    print("| labels wrong by chance | and always | votes | wrong in the end | missing | calls | disagreements |")
    print("|---|---|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as folder:
        os.environ["LLM_USER_PATH"] = folder
        for case in CASES:
            for votes in (1, 2, 3):
                got = measured(items, case, votes)
                row = f"| {case.mislabel:.0%} | {case.stubborn:.0%} | {votes} | {got['wrong']:.2%} | {got['missing']} |"
                print(f"{row} {got['calls']} | {got['differ']} |", flush=True)


if __name__ == "__main__":
    main()
