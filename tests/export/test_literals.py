"""Values as Python source."""

from __future__ import annotations

import ast

from hypothesis import example, given
from hypothesis import strategies as st

from llm_rlm.export import literals

HOSTILE = st.text(alphabet=st.one_of(st.sampled_from("\"'\\\n\r\t\0\x0c\x85 ab\u202e\ud800\u2028é"), st.characters(codec=None)))


@given(HOSTILE)
@example('print("""a""")\n')
@example("a = 'x'\nb = \"y\"\n'''\\'''\n\"\"\"")
@example("x = '\\n'\n\\")
@example('"\n"')
@example("a\r\nb")
@example("a\0\nb\ud800")
def test_what_is_written_reads_back_as_it_was(value: str) -> None:
    written = literals.text(value)
    assert ast.literal_eval(written) == value
    assert ast.literal_eval(written.encode().decode()) == value


@given(HOSTILE)
def test_nothing_in_a_literal_is_hidden_from_who_reads_it(value: str) -> None:
    assert all(character.isprintable() or character in "\n\t" for character in literals.text(value))


def test_code_of_several_lines_stands_as_it_is() -> None:
    assert literals.text("a = 1\nprint('b')") == '"""\\\na = 1\nprint(\'b\')"""'
    assert literals.text("print('\\n')\nb") == 'r"""print(\'\\n\')\nb"""'


@given(HOSTILE)
def test_a_comment_is_one_short_line(value: str) -> None:
    made = literals.comment(value)
    assert made.isprintable()
    assert len(made) <= 100
