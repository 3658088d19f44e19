"""The input of a run: what the variable `context` is made of, and what is told of it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from .document import Spool

if TYPE_CHECKING:
    from collections.abc import Mapping

    from .document import Document, Skipped, Table
    from .media import Attachable

_MOST_NAME = 40
_MOST_NAMED = 3
_TOO_LARGE = "Do not print it whole: look at parts, compute in code what code can, and let sub-models read the rest."


@dataclass(frozen=True)
class Context:
    """The input of a run."""

    kind: Literal["none", "text", "json", "large", "many"] = "none"
    """Nothing; a text or a JSON value that the sandbox holds whole; a text too large for that; several texts, or only tables.
    """
    type: str = "NoneType"
    """The Python type of a JSON value in the sandbox: `list`, `dict`, `int`, …"""
    items: int | None = None
    """Length of a list or dict."""
    documents: tuple[Document, ...] = ()
    tables: tuple[Table, ...] = ()
    """Files that are no text, but that `sql` can query."""
    attachable: tuple[Attachable, ...] = ()
    """Files that can go with a prompt: pictures, PDFs, sound."""
    skipped: tuple[Skipped, ...] = ()
    again: Mapping[str, object] | None = None
    """What `Sources.recorded` makes the same sources of, as JSON; None where a part came through a pipe or from Python."""
    spool: Spool = field(default_factory=Spool, repr=False, compare=False)
    """The folder of texts that were made for this run."""

    @property
    def size(self) -> int:
        """Bytes of all texts."""
        return sum(document.size for document in self.documents)

    def describe(self) -> str:
        """What the root model is told of it: type, size and names, never content."""
        return " ".join(part for part in (self._described(), self._tables(), self._attachable()) if part)

    def discard(self) -> None:
        """Remove what was made for this run."""
        self.spool.discard()

    def _described(self) -> str:
        match self.kind:
            case "none":
                return "`context` is None: this question came without input."
            case "json" if self.items is None:
                return f"`context` is a {self.type}."
            case "json":
                return f"`context` is a {self.type} of {self.items:,} items ({self.size:,} bytes as JSON). {_TOO_LARGE}"
            case "text":
                return f"`context` is a str of {self.size:,} bytes of text{self._from()}. {_TOO_LARGE}"
            case "large":
                name = "" if self.attachable else self._from()  # there is not the room for all
                return (
                    f"`context` is a text of {self.size:,} bytes{name}, not a str: too large to hold. Slices, `len`,"
                    " `find`, `count`, `in` and iteration by line work; positions count bytes; for `re` use `grep`."
                )
            case "many":
                return self._described_many()

    def _described_many(self) -> str:
        if not self.documents:
            return "`context` holds no text."
        most = 1 if self.attachable else _MOST_NAMED
        named = ", ".join(_short(document.name) for document in self.documents[:most])
        more = ", …" if len(self.documents) > most else ""
        return (
            "`context` is a read-only mapping from name to text:"
            f" {len(self.documents):,} texts, {self.size:,} bytes ({named}{more});"
            " `context.names`, `context.sizes`."
        )

    def _tables(self) -> str:
        """That there is something for `sql`."""
        count = len(self.tables) + sum(document.table is not None for document in self.documents)
        return f"`sql` can query {count:,} of its files." if count else ""

    def _attachable(self) -> str:
        """That there is something to send with prompts."""
        count = len(self.attachable)
        return f"`attachable`: {count:,} images etc. for `llm_query(attachments=[…])`." if count else ""

    def _from(self) -> str:
        """The name of the one text, if it has one."""
        (document,) = self.documents
        return "" if document.name == "context" else f" ({_short(document.name)})"


def _short(name: str) -> str:
    """A name, which anybody may have chosen: short and on one line."""
    name = "".join(character for character in name if character.isprintable())
    return name if len(name) <= _MOST_NAME else f"…{name[1 - _MOST_NAME :]}"
