"""A str or a JSON value as a context."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llm_rlm.context import Context, from_value
from llm_rlm.errors import UsageError

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4),
    max_leaves=20,
)


def content(context: Context) -> bytes:
    (document,) = context.documents
    data = Path(document.path).read_bytes()
    assert len(data) == document.size == context.size
    return data


@given(JSON.filter(lambda value: value is not None and not isinstance(value, str)))
def test_a_json_value_is_written_as_what_it_is(value: object) -> None:
    context = from_value(value)
    assert json.loads(content(context)) == json.loads(json.dumps(value).encode("utf-8", "replace"))
    assert (context.kind, context.type) == ("json", type(value).__name__)
    context.discard()


@given(st.text(st.characters(exclude_categories=["Cs"])))
def test_a_text_is_written_as_it_is(text: str) -> None:
    context = from_value(text)
    assert (content(context).decode(), context.kind) == (text, "text")
    context.discard()


def test_none_is_no_context() -> None:
    assert from_value(None) == Context()
    assert from_value(None).describe() == "`context` is None: this question came without input."


def test_nothing_is_left_of_a_context_that_is_discarded(temporary: Path) -> None:
    context = from_value("text")
    assert (
        Path(context.documents[0].path).stat().st_mode & 0o077 == 0
        or Path(context.documents[0].path).parent.stat().st_mode & 0o077 == 0
    )
    context.discard()
    assert list(temporary.iterdir()) == []


def test_a_text_too_large_for_the_sandbox_is_not_held_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("llm_rlm.context.width.MOST_IN_SANDBOX", 3)
    context = from_value("abcd")
    assert context.kind == "large"
    assert context.describe().startswith("`context` is a text of 4 bytes, not a str: too large to hold.")
    context.discard()


@pytest.mark.parametrize(
    ("value", "says"),
    [
        ({1: 2}, "context has the key 1, a int: JSON takes only str as keys"),
        ([{"a": {2}}], r"context\[0\]\['a'\] is a set, which JSON cannot hold"),
        (b"bytes", "context is a bytes, which JSON cannot hold"),
    ],
)
def test_what_json_cannot_hold_is_refused_by_its_place(value: object, says: str) -> None:
    with pytest.raises(UsageError, match=says):
        from_value(value)


def test_too_deep_nesting_is_refused() -> None:
    value: object = 1
    for _ in range(102):
        value = [value]
    with pytest.raises(UsageError, match="the context nests more than 100 deep"):
        from_value(value)
