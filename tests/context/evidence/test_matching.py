"""What of a text stands in what models were shown."""

from __future__ import annotations

import json
import random
import textwrap
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from llm_rlm.context import Document
from llm_rlm.context.evidence import matching
from llm_rlm.context.evidence.cuts import SHORTEST
from llm_rlm.context.evidence.matching import MOST_PLACES, find_shown
from llm_rlm.context.evidence.spans import Spans

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

QUICK = settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
AROUND = st.text("abcdefgh {}\n:", max_size=200)
ENDS = st.sampled_from(["\n", "\r\n"])


def prose(seed: int, lines: int = 120, end: str = "\n") -> str:
    """Lines of words that do not come again."""
    draw = random.Random(seed)
    words = ["".join(draw.choices("etaoinshrdlucmfwypvbgké", k=draw.randrange(2, 9))) for _ in range(lines * 12)]
    return "".join(" ".join(words[at : at + 12]) + end for at in range(0, len(words), 12))


def log(lines: int, end: str = "\n") -> str:
    """Lines of a log, where much comes again and again."""
    draw = random.Random(5)
    said = ["connection closed by peer", "session opened for user root", 'request "GET /index.html" took long']
    return "".join(
        f"Jun {at // 60:02} 10:{at % 60:02} host app[{draw.randrange(99)}]: {draw.choice(said)}{end}" for at in range(lines)
    )


def document(path: Path, content: str | bytes, name: str = "a.txt") -> Document:
    data = content.encode() if isinstance(content, str) else content
    (path / name).write_bytes(data)
    return Document(name, str(path / name), len(data))


def found(documents: Sequence[Document], *shown: str) -> list[Spans]:
    """What of each document was found, all of which was read."""
    read = {number: Spans([(0, each.size)]) for number, each in enumerate(documents)}
    there, complete = find_shown(documents, read, shown, lambda: False)
    assert complete
    return [there.get(number, Spans()) for number in range(len(documents))]


def missing(spans: Spans, start: int, end: int) -> int:
    """Bytes from `start` to `end` that were not found."""
    return Spans([(start, end)]).without(spans).total()


@QUICK
@given(seed=st.integers(0, 3), end=ENDS, before=AROUND, after=AROUND, data=st.data())
def test_what_is_cut_out_is_found_in_full_whatever_stands_around_it(
    tmp_path: Path, seed: int, end: str, before: str, after: str, data: st.DataObject
) -> None:
    text = prose(seed, end=end)
    start = data.draw(st.integers(0, len(text) - 300))
    stop = data.draw(st.integers(start + 300, min(start + 3000, len(text))))
    (spans,) = found([document(tmp_path, text)], before + text[start:stop] + after)
    first, last = (len(text[:at].encode()) for at in (start, stop))
    assert missing(spans, first, last) == 0
    assert spans.total() <= last - first + 2 * 200  # what stands around it may happen to go on as the text does


REWRITTEN: dict[str, Callable[[str], str]] = {
    "JSON": json.dumps,
    "JSON as it is": lambda text: json.dumps(text, ensure_ascii=False),
    "a list of lines as JSON": lambda text: json.dumps(text.splitlines()),
    "lines with numbers": lambda text: "\n".join(f"{at}: {line}" for at, line in enumerate(text.splitlines(), 1)),
    "quoted lines": lambda text: "\n".join("> " + line for line in text.splitlines()),
    "indented": lambda text: textwrap.indent(text, "    "),
    "other line ends": lambda text: "\n".join(text.splitlines()),
    "one line": lambda text: " ".join(text.split()),
}


@pytest.mark.parametrize("how", REWRITTEN)
@pytest.mark.parametrize("end", ["\n", "\r\n"])
@pytest.mark.parametrize("text", [prose, lambda _, end: log(300, end)], ids=["prose", "log"])
def test_what_is_written_otherwise_is_found_nearly_whole(tmp_path: Path, text: Callable[..., str], end: str, how: str) -> None:
    whole = text(7, end=end)
    parts = [whole[at : at + 2000] for at in range(0, len(whole), 2000)]
    random.Random(0).shuffle(parts)
    (spans,) = found([document(tmp_path, whole)], *(f"Look:\n{REWRITTEN[how](part)}\nWhat is it?" for part in parts))
    assert spans.total() >= 0.97 * len(whole.encode())


@QUICK
@given(st.lists(st.text(min_size=1, max_size=400), max_size=6))
def test_text_that_is_not_there_counts_for_nothing(tmp_path: Path, shown: list[str]) -> None:
    (spans,) = found([document(tmp_path, prose(1))], *shown, prose(2))
    assert spans.total() == 0


