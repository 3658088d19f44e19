"""Answers that have to fit a JSON Schema."""

from __future__ import annotations

import json
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from llm_rlm import loosejson
from llm_rlm.providers import schemas
from llm_rlm.sandbox import Answer

if TYPE_CHECKING:
    from collections.abc import Iterator


@dataclass(frozen=True)
class Misfit:
    """An answer that does not fit, and why."""

    answer: Answer
    why: str


def fit(answer: Answer, schema: dict[str, Any]) -> Answer | Misfit:
    """The answer as the JSON value that fits. Text that holds JSON is read; where the schema wants text, it stays text."""
    why = "it is not JSON"
    for value in _values(answer):
        wrong = schemas.misfit(value, schema)
        if wrong is None:
            return Answer(json.dumps(value, ensure_ascii=False), is_json=True, quotes=answer.quotes)
        if value is not answer.text:
            why = wrong
    return Misfit(answer, why)


def _values(answer: Answer) -> Iterator[Any]:
    """What an answer may be meant as."""
    if answer.is_json:
        yield answer.value
        return
    with suppress(ValueError, RecursionError):
        yield loosejson.read(answer.text)
    yield answer.text
