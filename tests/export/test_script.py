"""A run as a script: run by Python, it asks the same and answers the same."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
from contextlib import ExitStack
from typing import TYPE_CHECKING

import pytest

from llm_rlm import RLM, Limits, RLMToolbox, Settings, Sources
from llm_rlm.export.script import script
from llm_rlm.journal import Journal
from llm_rlm.places import journal_path
from llm_rlm.testing import Reply, Request, ScriptedServer, say
from scripts import run, scripted, submit, submit_variable
from unseen import unseen

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

QUOTES = 'text = \'\'\'a "quoted" \\n\'\'\'\nprint("""b""" + r"\\d")\nsecond = text.upper()'

type Start = Callable[..., ScriptedServer]


@pytest.fixture
def start(user_path: Path) -> Iterator[Start]:
    """A server with the model `chat`: its root model gives these replies, child runs submit `four`."""
    with ExitStack() as stack:

        def begin(*replies: Reply) -> ScriptedServer:
            left = list(replies)

            def answer(request: Request) -> Reply:
                if not request.tools:
                    return say('{"n": 7}' if request.schema else request.prompt.upper())
                return submit("four") if "How long" in request.messages[1]["content"] else left.pop(0)

            server = stack.enter_context(ScriptedServer(answer))
            server.write_models_yaml(user_path, "chat")
            return server

        yield begin


def exported(run_id: str) -> str:
    journal = Journal(journal_path())
    try:
        return script(journal, run_id)
    finally:
        journal.close()


def python(source: str, folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    path = folder / "exported.py"
    path.write_text(source, "utf-8")
    return subprocess.run(  # noqa: S603 - what was exported is what is tested
        [sys.executable, path, *arguments], capture_output=True, text=True, check=False, timeout=100, cwd=folder
    )


def calls(*runs: str) -> list[tuple[str, str, str]]:
    """What these runs have asked: state, kind and request."""
    journal = Journal(journal_path())
    rows = journal.rows(
        "select state, kind, request, cached_from from readable_calls where run_id in (select value from json_each(?))"
        " order by request",
        (json.dumps(runs),),
    )
    journal.close()
    return [("cached" if row["cached_from"] else row["state"], row["kind"], row["request"]) for row in rows]


def last_run() -> str:
    journal = Journal(journal_path())
    (row,) = journal.rows("select id from runs where parent is null order by started desc limit 1")
    journal.close()
    return str(row["id"])


def test_a_script_asks_what_the_run_asked_and_gives_its_answer_at_no_cost(start: Start, tmp_path: Path) -> None:
    source = tmp_path / "notes.txt"
    source.write_text("one\ntwo\n")
    server = start(
        run("rs = await llm_batch(context.split())\nfound = [str(r) for r in rs]"),
        run(QUOTES),
        run("n = await llm_query('how many?', schema={'type': 'object', 'properties': {'n': {'type': 'integer'}}})"),
        run("import random\nchild = await rlm_query('How long?', context='abcd')\ndrawn = random.random()"),
        run("1 / 0"),
        run("answer = [*found, second, n.data['n'], str(child), drawn]"),
        submit_variable("answer"),
    )
    result = RLM("chat", limits=Limits(calls=50)).ask("What?", source)
    asked = server.count
    done = python(exported(result.run_id), tmp_path)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == result.answer
    again = last_run()
    assert again != result.run_id
    assert [call[1:] for call in calls(again)] == [call[1:] for call in calls(result.run_id)]
    assert {call[0] for call in calls(again) if call[1] == "model"} == {"cached"}
    assert server.count == asked + 1  # the child run


def test_without_the_cache_all_is_asked_anew(start: Start, tmp_path: Path) -> None:
    server = start(run("r = str(await llm_query('a'))"), submit_variable("r"))
    result = RLM("chat").ask("?")
    asked = server.count
    done = python(exported(result.run_id), tmp_path, "--no-cache", "-v")
    assert done.stdout == "A\n"
    assert server.count == asked + 1
    assert "sub-calls made: 1, from the cache: 0" in done.stderr


def test_the_same_sources_are_read_or_those_that_are_given(start: Start, tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a.txt").write_text("alpha")
    (tmp_path / "in" / "b.txt").write_text("beta")
    start(run("submit({name: text for name, text in context.items()})"))
    result = RLM("chat").ask("?", Sources((str(tmp_path / "in"),)))
    made = exported(result.run_id)
    assert json.loads(python(made, tmp_path).stdout) == result.answer
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "a.txt").write_text("gamma")
    (tmp_path / "other" / "b.txt").write_text("delta")
    assert json.loads(python(made, tmp_path, "other").stdout) == {"other/a.txt": "gamma", "other/b.txt": "delta"}


@pytest.mark.parametrize(("context", "name"), [("some text", "in.txt"), ([1, {"a": "b"}], "in.json")])
def test_what_was_no_file_is_asked_for(start: Start, tmp_path: Path, context: object, name: str) -> None:
    start(run("submit(context)"))
    result = RLM("chat").ask("?", context)  # type: ignore[arg-type]
    made = exported(result.run_id)
    assert "SOURCE..." in made
    assert "source" in python(made, tmp_path).stderr
    (tmp_path / name).write_text(context if isinstance(context, str) else json.dumps(context))
    done = python(made, tmp_path, name)
    assert (done.stdout if isinstance(context, str) else json.loads(done.stdout)) == (
        f"{context}\n" if isinstance(context, str) else context
    )


def test_an_answer_that_the_root_model_wrote_is_given_as_it_wrote_it() -> None:
    result = RLM(scripted(submit("It's \"7\".\n'''"))).ask("?", "x")
    tree = ast.parse(exported(result.run_id))
    given = [
        node.args[0]
        for node in ast.walk(tree)
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "submit"
    ]
    assert [ast.literal_eval(each) for each in given] == ["It's \"7\".\n'''"]


def test_a_script_of_a_run_in_a_session_begins_with_the_cells_before_it(start: Start, tmp_path: Path) -> None:
    start(run("first = 20"), submit("noted"), run("submit(first + 1)"))
    (tmp_path / "in.txt").write_text("x")
    with RLM("chat").session(tmp_path / "in.txt") as session:
        session.ask("Note 20.")
        result = session.ask("Which?")
    done = python(exported(result.run_id), tmp_path)
    assert done.stdout == "21\n", done.stderr


def test_a_run_of_the_toolbox_is_a_script_too(start: Start, tmp_path: Path) -> None:
    start()
    (tmp_path / "in.txt").write_text("x y")
    with RLMToolbox(context_file=str(tmp_path / "in.txt"), sub_model="chat") as toolbox:
        toolbox.execute_python("r = str(await llm_query(context))")
        toolbox.submit_answer(variable_name="r")
    assert python(exported(str(toolbox.run_id)), tmp_path).stdout == "X Y\n"


def test_a_cell_that_was_stopped_is_left_out_and_the_script_says_so() -> None:
    root = scripted(run("while True: pass"), run("a = 1"), submit("done"))
    result = RLM(root, settings=Settings(cell_limit=0.3)).ask("?")
    made = exported(result.run_id)
    assert "cells 1." in made
    assert "while True" not in made


def test_hostile_questions_and_names_are_no_code() -> None:
    hostile = '"""\nraise SystemExit(7)\n"""\\'
    result = RLM(scripted(submit("done"))).ask(hostile, "x")
    tree = ast.parse(exported(result.run_id))
    assert not [node for node in ast.walk(tree) if isinstance(node, ast.Raise)]
    assert hostile in {node.value for node in ast.walk(tree) if isinstance(node, ast.Constant)}


def test_nothing_in_a_script_is_hidden_wherever_it_came_from(tmp_path: Path) -> None:
    hidden = "\u3164\u2800\u202e\U000e0100"
    path = tmp_path / hidden
    path.write_text("x")
    code = f"a = 1\nr = '{hidden}'"
    result = RLM(scripted(run(code), submit(f"one {hidden}"))).ask(f"Which\n{hidden}?", path)
    made = exported(result.run_id)
    assert unseen(made) == set()
    constants = {node.value for node in ast.walk(ast.parse(made)) if isinstance(node, ast.Constant)}
    assert {f"Which\n{hidden}?", code, f"one {hidden}", str(path)} <= constants


def test_functions_that_are_not_recorded_are_named(tmp_path: Path) -> None:
    def lookup(name: str) -> str:
        """Look up."""
        return name

    result = RLM(scripted(submit("done")), functions=[lookup]).ask("?")
    done = python(exported(result.run_id), tmp_path)
    assert (done.returncode, "lookup" in done.stderr) == (1, True)