@QUICK
@given(st.binary(max_size=3000), st.data())
def test_what_counts_stands_in_what_was_shown(tmp_path: Path, content: bytes, data: st.DataObject) -> None:
    text = content.decode("utf-8", "replace")
    shown = data.draw(st.lists(st.builds(lambda a, b: text[a:b], st.integers(0, 3000), st.integers(0, 3000)), max_size=4))
    (spans,) = found([document(tmp_path, content)], *shown)
    whole = "\n".join(shown).encode()
    for start, end in spans:
        pieces = content[start:end].decode("utf-8", "replace").split("\N{REPLACEMENT CHARACTER}")
        assert all(piece.encode() in whole for piece in pieces[1:-1])
    if any(len(each.encode()) >= 2 * SHORTEST for each in shown) and text.isascii() and shown[0] == text:
        assert spans.total() == len(content)


@QUICK
@given(draw=st.randoms(use_true_random=False), pieces=st.integers(2, 20))
def test_the_order_of_prompts_makes_no_difference(tmp_path: Path, draw: random.Random, pieces: int) -> None:
    text = prose(3)
    size = len(text) // pieces
    prompts = [f"{at}. Look:\n{text[at : at + size]}" for at in range(0, len(text), 2 * size)]
    documents = [document(tmp_path, text)]
    expected = found(documents, *prompts)
    draw.shuffle(prompts)
    assert found(documents, *prompts) == expected


@pytest.mark.parametrize("both", [True, False])
def test_of_two_equal_documents_one_at_least_counts(tmp_path: Path, both: bool) -> None:
    text = prose(4)
    documents = [document(tmp_path, text, name) for name in ("a.txt", "b.txt")]
    spans = found(documents, *[f"Look: {text}"] * (1 + both))
    assert len(text.encode()) in {each.total() for each in spans}


def test_each_line_of_a_log_is_found_alone(tmp_path: Path) -> None:
    whole = log(400)
    lines = random.Random(1).sample(whole.splitlines(), 40)
    (spans,) = found([document(tmp_path, whole)], *(f"Is this an error: {line}\nAnswer with one word." for line in lines))
    for line in lines:
        start = len(whole[: whole.index(line)].encode())
        assert missing(spans, start, start + len(line)) <= len(line) // 4


def test_bytes_that_are_no_text_count_with_what_stands_for_them(tmp_path: Path) -> None:
    content = bytearray(prose(5).replace("é", "e").encode())
    content[::97] = b"\xff" * len(content[::97])
    (spans,) = found([document(tmp_path, bytes(content))], "Look: " + content.decode("utf-8", "replace")[500:5000])
    assert missing(spans, 500, 5000) <= 3  # where what is found from two sides meets


def test_only_what_was_read_is_looked_at(tmp_path: Path) -> None:
    text = prose(6)
    half = len(text.encode()) // 2
    documents = [document(tmp_path, text)]
    there, _ = find_shown(documents, {0: Spans([(half, 2 * half)])}, [text], lambda: False)
    assert list(there[0]) == [(half, 2 * half)]
    assert find_shown(documents, {}, [text], lambda: False) == ({}, True)


def test_a_piece_counts_at_a_limited_number_of_places(tmp_path: Path) -> None:
    line = "the same line of some fifty bytes, again and again\n"
    documents = [document(tmp_path, "".join(line + prose(at, 1) for at in range(3 * MOST_PLACES)))]
    (spans,) = found(documents, f"One line: {line}What is it?")
    assert 1 <= len(spans) <= MOST_PLACES


def test_pieces_that_are_too_short_count_for_nothing(tmp_path: Path) -> None:
    text = prose(8)
    (spans,) = found([document(tmp_path, text)], *(text[at : at + 20] for at in range(1000, 3000, 25)))
    assert spans.total() == 0


def test_many_texts_in_many_passes_are_found_as_in_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = prose(9, lines=300)
    prompts = [f"Look: {text[at : at + 400]}" for at in range(0, len(text), 800)]
    random.Random(2).shuffle(prompts)
    documents = [document(tmp_path, text)]
    (expected,) = found(documents, *prompts)
    for name, value in {"_MOST_PIECES": 10, "_LONG_FIRST": 1000, "_IN_MEMORY": 100, "_GAP": 64}.items():
        monkeypatch.setattr(matching, name, value)
    (spans,) = found(documents, *prompts)
    sent = Spans((len(text[:at].encode()), len(text[: at + 400].encode())) for at in range(0, len(text) - 400, 800))
    assert sent.without(spans).total() == sent.without(expected).total() == 0
    # What stands around a piece may happen to go on as the text does, and be seen from one side only.
    assert abs(spans.total() - expected.total()) <= 2 * len(prompts)


