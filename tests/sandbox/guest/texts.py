"""Texts in memory, in the place of the host's."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence


class Held:
    """Answers as the host would, and remembers what was read."""

    def __init__(self, texts: dict[str, bytes], *, fit: bool = True) -> None:
        self.texts = list(texts.values())
        self.names = list(texts)
        self.reads: list[tuple[int, int, int]] = []
        self.many: list[tuple[int, int]] = []
        """First and end of what was read together."""
        self.touched: list[int] = []
        self.gone: set[int] = set()
        self.listings = 0
        self.fit = fit

    def listing(self) -> tuple[list[str], list[int]]:
        self.listings += 1
        return self.names, [len(text) for text in self.texts]

    def read(self, document: int, start: int, end: int) -> bytes:
        assert end - start <= 1 << 23
        self.reads.append((document, start, end))
        if document in self.gone:
            raise FileNotFoundError(self.names[document])
        return self.texts[document][start:end]

    def read_many(self, first: int, sizes: Sequence[int]) -> list[bytes | None]:
        assert sum(sizes) <= 1 << 23
        assert sizes
        end = first + len(sizes)
        self.many.append((first, end))
        return [None if number in self.gone else self.texts[number] for number in range(first, end)]

    def touch(self, document: int) -> None:
        self.touched.append(document)

    def fits(self, document: int) -> bool:
        assert 0 <= document < len(self.texts)
        return self.fit

    def find(self, document: int, needle: bytes, start: int, end: int, last: bool) -> int:
        text = self.texts[document]
        return text.rfind(needle, start, end) if last else text.find(needle, start, end)

    def count(self, document: int, needle: bytes, start: int, end: int) -> int:
        return self.texts[document].count(needle, start, end)
