import pytest

from llm_rlm.testing.conformance import Program, parse, programs


def test_every_program_has_a_name_of_its_own() -> None:
    names = [str(program) for program in programs()]
    assert len(set(names)) == len(names) > 400


def test_every_program_is_python() -> None:
    for program in programs():
        compile(program.code, str(program), "exec", flags=0x2000)  # top-level await


def test_a_heading_begins_a_program() -> None:
    assert parse("f", "=== one\na = 1\n=== two\nb\n") == [Program("f", "one", "a = 1\n"), Program("f", "two", "b\n")]


@pytest.mark.parametrize("text", ["a = 1\n=== one\nb\n", "=== one\na\n=== one\nb\n"])
def test_text_without_a_heading_and_a_name_given_twice_are_errors(text: str) -> None:
    with pytest.raises(ValueError, match="a heading of their own"):
        parse("f", text)