@pytest.mark.parametrize("after", [0, 1, 3, 10])
def test_a_search_that_is_cancelled_says_so_and_claims_nothing_more(tmp_path: Path, after: int) -> None:
    text = prose(10)
    prompts = [f"Look: {text[at : at + 700]}" for at in range(0, len(text), 1400)]
    random.Random(3).shuffle(prompts)
    documents = [document(tmp_path, text)]
    asked = iter(range(10_000))
    there, complete = find_shown(documents, {0: Spans([(0, documents[0].size)])}, prompts, lambda: next(asked) >= after)
    assert not complete
    (whole,) = found(documents, *prompts)
    assert there.get(0, Spans()).without(whole).total() == 0


@pytest.mark.parametrize("left", [0, 10, 3000])
def test_a_document_that_has_lost_text_or_is_gone_is_no_error(tmp_path: Path, left: int) -> None:
    text = prose(11)
    changed, other = document(tmp_path, text, "changed"), document(tmp_path, prose(12), "other")
    Path(changed.path).write_bytes(text.encode()[:left])
    shown = f"{text[4000:5000]} and {prose(12)[3000:5000]}"
    assert found([changed, other], shown)[1].total() >= 2000
    Path(changed.path).unlink()
    assert found([changed, other], shown)[1].total() >= 2000
    assert found([changed], shown)[0].total() == 0


def test_text_of_one_byte_again_and_again_is_found(tmp_path: Path) -> None:
    (spans,) = found([document(tmp_path, b"a" * 5000)], "a" * 5000)
    assert list(spans) == [(0, 5000)]
    (none,) = found([document(tmp_path, b"")], "a" * 5000)
    assert none.total() == 0


@pytest.mark.parametrize("how", ["lines with numbers", "a list of lines as JSON"])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_of_a_list_of_lines_all_are_found_with_the_short_ones_between(tmp_path: Path, how: str, end: str) -> None:
    draw = random.Random(13)
    lines = [f"    call_{at}({draw.getrandbits(120):x})" + (f"{end}    }}" if at % 3 == 0 else "") for at in range(600)]
    text = end.join(lines) + end
    parts = [end.join(lines[at : at + 20]) for at in range(0, 600, 20)]
    draw.shuffle(parts)
    (spans,) = found([document(tmp_path, text)], *(f"Label each of these lines:\n{REWRITTEN[how](part)}" for part in parts))
    assert spans.total() >= 0.98 * len(text)


def test_lines_from_here_and_there_count_alone(tmp_path: Path) -> None:
    text = prose(14, lines=2000)
    lines = text.splitlines()
    prompts = ["Which of them matter?\n" + "\n".join(random.Random(at).sample(lines, 20)) for at in range(40)]
    shown = {line for prompt in prompts for line in prompt.split("\n")[1:]}
    (spans,) = found([document(tmp_path, text)], *prompts)
    at = 0
    for line in lines:
        size = len(line.encode())
        assert missing(spans, at, at + size) <= (0 if line in shown else size)
        at += size + 1
    sent = sum(len(line.encode()) + 1 for line in shown)
    assert spans.total() <= 1.05 * sent


def test_no_more_counts_than_was_shown_where_text_is_the_same_at_many_places(tmp_path: Path) -> None:
    text = "".join(f"job {at % 7} of the nightly run has ended without an error\n" for at in range(500))
    prompts = [json.dumps(text.splitlines()[at : at + 3]) for at in range(0, 500, 100)]
    (spans,) = found([document(tmp_path, text)], *prompts)
    assert 0 < spans.total() <= sum(map(len, prompts))


def test_an_instruction_with_text_of_the_input_counts_though_all_prompts_share_it(tmp_path: Path) -> None:
    text = prose(15, lines=400)
    quoted = text[5003:5060]
    prompts = [f'Is it like "{quoted}"?\n{part}' for part in (text[at : at + 500] for at in range(9000, 15000, 500))]
    (spans,) = found([document(tmp_path, text)], *prompts)
    start = len(text[:5003].encode())
    assert missing(spans, start, start + len(quoted.encode())) == 0


@QUICK
@given(st.lists(st.text() | st.text('\\"/nu0041é\n\U0001f600'), max_size=5))
def test_what_is_escaped_as_json_is_told_from_it(texts: list[str]) -> None:
    meant = matching._plain(json.dumps(texts).encode())
    for each in texts:
        if not any("\ud800" <= letter <= "\udfff" for letter in each):
            assert each.encode() in meant
