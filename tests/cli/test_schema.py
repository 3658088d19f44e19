"""`llm rlm --schema`: the answer is JSON that fits, or the command fails."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
import sqlite_utils
from click.testing import CliRunner
from llm.cli import cli
from llm.migrations import migrate

from scripts import run, submit, submit_variable

if TYPE_CHECKING:
    from pathlib import Path

    from click.testing import Result

    from conftest import Serve

DOG = {"name": "Cleo", "age": 3}
ASK = ("Who?", "-m", "chat")
SCHEMA = '{"type": "object", "properties": {"name": {"type": "string"}, "age": {"type": "integer"}}, "required": ["age"]}'


@pytest.fixture
def log(tmp_path: Path) -> str:
    path = tmp_path / "big.log"
    path.write_text("one\ntwo\n")
    return str(path)


def llm_rlm(*arguments: str) -> Result:
    return CliRunner().invoke(cli, ["rlm", *arguments])


def test_the_answer_is_json_on_several_lines(serve: Serve, log: str) -> None:
    serve(submit("Cleo"), run(f"dog = {DOG!r}"), submit_variable("dog"))
    result = llm_rlm(*ASK, "-c", log, "--schema", "name, age int")
    assert (result.exit_code, result.stdout) == (0, json.dumps(DOG, indent=2) + "\n")


@pytest.mark.parametrize("form", ["concise", "json", "file", "template", "id"])
def test_a_schema_is_named_as_llm_takes_it(serve: Serve, log: str, tmp_path: Path, user_path: Path, form: str) -> None:
    models = serve(submit(json.dumps(DOG)))
    (tmp_path / "dog.json").write_text(SCHEMA)
    (user_path / "templates").mkdir()
    (user_path / "templates" / "dog.yaml").write_text(f"schema_object: {SCHEMA}")
    named = {"concise": "name, age int", "json": SCHEMA, "file": str(tmp_path / "dog.json"), "template": "t:dog"}
    logged = sqlite_utils.Database(user_path / "logs.db")
    migrate(logged)  # type: ignore[no-untyped-call]
    logged.table("schemas").insert({"id": "9f8a", "content": SCHEMA})
    logged.close()
    named["id"] = "9f8a"
    result = llm_rlm(*ASK, "-c", log, "--schema", named[form])
    assert (result.exit_code, json.loads(result.stdout)) == (0, DOG)
    assert '"age": {"type": "integer"}' in models.root_requests[-1].messages[0]["content"]


def test_without_an_answer_that_fits_the_command_fails_and_stdout_stays_empty(serve: Serve, log: str) -> None:
    serve(submit("Cleo"))
    plain = llm_rlm(*ASK, "-c", log, "--schema", "name, age int", "--max-turns", "2")
    assert (plain.exit_code, plain.stdout) == (1, "")
    assert "Error: there is no answer that fits the schema: it is not JSON\n" in plain.stderr
    result = llm_rlm(*ASK, "-c", log, "--schema", "name, age int", "--max-turns", "2", "--json")
    found = json.loads(result.stdout)
    assert (result.exit_code, found["answer"], found["finish"], found["limit"]["kind"]) == (1, "Cleo", "error", "turns")
    assert found["error"] == "there is no answer that fits the schema: it is not JSON"


def test_a_run_with_a_schema_goes_on_with_it(serve: Serve, log: str) -> None:
    serve(submit("Cleo"), submit("Cleo"), submit("Cleo!"), submit(json.dumps(DOG)))
    assert llm_rlm(*ASK, "-c", log, "--schema", "name, age int", "--max-turns", "2").exit_code == 1
    result = llm_rlm("resume", "last", "--max-turns", "9")
    assert (result.exit_code, json.loads(result.stdout)) == (0, DOG)
    again = llm_rlm("resume", "last")
    assert (again.exit_code, again.stdout) == (0, result.stdout)


@pytest.mark.parametrize(
    ("schema", "says"),
    [
        ("nothing", "'nothing' is no schema (Invalid schema): give LLM's concise syntax"),
        ("t:nothing", "'t:nothing' is no schema (Invalid template: nothing)"),
        ('{"type": "nonsense"}', "--schema: the schema is not a JSON Schema"),
        ('{"type": ', "--schema: the schema cannot be read"),
        ("name what", "is no schema"),
        ("", "the schema is empty"),
    ],
)
def test_what_is_no_schema_is_bad_usage(serve: Serve, log: str, schema: str, says: str) -> None:
    models = serve(submit("no"))
    result = llm_rlm(*ASK, "-c", log, "--schema", schema)
    assert (result.exit_code, models.server.count) == (2, 0)
    assert says in " ".join(result.stderr.split())


def test_a_schema_for_a_run_that_goes_on_is_refused() -> None:
    assert llm_rlm("--resume", "last", "--schema", "name, age int").exit_code == 2


def test_json_is_all_that_stdout_has_though_the_answer_comes_with_quotes(serve: Serve, tmp_path: Path) -> None:
    (path := tmp_path / "a.log").write_text("one\ntwo\n")
    serve(run('submit({"n": 2}, quotes=["two"])'))
    result = CliRunner().invoke(cli, ["rlm", "?", "-c", str(path), "-m", "chat", "--schema", "n int", "--cite"])
    assert result.stdout == '{\n  "n": 2\n}\n'
    assert '[1] a.log:2: "two"' in result.stderr
