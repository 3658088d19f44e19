"""Where the quotes of an answer stand in the source bytes. Nothing that a model says about places is trusted."""

from __future__ import annotations

import json
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from llm_rlm.context.document import ChangedError
from llm_rlm.context.marks import Places, is_marked

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from llm_rlm.context.document import Document

SHORTEST, LONGEST = 3, 10_000
"""Characters of a quote that is looked for."""

_BLOCK = 1 << 20
_MOST_TIMES = 100
_ENOUGH = 1 << 28
_BREAK = rb"(?:\s|<!-- (?:page|slide|sheet|part|message) [^\n]* -->)+"
"""White space, and the marks of converted documents, which a quote may go across."""
_SPREAD = 4096
_ALIKE = ('"“”„«»', "'‘’‚`´", "-‐‑‒–—−")
"""What is often typed for one another."""
_NEAR_BREAK = rb"(?:\s|\\[nrt]|<!-- (?:page|slide|sheet|part|message) [^\n]* -->)+"
_MOST_SHOWN = 300


@dataclass(frozen=True)
class Citation:
    """A quote, and where it was found."""

    quote: str
    found: Literal["exact", "folded"] | None = None
    """`folded`: but for white space. None: not at all."""
    document: int | None = None
    source: str | None = None
    """The name of the document."""
    start: int | None = None
    end: int | None = None
    """Bytes of the document."""
    line: int | None = None
    """From 1."""
    column: int | None = None
    """In characters, from 1."""
    place: str | None = None
    """`page 3` and the like in a converted document, `record 12` in JSON lines."""
    times: int = 0
    """How often it stands in that document, counted up to 100, and in its first 256 MB if it stands there."""
    why: str | None = None
    """Why it was not found."""


def find_quotes(
    documents: Sequence[Document], quotes: Sequence[str], first: set[int], cancelled: Callable[[], bool]
) -> list[Citation]:
    """Look for each quote in the documents, those that are in `first` before the others.

    As it is, or as JSON or CSV would write it; where no document has it so, with any white space for white space. Each pass
    reads the documents a block at a time, until every quote is found.
    """
    citations = [Citation(quote, why=_why_not(quote)) for quote in quotes]
    order = sorted(range(len(documents)), key=lambda number: (number not in first, number))
    for how in ("exact", "folded"):
        for number in order:
            open_quotes = [at for at, citation in enumerate(citations) if citation.found is None and citation.why is None]
            if not open_quotes or cancelled():
                break
            patterns = {at: _pattern(quotes[at], how) for at in open_quotes}
            for at, places in _found_in(documents[number], patterns, cancelled).items():
                citations[at] = _citation(quotes[at], how, number, documents[number], places)
    open_quotes = [at for at, citation in enumerate(citations) if citation.found is None and citation.why is None]
    near = _nearly([documents[number] for number in order], {at: quotes[at] for at in open_quotes}, cancelled)
    return [_explained(citation, near.get(at)) for at, citation in enumerate(citations)]


def _why_not(quote: str) -> str | None:
    """Why a quote is not looked for."""
    size = len(quote.strip())
    if size < SHORTEST:
        return f"shorter than {SHORTEST} characters"
    return f"longer than {LONGEST:,} characters" if size > LONGEST else None


def _nearly(documents: Sequence[Document], quotes: dict[int, str], cancelled: Callable[[], bool]) -> dict[int, str]:
    """What the first 256 MB of documents have for quotes that differ in case, dashes, quotation marks or escapes."""
    patterns = {at: _pattern(quote, "nearly") for at, quote in quotes.items()}
    near: dict[int, str] = {}
    looked = 0
    for document in documents:
        looked += document.size
        left = {at: pattern for at, pattern in patterns.items() if at not in near}
        if not left or looked > _ENOUGH:
            break
        for at, places in _found_in(document, left, cancelled).items():
            start, end = places[0]
            with suppress(ChangedError):  # what cannot be read any more is no help
                near[at] = document.read(start, min(end, start + _MOST_SHOWN)).decode("utf-8", "replace")
    return near


