from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from llm_rlm.sandbox import Offer

from .fakes import Answering, Notebook

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    type Make = Callable[..., Notebook]


@pytest.fixture
def calls() -> Answering:
    return Answering()


@pytest.fixture
def make(calls: Answering) -> Iterator[Make]:
    """Start sessions that end with the test."""
    made: list[Notebook] = []

    def start(offer: Offer | None = None, **settings: object) -> Notebook:
        made.append(Notebook(offer or Offer(), calls, **{"cell_limit": 20.0, **settings}))  # type: ignore[arg-type]
        return made[-1]

    yield start
    for session in made:
        session.close()


@pytest.fixture
def session(make: Make) -> Notebook:
    """A session of one test, which may do with it what it likes. A cell may run for half a second."""
    return make(cell_limit=0.5)


@pytest.fixture(scope="session")
def shared() -> Iterator[Notebook]:
    """A session that tests share: they leave it running, and use names of their own."""
    started = Notebook(Offer(), Answering(), cell_limit=20.0)
    yield started
    started.close()


@pytest.fixture
def shown(shared: Notebook) -> Callable[[str], str]:
    """What the shared session shows for a cell."""
    return lambda code: shared.run(code).output


@pytest.fixture
def text_offer(tmp_path: Path) -> Callable[[bytes], Offer]:
    """A context of these bytes."""

    def offer(content: bytes) -> Offer:
        path = tmp_path / "context.txt"
        path.write_bytes(content)
        return Offer("text", str(path), path.stat().st_size)

    return offer
