"""What the root model is shown of a cell."""

from llm_rlm.runs.shown import show
from llm_rlm.sandbox import CellResult


def result(output: str, *notes: str, total: int = 0) -> CellResult:
    return CellResult(1, output, "ok", 0.0, 0.0, total=total, notes=notes)


def test_output_and_notes_are_lines_after_one_another() -> None:
    assert show(result("7\n\n", "The sandbox is a new one.")) == "7\nThe sandbox is a new one."


def test_no_output_is_said() -> None:
    assert show(result("\n")) == "(no output)"


def test_what_is_within_the_limit_is_whole() -> None:
    assert show(result("abcdef"), 6) == "abcdef"


def test_of_more_the_head_and_the_tail_are_shown_with_the_length_between() -> None:
    assert show(result("abcdefghij"), 5) == "abc\n... [5 of 10 characters not shown] ...\nij"


def test_the_length_is_that_of_all_that_was_printed() -> None:
    assert show(result("abcdefghij", total=1000), 5) == "abc\n... [995 of 1,000 characters not shown] ...\nij"


def test_what_the_sandbox_has_cut_to_the_limit_stays_as_it_is() -> None:
    kept = "ab\n... [9 of 13 characters not shown] ...\nyz"
    assert show(result(kept, total=13), 4) == kept


def test_characters_that_are_no_text_count_as_they_are_shown() -> None:
    assert show(result("\\ud800" * 2, total=2), 6) == "\\ud\n... [6 of 12 characters not shown] ...\n800"
