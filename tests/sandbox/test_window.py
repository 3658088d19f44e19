from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llm_rlm.sandbox.guest.asking import Asker, HelperError
from llm_rlm.sandbox.window import LARGEST, Window


class StoppedError(Exception):
    pass


def stop(why: str) -> None:
    raise StoppedError(why)


class Host:
    """Answers every question at once."""

    def __init__(self, window: Window, answers: list[tuple[str, bytes]]) -> None:
        self.window = window
        self.answers = answers
        self.frames: list[dict[str, object]] = []

    def send(self, frame: dict[str, object]) -> None:
        self.frames.append(frame)
        status, body = self.answers.pop(0)
        number = frame["n"]
        assert isinstance(number, int)
        self.window.show(number, status, body)  # type: ignore[arg-type]


@given(st.lists(st.binary(max_size=2000), min_size=1, max_size=5))
def test_each_question_gets_the_bytes_that_answer_it(bodies: list[bytes]) -> None:
    window = Window()
    host = Host(window, [("data", body) for body in bodies])
    asker = Asker(window.path, host.send, stop)  # type: ignore[arg-type]
    assert [asker.ask("read", document=0) for _ in bodies] == bodies
    assert host.frames[0] == {"t": "ask", "n": 1, "name": "read", "arguments": {"document": 0}}
    asker.close()
    window.close()


@pytest.mark.parametrize("why", ["the user stopped the run", "", "é" * 1000])
def test_a_cell_finds_out_that_it_is_to_stop_and_why_and_no_other_cell_does(why: str) -> None:
    window = Window()
    asker = Asker(window.path, print, stop)  # type: ignore[arg-type]
    stopped, other = map(asker.watcher(), ("0123456789abcdef", "0123456789abcdee"))
    window.show(1, "data", b"an answer " * 1000)
    assert stopped() is None
    window.stop("0123456789abcdef", why)
    told = stopped()
    assert told is not None
    assert why.startswith(told.rstrip("\ufffd"))
    assert len(told) >= min(len(why), 200)
    assert other() is None
    asker.close()
    assert stopped() is None
    window.close()


def test_what_is_wrong_with_a_question_is_raised_and_a_stop_ends_the_cell() -> None:
    window = Window()
    host = Host(window, [("error", "no such text: é".encode()), ("stop", b"the user stopped the run"), ("data", b'{"a": [1]}')])
    asker = Asker(window.path, host.send, stop)  # type: ignore[arg-type]
    with pytest.raises(HelperError, match="no such text: é"):
        asker.ask("read")
    with pytest.raises(StoppedError, match="the user stopped the run"):
        asker.ask("read")
    assert asker.ask_json("listing") == {"a": [1]}
    asker.close()
    window.close()


def test_a_window_goes_with_its_name_or_when_it_is_closed() -> None:
    kept, unlinked = Window(), Window()
    unlinked.unlink()
    assert [Path(window.path).exists() for window in (kept, unlinked)] == [True, False]
    for window in (kept, unlinked):
        window.close()
        assert not Path(window.path).exists()
        with pytest.raises(OSError, match="Bad file"):
            os.fstat(window._file)


def test_nobody_else_may_look_through_a_window() -> None:
    window = Window()
    assert Path(window.path).stat().st_mode & 0o077 == 0
    window.close()


def test_an_answer_that_is_too_long_is_not_shown() -> None:
    window = Window()
    with pytest.raises(ValueError, match="at most 16,777,216 fit"):
        window.show(1, "data", bytes(LARGEST + 1))
    window.close()
