"""What the helpers find, each with where it is from: lines, passages, rows."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, Self

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable, Mapping

_MOST_SHOWN = 100
_WIDEST = 40
_LONGEST_LINE = 300
_LONGEST_PASSAGE = 600


class _Found[Item](list[Item]):
    """A list that is shown one item a line, and so is a slice of it."""

    def __await__(self) -> Generator[None, None, Self]:
        """There is nothing to wait for, but models write `await grep(...)` too."""
        yield from ()
        return self

    def __getitem__(self, key: Any) -> Any:  # noqa: ANN401 - a position, a slice or a field
        """An item, some of them, or a field by name: `hits["total"]`."""
        if isinstance(key, str):
            return _field(self, key, tuple(vars(self)))
        found = super().__getitem__(key)
        return _Found(found) if isinstance(key, slice) else found

    def __repr__(self) -> str:
        """The first items, and what there is besides."""
        return "\n".join([*map(repr, list(self)[:_MOST_SHOWN]), *self._notes()])

    def _notes(self) -> list[str]:
        more = len(self) - _MOST_SHOWN
        return [f"… {more:,} more, [{_MOST_SHOWN}:]"] if more > 0 else []


class _Text(str):
    """Text with fields: `hit.line`, or `hit["line"]`."""

    __slots__: tuple[str, ...] = ()

    @classmethod
    def _made(cls, text: str, values: Iterable[Any]) -> Self:
        """Make it of its text, and the values of its fields in the order of `__slots__`."""
        self = cls(text)
        for name, value in zip(cls.__slots__, values, strict=True):
            setattr(self, name, value)
        return self

    def __getitem__(self, key: Any) -> Any:  # noqa: ANN401 - a position, a slice or a field
        """A part of the text, or a field by name: `hit["line"]`, `hit["text"]`."""
        if not isinstance(key, str):
            return str.__getitem__(self, key)
        return str.__str__(self) if key == "text" else _field(self, key, ("text", *self.__slots__))


class Hit(_Text):
    """A line that matches, without its end. `start` and `end` are the bytes of the match in the text."""

    __slots__ = ("name", "line", "column", "start", "end", "before", "after")  # noqa: RUF023 - in the order of the host

    name: str
    line: int
    column: int
    start: int
    end: int
    before: list[str]
    """The lines before it, as many as were asked for."""
    after: list[str]

    @classmethod
    def made(cls, of: list[Any]) -> Hit:
        """Make a hit of what the host sent."""
        *place, text, before, after = of
        return cls._made(text, (*place, before, after))

    def __repr__(self) -> str:
        """As `rg` prints it, with the lines around."""
        name, first = self.name or "", self.line - len(self.before)
        around = [(f"{name}-" if name else "") + f"{first + at}- {_cut(line, _LONGEST_LINE)}" for at, line in self._around()]
        around.insert(len(self.before), (f"{name}:" if name else "") + f"{self.line}:{self.column}: {self._shown()}")
        return "\n".join(around)

    def _around(self) -> list[tuple[int, str]]:
        before = len(self.before)
        return [*enumerate(self.before), *enumerate(self.after, before + 1)]

    def _shown(self) -> str:
        """The line, or of a long one what is about the match."""
        text = str.__str__(self)
        first = max(0, min(self.column - 1 - _LONGEST_LINE // 2, len(text) - _LONGEST_LINE))
        return ("…" if first else "") + _cut(text[first:], _LONGEST_LINE)


class Hits(_Found[Hit]):
    """The lines that `grep` gives. `total` counts all that match, `counts` those of each text, by name."""

    def __init__(self, answer: Mapping[str, Any]) -> None:
        """Make hits of what the host sent."""
        super().__init__(Hit.made(hit) for hit in answer["hits"])
        self.total: int = answer["total"]
        self.counts: dict[str, int] = answer["counts"]
        self.unreadable: list[list[str]] = answer["unreadable"]
        self.truncated: bool = self.total > len(self)
        """Whether more lines match than are given."""

    def _notes(self) -> list[str]:
        notes = super()._notes() if self else ["(no line matches)"]
        if self.truncated:
            texts = f" in {len(self.counts):,} texts, see `.counts`" if len(self.counts) > 1 else ""
            notes.append(f"… {self.total:,} lines match{texts}; these are {len(self):,}: narrow the pattern, or give limit=")
        return notes + [f"… not read: {name} ({why})" for name, why in self.unreadable]


class Passage(_Text):
    """A passage of a text. `start` and `end` are its bytes in the text, `score` says how well it fits."""

    __slots__ = ("name", "line", "start", "end", "score")  # noqa: RUF023 - in the order of the host

    name: str
    line: int
    start: int
    end: int
    score: float

    @classmethod
    def made(cls, of: list[Any]) -> Passage:
        """Make a passage of what the host sent."""
        *place, text = of
        return cls._made(text, place)

    def __repr__(self) -> str:
        """Where it is, and how it begins."""
        name = f"{self.name}:" if self.name else "line "
        return f"{name}{self.line} (score {self.score:.1f})\n{_cut(str.__str__(self).rstrip(), _LONGEST_PASSAGE)}\n"


class Passages(_Found[Passage]):
    """The passages that `search` gives, the best first."""

    def __init__(self, answer: Mapping[str, Any]) -> None:
        """Make passages of what the host sent."""
        super().__init__(Passage.made(hit) for hit in answer["hits"])

    def _notes(self) -> list[str]:
        return super()._notes() if self else ["(nothing fits)"]


class Row(tuple[Any, ...]):
    """A row of a result: by position, or by the name of a column: `row["name"]`, `dict(row)`."""

    __slots__ = ()

    columns: ClassVar[list[str]]

    def keys(self) -> list[str]:
        """The names of the columns."""
        return list(self.columns)

    def get(self, name: str, default: object = None) -> Any:  # noqa: ANN401 - any value
        """As `dict.get`."""
        return self[name] if name in self.columns else default

    def __getitem__(self, key: Any) -> Any:  # noqa: ANN401 - a position, a slice or a name
        """A value by position or by name."""
        if not isinstance(key, str):
            return tuple.__getitem__(self, key)
        if key not in self.columns:
            message = f"{key!r}: the columns are {', '.join(map(repr, self.columns))}"
            raise KeyError(message)
        return tuple.__getitem__(self, self.columns.index(key))


class Rows(_Found[Row]):
    """The rows that `sql` gives. `total` counts all, `columns` and `types` tell the columns, `tables` what was queried."""

    def __init__(self, answer: Mapping[str, Any], more: Callable[[int, int, int], Any]) -> None:
        """Make rows of what the host sent. `more` asks it for others, by handle, first and count."""
        self.columns: list[str] = answer["columns"]
        self.types: list[str] = answer["types"]
        self.total: int | None = answer["total"]
        self.tables: list[str] = answer["tables"]
        self.notes: list[str] = answer.get("notes") or []
        self.cut: int = answer.get("cut") or 0
        """Values that are given in part, since they are long."""
        self._kind = type("Row", (Row,), {"__slots__": (), "columns": self.columns})
        self._handle: int | None = answer["handle"]
        self._ask = more
        self._taken = 0
        super().__init__()
        self._take(answer["rows"])

    @property
    def truncated(self) -> bool:
        """Whether there are more rows: `more` has them."""
        return self._handle is not None

    def more(self, count: int = 1000) -> Rows:
        """Add the next `count` rows to these. Returns these, with what was added."""
        if self._handle is not None:
            answer = self._ask(self._handle, self._taken, count)
            self.cut += answer.get("cut") or 0
            self._handle = answer["handle"]
            self._take(answer["rows"])
            if not answer["rows"] and count > 0:
                self._handle = None
        return self

    def __repr__(self) -> str:
        """As a table."""
        rows = list(self)[:_MOST_SHOWN]
        cells = [[_cell(value) for value in row] for row in rows]
        names = [_cell(name) for name in self.columns]
        widths = [max(map(len, column)) for column in zip(names, *cells, strict=True)]
        right = [_is_number(kind) for kind in self.types]
        lines = [_line(row, widths, right) for row in (names, ["-" * width for width in widths], *cells)]
        return "\n".join([*lines, f"({self._counted(len(rows))})", *self.notes])

    def _counted(self, shown: int) -> str:
        total = "" if self.total is None and self.truncated else f" of {self.total or len(self):,}"
        count = f"{shown:,}{total if shown < (self.total or len(self)) else ''} row{'s' if shown != 1 else ''}"
        held = f"; {len(self):,} are here" if shown < len(self) else ""
        return count + held + ("; `.more(n)` adds others" if self.truncated else "")

    def _take(self, rows: list[Iterable[Any]]) -> None:
        self.extend(map(self._kind, rows))
        self._taken += len(rows)
        if self.total is not None and self._taken >= self.total:
            self._handle = None


def _field(found: object, key: str, names: tuple[str, ...]) -> Any:  # noqa: ANN401 - any field
    if key not in names or key.startswith("_"):
        message = f"{key!r}: there are {', '.join(repr(name) for name in names if not name.startswith('_'))}"
        raise KeyError(message)
    return getattr(found, key)


def _is_number(kind: str) -> bool:
    """Whether a type of DuckDB's is one of numbers."""
    return kind.startswith("DECIMAL") or kind in {"DOUBLE", "FLOAT", "INTEGER", "UINTEGER"} or kind.endswith("INT")


def _cell(value: object) -> str:
    return _cut("NULL" if value is None else " ".join(str(value)[: 4 * _WIDEST].split()), _WIDEST)


def _cut(text: str, most: int) -> str:
    return text if len(text) <= most else f"{text[: most - 1]}…"


def _line(cells: Iterable[str], widths: Iterable[int], right: Iterable[bool]) -> str:
    columns = zip(cells, widths, right, strict=True)
    return "  ".join(cell.rjust(width) if to_right else cell.ljust(width) for cell, width, to_right in columns).rstrip()
