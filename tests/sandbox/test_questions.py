from __future__ import annotations

import errno
import json
import os
import struct
import threading
import time
from typing import TYPE_CHECKING, Any

import pytest

from llm_rlm.errors import RLMError
from llm_rlm.sandbox import Offer, window
from llm_rlm.sandbox.questions import Questions

from .fakes import Answering

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from llm_rlm.calls import CallRequest

    from .conftest import Make
    from .fakes import Deliver


class Library:
    """Helpers that know what a test wants."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, dict[str, Any]]] = []
        self.given_up = threading.Event()

    def answer(self, name: str, arguments: dict[str, Any], cancelled: Callable[[], bool]) -> bytes | str:
        self.asked.append((name, arguments))
        match name:
            case "hang":
                while not cancelled():
                    time.sleep(0.002)
                self.given_up.set()
            case "wrong":
                return "there is no such text"
            case "raise":
                message = "the file is gone"
                raise RLMError(message)
            case "break":
                raise ZeroDivisionError
            case "much":
                return bytes(1 << 17)
            case "long":
                return bytes(1 << 25)
        return b'"ok"'

    def touched(self, documents: Sequence[object]) -> None:
        self.asked.append(("touched", {"documents": documents}))


def read(questions: Questions) -> tuple[int, int, bytes]:
    """Number, status and body of the answer in the window, once there is one."""
    until = time.monotonic() + 20
    while time.monotonic() < until:
        with open(questions.window.path, "rb") as file:  # noqa: PTH123 - mkstemp gives a str
            data = file.read()
        if any(data[:8]):
            number, status, size = struct.unpack_from("<QQQ", data)
            return number, status, data[window._BODY : window._BODY + size]
        time.sleep(0.002)
    raise AssertionError


@pytest.fixture
def library() -> Library:
    return Library()


@pytest.fixture
def questions(library: Library) -> Iterator[Questions]:
    made = Questions(library)
    yield made
    made.close()


@pytest.mark.parametrize(
    ("name", "status", "body"),
    [
        ("fine", 0, b'"ok"'),
        ("wrong", 1, b"there is no such text"),
        ("raise", 1, b"the file is gone"),
        ("long", 1, b"the answer has 33,554,432 bytes; ask for less at a time"),
        ("break", 2, b"the run is broken and will end"),
    ],
)
def test_a_question_is_answered(questions: Questions, name: str, status: int, body: bytes) -> None:
    assert questions.ask(7, name, {"a": 1})
    number, shown, text = read(questions)
    assert (number, shown, text[: len(body)]) == (7, status, body)
    assert not questions
    assert isinstance(questions.problem, ZeroDivisionError) == (name == "break")


def test_a_stop_answers_what_is_asked_and_has_the_helper_give_up(questions: Questions, library: Library) -> None:
    questions.ask(1, "hang", {})
    assert questions
    while not library.asked:
        time.sleep(0.002)
    questions.stop("0123456789abcdef", "enough")
    assert read(questions)[:2] == (1, 2)
    assert library.given_up.wait(20)
    assert not questions


def test_what_a_stopped_cell_asks_later_stops_it_and_another_cell_is_answered(questions: Questions, library: Library) -> None:
    questions.stop("0123456789abcdef", "enough")
    questions.ask(1, "fine", {})
    assert read(questions) == (1, 2, b"enough")
    assert library.asked == []
    questions.begin_cell()
    questions.ask(2, "fine", {})
    while library.asked != [("fine", {})] or questions:
        time.sleep(0.002)
    assert read(questions)[:2] == (2, 0)


def test_a_guest_that_does_not_wait_is_none_of_ours(questions: Questions) -> None:
    assert questions.ask(1, "hang", {})
    assert not questions.ask(1, "hang", {})
    assert questions.ask(2, "hang", {})
    assert not questions.ask(3, "hang", {})


def test_a_cell_that_waits_for_a_helper_is_stopped_and_keeps_its_variables(make: Make, library: Library) -> None:
    session = make(Offer())
    session.serve(Answering(), library)
    assert session.run("grep('x')").outcome == "error"  # its answer is not that of a grep
    timer = threading.Timer(0.2, session.interrupt, ["the user stopped the run"])
    asking = "import rlm.driver; a = 1; ask = grep.__self__._asker.ask\nask('hang')"
    timer.start()
    result = session.run(asking)
    assert (result.outcome, "the user stopped the run" in result.output) == ("interrupted", True)
    assert session.run("a, ask('fine')").output == "(1, b'\"ok\"')\n"


def test_waiting_for_a_helper_is_not_the_cells_own_time(make: Make, library: Library) -> None:
    session = make(Offer(), cell_limit=0.5)
    session.serve(Answering(), library)
    threading.Timer(1.2, session.interrupt, ["now"]).start()
    result = session.run("grep.__self__._asker.ask('hang')")
    assert result.outcome == "interrupted"
    assert result.running < 0.5


def test_a_broken_helper_ends_the_run(make: Make, library: Library) -> None:
    session = make(Offer())
    session.serve(Answering(), library)
    with pytest.raises(ZeroDivisionError):
        session.run("grep.__self__._asker.ask('break')")


def test_a_text_that_32_bits_cannot_count_has_its_length_all_the_same(make: Make, library: Library) -> None:
    session = make(Offer("large", None, 10_000_000_000))
    session.serve(Answering(), library)
    assert session.run("len(context), len([1]), [len(context[:0])]").output == "(10000000000, 1, [0])\n"
    assert "str() of it does not work" in session.run("str(context)").output
    assert "object of type 'int' has no len()" in session.run("len(1)").output


def test_where_there_is_no_room_for_an_answer_the_cell_is_told_and_goes_on(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    real = window._write

    def write(file: int, data: bytes, at: int) -> None:
        if len(data) > 1 << 16:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        real(file, data, at)

    monkeypatch.setattr(window, "_write", write)
    session = make()
    session.serve(Answering(), Library())
    asking = "ask = grep.__self__._asker.ask\n"
    assert session.run(asking + "ask('a_little')").output == "b'\"ok\"'\n"
    said = "the host has no room for an answer of 131,072 bytes (No space left on device): ask for less at a time"
    assert said in session.run("ask('much')").output
    assert session.run("ask('a_little')").output == "b'\"ok\"'\n"


class Shelf(Library):
    """Several texts of one line each."""

    def __init__(self, count: int) -> None:
        super().__init__()
        self.texts = [f"text {number}\n".encode() for number in range(count)]

    def answer(self, name: str, arguments: dict[str, Any], cancelled: Callable[[], bool]) -> bytes | str:
        super().answer(name, arguments, cancelled)
        if name == "listing":
            return json.dumps([[f"{n}.txt" for n in range(len(self.texts))], [len(text) for text in self.texts]]).encode()
        if name == "read":
            return self.texts[int(arguments["document"])]
        wanted = self.texts[arguments["first"] : arguments["end"]]
        return bytes(b"\1" * len(wanted)) + b"".join(wanted)

    @property
    def told(self) -> list[list[int]]:
        return [arguments["documents"] for name, arguments in self.asked if name == "touched"]


def test_the_host_knows_what_was_touched_before_anything_that_can_rest_on_it(make: Make) -> None:
    shelf, calls = Shelf(2000), Asking()
    session = make(Offer("many"))
    session.serve(calls, shelf)
    assert session.run("sum(len(text) for text in context.values())").output == f"{sum(map(len, shelf.texts))}\n"
    assert shelf.told[-1][-1] == 1999
    assert sorted(number for told in shelf.told for number in told) == list(range(1, 2000))
    assert [name for name, _ in shelf.asked].count("texts") < 10
    session.run("context._kept.clear()")
    shelf.asked.clear()
    calls.look = lambda: list(shelf.told)
    session.run("texts = [context[f'{n}.txt'] for n in range(4)]\nawait llm_query(texts[-1])\ncontext['4.txt']\n1 / 0")
    assert (calls.seen, shelf.told) == ([[1, 2, 3]], [[1, 2, 3], [4]])


def test_a_cell_that_asks_all_the_time_is_stopped_and_keeps_its_variables(make: Make) -> None:
    shelf = Shelf(50)
    session = make(Offer("many"))
    session.serve(Answering(), shelf)
    timer = threading.Timer(0.2, session.interrupt, ["the user stopped the run"])
    timer.start()
    result = session.run(
        "a = 1\nwhile True:\n    context._kept.clear()\n    list(map(context.get, ['9.txt', '40.txt', '25.txt']))"
    )
    assert (result.outcome, session.run("a").output) == ("interrupted", "1\n")


class Asking(Answering):
    """Looks at something when the first call comes."""

    look: Callable[[], object] = staticmethod(lambda: None)
    seen: object = None

    def ask(self, requests: Sequence[CallRequest], deliver: Deliver) -> None:
        self.seen = self.look()
        super().ask(requests, deliver)
