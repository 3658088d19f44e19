"""What `llm_query` and `llm_batch` return: text that is also a dict, a list that is also a dict, and failures."""

from __future__ import annotations

from typing import TYPE_CHECKING, NoReturn, Self, overload

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

    def __init__(self, error: str, index: int = 0) -> None:
        """Make a failure of the message and the position in its batch."""
        self.error = error
        self.index = index

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
        return f"<call {self.index} failed: {self.error}>"

    def _raise(self) -> NoReturn:
        message = f"call {self.index} of the batch failed: {self.error}"
        raise LLMError(message)


class Batch(_Awaited, list[Response | Failure]):
    """The results of `llm_batch`, in the order of its prompts. `b["responses"]` is the same list, `b.errors` the failures."""

    __hash__ = object.__hash__  # type: ignore[assignment] # `asyncio.gather` keeps what it is given in a dict

    def __init__(self, items: Iterable[Response | Failure]) -> None:
        """Make a batch of its results."""
        super().__init__(items)

    @property
    def responses(self) -> list[Response | Failure]:
        """All results, in order."""
        return list(self)

    @property
    def errors(self) -> list[Failure]:
        """The calls that failed; `.index` is the position of each."""
        return [item for item in self if isinstance(item, Failure)]

    def __getitem__(self, key: object) -> object:  # type: ignore[override]
        """`b["responses"]` and `b["errors"]`, or an item or slice."""
        if key in ("responses", "response"):
            return self.responses
        if key == "errors":
            return self.errors
        if isinstance(key, str):
            message = f"{key!r}: a batch has 'responses' and 'errors'"
            raise KeyError(message)
        return super().__getitem__(key)  # type: ignore[call-overload]

    def get(self, key: str, default: object = None) -> object:
        """As `dict.get`."""
        return self[key] if key in {"responses", "response", "errors"} else default


_KEYS = ("response", "data", "error")


def _no_such_key(key: str) -> str:
    return f"{key!r}: a response has 'response', 'data' and 'error'; where it is JSON text, use json.loads(r)"
