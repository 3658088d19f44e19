from __future__ import annotations

import math
from typing import Any

import pytest

from llm_rlm.sandbox.transcript import Transcript
from llm_rlm.sandbox.types import Answer


@pytest.fixture
def heard() -> list[str]:
    return []


@pytest.fixture
def transcript(heard: list[str]) -> Transcript:
    return Transcript(3, "key", 10, heard.append)


def done(**fields: object) -> dict[str, Any]:
    return {"t": "done", "key": "key", "error": None, "tail": "", "total": 0, "running": 0.5, "variables": [], **fields}


def out(text: str) -> dict[str, Any]:
    return {"t": "out", "text": text}


def test_a_result_has_what_was_shown(transcript: Transcript, heard: list[str]) -> None:
    for frame in ({"t": "begun", "key": "key"}, out("ab"), out("c\ud800")):
        assert transcript.take(frame) is None
    result = transcript.take(done(tail="yz", total=1006))
    assert result is not None
    assert transcript.began
    assert (result.number, result.outcome, result.running, result.total) == (3, "ok", 0.5, 1006)
    assert result.output == "abc\\ud800\n... [1,000 of 1,006 characters not shown] ...\nyz"
    assert heard == ["ab", "c\\ud800"]


def test_frames_of_another_cell_do_not_begin_or_end_this_one(transcript: Transcript) -> None:
    assert transcript.take({"t": "begun", "key": "other"}) is None
    assert transcript.take(done(key="other")) is None
    assert not transcript.began


def test_no_more_is_kept_than_a_driver_would_send(transcript: Transcript, heard: list[str]) -> None:
    for _ in range(3):
        transcript.take(out("a" * 8))
    result = transcript.take(done(tail="b" * 100, total=0))
    assert result is not None
    assert result.output == "a" * 10 + "b" * 10
    assert heard == ["a" * 8, "aa"]


@pytest.mark.parametrize(
    ("fields", "outcome", "running", "total"),
    [
        ({"error": "timeout", "running": -1.0}, "timeout", 0, 0),
        ({"error": "lost", "running": math.inf}, "ok", 0, 0),
        ({"error": "interrupted", "total": 1 << 80}, "ok", 0.5, 1 << 62),
    ],
)
def test_what_a_driver_would_not_say_is_put_right(
    transcript: Transcript, fields: dict[str, object], outcome: str, running: float, total: int
) -> None:
    result = transcript.take(done(**fields))
    assert result is not None
    assert (result.outcome, result.running, result.total) == (outcome, running, total)


def test_an_answer_comes_in_pieces_and_the_last_counts(transcript: Transcript) -> None:
    for text, last in (("fir", False), ("st", True), ("[1", False), ("]", True), ("cut off", False)):
        transcript.take({"t": "submit", "text": text, "last": last, "kind": "json"})
    result = transcript.take(done())
    assert result is not None
    assert result.submitted == Answer("[1]", is_json=True)


def test_a_cell_that_was_lost_has_what_it_had_shown(transcript: Transcript) -> None:
    transcript.take(out("seen"))
    result = transcript.lost(1.5)
    assert (result.output, result.outcome, result.running, result.total) == ("seen", "lost", 1.5, 4)
