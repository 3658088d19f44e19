"""Values as Python source."""

from __future__ import annotations

import ast

from hypothesis import example, given

from llm_rlm.export import literals
from unseen import ANY_TEXT, UNSEEN, unseen


@given(ANY_TEXT)
@example('print("""a""")\n')
@example("a = 'x'\nb = \"y\"\n'''\\'''\n\"\"\"")
@example("x = '\\n'\n\\")
@example('"\n"')
@example("a\r\nb")
@example("a\0\nb\ud800")
@example("a\n\\\u3164")
def test_what_is_written_reads_back_as_it_was(value: str) -> None:
    written = literals.text(value)
    assert ast.literal_eval(written) == value
    assert ast.literal_eval(written.encode().decode()) == value


@given(ANY_TEXT)
@example(UNSEEN)
@example(f"a\n{UNSEEN}")
def test_nothing_in_a_literal_is_hidden_from_who_reads_it(value: str) -> None:
    written = literals.text(value)
    assert unseen(written) == set()
    assert all(character.isprintable() or character in "\n\t" for character in written)
    assert unseen(literals.of({value: [value]})) == set()


def test_a_value_with_what_is_hidden_reads_back_as_it_was() -> None:
    value = {UNSEEN: [UNSEEN, None]}
    assert ast.literal_eval(literals.of(value)) == value


def test_code_of_several_lines_stands_as_it_is() -> None:
    assert literals.text("a = 1\nprint('b')") == '"""\\\na = 1\nprint(\'b\')"""'
    assert literals.text("print('\\n')\nb") == 'r"""print(\'\\n\')\nb"""'


@given(ANY_TEXT)
@example(UNSEEN[:90])
def test_a_comment_is_one_short_line(value: str) -> None:
    made = literals.comment(value)
    assert made.isprintable()
    assert unseen(made) == set()
    assert len(made) <= 100
