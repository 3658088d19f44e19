"""Text that models, cells and files wrote, made safe to show: which characters hide, and what a terminal shows of them."""

from __future__ import annotations

import unicodedata

_INVISIBLE = frozenset(
    map(
        chr,
        (
            *(0x034F, 0x115F, 0x1160, 0x17B4, 0x17B5, 0x2800, 0x3164, 0xFFA0),
            *range(0x180B, 0x1810),
            *range(0xE0100, 0xE01F0),
        ),
    )
)
"""What Unicode ignores in display, though Python calls it printable: joiners, fillers, blanks, variation selectors.

The first sixteen variation selectors are not among them: they choose how the character before them looks.
"""


def hides(character: str) -> bool:
    """Whether a character is not seen, or can change how what is around it is shown.

    So do control characters (C0 and C1, so all escape sequences), format characters (bidirectional marks, overrides and
    isolates, zero-width ones, tags, the byte order mark), fillers that show nothing, surrogates, separators of lines and
    paragraphs, and what Unicode leaves private or unassigned. Line feeds, tabs and the spaces of all scripts do not.
    """
    if character in _INVISIBLE:
        return True
    # Of all spaces Python takes only one for printable.
    return not (character in "\n\t" or character.isprintable() or unicodedata.category(character) == "Zs")


class _Shown(dict[int, int | str]):
    """What is shown for a character, as `str.translate` asks for it."""

    def __missing__(self, code: int) -> int | str:
        return "\N{REPLACEMENT CHARACTER}" if hides(chr(code)) else code


_SHOWN = _Shown()


def clean(text: str) -> str:
    """Text without characters that hide: each is replaced by a sign that it was there. CR LF is a line feed."""
    return text if text.isascii() and text.isprintable() else text.replace("\r\n", "\n").translate(_SHOWN)


def brief(text: str, most: int | None = None) -> str:
    """A text, clean, in one line: its beginning, of at most so many characters, if it is longer than that."""
    if most is None:
        return " ".join(clean(text).split())
    words = " ".join(clean(text[: 4 * most]).split())
    return words if len(words) <= most and len(text) <= 4 * most else f"{words[: most - 1]}…"
