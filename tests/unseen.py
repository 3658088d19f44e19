"""Characters that nobody sees, as the Unicode Standard has them and not as our code does."""

from __future__ import annotations

import unicodedata

from hypothesis import strategies as st

_CATEGORIES = {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"}
"""Control, format, surrogate, private, unassigned, and separators of lines and paragraphs."""

_IGNORED = (
    *(0xAD, 0x34F, 0x61C, 0x3164, 0xFEFF, 0xFFA0),
    *(*range(0x115F, 0x1161), *range(0x17B4, 0x17B6), *range(0x180B, 0x1810), *range(0x200B, 0x2010)),
    *(*range(0x202A, 0x202F), *range(0x2060, 0x2070), *range(0xFFF0, 0xFFF9), *range(0x1BCA0, 0x1BCA4)),
    *(*range(0x1D173, 0x1D17B), *range(0xE0000, 0xE1000)),
)
"""Default_Ignorable_Code_Point, without the selectors that choose how the character before them looks."""

_BLANK = 0x2800
"""A pattern of Braille that has no dots."""

_ALL = frozenset(map(chr, (*_IGNORED, _BLANK)))

UNSEEN = "".join(sorted(character for character in _ALL if ord(character) < 0xE0000 or ord(character) % 0x40 == 0))
"""Of all that have no ink: of the 4,096 tags and selectors a few."""

ANY_TEXT = st.text(st.one_of(st.characters(codec=None), st.sampled_from(UNSEEN), st.sampled_from("\"'\\\n\r\t\0\x85 ab\xa0é")))
"""Texts in which such characters are likely, lone surrogates too."""


def unseen(text: str) -> set[str]:
    """Those of a text, but for line feeds and tabs."""
    hidden = {character for character in text if character in _ALL or unicodedata.category(character) in _CATEGORIES}
    return hidden - {"\n", "\t"}
