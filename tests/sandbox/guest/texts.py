"""Texts in memory, in the place of the host's."""

from __future__ import annotations


class Held:
    """Answers as the host would, and remembers what was read."""

    def __init__(self, texts: dict[str, bytes], *, fit: bool = True) -> None:
        self.texts = list(texts.values())
        self.names = list(texts)
        self.reads: list[tuple[int, int, int]] = []
        self.listings = 0
        self.fit = fit

    def listing(self) -> tuple[list[str], list[int]]:
        self.listings += 1
        return self.names, [len(text) for text in self.texts]

    def read(self, document: int, start: int, end: int) -> bytes:
        assert end - start <= 1 << 23
        self.reads.append((document, start, end))
        return self.texts[document][start:end]

    def fits(self, document: int) -> bool:
        assert 0 <= document < len(self.texts)
        return self.fit

    def find(self, document: int, needle: bytes, start: int, end: int, last: bool) -> int:
        text = self.texts[document]
        return text.rfind(needle, start, end) if last else text.find(needle, start, end)

    def count(self, document: int, needle: bytes, start: int, end: int) -> int:
        return self.texts[document].count(needle, start, end)
