"""How long a child run takes to start: from the call in the parent's cell to the first request of the child's root model, and
to the first line of its first cell. `uv run python benchmarks/children.py [--children N]`.

The models answer at once and in this process, so that nothing but our own time is measured. One child after another.
"""

import argparse
import os
import tempfile
import time
from statistics import median

from llm_rlm import RLM
from llm_rlm.testing import Reply, ScriptedModel, call, tool_outputs

EXECUTE = "RLMToolbox_execute_python"
CELL = """\
import asyncio, time
starts, cells = [], []
for _ in range({children}):
    await asyncio.sleep(0.5)
    starts.append(time.time())
    cells.append((await rlm_query("When?", "x" * {size})).data)
submit([starts, cells])"""
PEER = 0.6
"""Seconds, of rlms 0.1.3: one recursive child from the call to its answer, with models that answer at once."""


def measure(children: int, size: int) -> tuple[list[float], list[float]]:
    """Seconds from each call to the first request, and to the first cell."""
    requests: list[float] = []

    def child(_) -> Reply:
        requests.append(time.time())
        return call(EXECUTE, code="import time\nsubmit(time.time())")

    root = ScriptedModel(lambda prompt: call(EXECUTE, code="1" if not tool_outputs(prompt) else cell), "root")
    cell = CELL.format(children=children, size=size)
    starts, cells = RLM(root, ScriptedModel(child, "sub"), log=False).ask("?", "context").answer
    return [r - s for r, s in zip(requests, starts, strict=True)], [c - s for c, s in zip(cells, starts, strict=True)]


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--children", type=int, default=10)
    children = parser.parse_args().children
    with tempfile.TemporaryDirectory() as folder:
        os.environ["LLM_USER_PATH"] = folder
        print(f"milliseconds from the call in the parent's cell; load {os.getloadavg()[0]:.1f}")
        print(f"one child of rlms 0.1.3, from the call to its answer: {1000 * PEER:.0f}")
        print(f"{'context':>12} {'':>14} {'first child':>12} {'median':>8} {'most':>8}")
        for size in (1_000, 1_000_000, 10_000_000):
            for name, seconds in zip(("first request", "first cell"), measure(children, size), strict=True):
                first, *others = [1000 * each for each in seconds]
                print(f"{size:>12,} {name:>14} {first:>12.0f} {median(others):>8.0f} {max(others):>8.0f}")


if __name__ == "__main__":
    main()
