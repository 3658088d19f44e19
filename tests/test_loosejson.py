"""One JSON value is read out of what models write around it, and never one that was not meant."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llm_rlm.loosejson import read

PLAIN = st.none() | st.booleans() | st.integers() | st.text()
VALUES = st.recursive(PLAIN, lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner))


@given(VALUES)
def test_json_alone_and_in_a_fence_is_itself(value: object) -> None:
    assert read(json.dumps(value)) == value
    assert read(f"Here:\n```json\n{json.dumps(value, indent=1)}\n```\nDone [1].") == value


@given(st.lists(VALUES) | st.dictionaries(st.text(), VALUES))
def test_a_list_or_object_in_prose_is_itself(value: object) -> None:
    assert read(f"The answer is {json.dumps(value)}. I hope it helps!") == value


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ('{"a": [1, 2,], }', {"a": [1, 2]}),
        ('["a,]", ",}",]', ["a,]", ",}"]),
        ('Sure: ```json {"a": 1}```', {"a": 1}),
        ("```\n[1,\n2,\n]\n```", [1, 2]),
        ("  7 ", 7),
    ],
)
def test_trailing_commas_are_left_out_but_not_in_texts(text: str, value: object) -> None:
    assert read(text) == value


@pytest.mark.parametrize(
    "text",
    [
        "",
        "three",
        "it is 7",
        '{"a": 1} or {"a": 2}',
        "see [1]: {}",
        '{"results": [{"item": 1}, {"item": 2',
        "{'a': [1]}",
        '```\n{"a": 1}\n```\n```\n{"a": 2}\n```',
        "NaN",
        "[-Infinity]",
        '"\\',
    ],
)
def test_what_is_no_value_or_could_be_several_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        read(text)


LONG = ['"' + '\\"' * 200_000, "," + " " * 200_000 + "x", "[" * 200_000, "{" * 200_000, "```\n" * 100_000, "```a\n" * 100_000]


@pytest.mark.parametrize("text", LONG, ids=lambda text: text[:5])
def test_no_text_takes_long(text: str) -> None:
    with pytest.raises((ValueError, RecursionError)):
        read(text)
