"""Every hostile program comes to nothing, and what does not is noticed."""

from __future__ import annotations

import json
import os
import socket
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from llm_rlm.sandbox import Answer, CellResult, Offer, Session
from llm_rlm.testing.conformance import MOST_OUTPUT, Containment, Echo, Program, Surroundings, contain, programs
from llm_rlm.testing.conformance.containment import SECRET

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_LIMIT = 0.4

_LIST = os.environ.get("LLM_RLM_ATTACKS")
_LISTED = [Program(**json.loads(line)) for line in Path(_LIST).read_text("utf-8").splitlines()] if _LIST else []
_WITHOUT_END = {"cap_500"}


@pytest.fixture
def around(tmp_path: Path) -> Iterator[Surroundings]:
    outside = tmp_path / "outside"
    outside.mkdir()
    with Surroundings(outside) as entered:
        yield entered


@pytest.fixture
def sandbox(around: Surroundings) -> Iterator[Session]:  # noqa: ARG001 - the surroundings come first
    session = Session(Offer(), Echo(), cell_limit=_LIMIT, output_limit=MOST_OUTPUT)
    yield session
    session.close()


@pytest.mark.parametrize("program", programs(), ids=str)
def test_a_hostile_program_is_contained(sandbox: Session, around: Surroundings, program: Program) -> None:
    assert contain(sandbox, program, around, _LIMIT).problems == ()


@pytest.mark.skipif(not _LISTED, reason="no other list: LLM_RLM_ATTACKS names none")
@pytest.mark.parametrize("program", _LISTED, ids=str)
def test_a_program_of_another_list_is_contained(sandbox: Session, around: Surroundings, program: Program) -> None:
    if program.name in _WITHOUT_END:
        pytest.skip("it calls models for ever, which a budget ends")
    assert contain(sandbox, program, around, _LIMIT).problems == ()


# What is not contained is noticed


class Leaky:
    """A sandbox that is none: a script of what its cells come to."""

    def __init__(self, harm: Callable[[], CellResult], after: str = "300 re: keep 2\n") -> None:
        self._harm = harm
        self._after = after

    def run_cell(self, number: int, code: str, on_output: object = None) -> CellResult:  # noqa: ARG002 - the protocol's
        failing = "  File, in fails\n    return kept_nowhere\nNameError: name 'kept_nowhere' is not defined\n"
        shown = {1: "", 3: self._after, 4: failing}
        return self._harm() if number == 2 else CellResult(number, shown[number], "ok", 0.0, 0.0)

    def value(self, name: str) -> Answer:  # noqa: ARG002 - the protocol's
        return Answer(json.dumps(list(range(300))), is_json=True)

    def interrupt(self, why: str) -> None:
        pytest.fail(f"a check interrupts nothing: {why}")

    def close(self) -> None:
        pytest.fail("who made a sandbox closes it, not a check")


_NOTHING = CellResult(2, "", "ok", 0.0, 0.0)


def problems(around: Surroundings, harm: Callable[[], CellResult], after: str = "300 re: keep 2\n") -> Containment:
    return contain(Leaky(harm, after), Program("f", "n", ""), around, _LIMIT)


def test_what_came_to_nothing_has_no_problems(around: Surroundings) -> None:
    seen = problems(around, lambda: _NOTHING)
    assert (seen.problems, seen.price) == ((), "kept")


@pytest.mark.parametrize(
    ("result", "problem"),
    [
        (replace(_NOTHING, output=f"it is {SECRET}"), "got out"),
        (replace(_NOTHING, notes=(f"File {sys.prefix}/x",)), "got out"),
        (replace(_NOTHING, output="x" * 10_000), "characters were shown"),
        (replace(_NOTHING, notes=("one\ntwo",)), "not one clear line"),
        (replace(_NOTHING, outcome="timeout", output="TimeoutError: x\nand more"), "it was stopped, and this was said"),
        (replace(_NOTHING, outcome="lost"), "nobody said so"),
    ],
)
def test_what_is_told_wrongly_is_noticed(around: Surroundings, result: CellResult, problem: str) -> None:
    (seen,) = problems(around, lambda: result).problems
    assert problem in seen


def test_a_file_that_is_written_is_noticed(around: Surroundings) -> None:
    def write() -> CellResult:
        Path(around.fill("{PWNED}")).touch()
        return _NOTHING

    assert problems(around, write).problems == ("something was written on the host",)


def test_a_connection_is_noticed(around: Surroundings) -> None:
    def connect() -> CellResult:
        socket.create_connection(("127.0.0.1", int(around.fill("{PORT}")))).close()
        return _NOTHING

    assert problems(around, connect).problems == ("a connection was made",)


def test_a_next_cell_that_does_not_work_is_noticed(around: Surroundings) -> None:
    (seen,) = problems(around, lambda: _NOTHING, after="").problems
    assert seen == "the next cell showed ''"


def test_variables_that_are_gone_without_a_word_are_noticed(around: Surroundings) -> None:
    missing = "NameError: name 'kept' is not defined\n"
    told = replace(_NOTHING, outcome="lost", notes=("The sandbox was ended.", "Variables that are gone: kept."))
    assert problems(around, lambda: told, after=missing).price == "gone"
    assert problems(around, lambda: _NOTHING, after=missing).problems


def test_the_environment_is_as_it_was_afterwards(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "mine")
    with Surroundings(tmp_path):
        assert os.environ["OPENAI_API_KEY"] == SECRET
    assert os.environ["OPENAI_API_KEY"] == "mine"
