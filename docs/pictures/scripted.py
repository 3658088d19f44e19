"""A run for pictures: the real command over a log that is made here.

A script plays both models; no language model is involved.
"""

from __future__ import annotations

import os
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from llm_rlm.demo import QUESTION, write_log
from llm_rlm.root.names import EXECUTE, SUBMIT
from llm_rlm.testing import Labeller, Reply, Request, ScriptedServer, call

if TYPE_CHECKING:
    from collections.abc import Iterator

COMMAND = ("llm", "rlm", QUESTION, "-c", "shop.log", "-m", "scripted-root", "--sub-model", "scripted-sub", "--cite")
"""What is run, in the folder."""

_CELLS = (
    """\
complaints = grep("FEEDBACK")
print(f"{complaints.total} of {len(context.splitlines()):,} lines are feedback, such as")
print(complaints[0][:100])""",
    """\
labels = ["charged twice", "late parcel", "wrong item"]
rs = await llm_map(complaints, "What is it about?", labels=labels)
counts = rs.counts()
print(counts, "in", rs.calls, "calls,", len(rs.errors), "errors")""",
    """\
label = max(counts, key=counts.get)
first = next(line for line, r in zip(complaints, rs) if r == label)
share = counts[label] / complaints.total
submit(f"{label}: {counts[label]} of {complaints.total} ({share:.0%})", quotes=[first])""",
)
_LABELS = {"charged twice": ("charged", "payments"), "late parcel": ("parcel", "delivery"), "wrong item": ("lamp", "ordered")}


@contextmanager
def scripted() -> Iterator[Path]:
    """A folder with the log, and with a folder of LLM's own that knows the scripted models, which answer until the end."""
    with tempfile.TemporaryDirectory(prefix="pictures-") as name, ScriptedServer(_script) as server:
        folder = Path(name)
        server.write_models_yaml(folder / "user", "scripted-root", "scripted-sub")
        write_log(folder / "shop.log", 20)
        yield folder


def environment(folder: Path) -> dict[str, str]:
    """The environment of a command that is run there."""
    return os.environ | {"LLM_USER_PATH": str(folder / "user")}


def _script(request: Request) -> Reply:
    """The scripts in the models' places: the next cell, or labels by the words of a line."""
    if not request.tools:
        return Labeller(_label, list(_LABELS))(request)
    turn = sum(message["role"] == "tool" for message in request.messages)
    return call(EXECUTE, code=_CELLS[turn]) if turn < len(_CELLS) else call(SUBMIT, answer="there is none")


def _label(text: str) -> str:
    return next(label for label, words in _LABELS.items() if any(word in text for word in words))
