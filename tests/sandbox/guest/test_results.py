from __future__ import annotations

import json

import pytest

from llm_rlm.sandbox.guest.results import Batch, Failure, LLMError, Response


def test_a_response_is_text() -> None:
    response = Response('{"a": 1}')
    assert response == '{"a": 1}'
    assert json.loads(response) == {"a": 1}
    assert response[0] == "{"
    assert response.ok


def test_a_response_is_a_dict() -> None:
    response = Response("text", {"n": 1})
    assert response["response"] == "text"
    assert response["data"] == response.data == {"n": 1}
    assert response["error"] is None
    assert dict(response) == {"response": "text", "data": {"n": 1}, "error": None}
    assert response.get("answer", "none") == "none"
    with pytest.raises(KeyError, match=r"json\.loads"):
        response["label"]


def test_a_failure_is_falsy_and_raises_where_it_is_used_as_an_answer() -> None:
    failure = Failure("out of money", 3)
    assert not failure
    assert not failure.ok
    assert failure["error"] == failure.error == failure.get("error") == "out of money"
    for use in (lambda: failure["response"], lambda: failure.strip, lambda: failure[0]):
        with pytest.raises(LLMError, match="call 3 of the batch failed: out of money"):
            use()  # type: ignore[no-untyped-call]
    assert repr(failure) == "<call 3 failed: out of money>"


def test_a_batch_is_a_list_and_a_dict() -> None:
    failure = Failure("no", 1)
    batch = Batch([Response("a"), failure])
    assert batch["responses"] == batch.responses == list(batch)
    assert batch["errors"] == batch.errors == [failure]
    assert batch[0] == "a"
    assert batch[-1:] == [failure]
    assert batch.get("nothing", 5) == 5
    with pytest.raises(KeyError, match="a batch has 'responses' and 'errors'"):
        batch["answer"]
