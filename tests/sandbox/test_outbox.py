from __future__ import annotations

from typing import TYPE_CHECKING

from llm_rlm.calls import CallReply
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
