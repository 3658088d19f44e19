"""`llm rlm show`, of runs that were really made."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jsonschema
import pytest
from click.testing import CliRunner
from llm.cli import cli
from rich.console import Console

from llm_rlm import RLM, Limits, RunFailedError
from llm_rlm.journal import Journal
from llm_rlm.journal.records import Records
from llm_rlm.places import journal_path
from llm_rlm.showing.one import View
from llm_rlm.testing import ScriptedModel
from scripts import run, scripted, submit

if TYPE_CHECKING:
    import llm
    from click.testing import Result as Done

    from llm_rlm import Result

SCHEMA = json.loads((Path(__file__).parents[2] / "docs" / "schemas" / "show.schema.json").read_text("utf-8"))


def llm_rlm(*arguments: str) -> Done:
    return CliRunner().invoke(cli, ["rlm", "show", *arguments])


def shown(*arguments: str) -> str:
    done = llm_rlm(*arguments)
    assert done.exit_code == 0, done.output
    return done.stdout


def sub(prompt: llm.Prompt) -> Any:
    return submit("a child's") if prompt.tools else f"said of {prompt.prompt}"


def ask(code: str, question: str = "Which?", answer: str = "done", **more: Any) -> Result:
    limits = more.pop("limits", Limits())
    return RLM(scripted(run(code), submit(answer)), ScriptedModel(sub, "sub"), limits, **more).ask(question, context="hay")


def test_the_last_run_is_shown_with_its_turns_cells_calls_and_answer() -> None:
    ask("print('old')")
    result = ask("rs = await llm_batch(['a', 'b'])\nprint('out', len(rs))", answer="the answer")
    text = shown()
    assert text.startswith(f"Run {result.run_id} · submitted · ")
    for part in ("\nWhich?\n", "\nTurn 1 · ", "[1] · ", "rs = await llm_batch(['a', 'b'])", "\nout 2\n", "\nTurn 2 · "):
        assert part in text
    assert "2 calls: 2 answered · " in text
    assert "\nAnswer\nthe answer\n" in text
    assert f"2 turns, 2 sub-calls, {result.usage.input} + {result.usage.output} tokens, " in text
    assert "Document" in text
    assert "old" not in text
    assert "resume" not in text


def test_a_run_is_found_by_the_beginning_of_its_id() -> None:
    result = ask("print('first')")
    assert shown(result.run_id[:24]) == shown(result.run_id)
    done = llm_rlm("nothing")
    assert (done.exit_code, "there is no run 'nothing'" in done.stderr) == (2, True)


def test_a_name_that_is_no_text_is_refused() -> None:
    ask("print(1)")
    done = llm_rlm("01m8\udc80")
    assert done.exit_code == 2
    assert "is no text" in done.stderr


def test_without_a_run_it_says_so_and_makes_no_journal(user_path: Path) -> None:
    done = llm_rlm()
    assert (done.exit_code, "the journal has no run yet" in done.stderr) == (2, True)
    assert list(user_path.iterdir()) == []


def test_one_turn_is_shown_alone() -> None:
    ask("print('out')")
    assert shown("--turn", "2").startswith("\nTurn 2 · ")
    assert "Turn 2" not in shown("--turn", "1")
    done = llm_rlm("--turn", "3")
    assert (done.exit_code, "has no turn 3; there are 1 to 2" in done.stderr) == (2, True)


def test_one_turn_is_alone_in_json_too() -> None:
    root = scripted(run("await llm_query('a')"), run("r = await llm_query('b')\nprint(r)"), submit("done"))
    RLM(root, ScriptedModel(sub, "sub")).ask("Which?", context="hay")
    found = json.loads(shown("--turn", "2", "--calls", "--json"))
    jsonschema.validate(found, SCHEMA)
    assert ([turn["number"] for turn in found["turns"]], [cell["number"] for cell in found["cells"]]) == ([2], [2])
    assert [call["request"]["prompt"] for call in found["calls"]] == ["b"]


def test_calls_are_shown_with_what_was_asked_and_said_cut_unless_in_full() -> None:
    ask("await llm_query('p' * 1000)\nprint('o' * 6000)")
    assert "ppp" not in shown().replace("'p' * 1000", "")
    cut = shown("--calls")
    assert "more characters: --full" in cut
    assert cut.count("p" * 50) < shown("--calls", "--full").count("p" * 50)
    assert "--full" not in shown("--calls", "--full")


def test_json_holds_everything_and_fits_its_schema() -> None:
    result = ask("r = await llm_query('a')\nc = await rlm_query('Part?', context='x')\nprint(r)", depth=1)
    plain, whole = (json.loads(shown("--json", *more)) for more in ((), ("--calls",)))
    for found in (plain, whole):
        jsonschema.validate(found, SCHEMA)
    assert plain["result"] | {"seconds": 0} == result.as_dict() | {"seconds": 0}  # the journal has a clock of its own
    assert "request" not in plain["calls"][0]
    assert (whole["calls"][0]["request"]["prompt"], whole["calls"][0]["response"]) == ("a", "said of a")
    (child,) = whole["children"]
    assert whole["calls"][1]["child"] == child
    below = json.loads(shown(child, "--json"))
    jsonschema.validate(below, SCHEMA)
    assert (below["parent"], below["depth"]) == (result.run_id, 1)
    assert f"child run: {child}" in shown(result.run_id)
    assert f"child of run {result.run_id}" in shown(child)


def test_an_answer_that_did_not_fit_is_not_called_the_answer_and_why_is_said() -> None:
    root = scripted(submit("no number"))
    with pytest.raises(RunFailedError) as failed:
        RLM(root, ScriptedModel(sub, "sub"), Limits(turns=3)).ask("How many?", context="hay", schema={"type": "integer"})
    text = shown()
    assert "\nAnswer\n" not in text
    assert "\nThe last answer, which was not taken\nno number\n" in text
    assert f"\nNo answer: {failed.value}" in text


def test_a_child_that_a_limit_has_ended_names_its_parent_and_not_how_to_go_on() -> None:
    limits = Limits(calls=1)
    root = scripted(run("print(await rlm_query('Part?', context='x'))"), submit("done"))
    result = RLM(root, ScriptedModel(lambda _: run("rs = await llm_batch(['a', 'b'])"), "sub"), limits, depth=1).ask("?", "hay")
    (child,) = json.loads(shown("--json"))["children"]
    text = shown(child)
    assert " · limit · " in text.splitlines()[0]
    assert f"child of run {result.run_id}" in text
    assert "To go on" not in text


def test_how_to_go_on_names_the_tools_that_cells_could_call() -> None:
    result = ask("rs = await llm_batch(['a', 'b'])", limits=Limits(calls=1), tools=["llm_time"])
    assert shown().endswith(f"To go on: llm rlm resume {result.run_id} --max-calls MORE --tool llm_time\n")


def test_a_run_that_a_limit_has_ended_says_how_to_go_on() -> None:
    result = ask("rs = await llm_batch(['a', 'b'])", limits=Limits(calls=1))
    assert shown().endswith(f"To go on: llm rlm resume {result.run_id} --max-calls MORE\n")
    assert "1 answered, 1 refused" in shown()


def test_a_run_that_crashed_in_a_cell_is_shown_as_far_as_it_came() -> None:
    from llm_rlm.budget import Bound  # noqa: PLC0415 - beside its use

    journal = Journal(journal_path())
    journal.begin_run("crashed", question="?", settings='{"asked": {}}', process="elsewhere:1:1.00:0000", model="m")
    journal.begin_turn("crashed", 1, "{}", None, Bound())
    journal.begin_cell("crashed", 1, "await forever", 1, 0)
    journal.close()
    text = shown("crashed")
    assert "· crashed ·" in text
    assert "no reply" in text
    assert "[1] · not finished" in text
    assert "llm rlm resume crashed" in text
    jsonschema.validate(json.loads(shown("crashed", "--json")), SCHEMA)


def test_what_models_cells_and_users_wrote_cannot_change_the_terminal() -> None:
    hostile = "\x1b[2J\u202e[red]bold[/red]"
    ask(f"print({hostile!r})\nx = '{hostile}'\nawait llm_query({hostile!r})", question=hostile, answer=hostile)
    text = shown("--calls")
    assert "\x1b" not in text
    assert "\u202e" not in text
    assert text.count("[red]bold[/red]") >= 5


@pytest.mark.parametrize("width", [40, 80, 200])
def test_it_fits_any_terminal(width: int) -> None:
    result = ask("print('word ' * 100)\nname = 'long ' + 'x' * 300", question="q" * 300)
    journal = Journal(journal_path())
    try:
        record = Records(journal).record(result.run_id)
    finally:
        journal.close()
    console = Console(width=width, force_terminal=True)
    with console.capture() as captured:
        for part in View().of(record):
            console.print(part)
    lines = re.sub(r"\x1b\[[\d;]*m", "", captured.get()).splitlines()
    assert max(map(len, lines)) <= width
