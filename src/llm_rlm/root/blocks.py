"""A reply of a model, taken apart: the blocks of Python in it, and the prose around them.

Fences are read as CommonMark reads them, line by line, and a little more kindly, as models write them. A fence that stands in a
string of the Python code does not end its block.
"""

from __future__ import annotations

import re
import textwrap
import tokenize
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

RUN = frozenset({"", "python", "py", "python3", "repl", "ipython", "tool_code"})
"""What a block says that it is, if it is to be run. Other blocks are only read."""

_THOUGHT = re.compile(r"\s*<(think|thinking|reasoning)>.*?(?:</\1>|\Z)", re.DOTALL)
_END_OF_THOUGHT = re.compile(r"</(?:think|thinking|reasoning)>")
_QUOTED = re.compile(r" {0,3}>[ ]?")
_ITEM = re.compile(r"[ \t]*(?:[-*+]|\d{1,9}[.)])(?:[ \t]+|$)")
_OPENING = re.compile(r"(?P<indent>[ \t]*)(?P<items>(?:(?:[-*+]|\d{1,9}[.)])[ \t]+)*)(?P<fence>`{3,}|~{3,})(?P<info>.*)")
_CLOSING = re.compile(r"(?P<indent>[ \t]*)(?P<fence>`{3,}|~{3,})[ \t\r]*")
_WORD = re.compile(r"[{.\s]*([^\s{}.,:]*)")
_TAB = 4
_MOST_INDENT = 3
_AFTER_ALL = 1 << 62


@dataclass(frozen=True)
class Blocks:
    """What a reply is made of."""

    text: str
    """The reply without what it was only thinking."""
    code: tuple[str, ...]
    """The blocks of Python, in order; none is blank."""
    prose: str
    """The lines that stand in no block."""


def read(reply: str) -> Blocks:
    """Take a reply apart. What stands in `<think>…</think>` before the answer is no part of it."""
    while thought := _THOUGHT.match(reply):
        reply = reply[thought.end() :]
    code, prose = _parse(reply.split("\n"))
    # Some models' templates leave out the tag that begins the thought.
    ends = [start + found.end() for start, line in prose for found in _END_OF_THOUGHT.finditer(line)]
    if ends:
        reply = reply[ends[-1] :]
        code, prose = _parse(reply.split("\n"))
    return Blocks(reply, tuple(block for block in code if block.strip()), "\n".join(line for _, line in prose))


@dataclass(frozen=True)
class _Fence:
    """What begins a block."""

    quotes: int
    """In how many block quotes it stands."""
    indent: int
    mark: str
    language: str
    windows: bool
    """Whether its line ends as Windows ends lines."""

    def is_closed_by(self, line: str) -> bool:
        """Whether a line closes the block."""
        found = _CLOSING.fullmatch(line)
        if found is None or not found["fence"].startswith(self.mark):
            return False
        return _width(found["indent"]) <= self.indent + _MOST_INDENT


def _parse(lines: Sequence[str]) -> tuple[list[str], list[tuple[int, str]]]:
    """The blocks to run, and the lines of prose, each with its place in the text."""
    code: list[str] = []
    prose: list[tuple[int, str]] = []
    number = place = room = 0
    while number < len(lines):
        fence = _opening(lines[number], room)
        if fence is None:
            prose.append((place, lines[number]))
            room = _room(lines[number], room)
            after = number + 1
        else:
            block, after = _block(lines, number + 1, fence)
            if fence.language in RUN:
                code.append(block)
        place += sum(len(line) + 1 for line in lines[number:after])
        number = after
    return code, prose


def _opening(line: str, room: int) -> _Fence | None:
    """The fence that a line is, if it is one. `room` is where the text of the list item begins that it may stand in."""
    quotes, line = _all_quotes(line)
    found = _OPENING.fullmatch(line.removesuffix("\r"))
    if found is None or (found["fence"][0] == "`" and "`" in found["info"]):
        return None
    if not found["items"] and _width(found["indent"]) > room + _MOST_INDENT:
        return None
    language = _WORD.match(found["info"])
    assert language is not None
    indent = _width(found["indent"] + found["items"])
    return _Fence(quotes, indent, found["fence"], language[1].lower(), line.endswith("\r"))


