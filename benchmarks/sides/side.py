"""What the scripts of all systems share: their arguments, and the one JSON line that they print."""

import argparse
import json
import resource
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

QUESTION = "How many lines are there?"


@dataclass(frozen=True)
class Job:
    """What one process is to do."""

    url: str
    context: Path
    model: str
    sub_model: str
    turns: int
    """More turns than the script takes."""


def job() -> Job:
    """The job on the command line."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--url", required=True)
    parser.add_argument("--context", type=Path, required=True)
    parser.add_argument("--model", required=True)
    parser.add_argument("--sub-model", required=True)
    parser.add_argument("--turns", type=int, required=True)
    return Job(**vars(parser.parse_args()))


def run(ask: Callable[[], object], *, started: float, imported: float, base: float | None = None) -> None:
    """Ask, and print what this process knows: times on the clock that the server uses, and its own peak memory in bytes.

    `base` is when what the system is built on, but not the system, was imported.
    """
    asked = time.monotonic()
    answer = str(ask())
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
    times = {"started": started, "imported": imported, "asked": asked, "base": base}
    print(json.dumps({**times, "answer": answer[:200], "peak": peak}), flush=True)
