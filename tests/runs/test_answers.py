"""What is taken for the answer of a run, and what the root model is to mend first."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from llm_rlm.context import from_value
from llm_rlm.journal import Journal
from llm_rlm.runs.answers import Answers, as_answer
from llm_rlm.runs.evidence import Evidence
from llm_rlm.sandbox import Answer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

NUMBER = {"type": "integer"}

type Make = Callable[..., Answers]


@pytest.fixture
def answers() -> Iterator[Make]:
    context, journal = from_value("alice failed\nbob came in\n"), Journal(None)

    def make(schema: dict[str, Any] | None = None, *, cite: bool = False, stopped: bool = False) -> Answers:
        return Answers(Evidence(context, journal, "r"), lambda: stopped, schema, cite=cite)

    yield make
    journal.close()
    context.discard()


def test_the_last_that_is_taken_counts(answers: Make) -> None:
    given = answers()
    assert given.take(Answer("bob")) is given.take(Answer("alice")) is None
    assert given.taken == Answer("alice")


def test_what_does_not_fit_the_schema_is_sent_back_however_often(answers: Make) -> None:
    given = answers(NUMBER)
    assert "is not of type 'integer'" in str(given.take(Answer('"one"')))
    assert "is not of type 'integer'" in str(given.take(Answer('"two"')))
    assert given.taken is None
    assert given.take(Answer("3")) is None
    assert given.taken == Answer("3", is_json=True)


def test_where_no_answer_fits_the_last_one_is_kept_with_what_is_wrong(answers: Make) -> None:
    given = answers(NUMBER)
    assert given.keep_misfit() is None
    given.take(Answer('"one"'))
    given.take(Answer('"two"'))
    assert "'two' is not of type 'integer'" in str(given.keep_misfit())
    assert given.taken == Answer('"two"')


def test_what_was_submitted_and_does_not_fit_is_kept_before_prose_that_does_not_either(answers: Make) -> None:
    given = answers(NUMBER)
    given.take(Answer('"one"'))
    given.take_prose("it is one")
    given.keep_misfit()
    assert given.taken == Answer('"one"')


def test_prose_is_taken_if_it_fits(answers: Make) -> None:
    given = answers(NUMBER)
    assert given.wrong_with("none") is not None
    assert given.wrong_with("3") is None
    given.take_prose("3")
    assert given.taken == Answer("3", is_json=True)


@pytest.mark.parametrize("quotes", [(), ("carol failed",)])
def test_quotes_are_asked_for_once_more_and_then_the_answer_is_taken(answers: Make, quotes: tuple[str, ...]) -> None:
    given, answer = answers(cite=True), Answer("alice", quotes=quotes)
    assert given.take(answer) is not None
    assert given.taken is None
    assert given.take(answer) is None
    assert given.taken == answer


def test_a_run_that_is_stopped_is_not_asked_for_better_quotes(answers: Make) -> None:
    given = answers(cite=True, stopped=True)
    assert given.take(Answer("alice")) is None


def test_quotes_that_are_in_the_input_are_no_reason_to_ask_again(answers: Make) -> None:
    assert answers(cite=True).take(Answer("alice", quotes=("alice failed",))) is None


@pytest.mark.parametrize(
    ("value", "wanted"),
    [("text", Answer("text")), ({"n": "ä"}, Answer('{"n": "ä"}', is_json=True)), (3, Answer("3", is_json=True))],
)
def test_text_is_an_answer_as_it_is_and_any_other_value_as_json(value: object, wanted: Answer) -> None:
    assert as_answer(value) == wanted
