"""What a run shows on stderr while it goes on, of real runs and of events told by hand."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest

from llm_rlm import RLM
from llm_rlm.budget import Budget, Limits, Spent, Tokens
from llm_rlm.events import (
    CallFinished,
    CallsAsked,
    CallStarted,
    CellFinished,
    CellOutput,
    CellStarted,
    Event,
    RunFinished,
    RunStarted,
    TurnRetried,
    TurnStarted,
    Waiting,
    Warned,
)
from llm_rlm.status import Status
from llm_rlm.testing import ScriptedModel
from scripts import run, scripted, submit

if TYPE_CHECKING:
    from pathlib import Path

    from conftest import Serve

START: tuple[Event, ...] = (
    RunStarted("r", "?", "root", "sub", Budget(Limits())),
    TurnStarted("r", 1),
    CellStarted("r", 1, "code"),
)


class Clock:
    """A clock that is set by hand."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


def shown(capsys: pytest.CaptureFixture[str], *events: Event, verbose: bool = False, quiet: bool = False) -> list[str]:
    """The lines that these events bring after the start of a run."""
    with Status(quiet=quiet, verbose=verbose, clock=Clock()) as status:
        for event in START:
            status(event)
        capsys.readouterr()
        for event in events:
            status(event)
    return capsys.readouterr().err.splitlines()


def ended(call: int, run: str = "r", cell: int = 1, **more: Any) -> CallFinished:
    given: dict[str, Any] = {
        "prompt": f"p{call}",
        "text": f"a{call}",
        "state": "answered",
        "spent": Spent(Tokens(120, 30), 0.0003),
    } | more
    return CallFinished(run, call, cell, "model", "sub", **given)


def batch(count: int, **more: Any) -> list[Event]:
    started = [CallStarted("r", call, 1, "model", "sub", f"p{call}") for call in range(count)]
    return [CallsAsked("r", 1, count), *started, *(ended(call, **more) for call in range(count))]


def test_a_few_calls_are_shown_one_by_one_and_many_together(capsys: pytest.CaptureFixture[str]) -> None:
    assert shown(capsys, *batch(2), verbose=True) == [
        '→ sub "p0" ← "a0" 120+30 tokens $0.0003 0.0 s',
        '→ sub "p1" ← "a1" 120+30 tokens $0.0003 0.0 s',
    ]
    assert shown(capsys, *batch(1000), verbose=True) == [
        "→ 1,000 calls to sub: 1,000 answered; 120,000+30,000 tokens $0.30 0.0 s"
    ]


def test_a_cost_that_is_not_known_of_all_calls_is_not_said_to_be_known(capsys: pytest.CaptureFixture[str]) -> None:
    events = batch(10)
    events[-1] = ended(9, spent=Spent(Tokens(120, 30), None))
    assert shown(capsys, *events, verbose=True) == ["→ 10 calls to sub: 10 answered; 1,200+300 tokens $0.0027+? 0.0 s"]


def test_a_loop_of_calls_is_shown_one_by_one_at_first_and_then_together(capsys: pytest.CaptureFixture[str]) -> None:
    loop = [
        event
        for call in range(8)
        for event in (CallsAsked("r", 1, 1), CallStarted("r", call, 1, "model", "sub", "p"), ended(call))
    ]
    lines = shown(capsys, *loop, CellFinished("r", 1, "", 0, "ok", 0.1, 0.2), verbose=True)
    assert len(lines) == 7
    assert lines[5].startswith("→ 3 calls to sub: 3 answered")


def test_calls_that_outlive_their_cell_are_shown_together_and_not_as_those_of_the_next(
    capsys: pytest.CaptureFixture[str],
) -> None:
    late = range(100, 140)
    lines = shown(
        capsys,
        CallsAsked("r", 1, 40),
        *(CallStarted("r", call, 1, "model", "sub", "p") for call in late),
        CellFinished("r", 1, "", 0, "ok", 0.1, 0.2),
        CellStarted("r", 2, "next"),
        CallsAsked("r", 2, 60),
        *(CallStarted("r", call, 2, "model", "sub", "p") for call in range(60)),
        *(ended(call, spent=None) for call in late),
        *(ended(call, cell=2, spent=None) for call in range(60)),
        CellFinished("r", 2, "", 0, "ok", 0.1, 0.2),
        verbose=True,
    )
    assert lines == [
        *("(0.20 s)", "", "[2] next"),
        *("→ 40 calls to sub: 40 answered; 0.0 s", "→ 60 calls to sub: 60 answered; 0.0 s", "(0.20 s)"),
    ]


def test_a_batch_that_is_asked_once_more_has_few_lines(capsys: pytest.CaptureFixture[str]) -> None:
    again: list[Event] = [
        *(CallStarted("r", call, 1, "model", "sub", "p", mends=True) for call in range(100, 140)),
        *(ended(call, mends=True, spent=None) for call in range(100, 140)),
    ]
    asked = batch(40, spent=None)
    assert shown(capsys, *asked[:-1], *again, asked[-1], verbose=True) == ["→ 80 calls to sub: 80 answered; 0.0 s"]
    assert shown(capsys, *asked, *again, verbose=True) == ["→ 40 calls to sub: 40 answered; 0.0 s"] * 2


