"""Which runs hold some words: their questions, answers, code and output, what models were asked and what they said.

The texts are read through, which takes 0.6 s for those of 50,000 calls with 1,500 characters each. An index would take 20 s
to make, would have to be kept, and finds no part of a word.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from .journal import Journal

_TERM = re.compile(r'"([^"]+)"|(\S+)')


def runs_with(journal: Journal, words: str) -> set[str]:
    """The ids of the runs in which one text has all the words; words between double quotes are one.

    Letters of ASCII are found whatever their case. No words are in no text.
    """
    terms = [phrase or word for phrase, word in _TERM.findall(words)]
    if not terms:
        return set()
    plain = [_pattern(term) for term in terms]
    escaped = [_pattern(json.dumps(term, ensure_ascii=False)[1:-1]) for term in terms]
    query = _QUERY.format(
        anyhow=_all("text", plain) if plain == escaped else f"({_all('text', plain)}) or ({_all('text', escaped)})",
        **{name: _all(column, plain) for name, column in _COLUMNS.items()},
    )
    return {row["id"] for row in journal.rows(query, {_name(pattern): pattern for pattern in plain + escaped})}


_COLUMNS = {
    "question": "question",
    "plain": "text",
    "prompt": "iif(json_valid(text), text ->> '$.prompt', text)",
    "said": "iif(json_valid(text), text ->> '$.text', text)",
}
_QUERY = (
    "with hits as materialized (select hash, text from texts where {anyhow}),"
    " plain as materialized (select hash from hits where {plain})"
    " select id from runs where {question} or answer_hash in plain"
    " union select run_id from turns where reply_hash in (select hash from hits where {said})"
    " union select run_id from cells where code_hash in plain or output_hash in plain or answer_hash in plain"
    " union select run_id from calls where response_hash in plain"
    " or request_hash in (select hash from hits where {prompt})"
)
"""Texts that are JSON are looked into where they can hold the words: names of their fields are not what anybody said."""


def _all(column: str, patterns: Sequence[str]) -> str:
    """That a text is like all of them."""
    return " and ".join(f"{column} like :{_name(pattern)} escape '\\'" for pattern in patterns)


def _name(pattern: str) -> str:
    """A name for it among the parameters."""
    return "p" + pattern.encode("utf-8", "surrogatepass").hex()


def _pattern(term: str) -> str:
    """What `like` takes for a text that has it."""
    return "%" + re.sub(r"([%_\\])", r"\\\1", term) + "%"
