"""`context` where it is several texts: a read-only mapping from name to text, each loaded when it is first touched."""

from __future__ import annotations

from collections.abc import Mapping
from sys import getsizeof
from typing import TYPE_CHECKING, NoReturn

from . import lazytext
from .ahead import Ahead
from .lazytext import BOM, LazyText

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .lazytext import Texts

_MOST_SHOWN = 3
_MOST_COMPARED = 3000


class Corpus(Mapping[str, str | LazyText]):
    """The texts by name, in order."""

    __hash__ = object.__hash__
    __reversed__ = None

    def __init__(self, texts: Texts, most_held: int, most_cached: int) -> None:
        """A text of more than `most_held` bytes is held if the host says that it fits.

        Of loaded texts, those used last are kept, as long as they take no more than `most_cached` bytes of memory together; one
        that takes more by itself is kept alone.
        """
        self._texts = texts
        self._most_held = most_held
        self._most_cached = most_cached
        self._listed: dict[str, tuple[int, int]] | None = None
        self._names: list[str] | None = None
        self._sizes: dict[str, int] | None = None
        self._ahead = Ahead(texts, ())
        self._kept: dict[str, str | LazyText] = {}
        self._taken = 0

    @property
    def names(self) -> list[str]:
        """The names, in order."""
        if self._names is None:
            self._names = list(self._all)  # one list for all who ask: a loop over positions asks each time
        return self._names

    @property
    def sizes(self) -> dict[str, int]:
        """Bytes of each text."""
        if self._sizes is None:
            self._sizes = {name: size for name, (_, size) in self._all.items()}
        return self._sizes

    def __len__(self) -> int:
        """How many texts there are."""
        return len(self._all)

    def __iter__(self) -> Iterator[str]:
        """The names, in order."""
        return iter(self._all)

    def __contains__(self, name: object) -> bool:
        """Whether there is a text of that name. Loads nothing."""
        return isinstance(name, str) and name in self._all

    def __eq__(self, other: object) -> bool:
        """Whether it is the same object: to compare the texts, all would have to be loaded."""
        return self is other

    def __getitem__(self, name: str) -> str | LazyText:
        """The text of that name. Raises KeyError with those that are like it."""
        if name not in self:
            raise KeyError(self._advice(name))
        text = self._kept.pop(name, None)
        if text is None:
            text = self._load(name)
            self._taken += getsizeof(text)
            self._make_room(0)
        self._kept[name] = text
        return text

    def __setitem__(self, name: object, value: object) -> NoReturn:
        """Raise: it cannot be changed."""
        _refuse()

    def __delitem__(self, name: object) -> NoReturn:
        """Raise: it cannot be changed."""
        _refuse()

    def __getattr__(self, name: str) -> NoReturn:
        """Raise what is clear for the methods of str."""
        more = ": it is several texts, `for name, text in context.items()`" if hasattr(str, name) else ""
        message = f"`context` has no {name!r}{more}"
        raise AttributeError(message)

    def __repr__(self) -> str:
        """What it is, not what is in it."""
        shown = ", ".join(self.names[:_MOST_SHOWN]) + (", …" if len(self) > _MOST_SHOWN else "")
        return f"<{len(self):,} texts, {sum(self.sizes.values()):,} bytes: {shown}>"

    @property
    def _all(self) -> dict[str, tuple[int, int]]:
        """Number and size of each text, by name; asked of the host once."""
        if self._listed is None:
            names, sizes = self._texts.listing()
            self._ahead = Ahead(self._texts, sizes)
            self._listed = {name: (number, size) for number, (name, size) in enumerate(zip(names, sizes, strict=True))}
        return self._listed

    def _load(self, name: str) -> str | LazyText:
        number, size = self._all[name]
        if size > self._most_held and not self._texts.fits(number):
            return LazyText(self._texts, number, size, name)
        self._make_room(size)
        data = self._ahead.take(number)
        return lazytext.held(self._texts, number, size) if data is None else data.decode("utf-8", "replace").removeprefix(BOM)

    def _make_room(self, size: int) -> None:
        """Let go of the texts that were not used for longest."""
        while self._kept and self._taken + size > self._most_cached:
            self._taken -= getsizeof(self._kept.pop(next(iter(self._kept))))

    def _advice(self, name: object) -> str:
        if not isinstance(name, str):
            if isinstance(name, slice):
                what = "`context.names[:10]` are its first names"
            else:
                what = "the first text is `context[context.names[0]]`"
            return f"`context` is a mapping from name to text: {what}"
        like = [other for other in self._all if other.endswith(f"/{name}")][:_MOST_SHOWN]
        if not like:
            from difflib import get_close_matches  # noqa: PLC0415 - slow to import, and seldom needed

            like = get_close_matches(name, list(self._all)[:_MOST_COMPARED], _MOST_SHOWN)
        return f"there is no text {name!r}" + (f"; there is {', '.join(map(repr, like))}" if like else "; see `context.names`")


def _refuse() -> NoReturn:
    message = "`context` is read-only: put what you make in a variable of your own"
    raise TypeError(message)
