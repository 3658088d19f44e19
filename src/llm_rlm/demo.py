"""`llm rlm demo`: a whole run that anyone can watch. The models are scripted; everything else is real."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import click

from .errors import RLMError
from .rlm import RLM
from .root.names import EXECUTE, SUBMIT
from .status import Status
from .testing import Reply, ScriptedModel, ToolCall, tool_outputs

if TYPE_CHECKING:
    import llm

QUESTION = "Which complaint do customers make most often, and how often?"

_REGIONS = ("north", "south", "east", "west")
_PAGES = ("/", "/cart", "/search?q=lamp", "/product/1482", "/checkout", "/account/orders")
_COMPLAINTS = {
    "charged twice": ("my card was charged twice for one order", "two payments left my account, I ordered once"),
    "late parcel": ("still waiting for a parcel that was due last week", "the delivery is five days late"),
    "wrong item": ("I got a blue lamp instead of the green one", "this is not the product that I ordered"),
}
_LINES_A_COMPLAINT = 1200
_ROUND = ("charged twice", "late parcel", "charged twice", "wrong item", "late parcel", "charged twice")

_CELLS = (
    """\
print(type(context), len(context))
middle = len(context) // 2
print(context[:300], "...", context[middle : middle + 300], "...", context[-300:], sep="\\n")""",
    """\
lines = context.splitlines()
complaints = [line.split('message="')[1].rstrip('"') for line in lines if " FEEDBACK " in line]
print(len(lines), "lines,", len(complaints), "of them feedback")
complaints[:3]""",
    """\
labels = ["charged twice", "late parcel", "wrong item"]
size = 20
groups = [complaints[i : i + size] for i in range(0, len(complaints), size)]
rs = await llm_batch(
    [f"Label each line with one of {labels}, one label a line:\\n" + "\\n".join(group) for group in groups]
)
print(len(rs), "sub-calls,", len(rs.errors), "failed")
print(rs[0])""",
    """\
from collections import Counter
count = Counter(label for r in rs["responses"] for label in r.splitlines())
label, times = count.most_common(1)[0]
answer = f"{label}: {times} of {count.total()} complaints ({times / count.total():.0%})"
count""",
)


def run_demo(megabytes: int, *, quiet: bool) -> None:
    """Make a log, ask about it, and show what happens. Raises RLMError."""
    if not quiet:
        click.echo(
            "This is a demonstration. NO LANGUAGE MODEL IS INVOLVED: two scripts play the root model and the sub-model.\n"
            "The log, the sandbox, the cells, the sub-calls and the limits are real.\n",
            err=True,
        )
    with tempfile.TemporaryDirectory(prefix="llm-rlm-demo-") as directory:
        log = Path(directory) / "shop.log"
        try:
            write_log(log, megabytes)
        except OSError as problem:
            message = f"{log} cannot be written: {problem.strerror}; set TMPDIR to another folder, or give less --megabytes"
            raise RLMError(message) from problem
        if not quiet:
            click.echo(f'$ llm rlm "{QUESTION}" -c shop.log     ({log.stat().st_size:,} bytes)\n', err=True)
        root = ScriptedModel(_root, "scripted-root")
        sub_model = ScriptedModel(_sub_model, "scripted-sub", delay=0.05)
        status = Status(quiet=quiet, verbose=True)
        with status:
            result = RLM(root, sub_model, log=False).ask(QUESTION, log, observer=status)
        status.closing(result)
        click.echo(result.text)


def write_log(path: Path, megabytes: int) -> None:
    """A web shop's log: the same for the same size. One line in `_LINES_A_COMPLAINT` is a customer's complaint."""
    with path.open("w", encoding="utf-8", newline="\n") as file:
        number = 0
        while file.tell() < megabytes * 1_000_000:
            file.write("".join(_line(line) for line in range(number, number + _LINES_A_COMPLAINT * 6)))
            number += _LINES_A_COMPLAINT * 6


def _line(number: int) -> str:
    second, day = number // 7, 1 + number // 600_000
    stamp = f"2026-03-{day:02d}T{second // 3600 % 24:02d}:{second // 60 % 60:02d}:{second % 60:02d}Z"
    region = _REGIONS[number * 7 % 4]
    if number % _LINES_A_COMPLAINT == _LINES_A_COMPLAINT // 2:
        turn = number // _LINES_A_COMPLAINT
        wordings = _COMPLAINTS[_ROUND[turn % len(_ROUND)]]
        return f'{stamp} FEEDBACK region={region} customer={number * 31 % 90_000} message="{wordings[turn // 6 % 2]}"\n'
    return f"{stamp} INFO region={region} GET {_PAGES[number * 13 % 6]} 200 {number * 37 % 900 + 12}ms\n"


def _root(prompt: llm.Prompt) -> Reply:
    """The script in the root model's place: one cell a turn, then the answer."""
    turn = len(tool_outputs(prompt))
    if turn < len(_CELLS):
        return Reply(tool_calls=(ToolCall(EXECUTE, {"code": _CELLS[turn]}),))
    return Reply(tool_calls=(ToolCall(SUBMIT, {"variable_name": "answer"}),))


def _sub_model(prompt: llm.Prompt) -> str:
    """The script in the sub-model's place: a label for each line, by its wording."""
    label_of = {wording: label for label, wordings in _COMPLAINTS.items() for wording in wordings}
    return "\n".join(label_of[line] for line in prompt.prompt.splitlines()[1:])
