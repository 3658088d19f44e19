"""The processes of a run, what stands in each, and what goes between them."""

from __future__ import annotations

from drawing import Box, arrow, frame, page, word

from llm_rlm import Settings

MODULES = {
    "runs.loop": "asks the root model, turn by turn",
    "providers.dispatch": "makes every call, within limits",
    "context": "the input, and what looks through it",
    "journal": "rlm.db: all that was asked and said",
}
"""What the picture shows of the host, and the one job of each."""


def picture() -> str:
    """The host in the middle, models on the left, processes of its own on the right."""
    host = [Box(270, 92 + at * 84, 280, 60, name, (job,), "inner").svg() for at, (name, job) in enumerate(MODULES.items())]
    others = [
        frame(680, 48, 256, 176, "worker: no key, no network"),
        Box(
            700,
            86,
            216,
            118,
            "a cell",
            ("CPython in WebAssembly", "context, read-only", f"{Settings().cell_limit:g} s of its own time"),
            "inner",
        ).svg(),
        Box(680, 250, 256, 62, "converter", ("PDF, Office, mail to Markdown",)).svg(),
        Box(680, 338, 256, 62, "DuckDB", ("the tables that sql() reads",)).svg(),
        Box(24, 92, 130, 60, "root model").svg(),
        Box(24, 176, 130, 60, "sub-models", (f"up to {Settings().concurrency} at once",)).svg(),
        Box(24, 260, 130, 60, "your files", ("read, never changed",)).svg(),
    ]
    ways = [
        arrow(158, 122, 264, 122, "turns", both=True),
        arrow(158, 206, 264, 206, "prompts", both=True),
        arrow(158, 290, 264, 290, "bytes"),
        arrow(556, 122, 694, 122, "code", both=True),
        arrow(556, 190, 694, 190, "calls, answers", both=True),
        arrow(556, 282, 674, 282, "one file", both=True),
        arrow(556, 306, 674, 360, "", both=True),
    ]
    parts = [frame(250, 48, 320, 380, "llm rlm: the process that has the keys"), *host, *others, *ways]
    note = word(24, 30, "One run: which processes there are", "word", "start")
    return page(960, 452, "The processes of a run: models outside, the host with the keys, the worker without", [note, *parts])
