"""What `rlm_query` makes of its arguments; what comes of it is tested in a real guest."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llm_rlm.sandbox.guest import runs
from llm_rlm.sandbox.guest.calls import Calls
from llm_rlm.sandbox.guest.lazytext import LazyText
from llm_rlm.sandbox.guest.runs import Runs


class Told:
    """Child runs of a session with this context, and what was said of them."""

    def __init__(self, context: object, *, children: bool = True) -> None:
        self.lines: list[str] = []
        self.runs = Runs(Calls(lambda _: None), context, self.lines.append, children=children)

    def request(self, question: str, context: object) -> dict[str, object]:
        return self.runs._request("question", question, context)


texts = st.lists(st.text(min_size=1), max_size=5)


@given(texts, st.data())
def test_questions_and_contexts_are_paired_alike_however_they_are_written(questions: list[str], data: Any) -> None:
    contexts = [data.draw(st.none() | st.text() | st.lists(st.integers())) for _ in questions]
    pairs = list(zip(questions, contexts, strict=True))
    assert runs._pairs(questions, contexts, None) == pairs
    assert runs._pairs(pairs, None, None) == pairs
    assert runs._pairs([{"question": question, "context": context} for question, context in pairs], None, None) == pairs
    assert runs._pairs(questions, None, "all") == [(question, "all") for question in questions]
    assert runs._pairs("one", contexts, None) == [("one", context) for context in contexts]


def test_a_context_that_the_host_has_is_named_and_not_sent() -> None:
    own = {"large": "x" * 1000}
    told = Told(own)
    lazy = LazyText(None, 3, 10**10, "big.log")  # type: ignore[arg-type]
    assert told.request("Q", own) == {"prompt": "Q", "kind": "run", "payload": '{"whole": true}'}
    assert told.request("Q", lazy)["payload"] == '{"document": 3}'
    assert told.request("Q", None)["payload"] == "{}"
    assert told.request("Q", dict(own))["payload"] == '{"value": {"large": "' + "x" * 1000 + '"}}'


@pytest.mark.parametrize(
    ("own", "part", "says"), [(200_000, 170_000, True), (200_000, 150_000, False), (90_000, 90_000, False)]
)
def test_it_is_said_where_a_child_is_given_most_of_a_large_context(own: int, part: int, says: bool) -> None:
    told = Told("a" * own)
    told.runs.query("Q", "a" * part).close()
    assert bool(told.lines) is says
    told = Told("a" * own, children=False)
    assert told.request("Q", "a" * part) == {"prompt": "Q\n\n" + "a" * part}
    assert not told.lines
