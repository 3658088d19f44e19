"""Workers that are up before it is known what for."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest

from llm_rlm.sandbox import Offer, Spares, spares

from .fakes import Answering, Notebook

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from llm_rlm.sandbox.connection import Connection


@pytest.fixture
def kept() -> Iterator[Spares]:
    made = Spares()
    yield made
    made.close()


def there_is_one(kept: Spares) -> Connection:
    """The spare, once it is there."""
    kept.expect()
    until = time.monotonic() + 60
    while kept._spare is None:
        assert time.monotonic() < until
        time.sleep(0.01)
    return kept._spare._connection


def taken(kept: Spares, offer: Offer) -> Connection:
    """A spare with what is offered."""
    there_is_one(kept)
    connection = kept.take(offer)
    assert connection is not None
    return connection


@pytest.mark.parametrize("content", [b"", b"some text", "é\N{GRINNING FACE}\n".encode() * 100_000])
def test_a_session_that_takes_a_spare_has_its_own_context_and_leaves_no_file(
    kept: Spares, text_offer: Callable[[bytes], Offer], temporary: Path, content: bytes
) -> None:
    offer = text_offer(content)
    session = Notebook(offer, Answering(), seed="s", spare=taken(kept, offer))
    assert session.value("context").text == content.decode()
    assert session.run("str(await llm_query('hi'))").output == "'re: hi'\n"
    kept.close()
    session.close()
    assert list(temporary.iterdir()) == []


def test_a_session_whose_spare_was_lost_is_built_up_by_a_worker_of_its_own(
    kept: Spares, text_offer: Callable[[bytes], Offer]
) -> None:
    offer = text_offer(b"some text")
    session = Notebook(offer, Answering(), spare=taken(kept, offer))
    session.run("x = len(context)")
    assert session.run("import os\nos._exit(1)").outcome == "lost"
    assert session.run("(x, context)").output == "(9, 'some text')\n"
    session.close()


def test_a_spare_that_has_died_is_not_handed_out(kept: Spares) -> None:
    worker = there_is_one(kept).worker
    worker.kill("a test")
    worker._reader.join()
    assert kept.take(Offer()) is None


def test_there_is_no_spare_before_one_is_expected_for_too_large_a_context_and_once_all_is_over(
    kept: Spares, text_offer: Callable[[bytes], Offer], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert kept.take(Offer()) is None
    there_is_one(kept)
    monkeypatch.setattr(spares, "MOST_COPIED", 3)
    assert kept.take(text_offer(b"some text")) is None
    kept.close()
    kept._start()
    assert kept.take(Offer()) is None


def test_a_file_that_is_gone_is_found_out_by_the_session_and_not_by_the_spare(kept: Spares, tmp_path: Path) -> None:
    there_is_one(kept)
    assert kept.take(Offer("text", str(tmp_path / "gone"), 3)) is None
