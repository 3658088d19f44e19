"""Names of texts that strangers chose: what is shown of them, and that no two are the same."""

from __future__ import annotations

import unicodedata
from itertools import count

_LONGEST = 1000
"""Characters of a name. Of a longer one the end is kept, which says most."""


def clean(name: str) -> str:
    r"""The name on one line of valid UTF-8: what cannot be printed is shown by its escape, as `\n`, `\x1b` or `\xff`.

    Bytes that are no text are expected as Python's lone surrogates (`os.fsdecode`) or already as escapes.
    """
    if not name.isprintable():
        name = "".join(_shown(character) for character in name)
    return name if len(name) <= _LONGEST else f"…{name[1 - _LONGEST :]}"


def clean_member(name: str) -> str:
    """The name of a member of an archive as a path within it: no root, no drive, no `.` and `..`, slashes only forward."""
    parts = [part for part in name.replace("\\", "/").split("/") if part not in {"", ".", ".."}]
    return clean("/".join(parts)) or "unnamed"


def suffix(name: str) -> str:
    """The suffix of a name in lower case, with its dot. As `PurePath(name).suffix`, in a tenth of the time."""
    before, dot, ending = name.rpartition(".")
    return f".{ending.lower()}" if dot and "/" not in ending and before[-1:] not in {"", "/"} else ""


class Names:
    """The names that are given away."""

    def __init__(self) -> None:
        """None yet."""
        self._next: dict[str, count[int]] = {}

    def unique(self, name: str) -> str:
        """The name, or where it is given away already the name with a number: `notes.txt (2)`."""
        if name not in self._next:
            self._next[name] = count(2)
            return name
        return self.unique(f"{name} ({next(self._next[name])})")


def _shown(character: str) -> str:
    if character.isprintable() or unicodedata.category(character) == "Zs":
        return character
    number = ord(character)
    if 0xDC80 <= number <= 0xDCFF:  # noqa: PLR2004 - the surrogates that stand for bytes (PEP 383)
        number -= 0xDC00
    elif character in "\n\r\t":
        return {"\n": r"\n", "\r": r"\r", "\t": r"\t"}[character]
    return f"\\x{number:02x}" if number <= 0xFF else character.encode("unicode_escape").decode()  # noqa: PLR2004 - one byte