def _explained(citation: Citation, near: str | None) -> Citation:
    if citation.found is not None or citation.why is not None:
        return citation
    if near is not None:
        return Citation(citation.quote, why=f"nearly there: the input has {near!r}")
    shortened = "…" in citation.quote or "..." in citation.quote
    why = "not in the input; give pieces that are shortened by dots as quotes of their own" if shortened else "not in the input"
    return Citation(citation.quote, why=why)


def _pattern(quote: str, how: str) -> Any:  # noqa: ANN401 - RE2's pattern has no public type
    """What finds a quote in bytes. RE2, since a quote may hold anything."""
    import re2  # noqa: PLC0415 - slow to import

    options = re2.Options()
    options.log_errors = False
    options.max_mem = 64 << 20
    if how == "exact":
        wanted = b"|".join(re2.escape(each) for each in _spellings(quote))
    elif how == "folded":
        wanted = _BREAK.join(re2.escape(word.encode("utf-8", "replace")) for word in quote.split())
    else:
        alike = {
            mark: rb"\\?(?:" + b"|".join(map(re2.escape, map(str.encode, marks))) + b")" for marks in _ALIKE for mark in marks
        }
        wanted = b"(?i)" + _NEAR_BREAK.join(
            b"".join(alike.get(mark) or re2.escape(mark.encode("utf-8", "replace")) for mark in word) for word in quote.split()
        )
    return re2.compile(wanted, options=options)


def _spellings(quote: str) -> list[bytes]:
    """The quote as it is, and as JSON and CSV write it."""
    text = quote.strip()
    spelt = [text, json.dumps(text, ensure_ascii=False)[1:-1], json.dumps(text)[1:-1], text.replace('"', '""')]
    return [each.encode("utf-8", "replace") for each in dict.fromkeys(spelt)]


def _found_in(document: Document, patterns: dict[int, Any], cancelled: Callable[[], bool]) -> dict[int, list[tuple[int, int]]]:
    """The places of each quote in a document."""
    found: dict[int, list[tuple[int, int]]] = {}
    try:
        for base, data, fresh in _overlapping(document):
            # How often they stand further on is not worth reading a large text to its end.
            if cancelled() or (len(found) == len(patterns) and base > _ENOUGH):
                break
            for at, pattern in patterns.items():
                places = found.get(at, [])
                for match in pattern.finditer(data):
                    start, end = match.span()
                    # What ends before `fresh` was seen with the last block.
                    if end > fresh and len(places) < _MOST_TIMES and (not places or base + start >= places[-1][1]):
                        places.append((base + start, base + end))
                        found[at] = places
    except ChangedError:  # what cannot be read any more supports nothing
        return found
    return found


def _overlapping(document: Document) -> Iterator[tuple[int, bytes, int]]:
    """The text in parts that overlap by more than a quote, each with its offset and where what is new begins."""
    base, rest = 0, b""
    for block in document.blocks(size=_BLOCK):
        data = rest + block
        yield base, data, len(rest)
        rest = data[-(4 * LONGEST + _SPREAD) :]
        base += len(data) - len(rest)


def _citation(quote: str, how: str, number: int, document: Document, places: list[tuple[int, int]]) -> Citation:
    start, end = places[0]
    line = 1 + sum(block.count(b"\n") for block in document.blocks(0, start))
    before = document.read(max(0, start - _SPREAD), start)
    column = len(before[before.rfind(b"\n") + 1 :].decode("utf-8", "replace")) + 1
    return Citation(
        quote,
        "exact" if how == "exact" else "folded",
        number,
        document.name,
        start,
        end,
        line,
        column,
        _place(document, start, line),
        len(places),
    )


def _place(document: Document, start: int, line: int) -> str | None:
    if document.table == "jsonl":
        return f"record {line}"
    return Places(document.blocks()).at(start) if is_marked(document) else None