def _room(line: str, room: int) -> int:
    """Where the text of the list item begins that goes on after this line; 0 where none does."""
    _, line = _all_quotes(line)
    if not line.strip():
        return room
    indent = _width(_margin(line))
    item = _ITEM.match(line)
    return _width(item[0]) if item is not None and indent <= room + _MOST_INDENT else min(room, indent)


def _block(lines: Sequence[str], start: int, fence: _Fence) -> tuple[str, int]:
    """The text of a block, and the number of the line after it. A block that is not closed goes on to the end."""
    closings = (number for number, line in enumerate(_inner(lines, start, fence)) if fence.is_closed_by(line))
    margin = _margin_of(_inner(lines, start, fence), fence)
    code = (_less(line, margin) for line in _inner(lines, start, fence))
    closing = _outside_strings(code, closings) if fence.language in RUN else next(closings, None)
    block = [_less(line, margin) for line in islice(_inner(lines, start, fence), closing)]
    return _to_the_left("\n".join(block)), start + len(block) + (closing is not None)


def _inner(lines: Sequence[str], start: int, fence: _Fence) -> Iterator[str]:
    """The lines from there on that can be of the block, without the marks of its quotes."""
    for number in range(start, len(lines)):
        line = _without_quotes(lines[number], fence.quotes)
        if line is None:
            return
        yield line.removesuffix("\r") if fence.windows else line


def _outside_strings(code: Iterator[str], candidates: Iterator[int]) -> int | None:
    """The first of these lines that stands in no string of the code above it; in one that never ends, none stands."""
    tokens = _tokens(code)
    first = last = 0
    for candidate in candidates:
        row = candidate + 1
        while last < row:
            first, last = next(tokens, (_AFTER_ALL, _AFTER_ALL))
        if first >= row:
            return candidate
    return None


def _tokens(code: Iterator[str]) -> Iterator[tuple[int, int]]:
    """First and last line, from 1, of each token of Python, a string of several lines being one. Ends where it is no Python."""
    depth = begun = 0
    try:
        for token in tokenize.generate_tokens((f"{line}\n" for line in code).__next__):
            kind = tokenize.tok_name[token.type]
            if kind.endswith("STRING_START"):
                begun = begun if depth else token.start[0]
                depth += 1
            elif kind.endswith("STRING_END"):
                depth -= 1
                if not depth:
                    yield begun, token.end[0]
            elif not depth:
                yield token.start[0], token.end[0]
    except (tokenize.TokenError, SyntaxError, ValueError):
        return


def _all_quotes(line: str) -> tuple[int, str]:
    """In how many block quotes a line stands, and the line without their marks."""
    count = 0
    while found := _QUOTED.match(line):
        line, count = line[found.end() :], count + 1
    return count, line


def _without_quotes(line: str, count: int) -> str | None:
    """A line of a block that stands in so many block quotes; None for one that does not."""
    for _ in range(count):
        found = _QUOTED.match(line)
        if found is None:
            return None
        line = line[found.end() :]
    return line


def _margin_of(code: Iterator[str], fence: _Fence) -> int:
    """Columns that are not the code's own: those of its fence, unless the code does not have them."""
    first = next((line for line in code if line.strip()), "")
    return fence.indent if _width(_margin(first)) >= fence.indent else 0


def _less(line: str, indent: int) -> str:
    margin = _margin(line)
    return margin.expandtabs(_TAB)[indent:] + line[len(margin) :] if indent else line


def _margin(line: str) -> str:
    return line[: len(line) - len(line.lstrip(" \t"))]


def _to_the_left(code: str) -> str:
    """Code whose first statement is indented, which Python does not take, moved to the left as a whole."""
    first = next((line for line in code.split("\n") if line.strip() and not line.lstrip().startswith("#")), "")
    return textwrap.dedent(code) if first[:1] in {" ", "\t"} else code


def _width(indent: str) -> int:
    """Columns of an indentation."""
    return len(indent.expandtabs(_TAB))
