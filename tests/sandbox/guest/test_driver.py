"""The parts of the driver that need no guest; what it does with cells is tested in a real one."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from llm_rlm.sandbox.guest import driver
from llm_rlm.sandbox.guest.results import Response

if TYPE_CHECKING:
    from pathlib import Path


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(content=st.binary() | st.text().map(str.encode), piece=st.integers(1, 5))
def test_a_text_read_in_pieces_is_the_text_read_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: bytes, piece: int
) -> None:
    monkeypatch.setattr(driver, "_PIECE_BYTES", piece)
    path = tmp_path / "text"
    path.write_bytes(content)
    assert driver._read(str(path), len(content)) == content.decode("utf-8", "replace")


def test_a_huge_text_is_shown_by_its_beginning(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(driver, "_SHOWN_WHOLE", 3)
    assert driver._shown(Response("abcdef")) == "'abc'... (6 in all)"
    assert driver._shown(b"abc") == "b'abc'"


def test_an_answer_is_text_or_json_and_not_too_long(monkeypatch: pytest.MonkeyPatch) -> None:
    assert driver._as_answer(Response("a")) == ("text", "a")
    assert driver._as_answer([1]) == ("json", "[1]")
    monkeypatch.setattr(driver, "_MOST_ANSWER", 2)
    for value in ("abc", [1]):
        with pytest.raises(ValueError, match="the answer has 3 characters; at most 2 can be given"):
            driver._as_answer(value)


class Sly(list[int]):
    """A list that lies about itself."""

    def __len__(self) -> int:
        raise ZeroDivisionError


def test_names_and_lengths_are_told_without_asking_the_value() -> None:
    assert (driver._name(Sly([1, 2])), driver._length(Sly([1, 2]))) == ("Sly", 2)
    assert (driver._name(1.5), driver._length(math.inf)) == ("float", None)
    assert driver._length({"a": 1}) == 1


def test_a_traceback_leaves_out_the_driver_in_causes_and_groups_too() -> None:
    code = compile("raise ValueError('inner')", "<rlm driver>", "exec")
    with pytest.raises(ValueError, match="inner") as inner:
        exec(code)  # noqa: S102 - a frame with the driver's name
    problem = KeyError("outer")
    problem.__cause__ = ExceptionGroup("several", [inner.value])
    shown = driver._format(problem, None)
    assert "<rlm" not in shown
    assert "ValueError: inner" in shown
    assert "KeyError: 'outer'" in shown
    assert driver._format(problem, "TimeoutError: over") == "TimeoutError: over\n"
