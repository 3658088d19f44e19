from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llm_rlm.sandbox.guest.jsontext import MOST_NESTING, decode, encode

_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
)


@given(_VALUES)
def test_what_is_encoded_decodes_to_the_same(value: object) -> None:
    assert decode(encode(value)) == value
    assert json.loads(encode(value)) == value


def test_it_works_whatever_becomes_of_the_json_module(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(json.JSONEncoder, "default", lambda *_: "SPOOFED")
    monkeypatch.setattr(json, "dumps", lambda *_: "SPOOFED")
    assert encode([1]) == "[1]"


def nested(depth: int) -> list[object]:
    value: list[object] = []
    for _ in range(depth):
        value = [value]
    return value


def test_nesting_is_bounded() -> None:
    encode(nested(MOST_NESTING - 1))
    circle: list[object] = []
    circle.append(circle)
    for value in (nested(MOST_NESTING), nested(100_000), circle, {"a": circle}):
        with pytest.raises(ValueError, match="nested more than 100 deep"):
            encode(value)


@pytest.mark.parametrize("value", [{1}, b"a", object(), float("nan"), [float("inf")], {(1,): 2}])
def test_what_is_not_json_is_refused(value: object) -> None:
    with pytest.raises((TypeError, ValueError)):
        encode(value)
