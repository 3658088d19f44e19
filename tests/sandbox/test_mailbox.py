from __future__ import annotations

from typing import Any

import pytest

from llm_rlm.sandbox.mailbox import Ended, Mailbox


def out(text: str) -> dict[str, Any]:
    return {"t": "out", "text": text}


@pytest.fixture
def mailbox() -> Mailbox:
    return Mailbox()


def test_events_come_out_in_the_order_in_which_they_were_put_in(mailbox: Mailbox) -> None:
    mailbox.listen()
    for text in "ab":
        assert mailbox.put(out(text), 10)
    mailbox.end("over")
    assert [mailbox.get(0.01) for _ in range(4)] == [out("a"), out("b"), Ended("over"), None]


def test_more_than_there_is_room_for_is_refused(mailbox: Mailbox) -> None:
    mailbox.listen(10)
    assert mailbox.put(out("a"), (1 << 16) + 1000 - 16)
    assert not mailbox.put(out(""), 0)


def test_answers_have_room_of_their_own(mailbox: Mailbox) -> None:
    mailbox.listen()
    value = {"t": "value", "text": ""}
    assert mailbox.put(value, 1 << 29)
    assert mailbox.put(out("a"), 10)
    assert not mailbox.put(value, 1 << 29)


def test_what_comes_while_nobody_listens_is_forgotten_but_not_allowed_for_ever(mailbox: Mailbox) -> None:
    mailbox.ignore()
    assert mailbox.put(out("a"), 10)
    assert mailbox.get(0.01) is None
    assert not mailbox.put(out("a"), 1 << 24)


def test_draining_forgets_what_was_sent_and_finds_the_end(mailbox: Mailbox) -> None:
    mailbox.put(out("a"), 10)
    assert mailbox.drain() is None
    mailbox.put(out("b"), 10)
    mailbox.end("over")
    assert mailbox.drain() == Ended("over")
