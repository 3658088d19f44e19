"""The ends of a run as models write them."""

from __future__ import annotations

import pytest

from llm_rlm.root.finals import End, in_code, in_prose


@pytest.mark.parametrize(
    ("code", "end"),
    [
        ('submit("four")', {"answer": "four"}),
        ("\nFINAL('''two\nlines \\' \\n''')\n", {"answer": "two\nlines ' \n"}),
        ("submit(42)", {"answer": 42}),
        ("submit({'a': [1, None]})", {"answer": {"a": [1, None]}}),
        ("submit(table)", {"variable_name": "table"}),
        ("FINAL_VAR(table)", {"variable_name": "table"}),
        ("FINAL_VAR('table')", {"variable_name": "table"}),
        ('submit("a", quotes=["b"])  # sure', {"answer": "a", "quotes": ["b"]}),
        ('submit(r, quotes=["b"])', {"variable_name": "r", "quotes": ["b"]}),
    ],
)
def test_a_block_that_is_nothing_but_an_end_is_one(code: str, end: End) -> None:
    assert in_code(code) == end


@pytest.mark.parametrize(
    "code",
    [
        "x = 1\nsubmit(x)",
        "submit(f'{x}')",
        "submit(x + 1)",
        "submit('')",
        "submit(None)",
        "submit()",
        "submit(*a)",
        "submit('a', 'b')",
        "submit('a', why='b')",
        "submit('a', quotes=q)",
        "submit({1: 2})",
        "submit((1, 2))",
        "submit(b'a')",
        "submit({1})",
        "submit(1e999)",
        "submit('\\d')",
        "submit('a'",
        "FINAL(The answer is 4)",
        "FINAL_VAR('no name')",
        "submitted('a')",
        "submit(" + "-" * 100_000 + "1)",
        "submit(" + "[" * 5_000 + "]" * 5_000 + ")",
    ],
    ids=lambda code: code[:20],
)
def test_a_block_that_has_to_be_run_is_none(code: str) -> None:
    assert in_code(code) is None


@pytest.mark.parametrize(
    ("prose", "end"),
    [
        ("I am done.\nFINAL(42)", {"answer": "42"}),
        ("  FINAL(42).\n\nBye", {"answer": "42"}),
        ('FINAL("the :) answer")', {"answer": "the :) answer"}),
        ("FINAL('''a\nb)''')", {"answer": "a\nb)"}),
        ('FINAL("C:\\dir")', {"answer": "C:\\dir"}),
        ("FINAL(two (2) lines\nand more (of it)\n)", {"answer": "two (2) lines\nand more (of it)"}),
        ("FINAL_VAR(table)\n", {"variable_name": "table"}),
        ('FINAL_VAR("table")', {"variable_name": "table"}),
        ("FINAL(first)\nno,\nFINAL(second)", {"answer": "second"}),
    ],
)
def test_an_end_in_prose_stands_at_the_start_of_a_line_and_in_balanced_brackets(prose: str, end: End) -> None:
    assert in_prose(prose) == end


@pytest.mark.parametrize(
    "prose",
    [
        "Now I could say FINAL(42)",
        "FINAL(42",
        "FINAL(a smiley :) here)",
        "FINAL(42) is what I will say",
        "FINAL(\n1) one\n2) two\n)",
        "FINAL()",
        "FINAL_VAR(two words)",
        "FINAL_VAR()",
        "FINALLY(4)",
        "FINAL (4)",
        'FINAL("""' * 1000,
    ],
)
def test_what_is_cut_or_goes_on_in_a_sentence_is_none(prose: str) -> None:
    assert in_prose(prose) is None
