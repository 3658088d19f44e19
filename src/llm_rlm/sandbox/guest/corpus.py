"""`context` where it is several texts: a read-only mapping from name to text, each loaded when it is first touched."""

from __future__ import annotations

import sys
from codecs import utf_8_decode
from collections.abc import Mapping
from typing import TYPE_CHECKING, NoReturn

from .lazytext import LazyText

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .lazytext import Texts

_PIECE = 1 << 23
_BOM = "\ufeff"
_MOST_SHOWN = 3
_MOST_COMPARED = 5000


class Corpus(Mapping[str, str | LazyText]):
    """The texts by name, in order."""

    def __init__(self, texts: Texts, most_held: int, most_cached: int) -> None:
        """A text of more than `most_held` bytes is held if the host says that it fits.

        Of loaded texts, those used last are kept, as long as they take no more than `most_cached` bytes of memory together.
        """
        self._texts = texts
        self._most_held = most_held
        self._most_cached = most_cached
        self._listed: dict[str, tuple[int, int]] | None = None
        self._kept: dict[str, str | LazyText] = {}
        self._taken = 0

    @property
    def names(self) -> list[str]:
        """The names, in order."""
        return list(self._all)

    @property
    def sizes(self) -> dict[str, int]:
        """Bytes of each text."""
        return {name: size for name, (_, size) in self._all.items()}

    def __len__(self) -> int:
        """How many texts there are."""
        return len(self._all)

    def __iter__(self) -> Iterator[str]:
        """The names, in order."""
        return iter(self._all)

    def __contains__(self, name: object) -> bool:
        """Whether there is a text of that name. Loads nothing."""
        return name in self._all

    def __getitem__(self, name: str) -> str | LazyText:
        """The text of that name. Raises KeyError with those that are like it."""
        text = self._kept.pop(name, None) if type(name) is str else None
        if text is None:
            text = self._load(name)
            self._taken += sys.getsizeof(text)
        self._kept[name] = text
        while self._taken > self._most_cached and len(self._kept) > 1:
            self._taken -= sys.getsizeof(self._kept.pop(next(iter(self._kept))))
        return text

    def __setitem__(self, name: object, value: object) -> NoReturn:
        """Raise: it cannot be changed."""
        _refuse()

    def __delitem__(self, name: object) -> NoReturn:
        """Raise: it cannot be changed."""
        _refuse()

    def __repr__(self) -> str:
        """What it is, not what is in it."""
        shown = ", ".join(self.names[:_MOST_SHOWN]) + (", …" if len(self) > _MOST_SHOWN else "")
        return f"<{len(self):,} texts, {sum(self.sizes.values()):,} bytes: {shown}>"

    @property
    def _all(self) -> dict[str, tuple[int, int]]:
        """Number and size of each text, by name; asked of the host once."""
        if self._listed is None:
            names, sizes = self._texts.listing()
            self._listed = {name: (number, size) for number, (name, size) in enumerate(zip(names, sizes, strict=True))}
        return self._listed

    def _load(self, name: object) -> str | LazyText:
        if not isinstance(name, str) or name not in self._all:
            raise KeyError(self._advice(name))
        number, size = self._all[name]
        if size > self._most_held and not self._texts.fits(number):
            return LazyText(self._texts, number, size, name)
        text, rest = "", b""
        for start in range(0, size, _PIECE):
            end = min(size, start + _PIECE)
            data = rest + self._texts.read(number, start, end)
            part, used = utf_8_decode(data, "replace", end == size)
            rest = data[used:]
            text += part
        return text.removeprefix(_BOM)

    def _advice(self, name: object) -> str:
        if not isinstance(name, str):
            return (
                f"{name!r}: `context` is a mapping from name to text; a text is `context[name]`, the names are `context.names`"
            )
        ending = [other for other in self._all if other.endswith(f"/{name}")][:_MOST_SHOWN]
        if not ending:
            from difflib import get_close_matches  # noqa: PLC0415 - slow to import, and seldom needed

            ending = get_close_matches(name, self.names[:_MOST_COMPARED], _MOST_SHOWN)
        return f"there is no text {name!r}" + (f"; there is {', '.join(map(repr, ending))}" if ending else "")


def _refuse() -> NoReturn:
    message = "`context` is read-only: put what you make in a variable of your own"
    raise TypeError(message)
