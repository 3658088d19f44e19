"""`llm rlm runs`, over runs that were really made."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jsonschema
import pytest
from click.testing import CliRunner
from llm.cli import cli
from rich.console import Console

from llm_rlm import RLM, Limits
from llm_rlm.journal import Journal
from llm_rlm.journal.listing import Wanted, listed, shortest
from llm_rlm.places import journal_path
from llm_rlm.showing import lists
from llm_rlm.testing import ScriptedModel
from scripts import run, scripted, submit

if TYPE_CHECKING:
    import llm
    from click.testing import Result

SCHEMA = json.loads((Path(__file__).parents[2] / "docs" / "schemas" / "runs.schema.json").read_text("utf-8"))
HOSTILE = "What\x1b[2J is\nthis\t\u202e?"


def llm_rlm(*arguments: str) -> Result:
    return CliRunner().invoke(cli, ["rlm", "runs", *arguments])


def as_json(*arguments: str) -> list[dict[str, Any]]:
    done = llm_rlm("--json", *arguments)
    assert done.exit_code == 0, done.output
    found: list[dict[str, Any]] = json.loads(done.stdout)
    jsonschema.validate(found, SCHEMA)
    return found


def sub(prompt: llm.Prompt) -> Any:
    return submit("a child's") if prompt.tools else f"said of {prompt.prompt}"


def ask(question: str = "Which?", code: str = "print(1)", answer: str = "done", **more: Any) -> str:
    root = scripted(run(code), submit(answer), model_id=more.pop("model", "root"))
    limits = more.pop("limits", Limits())
    return RLM(root, ScriptedModel(sub, "sub"), limits, **more).ask(question, context="needle in hay").run_id


def test_before_the_first_run_it_says_how_to_make_one(user_path: Path) -> None:
    done = llm_rlm()
    assert (done.exit_code, done.stdout) == (0, "")
    assert done.stderr.startswith("No runs yet: llm rlm QUESTION -c FILE")
    assert as_json() == []
    assert list(user_path.iterdir()) == []


def test_runs_are_listed_the_newest_first_and_as_many_as_asked_for() -> None:
    ids = [ask(f"Question {number}") for number in range(3)]
    assert [each["run_id"] for each in as_json()] == ids[::-1]
    assert [each["run_id"] for each in as_json("-n", "2")] == ids[:0:-1]
    assert len(as_json("-n", "0")) == 3


def test_child_runs_are_listed_when_asked_for_and_count_in_their_parents() -> None:
    parent = ask("Whole?", "print(await rlm_query('Part?', context='x'))", depth=1)
    assert [each["run_id"] for each in as_json()] == [parent]
    child, whole = sorted(as_json("--children"), key=lambda each: each["parent"] is None)
    assert (child["parent"], child["question"]) == (parent, "Part?")
    assert whole["usage"]["input"] > child["usage"]["input"]


def test_runs_are_found_by_what_is_given() -> None:
    cheap = ask("Cheap?")
    other = ask("Other?", model="another")
    stopped = ask("Stopped?", "rs = await llm_batch(['a', 'b'])", limits=Limits(calls=1))

    def found(*arguments: str) -> set[str]:
        return {each["run_id"] for each in as_json(*arguments)}

    assert found("-m", "another") == {other}
    assert found("-m", "sub") == {cheap, other, stopped}
    assert found("--finish", "limit") == {stopped}
    assert found("--finish", "limit", "--finish", "submitted") == {cheap, other, stopped}
    assert found("--since", "1h") == {cheap, other, stopped}
    assert found("--until", "1h") == found("--since", "2999-01-01") == set()
    assert found("--cost-over", "0") == set()
    assert found("--source", "no such") == set()


def test_a_run_whose_process_is_gone_is_found_as_crashed() -> None:
    journal = Journal(journal_path())
    journal.begin_run("crashed", question="?", settings="{}", process="elsewhere:1:1.00:0000")
    journal.close()
    (row,) = as_json("--finish", "crashed")
    assert (row["run_id"], row["state"], row["finish"]) == ("crashed", "crashed", None)


@pytest.mark.parametrize(
    ("words", "there"),
    [
        ("quEstion", True),
        ("the answer", True),
        ('"right answer"', True),
        ('"answer the"', False),
        ("answer nowhere", False),
        ("x_variable", True),
        ("xXvariable", False),
        ("41%", True),
        ("\\n", True),
        ("gives", True),
        ("of'asked", False),
        ('"said of asked"', True),
        ("asked", True),
        ("prompt", False),
        ("calls", False),
        ("", False),
    ],
)
def test_runs_are_found_by_words_of_what_was_said(words: str, there: bool) -> None:
    code = "x_variable = '41%\\n'\nprint('this', 'gives', len(await llm_query('asked \\\"it\\\"')))"
    made = ask("A Question?", code, "the right answer")
    assert [each["run_id"] for each in as_json("-q", words)] == [made] * there


def test_words_are_found_with_quotes_and_line_ends_between_them() -> None:
    made = ask(code="await llm_query('He said \"no\"\\nand left')")
    assert [each["run_id"] for each in as_json("-q", '\\"no')] == []
    for words in ("and left", "no left"):
        assert [each["run_id"] for each in as_json("-q", words)] == [made]


def test_on_a_pipe_a_run_is_a_line_of_fields_between_tabs() -> None:
    made = ask(HOSTILE)
    done = llm_rlm()
    (line,) = done.stdout.splitlines()
    fields = line.split("\t")
    assert (fields[0], fields[2], fields[3], fields[-2]) == (made, "submitted", "2", "root")
    assert fields[-1] == "What�[2J is this �?"
    assert len(fields) == 11


@pytest.mark.parametrize("width", [40, 80, 120, 200])
def test_a_table_fits_its_terminal_and_shows_some_of_the_question(width: int) -> None:
    ask(HOSTILE + " and much more, " * 30)
    journal = Journal(journal_path())
    try:
        runs = listed(journal, Wanted()).runs
        ids = shortest(journal, [each.id for each in runs])
    finally:
        journal.close()
    console = Console(width=width, force_terminal=True, color_system=None)
    with console.capture() as captured:
        console.print(lists.as_table(runs, ids, width))
    head, line = captured.get().splitlines()
    assert len(line.rstrip()) <= width
    assert "What�[2J" in line
    assert "\x1b" not in line
    assert ("Turns" in head) == (width >= 120)


@pytest.mark.parametrize("moment", ["yesterday", "5y", "2026-13-01", "-1d"])
def test_what_is_no_time_is_refused_with_advice(moment: str) -> None:
    done = llm_rlm(f"--since={moment}")
    assert done.exit_code == 2
    assert f"{moment!r} is no time: write 2026-11-28" in done.stderr


@pytest.mark.parametrize("option", ["-q", "-m", "--source"])
def test_what_is_no_text_is_refused(option: str) -> None:
    ask()
    done = llm_rlm(option, "a\udc80")
    assert (done.exit_code, done.stderr.splitlines()[-1].count("is no text")) == (2, 1)


def test_a_reader_that_leaves_ends_the_command_quietly() -> None:
    journal = Journal(journal_path())
    for number in range(3_000):
        journal.begin_run(f"run-{number:04}", question="?" * 100, settings="{}", finish="prose", ended=time.time())
    journal.close()
    command = [sys.executable, "-m", "llm", "rlm", "runs", "-n", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:  # noqa: S603 - our own
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.readline()
        process.stdout.close()
        assert process.stderr.read() == b""
