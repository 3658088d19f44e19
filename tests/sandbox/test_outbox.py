from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from llm_rlm.calls import CallReply
from llm_rlm.sandbox.frames import FrameError
from llm_rlm.sandbox.outbox import Outbox

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


def test_replies_that_come_while_one_is_sent_go_together_in_the_next_frame() -> None:
    frames: list[list[object]] = []

    def send(replies: Sequence[Mapping[str, object]]) -> None:
        frames.append([reply["id"] for reply in replies])
        if len(frames) == 1:
            for number in (2, 3):
                outbox.post(CallReply(number))

    outbox = Outbox(send)
    outbox.post(CallReply(1))
    outbox.post(CallReply(4))
    assert frames == [[1], [2, 3], [4]]


def test_long_replies_go_in_frames_of_their_own() -> None:
    frames: list[list[object]] = []

    def send(replies: Sequence[Mapping[str, object]]) -> None:
        frames.append([reply["id"] for reply in replies])
        if len(frames) == 1:
            outbox.post(*(CallReply(number, text="x" * 3_000_000) for number in (2, 3)), CallReply(4))

    outbox = Outbox(send)
    outbox.post(CallReply(1))
    assert frames == [[1], [2], [3, 4]]


def test_a_reply_that_fits_in_no_frame_is_an_error_and_those_after_it_are_sent() -> None:
    sent: list[Mapping[str, object]] = []

    def send(replies: Sequence[Mapping[str, object]]) -> None:
        if any(len(str(reply.get("text"))) > 5_000_000 for reply in replies):
            raise FrameError
        sent.extend(replies)

    outbox = Outbox(send)
    outbox.post(CallReply(1, text="x" * 6_000_000), CallReply(2, text="short"))
    assert [(reply["id"], reply.get("text")) for reply in sent] == [(1, None), (2, "short")]
    assert sent[0]["error"] == "the reply has 6,000,000 characters, more than a cell can be given: ask for less at a time"


def test_a_frame_that_could_not_be_sent_does_not_hold_back_later_ones() -> None:
    def send(replies: Sequence[Mapping[str, object]]) -> None:
        sent.append([reply["id"] for reply in replies])
        if len(sent) == 1:
            raise ZeroDivisionError

    sent: list[list[object]] = []
    outbox = Outbox(send)
    with pytest.raises(ZeroDivisionError):
        outbox.post(CallReply(1))
    outbox.post(CallReply(2))
    assert sent == [[1], [2]]
