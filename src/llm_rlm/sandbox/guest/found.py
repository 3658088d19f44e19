"""What the helpers find, each with where it is from: lines, passages, rows."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Self

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable, Mapping

_MOST_SHOWN = 100
_WIDEST = 40


class _Awaitable:
    """What may be awaited although there is nothing to wait for: models write `await grep(...)` too."""

    def __await__(self) -> Generator[None, None, Self]:
        yield from ()
        return self


class Hit(str):
    """A line that matches, without its end. `start` and `end` are the bytes of the match in the text."""

    __slots__ = ("after", "before", "column", "end", "line", "name", "start")

    name: str
    line: int
    column: int
    start: int
    end: int
    before: list[str]
    after: list[str]

    @classmethod
    def made(cls, of: list[Any]) -> Hit:
        """Make a hit of what the host sent."""
        name, line, column, start, end, text, before, after = of
        self = cls(text)
        self.name, self.line, self.column, self.start, self.end = name, line, column, start, end
        self.before, self.after = before, after
        return self

    def __getitem__(self, key: Any) -> Any:  # noqa: ANN401 - a position, a slice or a field
        """A part of the line, or a field by name: `hit["line"]`, `hit["text"]`."""
        return _field(self, key, Hit.__slots__) if isinstance(key, str) else str.__getitem__(self, key)

    def __repr__(self) -> str:
        """As `rg` prints it, with the lines around."""
        first = self.line - len(self.before)
        around = [f"{self.name}-{first + at}- {line}" for at, line in enumerate(self.before)]
        below = [f"{self.name}-{self.line + at}- {line}" for at, line in enumerate(self.after, start=1)]
        return "\n".join([*around, f"{self.name}:{self.line}:{self.column}: {str.__str__(self)}", *below])


class Hits(_Awaitable, list[Hit]):
    """The lines that `grep` gives. `total` counts all that match, `counts` those of each text, by name."""

    def __init__(self, answer: Mapping[str, Any]) -> None:
        """Make hits of what the host sent."""
        super().__init__(Hit.made(hit) for hit in answer["hits"])
        self.total: int = answer["total"]
        self.counts: dict[str, int] = answer["counts"]
        self.unreadable: list[list[str]] = answer["unreadable"]

    @property
    def truncated(self) -> bool:
        """Whether more lines match than are given."""
        return self.total > len(self)

    def __repr__(self) -> str:
        """One a line."""
        lines = [repr(hit) for hit in self[:_MOST_SHOWN]] or ["(no line matches)"]
        if self.total > _MOST_SHOWN or self.truncated:
            shown = min(len(self), _MOST_SHOWN)
            lines.append(
                f"... {shown:,} of {self.total:,} matching lines in {len(self.counts):,} texts; `.counts` has them by name"
            )
        lines += [f"... not read: {name} ({why})" for name, why in self.unreadable]
        return "\n".join(lines)


class Passage(str):
    """A passage of a text. `start` and `end` are its bytes in the text, `score` says how well it fits."""

    __slots__ = ("end", "line", "name", "score", "start")

    name: str
    line: int
    start: int
    end: int
    score: float

    @classmethod
    def made(cls, of: list[Any]) -> Passage:
        """Make a passage of what the host sent."""
        name, line, start, end, score, text = of
        self = cls(text)
        self.name, self.line, self.start, self.end, self.score = name, line, start, end, score
        return self

    def __getitem__(self, key: Any) -> Any:  # noqa: ANN401 - a position, a slice or a field
        """A part of the passage, or a field by name."""
        return _field(self, key, Passage.__slots__) if isinstance(key, str) else str.__getitem__(self, key)

    def __repr__(self) -> str:
        """Where it is, and its text."""
        return f"{self.name}:{self.line} (score {self.score:.1f})\n{str.__str__(self)}"


class Passages(_Awaitable, list[Passage]):
    """The passages that `search` gives, the best first."""

    def __init__(self, answer: Mapping[str, Any]) -> None:
        """Make passages of what the host sent."""
        super().__init__(Passage.made(hit) for hit in answer["hits"])

    def __repr__(self) -> str:
        """One after another."""
        return "\n\n".join(map(repr, self)) or "(nothing fits)"


class Row(tuple[Any, ...]):  # noqa: SLOT001 - each result has a class of its own, which has the columns
    """A row of a result: by position, or by the name of a column: `row["name"]`, `dict(row)`."""

    columns: list[str]

    def keys(self) -> list[str]:
        """The names of the columns."""
        return self.columns

    def get(self, name: str, default: object = None) -> Any:  # noqa: ANN401 - any value
        """As `dict.get`."""
        return self[name] if name in self.columns else default

    def __getitem__(self, key: Any) -> Any:  # noqa: ANN401 - a position, a slice or a name
        """A value by position or by name."""
        if not isinstance(key, str):
            return tuple.__getitem__(self, key)
        if key not in self.columns:
            message = f"{key!r}: the columns are {', '.join(self.columns)}"
            raise KeyError(message)
        return tuple.__getitem__(self, self.columns.index(key))


class Rows(_Awaitable, list[Row]):
    """The rows that `sql` gives. `total` counts all, `columns` and `types` tell the columns, `tables` what was queried."""

    def __init__(self, answer: Mapping[str, Any], more: Callable[[int, int, int], Any]) -> None:
        """Make rows of what the host sent. `more` asks it for others, by handle, first and count."""
        self.columns: list[str] = answer["columns"]
        self.types: list[str] = answer["types"]
        self.total: int | None = answer["total"]
        self.tables: list[str] = answer["tables"]
        self.notes: list[str] = answer.get("notes") or []
        self._handle: int | None = answer["handle"]
        self._more = more
        super().__init__(self._rows(answer["rows"]))

    def more(self, count: int = 1000) -> Rows:
        """The rows after these, which are added to them."""
        if self._handle is not None:
            answer = self._more(self._handle, len(self), count)
            self.extend(self._rows(answer["rows"]))
            self._handle = answer["handle"]
        return self

    def __repr__(self) -> str:
        """As a table."""
        shown = [[_cell(value) for value in row] for row in self[:_MOST_SHOWN]]
        widths = [max(map(len, column)) for column in zip(self.columns, *shown, strict=True)]
        lines = [_line(self.columns, widths), _line(["-" * width for width in widths], widths)]
        lines += [_line(row, widths) for row in shown]
        count = f"{len(self):,} of {self.total:,}" if self.total is not None and self.total > len(self) else f"{len(self):,}"
        return "\n".join([*lines, f"({count} rows{'; .more(n) for others' if self._handle is not None else ''})", *self.notes])

    def _rows(self, rows: Iterable[Iterable[Any]]) -> list[Row]:
        kind = type("Row", (Row,), {"columns": self.columns})
        return [kind(row) for row in rows]


def _field(found: Any, key: str, names: tuple[str, ...]) -> Any:  # noqa: ANN401 - any field
    if key == "text":
        return str.__str__(found)
    if key not in names:
        message = f"{key!r}: there are 'text', {', '.join(map(repr, names))}"
        raise KeyError(message)
    return getattr(found, key)


def _cell(value: object) -> str:
    text = "NULL" if value is None else " ".join(str(value).split())
    return text if len(text) <= _WIDEST else f"{text[: _WIDEST - 1]}…"


def _line(cells: Iterable[str], widths: Iterable[int]) -> str:
    return "  ".join(cell.ljust(width) for cell, width in zip(cells, widths, strict=True)).rstrip()
