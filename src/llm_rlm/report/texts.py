"""Texts that anybody may have written, as a page may show them: no more than fits, and nothing in them that hides."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from llm_rlm.display.clean import hides

if TYPE_CHECKING:
    from collections.abc import Sequence

MOST = 20_000
"""Characters of one text that a page has; of a longer one the beginning and the end."""
MOST_TOGETHER = 60_000_000
"""Characters of all texts of calls together: where they would be more, each is cut shorter."""
LEAST = 1_000
"""Characters of a text of a call that are always there."""

_JOINERS = "\N{ZERO WIDTH NON-JOINER}\N{ZERO WIDTH JOINER}"
"""Many scripts and emoji are not written without them: they stay where there is something before them to join."""
_LOOSE = re.compile(f"(?<![^\x00-\x7f{_JOINERS}])[{_JOINERS}]")
_PICTURES, _SPACE, _DELETE, _DELETE_PICTURE = 0x2400, 0x20, 0x7F, "\N{SYMBOL FOR DELETE}"


def visible(text: str) -> str:
    """The text with a sign for each character that hides: `␛`, `[U+202E]`. What comes out is valid Unicode."""
    text = text.replace("\r\n", "\n")
    signs = {ord(character): _sign(character) for character in set(text) if hides(character) and character not in _JOINERS}
    return _LOOSE.sub(lambda found: _sign(found[0]), text.translate(signs) if signs else text)


def cut(text: str, most: int | None = MOST) -> str:
    """The text, or its beginning and end if it has more than `most` characters: between them, how many are left out."""
    if most is None or len(text) <= most:
        return text
    tail = most // 4
    head = most - tail
    return f"{text[:head]}\n\n[… {len(text) - most:,} characters are left out here …]\n\n{text[-tail:]}"


def share(count: int) -> int:
    """To how many characters each of so many texts is cut, so that the page stays small enough."""
    return max(LEAST, min(MOST, MOST_TOGETHER // max(1, count)))


class Pool:
    """Texts, each once, named by their numbers."""

    def __init__(self, most: int | None) -> None:
        """Each is cut to `most` characters, if that is not None."""
        self._most = most
        self._numbers: dict[str, int] = {}
        self.was_cut = 0
        """How many were cut."""

    def add(self, text: str | None) -> int | None:
        """The number of a text; None for none."""
        if text is None:
            return None
        kept = visible(cut(text, self._most))
        if kept not in self._numbers:
            self.was_cut += self._most is not None and len(text) > self._most
            self._numbers[kept] = len(self._numbers)
        return self._numbers[kept]

    @property
    def texts(self) -> Sequence[str]:
        """All of them, by number."""
        return list(self._numbers)


def _sign(character: str) -> str:
    code = ord(character)
    if code < _SPACE:
        return chr(_PICTURES + code)
    return _DELETE_PICTURE if code == _DELETE else f"[U+{code:04X}]"
