"""Small texts read ahead of code that goes through them in order."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llm_rlm.sandbox.guest import ahead
from llm_rlm.sandbox.guest.corpus import Corpus

from .texts import Held

KB = 1000


if TYPE_CHECKING:
    from collections.abc import Callable


def shelf(count: int, size: int = 2 * KB) -> Held:
    return Held({f"{n}.txt": f"{n:>{size}}".encode() for n in range(count)})


def corpus(held: Held) -> Corpus:
    return Corpus(held, 10**6, 10**9)


@pytest.mark.parametrize(
    "going",
    [
        lambda context: list(context.values()),
        lambda context: [text for _, text in context.items()],
        lambda context: [context[name] for name in context.names],
    ],
)
def test_texts_in_order_need_few_questions_and_each_is_its_own(going: Callable[[Corpus], list[str]]) -> None:
    held = shelf(3000)
    assert [int(text) for text in going(corpus(held))] == list(range(3000))
    assert (len(held.reads), len(held.many)) == (1, 5)


def test_what_is_read_ahead_is_bounded() -> None:
    held = shelf(10_000)
    assert len(list(corpus(held).values())) == 10_000
    assert max(sum(map(len, held.texts[first:end])) for first, end in held.many) <= 1 << 22
    tiny = shelf(10_000, 5)
    assert len(list(corpus(tiny).values())) == 10_000
    assert max(end - first for first, end in tiny.many) <= 4096


def test_only_what_was_touched_is_said_to_be() -> None:
    held = shelf(1000)
    context = corpus(held)
    for name in context.names[:3]:
        assert context[name]
    assert held.many == [(1, 33)]
    assert held.touched == [1, 2]
    assert context["2.txt"] is context["2.txt"]
    assert held.touched == [1, 2]


def test_here_and_there_nothing_is_read_ahead() -> None:
    held = shelf(10_000)
    context = corpus(held)
    for number in (number * 7919 % 10_000 for number in range(500)):  # no two that follow each other are near
        assert int(context[f"{number}.txt"]) == number
    assert (len(held.reads), held.many) == (500, [])


def test_code_may_pass_over_some() -> None:
    held = shelf(5000)
    context = corpus(held)
    assert [int(context[f"{number}.txt"]) for number in range(0, 5000, 5)] == list(range(0, 5000, 5))
    assert (len(held.reads), len(held.many) < 10, held.touched) == (1, True, list(range(5, 5000, 5)))


def test_a_text_that_has_vanished_raises_when_it_is_touched_and_the_others_do_not() -> None:
    held = shelf(100)
    held.gone = {7, 50}
    context, met = corpus(held), []
    for name in context:
        try:
            assert context[name]
        except FileNotFoundError:
            met.append(name)
    assert met == ["7.txt", "50.txt"]
    assert [read[0] for read in held.reads] == [0, 7, 50]


def test_large_texts_among_small_ones_are_read_by_themselves() -> None:
    held = Held({str(n): bytes([65 + n % 26]) * (6 << 20 if n % 10 == 9 else 10) for n in range(40)})
    context = Corpus(held, 10**9, 10**9)
    assert [text.encode() for text in context.values() if isinstance(text, str)] == held.texts
    assert {read[0] for read in held.reads} == {0, 9, 19, 29, 39}


@given(st.lists(st.binary(max_size=40), min_size=1, max_size=30), st.lists(st.integers(0, 29), max_size=60), st.integers(1, 60))
def test_in_any_order_a_text_is_what_it_is_and_is_known_to_be_read(texts: list[bytes], order: list[int], cached: int) -> None:
    held = Held({str(number): text for number, text in enumerate(texts)})
    context = Corpus(held, 1000, cached * 10)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ahead, "_FIRST", 50)
        patch.setattr(ahead, "_MOST", 200)
        for number in [number for number in order if number < len(texts)]:
            assert context[str(number)] == texts[number].decode("utf-8", "replace").removeprefix("\ufeff")
            assert not texts[number] or number in {*held.touched, *(read[0] for read in held.reads)}
            assert sum(len(text or b"") for text in context._ahead._held.values()) <= 200
    assert set(held.touched) <= set(order)


def test_a_second_time_through_texts_that_were_let_go_needs_few_questions_too() -> None:
    held = shelf(100, 10)
    context = Corpus(held, 1000, 100)
    assert list(context.values()) == list(context.values())
    assert (len(held.reads), held.many) == (2, [(1, 100), (1, 100)])
