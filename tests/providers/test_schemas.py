"""A schema comes from code that a model wrote, and is worked on by the host."""

import json

import pytest

from llm_rlm import ModelError
from llm_rlm.providers.schemas import each_of, parse, validated, validated_each, value_of

_DOUBLING = {
    "$defs": {
        **{f"a{n}": {"allOf": [{"$ref": f"#/$defs/a{n + 1}"}, {"$ref": f"#/$defs/a{n + 1}"}]} for n in range(40)},
        "a40": {"type": "string"},
    },
    "$ref": "#/$defs/a0",
}


@pytest.mark.parametrize(
    ("schema", "says"),
    [
        ({"$ref": "http://127.0.0.1:9/?stolen"}, "may refer to its own"),
        ({"properties": {"a": {"$ref": "file:///etc/passwd#/nope"}}}, "may refer to its own"),
        ({"$ref": "#"}, "may refer to its own"),
        ({"$ref": "#/$defs/none"}, "the schema has no"),
        ({"type": "string", "pattern": "(a+)+$"}, "'pattern' is not supported"),
        ({"items": [{"patternProperties": {"(a+)+$": {}}}]}, "'patternProperties' is not supported"),
        ({"type": "nonsense"}, "not a JSON Schema"),
        (_DOUBLING, "too large or too deep"),
    ],
)
def test_a_schema_that_could_fetch_or_never_end_is_refused(schema: dict[str, object], says: str) -> None:
    with pytest.raises(ModelError, match=says):
        parse(json.dumps(schema))


def test_a_schema_that_nests_without_end_is_refused() -> None:
    with pytest.raises(ModelError, match="cannot be read"):
        parse('{"a":' * 100_000)


def test_a_schema_may_refer_to_its_own_definitions() -> None:
    schema = parse('{"$defs": {"n": {"type": "integer"}}, "type": "array", "items": {"$ref": "#/$defs/n"}}')
    assert validated("[1, 2]", schema) == "[1, 2]"
    with pytest.raises(ModelError, match="does not fit the schema"):
        validated('["x"]', schema)


def test_an_answer_in_a_fence_is_read() -> None:
    assert validated('```json\n{"n": 1}\n```', parse("n int")) == '{"n": 1}'


def test_an_answer_that_nests_without_end_is_refused() -> None:
    with pytest.raises(ModelError, match=r"nests more than|not JSON"):
        validated("[" * 200 + "]" * 200, parse("{}"))


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ('{"a": [1]}', '{"a": [1]}'),
        (" 42 ", "42"),
        ("words", None),
        ("NaN", None),
        ("[" * 95 + "]" * 95, None),
        ("[" * 10**5, None),
    ],
)
def test_a_text_that_is_json_has_a_value(text: str, value: str | None) -> None:
    assert value_of(text) == value


def test_what_does_not_fit_is_named_with_its_place() -> None:
    person = {"properties": {"age": {"type": "integer"}}}
    with pytest.raises(ModelError, match=r"\['people'\]\[1\]\['age'\]: 'old' is not of type 'integer'"):
        validated('{"people": [{"age": 1}, {"age": "old"}]}', {"properties": {"people": {"items": person}}})


def test_each_entry_of_an_answer_about_many_is_checked_by_itself() -> None:
    schema = parse('{"$defs": {"n": {"type": "integer"}}, "$ref": "#/$defs/n"}')
    assert each_of(schema)["$defs"] == {"n": {"type": "integer"}}
    said = '[{"item": 7, "result": 1}, {"item": "8", "result": 2}, {"item": 9, "result": "x"}, {"item": 9}, 5]'
    assert json.loads(validated_each(said, schema)) == {
        "results": [{"item": 7, "result": 1}, {"item": 8, "result": 2}],
        "wrong": [
            {"item": 9, "result": "x", "error": "'x' is not of type 'integer'"},
            {"item": 9, "error": "['results'][0]: 'result' is a required property"},
        ],
    }
    assert validated_each(f'{{"results": {said}}}', schema) == validated_each(said, schema)


@pytest.mark.parametrize("said", ["no", "{}", '{"results": {"7": 1}}', "5"])
def test_an_answer_about_many_without_a_list_is_an_error(said: str) -> None:
    with pytest.raises(ModelError, match=r"not JSON|no list 'results'"):
        validated_each(said, {})
