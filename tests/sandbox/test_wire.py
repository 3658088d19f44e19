from __future__ import annotations

import pytest

from llm_rlm.calls import CallReply, CallRequest
from llm_rlm.sandbox import wire
from llm_rlm.sandbox.guest.calls import MOST_PROMPT_CHARACTERS
from llm_rlm.sandbox.types import Answer, MissingVariableError, NotAnAnswerError, Variable


def test_a_call_is_read_with_all_its_fields() -> None:
    call = {"id": 4, "prompt": "a\ud800", "system": "b", "model": "c", "schema": "d"}
    wanted = CallRequest(4, "a\\ud800", system="b", model="c", schema="d", replay=True)
    assert wire.to_request(call, replay=True) == wanted


@pytest.mark.parametrize("call", [None, {}, {"id": "1", "prompt": "a"}, {"id": 1}, {"id": 1, "prompt": "a", "system": 2}])
def test_a_malformed_call_is_refused(call: object) -> None:
    with pytest.raises((TypeError, KeyError)):
        wire.to_request(call, replay=False)


@pytest.mark.parametrize("field", ["prompt", "system", "schema", "payload"])
def test_a_text_that_no_guest_lets_through_is_refused(field: str) -> None:
    call = {"id": 1, "prompt": "a", field: "x" * MOST_PROMPT_CHARACTERS}
    assert len(str(getattr(wire.to_request(call, replay=False), field))) == MOST_PROMPT_CHARACTERS
    with pytest.raises(ValueError, match=r"^$"):
        wire.to_request({**call, field: "x" * (MOST_PROMPT_CHARACTERS + 1)}, replay=False)


def test_a_reply_says_only_what_there_is() -> None:
    assert wire.from_reply(CallReply(1, "a")) == {"id": 1, "text": "a"}
    assert wire.from_reply(CallReply(1, "2", data="2")) == {"id": 1, "text": "2", "data": "2"}
    assert wire.from_reply(CallReply(1, error="no")) == {"id": 1, "error": "no"}


def test_what_is_no_variable_is_left_out() -> None:
    news: list[object] = [["a", "list", 3], ["b", "int", None], ["c", "int"], ["d", "int", "4"], 5, ["e" * 999, "f", 1]]
    assert wire.to_variables(news) == [Variable("a", "list", 3), Variable("b", "int"), Variable("e" * 100, "f", 1)]


@pytest.mark.parametrize(
    ("kind", "text", "is_json"),
    [("json", '{"a": 1}', True), ("text", "1", False), ("json", "not so", False), ("json", "[" * 100_000, False)],
)
def test_an_answer_is_json_where_the_guest_says_so_and_it_is(kind: str, text: str, is_json: bool) -> None:
    assert wire.to_answer(kind, text) == Answer(text, is_json=is_json)


def test_a_missing_variable_is_told_with_the_names_there_are() -> None:
    with pytest.raises(MissingVariableError) as caught:
        wire.to_value("a", {"error": "missing", "names": ["b", 3, "c\ud800"]}, "")
    assert caught.value.names == ["b", "c\\ud800"]


def test_a_value_that_is_no_answer_is_told_in_short() -> None:
    with pytest.raises(NotAnAnswerError, match="the variable 'a' is not an answer: xxx") as caught:
        wire.to_value("a", {"error": "x" * 9999}, "")
    assert len(str(caught.value)) < 1000


def test_names_stand_in_one_line_whatever_a_cell_made_of_them() -> None:
    assert wire.to_variables([["a\nb", "list\x1b[2J", 1]]) == [Variable("a?b", "list?[2J", 1)]
    with pytest.raises(MissingVariableError) as raised:
        wire.to_value("x", {"error": "missing", "names": ["\u202ea\n"]}, "")
    assert raised.value.names == ["?a?"]
