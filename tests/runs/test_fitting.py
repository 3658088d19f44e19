"""An answer fits its schema, or the root model is told why not until it does."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any

import pytest
from pydantic import BaseModel

from llm_rlm import RLM, Limits, RunFailedError, UsageError
from llm_rlm.journal import Journal
from llm_rlm.places import journal_path
from llm_rlm.providers import schemas
from llm_rlm.runs.fitting import Misfit, fit
from llm_rlm.sandbox import Answer
from llm_rlm.testing import say
from scripts import run, scripted, submit, submit_variable

if TYPE_CHECKING:
    from conftest import Serve

CONCISE = "name, age int"
OBJECT: dict[str, Any] = {
    "type": "object",
    "properties": {"name": {"type": "string"}, "age": {"type": "integer"}},
    "required": ["name", "age"],
}
DOG = {"name": "Cleo", "age": 3}


class Dog(BaseModel):
    name: str
    age: int


def fitted(answer: Answer, schema: dict[str, Any] = OBJECT) -> object:
    made = fit(answer, schema)
    return made.why if isinstance(made, Misfit) else made.value


def test_a_value_and_text_that_holds_it_fit() -> None:
    for answer in (Answer(json.dumps(DOG), is_json=True), Answer(json.dumps(DOG)), Answer(f"```json\n{json.dumps(DOG)}\n```")):
        assert fitted(answer) == DOG


def test_what_does_not_fit_says_why() -> None:
    assert fitted(Answer("Cleo, three")) == "it is not JSON"
    assert fitted(Answer('{"name": "Cleo"}')) == "'age' is a required property"
    assert fitted(Answer('{"name": "Cleo", "age": "3"}')) == "['age']: '3' is not of type 'integer'"
    assert isinstance(fit(Answer("[" * 2000 + "]" * 2000), OBJECT), Misfit)


def test_text_is_taken_as_it_is_where_the_schema_wants_text() -> None:
    assert fitted(Answer("12"), {"type": "string"}) == "12"
    assert fitted(Answer("yes"), {"enum": ["yes", "no"]}) == "yes"
    assert fitted(Answer("12"), {"type": "integer"}) == 12


def test_quotes_stay_with_the_answer_that_fits() -> None:
    made = fit(Answer("12", quotes=("a",)), {"type": "integer"})
    assert made == Answer("12", is_json=True, quotes=("a",))


# In runs


@pytest.mark.parametrize("api", ["chat", "responses"])
@pytest.mark.parametrize("schema", [CONCISE, OBJECT, json.dumps(OBJECT), Dog], ids=["concise", "dict", "json", "pydantic"])
def test_an_answer_that_does_not_fit_is_sent_back_until_it_does(serve: Serve, api: str, schema: Any) -> None:
    models = serve(
        submit("Cleo is three"), run("submit({'name': 'Cleo'})"), run(f"dog = {DOG!r}\nlist = [1]"), submit_variable("list"),
        submit_variable("dog"), say("never asked for"),
    )  # fmt: skip
    result = RLM(api, schema=schema).ask("Who?", context="x")
    assert (result.answer, result.finish, result.error) == (DOG, "submitted", None)
    assert json.loads(result.text) == DOG
    system = models.root_requests[0].messages[0]["content"]
    assert "valid against this JSON Schema:" in system
    assert '"age": ' in system
    assert "does not fit the JSON Schema (it is not JSON)" in models.tool_results[0]
    assert "('age' is a required property)" in models.tool_results[1]
    assert "[1] is not of type 'object'" in models.tool_results[3]
    assert result.usage.turns == 5


def test_text_that_holds_json_is_the_value() -> None:
    result = RLM(scripted(submit(f"```json\n{json.dumps(DOG)}\n```"))).ask("Who?", context="x", schema=CONCISE)
    assert result.answer == DOG
    assert asyncio.run(RLM(scripted(submit(json.dumps(DOG)))).aask("Who?", context="x", schema=Dog)).answer == DOG


def test_prose_that_fits_is_taken_and_prose_that_does_not_is_sent_back() -> None:
    result = RLM(scripted("Cleo is three", "Cleo, I said.", json.dumps(DOG)), schema=CONCISE).ask("Who?", context="x")
    assert (result.answer, result.finish, result.usage.turns) == (DOG, "prose", 3)


@pytest.mark.parametrize("reply", [submit("Cleo"), say("Cleo")], ids=["submitted", "prose"])
def test_a_run_that_ends_without_an_answer_that_fits_has_failed_and_keeps_the_last(reply: Any) -> None:
    with pytest.raises(RunFailedError, match="there is no answer that fits the schema: it is not JSON") as failed:
        RLM(scripted(reply), limits=Limits(turns=3), schema=CONCISE).ask("Who?", context="x")
    result = failed.value.result
    assert (result.answer, result.finish, result.usage.turns) == ("Cleo", "error", 3)
    assert result.limit == {"kind": "turns", "limit": 3, "used": 3}


def test_replies_that_are_empty_end_a_run_with_a_schema_as_they_end_any() -> None:
    with pytest.raises(RunFailedError, match="its replies were empty"):
        RLM(scripted(""), schema=CONCISE).ask("Who?", context="x")


def test_the_schema_is_recorded_and_holds_when_the_run_goes_on() -> None:
    with pytest.raises(RunFailedError):
        RLM(scripted(submit("Cleo")), limits=Limits(turns=2), schema=CONCISE).ask("Who?", context="x")
    journal = Journal(journal_path())
    (row,) = journal.rows("select id, settings from runs")
    journal.close()
    assert json.loads(row["settings"])["asked"]["schema"] == OBJECT
    root = scripted(submit("Cleo again"), submit(json.dumps(DOG)))
    result = RLM(root, limits=Limits(turns=9)).resume(row["id"], context="x")
    assert (result.answer, result.finish, result.usage.turns) == (DOG, "submitted", 4)
    assert RLM(root).resume(row["id"]).answer == DOG


def test_an_answer_submitted_from_a_cell_is_the_value_also_after_a_crash() -> None:
    """The cell has submitted text, and the run ends before it could say so."""
    asking = RLM(scripted(run(f"submit({json.dumps(json.dumps(DOG))})")), schema=CONCISE)
    result = asking.ask("Who?", context="x")
    journal = Journal(journal_path())
    journal.write(lambda db: db.execute("update runs set finish = null, ended = null, answer_hash = null"))
    journal.close()
    assert RLM(scripted(say("never asked for"))).resume(result.run_id, context="x").answer == DOG


# Schemas as users give them


def test_a_schema_of_a_user_may_hold_patterns_and_refer_to_itself() -> None:
    tree = {"$defs": {"t": {"type": "array", "items": {"$ref": "#/$defs/t"}}}, "$ref": "#/$defs/t"}
    assert fitted(Answer("[[], [[]]]"), schemas.given(tree) or {}) == [[], [[]]]
    assert schemas.given({"pattern": "^a"}) == {"pattern": "^a"}
    assert schemas.given(None) is None


@pytest.mark.parametrize(
    ("schema", "says"),
    [
        (5, "not 5"),
        ("", "LLM's concise schema string, not ''"),
        ({}, "not {}"),
        ({"type": "nonsense"}, "not a JSON Schema"),
        ({"type": {1, 2}}, "cannot be read"),
        ('{"type": ', "cannot be read"),
        ("[1]", r"not '\[1\]'"),
        (int, "cannot be read"),
        ({"properties": {"a": {"$ref": "http://127.0.0.1:9/x"}}}, "refers to 'http://127.0.0.1:9/x', which is not in it"),
    ],
)
def test_a_schema_that_is_none_is_an_error_before_anything_is_sent(schema: Any, says: str) -> None:
    with pytest.raises(UsageError, match=says):
        RLM(scripted(submit("no")), schema=schema).ask("Who?", context="x")
