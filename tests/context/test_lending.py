"""A context that another run has as well."""

from __future__ import annotations

import pytest

from llm_rlm.context import from_value, lent


def test_whoever_has_a_lent_context_removes_nothing() -> None:
    own = from_value("some text")
    for other in (lent(own), lent(own, 0)):
        assert (other.kind, other.size, other.documents[0].read()) == ("text", 9, b"some text")
        other.discard()
    assert own.documents[0].read() == b"some text"
    own.discard()


@pytest.mark.parametrize("number", [-1, 1])
def test_a_text_that_is_not_there_cannot_be_lent(number: int) -> None:
    own = from_value("some text")
    with pytest.raises(IndexError):
        lent(own, number)
    own.discard()
