"""`grep`, `search`, `chunks` and `sql` as cells see them, and the texts that the host reads for them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from . import found, pieces
from .corpus import Corpus
from .lazytext import LazyText

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from .asking import Asker

MOST_HELD = 300_000_000
"""Bytes of a text that is held whatever its characters are; the host is asked about larger ones."""

_MOST_CACHED = 600_000_000


class HostTexts:
    """The texts of the run, as the host reads them."""

    def __init__(self, asker: Asker, touch: Callable[[int], None]) -> None:
        """Nothing is asked yet. `touch` takes the number of a text that was read ahead, once code has touched it."""
        self._asker = asker
        self.touch = touch

    def listing(self) -> tuple[list[str], list[int]]:
        """Names and sizes in bytes, in order."""
        names, sizes = self._asker.ask_json("listing")
        return names, sizes

    def read(self, document: int, start: int, end: int) -> bytes:
        """A part of a text, of at most 8 MB. Raises HelperError if it is gone."""
        return self._asker.ask("read", document=document, start=start, end=end)

    def read_many(self, first: int, sizes: Sequence[int]) -> list[bytes | None]:
        """The whole of texts that follow each other, of 8 MB together; None for one that is gone."""
        answer = self._asker.ask("texts", first=first, end=first + len(sizes))
        parts: list[bytes | None] = []
        at = len(sizes)
        for size, there in zip(sizes, answer, strict=False):  # a byte for each, then those that are there
            parts.append(answer[at : at + size] if there else None)
            at += size if there else 0
        return parts

    def fits(self, document: int) -> bool:
        """Whether the sandbox can hold the text as a str."""
        return bool(self._asker.ask_json("fits", document=document))

    def find(self, document: int, needle: bytes, start: int, end: int, last: bool) -> int:  # noqa: FBT001 - the protocol's
        """The first, or `last`, place of the needle in a part of a text; -1 if there is none."""
        where: int = self._asker.ask_json("find", document=document, needle=_data(needle), start=start, end=end, last=last)
        return where

    def count(self, document: int, needle: bytes, start: int, end: int) -> int:
        """How often the needle is in a part of a text, without overlaps."""
        count: int = self._asker.ask_json("count", document=document, needle=_data(needle), start=start, end=end)
        return count


class Helpers:
    """The functions for cells, over all texts of the run."""

    def __init__(self, asker: Asker, touch: Callable[[int], None]) -> None:
        """Nothing is asked yet. `touch` as of `HostTexts`."""
        self._asker = asker
        self.texts = HostTexts(asker, touch)

    def context(self, kind: str, size: int) -> Corpus | LazyText:
        """The variable `context` where it is not held whole: `many` texts, or a `large` one."""
        if kind == "many":
            return Corpus(self.texts, MOST_HELD, _MOST_CACHED)
        return LazyText(self.texts, 0, size)

    def grep(
        self,
        pattern: str,
        within: object = None,
        *,
        ignore_case: bool = False,
        fixed: bool = False,
        context: int = 0,
        limit: int = 1000,
    ) -> found.Hits:
        """Find lines of the whole context. A hit is the line, with `.name` and `.line`.

        `within` is a name, a glob such as '*.py', or a list of them. RE2 syntax: no look-around, no back-references.
        `.total` counts all matching lines, `.counts` by name; at most `limit` are given.
        """
        answer = self._asker.ask_json(
            "grep",
            pattern=_pattern(pattern),
            within=_names(within),
            ignore_case=ignore_case,
            fixed=fixed,
            context=context,
            limit=limit,
        )
        return found.Hits(answer)

    def search(self, query: str, k: int = 10, within: object = None) -> found.Passages:
        """Find the passages of the whole context that fit some words best (BM25)."""
        return found.Passages(self._asker.ask_json("search", query=query, k=k, within=_names(within)))

    def sql(self, query: str, limit: int = 1000) -> found.Rows:
        """Query the tables of the context (CSV, TSV, JSONL, Parquet, SQLite) in DuckDB's SQL; `SHOW TABLES` lists them."""
        answer = self._asker.ask_json("sql", query=query, limit=limit)
        return found.Rows(answer, self._more)

    def chunks(self, text: object, size: int = 50_000, overlap: int = 0, by: str = "chars") -> Any:  # noqa: ANN401 - a list, or what is lazy
        """Cut a text, or each of several, into pieces of at most `size`: chars, tokens, lines, paragraphs, records or code."""
        return pieces.chunks(text, size, overlap, by)

    def _more(self, handle: int, start: int, count: int) -> Any:  # noqa: ANN401 - JSON
        return self._asker.ask_json("more", handle=handle, start=start, count=count)


def _data(needle: bytes) -> str:
    """Bytes as JSON can hold them: a character for each."""
    return needle.decode("latin-1")


def _pattern(pattern: object) -> object:
    """What models may give besides a str: a compiled pattern."""
    return getattr(pattern, "pattern", pattern)


def _names(within: object) -> list[str] | None:
    """Which texts to look in; None for all."""
    if within is None or isinstance(within, Corpus | LazyText):
        return None
    if isinstance(within, str):
        return [str.__str__(within)]
    if isinstance(within, list | tuple | set | frozenset):
        return [str(name) for name in within]
    message = f"within must be a name, a pattern such as '*.py', or a list of them, not {type(within).__name__}"
    raise TypeError(message)
