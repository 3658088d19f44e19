"""Names that models trained on other RLMs write, in the real sandbox."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from llm_rlm.sandbox import MissingVariableError
from llm_rlm.sandbox.guest.dialects import Dialects

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from sandbox.fakes import Notebook

    type Make = Callable[..., Notebook]


def submitted(session: Notebook, code: str) -> Any:
    """What a cell submits; fails with what it shows if it submits nothing."""
    result = session.run(code)
    assert result.submitted is not None, result.output
    return result.submitted.value


@pytest.mark.parametrize(
    ("code", "value"),
    [
        ("FINAL('four')", "four"),
        ("FINAL([1, {'a': None}])", [1, {"a": None}]),
        ("FINAL_VAR('final_table')", ["a", "b"]),
        ("FINAL_VAR(final_table)", ["a", "b"]),
        ("FINAL_VAR(final_text)", "a text of some words"),
        ("FINAL_VAR(len(final_table))", 2),
    ],
)
def test_final_submits_a_value_or_a_variable(shared: Notebook, code: str, value: object) -> None:
    shared.run("final_table = ['a', 'b']\nfinal_text = ' '.join(['a text', 'of some words'])")
    assert submitted(shared, code) == value


def test_quotes_may_come_with_final(shared: Notebook) -> None:
    result = shared.run("FINAL('four', quotes=['word'])")
    assert result.submitted is not None
    assert result.submitted.quotes == ("word",)


def test_final_var_of_a_variable_that_is_not_there_is_an_error_that_names_those_there_are(make: Make) -> None:
    session = make()
    session.run("there = 1")
    result = session.run("FINAL_VAR('elsewhere')")
    assert result.submitted is None
    assert "NameError: there is no variable 'elsewhere'. Variables: there" in result.output


def test_an_answer_that_is_ready_ends_the_run_after_the_cell(make: Make) -> None:
    session = make()
    assert session.run("answer['content'] = 'a'\nprint(answer)").submitted is None
    result = session.run("answer['content'] += 'b'\nanswer['ready'] = True\nprint('still running')")
    assert result.submitted is not None
    assert (result.submitted.value, result.output) == ("ab", "still running\n")
    assert session.run("print(answer['ready'])").submitted is None  # sent back: it is not submitted again by itself
    assert submitted(session, "answer['content'] = [1]; answer['ready'] = 1") == [1]


def test_an_answer_that_is_ready_and_empty_is_an_error(make: Make) -> None:
    session = make()
    result = session.run("answer['ready'] = True")
    assert result.submitted is None
    assert 'ValueError: answer["content"] is empty: put the answer in it, or call submit(value)' in result.output
    assert session.run("1").outcome == "ok"


def test_an_answer_that_a_cell_has_made_its_own_is_any_variable(make: Make) -> None:
    session = make()
    result = session.run("answer = {'content': 'x', 'ready': True}")
    assert result.submitted is None
    assert [str(variable) for variable in result.variables] == ["answer dict[2]"]
    assert session.value("answer").value == {"content": "x", "ready": True}
    assert session.run("del answer").outcome == "ok"


def test_the_content_of_an_answer_is_what_is_meant_by_it(make: Make) -> None:
    session = make()
    with pytest.raises(MissingVariableError):
        session.value("answer")
    session.run("answer['content'] = 'the text'")
    assert session.value("answer").value == "the text"
    assert submitted(session, "submit(answer)") == "the text"
    assert submitted(session, "FINAL_VAR('answer')") == "the text"


def test_these_names_are_none_of_the_variables_until_they_stand_for_something_else(make: Make) -> None:
    session = make()
    assert session.run("answer['content'] = 'x'").variables == ()
    assert session.run("SHOW_VARS()").output == "no variables yet\n\n"
    assert [str(variable) for variable in session.run("FINAL = chunks = [1]\ncontext = 'new'").variables] == [
        "chunks list[1]",
        "FINAL list[1]",
    ]


@pytest.mark.parametrize("code", ["SHOW_VARS()\nNone", "print(SHOW_VARS(), end='')", "x = SHOW_VARS()", "SHOW_VARS()"])
def test_show_vars_shows_each_variable_once_with_type_and_length(make: Make, code: str) -> None:
    session = make()
    session.run("n, names, _hidden = 5, ['a', 'b'], 1")
    assert session.run(code).output.rstrip() == "n: int\nnames: list[2]"


def test_what_show_vars_returns_is_its_text(make: Make) -> None:
    session = make()
    assert session.run("names = []\n'names' in SHOW_VARS()").output.endswith("True\n")


def test_a_batch_goes_by_the_name_that_others_have_for_it(shared: Notebook) -> None:
    output = shared.run("batched = await llm_query_batched(['a', 'b'])\nprint(batched['responses'], batched[1].strip())").output
    assert output == "['re: a', 're: b'] re: b\n"


class Fake:
    """A session with a function that not all have."""

    def __init__(self) -> None:
        self.namespace: dict[str, Any] = {"llm_batch": 1, "rlm_query_batch": 2}

    def names(self) -> list[str]:
        return []

    def described(self) -> Iterator[str]:
        yield from ()

    def show(self, text: str) -> object: ...


def not_called(answer: object, quotes: object = ()) -> None:
    raise AssertionError(answer, quotes)


def test_other_names_are_there_where_their_functions_are() -> None:
    names = Dialects(Fake(), not_called).names()
    assert (names["llm_query_batched"], names["rlm_query_batched"]) == (1, 2)
    fake = Fake()
    del fake.namespace["rlm_query_batch"]
    assert "rlm_query_batched" not in Dialects(fake, not_called).names()
