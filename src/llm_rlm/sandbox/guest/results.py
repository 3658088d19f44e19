"""What `llm_query`, `llm_batch` and `llm_map` return: text that is also a dict, lists that are also dicts, and failures."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any, ClassVar, NoReturn, Self, overload

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable, Sequence
    from typing import SupportsIndex


class LLMError(Exception):
    """A call to a model failed. The message is short and comes from the host."""

    __module__ = "__main__"  # where cells know it


class _Awaited:
    """What has been awaited already: to await it again, or to hand it to `asyncio.gather`, gives it once more."""

    __slots__ = ()

    def __await__(self) -> Generator[None, None, Self]:
        """Give it."""
        yield from ()
        return self


class Response(_Awaited, str):
    """What a model answered. Usable as text, and as a dict: `r["response"]`, and `r["data"]` where a schema was given."""

    __slots__ = ("data",)

    data: object
    """The parsed, validated value where the call had a schema, else None."""

    ok = True
    error = None

    def __new__(cls, text: str, data: object = None) -> Self:
        """Make a response of its text and the value parsed from it."""
        self = super().__new__(cls, text)
        self.data = data
        return self

    @overload
    def __getitem__(self, key: SupportsIndex | slice, /) -> str: ...
    @overload
    def __getitem__(self, key: str, /) -> object: ...
    def __getitem__(self, key: SupportsIndex | slice | str, /) -> object:
        """`r["response"]`, `r["data"]` and `r["error"]`, or a part of the text."""
        if not isinstance(key, str):
            return super().__getitem__(key)
        if key not in _KEYS:
            raise KeyError(_no_such_key(key))
        return {"response": str.__str__(self), "data": self.data, "error": None}[key]

    def get(self, key: str, default: object = None) -> object:
        """As `dict.get`."""
        return self[key] if key in _KEYS else default

    def keys(self) -> Sequence[str]:
        """As `dict.keys`."""
        return _KEYS


class Failure(_Awaited):
    """A call of a batch that failed. Falsy, never text that looks like an answer: `f["response"]` raises its error."""

    ok = False
    data = None

    def __init__(self, error: str, index: int = 0, what: str = "call") -> None:
        """Make a failure of the message, the position in its batch, and what it is there."""
        self.error = error
        self.index = index
        self._what = what

    def __bool__(self) -> bool:
        """Never true."""
        return False

    def __getitem__(self, key: object) -> object:
        """`f["error"]` is the message; anything else raises it."""
        if key == "error":
            return self.error
        return self._raise()

    def get(self, key: str, default: object = None) -> object:
        """`f.get("error")` is the message; there is nothing else."""
        return self.error if key == "error" else default

    def __getattr__(self, name: str) -> object:
        """A failure has none of the methods of text."""
        if name.startswith("__"):
            raise AttributeError(name)
        return self._raise()

    def __repr__(self) -> str:
        """Show that it failed and why."""
        return f"<{self._what} {self.index} failed: {self.error}>"

    def _raise(self) -> NoReturn:
        message = f"{self._what} {self.index} of the batch failed: {self.error}"
        raise LLMError(message)


class Batch(_Awaited, list[Any]):
    """The results of `llm_batch`, in the order of its prompts. `b["responses"]` is the same list, `b.errors` the failures."""

    __hash__ = object.__hash__  # type: ignore[assignment] # `asyncio.gather` keeps what it is given in a dict

    def __init__(self, items: Iterable[Any]) -> None:
        """Make a batch of its results, each a Response or a Failure."""
        super().__init__(items)

    @property
    def responses(self) -> list[Any]:
        """All results, in order."""
        return list(self)

    @property
    def errors(self) -> list[Failure]:
        """The calls that failed; `.index` is the position of each."""
        return [item for item in self if isinstance(item, Failure)]

    def __getitem__(self, key: SupportsIndex | slice | str) -> Any:  # noqa: ANN401 - an item or a list
        """`b["responses"]` and `b["errors"]`, or an item or slice."""
        if not isinstance(key, str):
            return super().__getitem__(key)
        if key not in self._names:
            message = f"{key!r}: a batch has {' and '.join(map(repr, dict.fromkeys(self._names.values())))}"
            raise KeyError(message)
        return getattr(self, self._names[key])

    def get(self, key: str, default: object = None) -> object:
        """As `dict.get`."""
        return self[key] if key in self._names else default

    _names: ClassVar = {"responses": "responses", "response": "responses", "errors": "errors"}


class Mapped(Batch):
    """The results of `llm_map`, one for each item, in order: a label, a value, or a failure in its place."""

    def __init__(
        self, items: Iterable[Any], labels: Sequence[str] = (), disagreements: Iterable[dict[str, Any]] = (), calls: int = 0
    ) -> None:
        """Make it of its results, and of the labels they may be."""
        super().__init__(items)
        self.disagreements = list(disagreements)
        """Where the votes differed: `index` of the item, and the `votes` for it."""
        self.calls = calls
        """How many calls it took."""
        self._labels = labels

    def counts(self) -> dict[Any, int]:
        """How many items have each result, failures left out: labels in their order, else the most frequent first.

        Raises TypeError for results that are lists or dicts.
        """
        found = Counter(item for item in self if not isinstance(item, Failure))
        return {label: found[label] for label in self._labels} if self._labels else dict(found.most_common())

    _names: ClassVar = {**Batch._names, "results": "responses", "disagreements": "disagreements"}


_KEYS = ("response", "data", "error")


def _no_such_key(key: str) -> str:
    return f"{key!r}: a response has 'response', 'data' and 'error'; where it is JSON text, use json.loads(r)"
