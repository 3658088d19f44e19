"""Untrusted patterns as RE2 programs of bounded size, that find matching lines and count them."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from llm_rlm.context.question import QuestionError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    type Match = Callable[[bytes | bytearray, int, int], Sequence[tuple[int, int]]]

AT_ONCE = 16
"""Matching lines that `many` passes at once. More make automata so large that RE2 goes on without them, at a snail's pace."""

_MEMORY = 8 << 20
_MOST_INSTRUCTIONS = 30_000
_MOST_IN_MANY = 2_000

_WORD = r"\pL\pM\pN_"
_SPACE = r"\t\v\f\r\x{85}\pZ"
_UNICODE = {
    r"\d": r"\p{Nd}",
    r"\D": r"\P{Nd}",
    r"\w": f"[{_WORD}]",
    r"\W": f"[^{_WORD}]",
    r"\s": f"[{_SPACE}]",
    r"\S": rf"[^\n{_SPACE}]",
}
"""What RE2 takes for ASCII only."""
_UNICODE_IN_CLASS = {r"\d": r"\p{Nd}", r"\D": r"\P{Nd}", r"\w": _WORD, r"\s": _SPACE}
_PART = re.compile(r"\\Q.*?(?:\\E|\Z)|\\.|\[\^?\]?|\[:\^?\w+:\]|\(\?[a-zA-Z]*-[a-zA-Z]*m|.", re.DOTALL)
_PART_IN_CLASS = re.compile(r"\[:\^?\w+:\]|\\.|.", re.DOTALL)
"""For the syntax of patterns, not for texts: linear, whatever the pattern."""
_OF_ONE_TEXT = (r"\A", r"\z", r"\C")
_NOT_IN_RE2 = ("invalid perl operator", "invalid escape sequence")


class BadPatternError(QuestionError):
    """The pattern cannot be searched for. The message is fit for the root model."""


@dataclass(frozen=True)
class Pattern:
    r"""A pattern, as functions of a buffer and two offsets in it: what stands outside of them is seen by `^`, `$` and `\b`."""

    first: Match
    """The first match as the one item of a list, [(-1, -1)] if there is none. It never holds a newline, unless `by_line`."""
    many: Match | None
    """From the beginning of a line: up to the end of the sixteenth line that matches, with its newline."""
    by_line: bool
    """Whether the pattern knows beginning and end of a text, so that each line must be looked at as a text by itself."""


@dataclass(frozen=True)
class Patterns:
    """The same for texts of ASCII and for others: RE2's programs for Unicode's letters are large."""

    ascii: Pattern
    unicode: Pattern


def compiled(pattern: str, *, ignore_case: bool, fixed: bool) -> Patterns:
    r"""A pattern in RE2's syntax, or a plain string, for one line at a time. Raises BadPatternError.

    Letters are Unicode's; `\w`, `\d` and `\s` too, while `\b` knows only ASCII's. `$` matches before \r\n as well.
    """
    try:
        pattern.encode()
    except UnicodeEncodeError:
        raise BadPatternError(_message("it holds characters that no text can hold")) from None
    if "\n" in pattern:
        raise BadPatternError(_message("lines are searched one at a time, so nothing matches a newline"))
    if fixed:
        import re2  # noqa: PLC0415 - slow to import

        one = _pattern(re2.escape(pattern), ignore_case, by_line=False)
        return Patterns(one, one)
    _refuse(pattern, ignore_case)
    parts = list(_parts(pattern))
    by_line = any(part in _OF_ONE_TEXT or part.startswith("(?") for part, inside in parts if not inside)
    plain = "".join(_with_return(part, inside) for part, inside in parts)
    wide = "".join(_with_return(_widened(part, inside), inside) for part, inside in parts)
    narrow = _pattern(plain, ignore_case, by_line)
    return Patterns(narrow, narrow if wide == plain else _pattern(wide, ignore_case, by_line))


def _refuse(pattern: str, ignore_case: bool) -> None:  # noqa: FBT001 - a part of the query
    """Raise BadPatternError for what RE2 does not take, in its words, and for what would find nothing and not say so."""
    _compile(f"(?m){pattern}", ignore_case)
    outside = {part for part, inside in _parts(pattern) if not inside}
    if r"\n" in outside:
        raise BadPatternError(_message("lines are searched one at a time, so nothing matches a newline"))
    if outside & {r"\b", r"\B"} and not pattern.isascii():
        advice = r"\b knows only ASCII letters: leave it out, or write (?:^|\W) before a word and (?:\W|$) after it"
        raise BadPatternError(_message(advice))


def _parts(pattern: str) -> Iterator[tuple[str, bool]]:
    """The parts of a pattern, and whether each is inside of [...]."""
    at, inside = 0, False
    while at < len(pattern):
        found = (_PART_IN_CLASS if inside else _PART).match(pattern, at)
        assert found is not None
        part = found[0]
        if inside:
            yield part, True
            inside = part != "]"
        else:
            yield part, False
            inside = part.startswith("[")
        at = found.end()


def _widened(part: str, inside: bool) -> str:  # noqa: FBT001 - the other half of the part
    return (_UNICODE_IN_CLASS if inside else _UNICODE).get(part, part)


def _with_return(part: str, inside: bool) -> str:  # noqa: FBT001 - the other half of the part
    r"""`$` takes in the \r of a \r\n: whoever searches leaves it out again."""
    return r"(?:\r?$)" if part == "$" and not inside else part


def _pattern(text: str, ignore_case: bool, by_line: bool) -> Pattern:  # noqa: FBT001 - parts of the query
    import re2  # noqa: PLC0415 - slow to import

    one = _compile(f"(?m){text}", ignore_case)
    many = None if by_line or one.programsize > _MOST_IN_MANY else _many(text, ignore_case)
    anchors = re2._Anchor  # noqa: SLF001 - the public methods take three times as long for each match
    first = partial(one._regexp.Match, anchors.UNANCHORED)  # noqa: SLF001 - as above
    return Pattern(first, many and partial(many._regexp.Match, anchors.ANCHOR_START), by_line)  # noqa: SLF001 - as above


def _many(text: str, ignore_case: bool) -> Any:  # noqa: ANN401, FBT001 - a class of RE2 without types
    """Passes any bytes, then a match, then any bytes up to the beginning of the next line: sixteen times."""
    try:
        return _compile(rf"(?m)(?:\C*?(?:{text})\C+?(?m:^)){{{AT_ONCE}}}", ignore_case)
    except BadPatternError:  # the pattern itself is good, but repeats so often that it cannot be repeated
        return None


def _compile(pattern: str, ignore_case: bool) -> Any:  # noqa: ANN401, FBT001 - a class of RE2 without types
    import re2  # noqa: PLC0415 - slow to import

    options = re2.Options()
    options.never_nl = True
    options.never_capture = True
    options.log_errors = False
    options.max_mem = _MEMORY
    options.case_sensitive = not ignore_case
    try:
        program = re2.compile(pattern.encode(), options)
    except re2.error as problem:
        reason = problem.args[0]
        raise BadPatternError(_message(_reason(reason.decode("utf-8", "replace")))) from None
    if program.programsize > _MOST_INSTRUCTIONS:
        raise BadPatternError(_message(_reason("pattern too large")))
    return program


def _reason(reason: str) -> str:
    if reason.startswith(_NOT_IN_RE2):
        return f"{reason}. grep has no look-around and no back-references: use re on the text itself"
    if reason.startswith("pattern too large"):
        return "it is too large: use fewer or smaller repetition counts, or re on the text itself"
    return reason


def _message(reason: str) -> str:
    return f"bad pattern: {reason}"