def test_failures_are_always_shown_and_counted(capsys: pytest.CaptureFixture[str]) -> None:
    lines = shown(capsys, *batch(40, state="failed", error="no \x1b[31m luck", spent=None), verbose=True)
    assert lines[0] == '→ sub "p0" failed: no �[31m luck'
    assert len(lines) == 6
    assert lines[-1] == "→ 40 calls to sub: 40 failed; 0.0 s (40 times no �[31m luck)"


def test_output_is_shown_line_by_line_and_its_rest_at_the_end(capsys: pytest.CaptureFixture[str]) -> None:
    events = (
        *(CellOutput("r", 1, "one\r"), CellOutput("r", 1, "\ntw"), CellOutput("r", 1, "o")),
        CellFinished("r", 1, "one\r\ntwo, and the value", 30, "ok", 0.1, 0.25, ("a note",)),
    )
    assert shown(capsys, *events[:2], verbose=True) == ["one"]
    assert shown(capsys, *events, verbose=True) == ["one", "two, and the value", "a note", "(0.25 s)"]


def test_cells_of_child_runs_stand_further_in_each_as_a_whole(capsys: pytest.CaptureFixture[str]) -> None:
    child = Budget(Limits())
    lines = shown(
        capsys,
        *(RunStarted(name, f"Question {name}", "sub", "sub", child, "r", 7) for name in "ab"),
        *(CellStarted(name, 1, f"print('{name}')") for name in "ab"),
        *(CellOutput(name, 1, f"{name}\n") for name in "ab"),
        *(CellFinished(name, 1, f"{name}\n", 2, "ok", 0.1, 0.5) for name in "ba"),
        RunFinished("b", "submitted", None),
        verbose=True,
    )
    assert lines == [
        *('    child 1: "Question a"', '    child 2: "Question b"'),
        *("    [child 2, cell 1] ", "        print('b')", "    b", "    (0.50 s)"),
        *("    [child 1, cell 1] ", "        print('a')", "    a", "    (0.50 s)", "    child 2 ended: submitted"),
    ]


def test_without_a_live_line_a_long_batch_has_a_line_now_and_then(capsys: pytest.CaptureFixture[str]) -> None:
    clock = Clock()
    with Status(quiet=False, verbose=False, clock=clock) as status:
        for event in (*START, CallsAsked("r", 1, 100)):
            status(event)
        capsys.readouterr()
        for call in range(100):
            status(CallStarted("r", call, 1, "model", "sub", "p"))
            clock.now += 1
            status(ended(call))
    lines = capsys.readouterr().err.splitlines()
    assert lines[:2] == ["turn 1: 10 of 100 calls, 90 s left", "turn 1: 20 of 100 calls, 80 s left"]
    assert len(lines) == 9


def test_what_is_not_as_expected_is_said_of_all_runs(capsys: pytest.CaptureFixture[str]) -> None:
    assert shown(capsys, Warned("c", "odd \x1b"), TurnRetried("r", 1, maybe_paid=False)) == [
        "Warning: odd �",
        "Warning: root did not answer and is asked again",
    ]
    assert shown(capsys, Waiting("r", "sub", 30.0)) == []  # a line was written a moment ago


def test_quiet_is_quiet_also_with_verbose(capsys: pytest.CaptureFixture[str]) -> None:
    assert shown(capsys, *batch(2), Warned("r", "odd"), quiet=True, verbose=True) == []


def test_calls_that_come_back_after_the_end_are_not_shown(capsys: pytest.CaptureFixture[str]) -> None:
    with Status(quiet=False, verbose=True) as status:
        status(START[0])
    capsys.readouterr()
    status(ended(1))
    assert capsys.readouterr().err == ""


def test_a_real_run_shows_cells_outputs_and_calls_in_their_order(capsys: pytest.CaptureFixture[str]) -> None:
    cell = "print('before')\nr = await llm_query('Which?')\nprint('after')"
    with Status(quiet=False, verbose=True) as status:
        model = ScriptedModel(lambda _: "this", "sub")
        status.closing(RLM(scripted(run(cell), submit("done")), model).ask("?", "x", observer=status))
    said = capsys.readouterr().err
    places = [
        said.index(text) for text in ("[1] print('before')", '→ sub "Which?" ← "this" ', "after\n", "2 turns, 1 sub-call, ")
    ]
    assert places == sorted(places)


@pytest.mark.parametrize("encoding", ["ascii", "cp1252"])
def test_a_stderr_of_another_encoding_is_no_error(serve: Serve, tmp_path: Path, encoding: str) -> None:
    (tmp_path / "in.txt").write_text("x")
    serve(run("print('päper →')\nr = await llm_query('东京')"), submit("done"))
    command = [sys.executable, "-m", "llm", "rlm", "?", "-c", str(tmp_path / "in.txt"), "-m", "chat", "-v"]
    environment = os.environ | {"PYTHONIOENCODING": f"{encoding}:strict"}
    done = subprocess.run(command, capture_output=True, check=False, env=environment, timeout=100)  # noqa: S603
    assert (done.returncode, done.stdout) == (0, b"done\n")
    assert b"-> chat" in done.stderr
