"""What is found out about a text by reading it whole."""

from __future__ import annotations

import codecs
import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from .document import Document


_REPLACEMENT = "\N{REPLACEMENT CHARACTER}"


@dataclass(frozen=True, slots=True)
class Examined:
    """What a text is."""

    sha256: str
    """Of its bytes, in hex."""
    undecodable: int
    """Characters that stand for bytes which are not UTF-8."""


def examine(document: Document, cancelled: Callable[[], bool]) -> Examined | None:
    """Read a text whole, at about a second a GB. None if `cancelled` meanwhile. Raises ChangedError."""
    digest, decoder = hashlib.sha256(), codecs.getincrementaldecoder("utf-8")("replace")
    replaced = spelt = 0
    before = b""
    for block in document.blocks():
        if cancelled():
            return None
        digest.update(block)
        if not block.isascii() or decoder.getstate()[0]:
            replaced += decoder.decode(block).count(_REPLACEMENT)
            spelt += (before + block).count(_REPLACEMENT.encode())
        before = block[-2:]
    replaced += decoder.decode(b"", final=True).count(_REPLACEMENT)
    return Examined(digest.hexdigest(), max(0, replaced - spelt))
