from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llm_rlm.sandbox.guest.output import Output, Stream


@given(st.lists(st.text()), st.integers(0, 40))
def test_head_and_tail_are_the_ends_of_what_was_written(pieces: list[str], limit: int) -> None:
    sent: list[str] = []
    output = Output(limit, sent.append)
    for piece in pieces:
        output.write(piece)
    output.flush()
    text, head, tail = "".join(pieces), "".join(sent), output.tail()
    assert output.total == len(text)
    assert text.startswith(head)
    assert text.endswith(tail)
    assert len(head) + len(tail) == min(len(text), limit)


def test_memory_for_the_tail_is_bounded() -> None:
    output = Output(10, lambda _: None)
    for _ in range(10_000):
        output.write("abc")
    assert sum(map(len, output._tail)) < 20


def test_a_line_is_sent_as_soon_as_it_ends() -> None:
    sent: list[str] = []
    output = Output(100, sent.append)
    output.write("a")
    assert sent == []
    output.write("b\n")
    assert sent == ["ab\n"]


def test_a_stream_is_a_text_file() -> None:
    sent: list[str] = []
    output = Output(100, sent.append)
    stream = Stream(lambda: output)
    assert stream.write("é") == 1
    assert stream.buffer.write(b"\xff") == 1
    stream.writelines(["a", "b"])
    stream.close()
    print("end", file=stream, flush=True)
    output.flush()
    assert "".join(sent) == "é\ufffdabend\n"
    assert not stream.isatty()
    with pytest.raises(TypeError, match="must be str, not bytes"):
        stream.write(b"a")  # type: ignore[arg-type]
