"""Fragments of LLM as sources: what the loader of a plugin gives for `prefix:argument`, and what is stored by alias or hash."""

from __future__ import annotations

import os
import re
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

from llm_rlm.context.document import Document, Skipped
from llm_rlm.context.naming import Names, clean
from llm_rlm.errors import UsageError

from . import remote

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from llm_rlm.context.document import Spool

_PREFIX = re.compile(r"[A-Za-z0-9_-]{2,}:(?!//)")
"""As LLM has it; but one letter is a drive, and `scheme://` an address."""
_LONGEST = 300
_PIECE = 1 << 24
_STORED = """
    select content, source from fragments left join fragment_aliases on fragments.id = fragment_aliases.fragment_id
    where alias = :name or hash = :name limit 1
"""


def is_fragment(source: str) -> bool:
    """Whether a source can be a fragment: it is like `prefix:argument` and no file, or is stored by that alias or hash."""
    if _PREFIX.match(source):
        return not os.path.lexists(source)
    return _stored(source) is not None


def resolve(source: str, spool: Spool) -> list[Document | Skipped]:
    """The texts of a fragment. Attachments, which a loader may give too, are skipped.

    Raises UsageError: no loader has the prefix, the loader fails, or nothing is stored by that name; OSError: the disk is full.
    The database of LLM's logs is only read.
    """
    found = list(_loaded(source) if _PREFIX.match(source) else _from_store(source))
    if not found:
        message = f"{clean(source)}: the fragment loader gave nothing"
        raise UsageError(message)
    names = Names()
    return [_kept(names.unique(clean(remote.kept(name))), content, spool) for name, content in found]


def _kept(name: str, content: object, spool: Spool) -> Document | Skipped:
    if not isinstance(content, str):
        kind = getattr(content, "type", None)
        return Skipped(name, "an attachment" + (f" ({clean(str(kind))})" if kind else ""))
    if not content:
        return Skipped(name, "empty")
    path = spool.new()
    with path.open("xb") as file:
        for start in range(0, len(content), _PIECE):
            file.write(content[start : start + _PIECE].encode("utf-8", "surrogatepass"))
        size = file.tell()
    return Document(name, str(path), size, origin=name)


# Loaders


def _loaded(source: str) -> Iterator[tuple[str, object]]:
    """What a loader gives, by name."""
    prefix, _, argument = source.partition(":")
    try:
        result = _loader(prefix, source)(argument)
        several = result if isinstance(result, list) else [result]
    except UsageError:
        raise
    except Exception as problem:  # a plugin may raise anything
        said = clean(" ".join(str(problem).split())) or type(problem).__name__
        message = f"{clean(source)}: the fragment loader {prefix!r} failed: {said[:_LONGEST]}"
        raise UsageError(message) from problem
    for content in several:
        yield str(getattr(content, "source", None) or getattr(content, "path", None) or source), content


def _loader(prefix: str, source: str) -> Callable[[str], Any]:
    import llm  # noqa: PLC0415 - slow to import

    loaders = llm.get_fragment_loaders()
    if prefix in loaders:
        return loaders[prefix]
    known = ", ".join(sorted(loaders))
    message = (
        f"{clean(source)}: there is no such file, and LLM has no fragment loader {prefix!r}"
        f" ({f'it has {known}' if known else 'it has none: install a plugin'})"
    )
    raise UsageError(message)


# Stored fragments


def _from_store(source: str) -> list[tuple[str, object]]:
    stored = _stored(source)
    if stored is None:
        message = f"{clean(source)}: LLM has no fragment of that alias or hash (llm fragments list)"
        raise UsageError(message)
    return [(source, stored)]


def _stored(name: str) -> str | None:
    """What LLM has stored by an alias or a hash; None too where its database is not as it was in LLM 0.36."""
    path = _database()
    if not path.is_file():
        return None
    try:
        with closing(sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True)) as database:
            database.text_factory = lambda data: data.decode("utf-8", "replace")
            row = database.execute(_STORED, {"name": name}).fetchone()
    except (sqlite3.Error, UnicodeEncodeError):
        return None
    return row[0] if row else None


def _database() -> Path:
    """The database of LLM's logs, which `llm.user_dir` would make a folder for."""
    import click  # noqa: PLC0415 - slow to import

    return Path(os.environ.get("LLM_USER_PATH") or click.get_app_dir("io.datasette.llm")) / "logs.db"
