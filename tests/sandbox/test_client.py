from __future__ import annotations

import json

import pytest

from llm_rlm.sandbox.client import check
from llm_rlm.sandbox.frames import FrameError

_DONE: dict[str, object] = {"t": "done", "key": "k", "error": None, "tail": "", "total": 0, "running": 0.5, "variables": []}


@pytest.mark.parametrize(
    "frame",
    [
        {"t": "ready"},
        {"t": "out", "text": "a"},
        _DONE,
        {"t": "calls", "calls": []},
        {"t": "touched", "documents": [0]},
        {"t": "submit", "text": "a", "last": False},
        {"t": "value", "text": "", "last": True, "error": "missing", "names": ["a"]},
    ],
)
def test_frames_of_the_driver_pass(frame: dict[str, object]) -> None:
    assert check(json.dumps(frame).encode()) == frame


@pytest.mark.parametrize(
    ("body", "problem"),
    [
        (b"", "not JSON"),
        (b"\xff", "not JSON"),
        (b"[" * 100_000, "not JSON"),
        (b'{"t": "out", "text": NaN}', "not JSON"),
        (b"[]", "unknown type"),
        (b"{}", "unknown type"),
        (b'{"t": ["out"]}', "unknown type"),
        (b'{"t": "launch"}', "unknown type"),
        (b'{"t": "out", "text": 1}', "'text' is a int"),
        (json.dumps({**_DONE, "error": ["error"]}).encode(), "'error' is a list"),
        (json.dumps({**_DONE, "total": 1.5}).encode(), "'total' is a float"),
        (b'{"t": "value", "text": "", "last": true, "names": 5}', "'names' is a int"),
        (b'{"t": "touched", "documents": {}}', "'documents' is a dict"),
        (b'{"t": "calls", "calls": [' + b"0," * 1_000_001 + b"0]}", "more than 1,000,000 values"),
    ],
)
def test_a_frame_no_driver_would_send_is_refused(body: bytes, problem: str) -> None:
    with pytest.raises(FrameError, match=problem):
        check(body)


def test_a_text_may_hold_any_number_of_commas() -> None:
    assert check(json.dumps({"t": "out", "text": '",\\' * 1_100_000}).encode())["text"] == '",\\' * 1_100_000
