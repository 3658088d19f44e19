"""From what the user names to texts: files, folders, globs, streams, URLs, archives, documents, LLM fragments."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, field, fields, replace
from pathlib import Path, PurePath
from typing import TYPE_CHECKING, Any, Literal, Protocol, runtime_checkable

from llm_rlm.context.context import Context
from llm_rlm.context.converting import convert
from llm_rlm.context.document import Document, Skipped, Spool, Table
from llm_rlm.context.media import Attachable, type_of
from llm_rlm.context.naming import Names, clean
from llm_rlm.context.width import fits
from llm_rlm.errors import UsageError

from . import files, fragments, packed, remote
from .value import from_value
from .walk import Walking, walk, why_not

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

_PIECE = 1 << 20
_AS_THEY_ARE: frozenset[str | None] = frozenset({"html"})
"""Kinds that in folders and archives are read as they are: there they are more likely code."""
_IS_PACKED_TAR = re.compile(r"\.(tar\.\w+|t[gbx]z2?)$")
_NO_FILE = "no file in it"
_PDF = b"%PDF-"
_PLAIN_WORDS = {
    "empty": "is empty: there is nothing to ask about",
    "binary": "is a binary file: give text",
    _NO_FILE: "has no file in it: there is nothing to ask about",
}
_NO_SIZE = "the system does not say how long it is: name it to have it read"
_GLOB = frozenset("*?[")
_ADDRESS = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+://")


@runtime_checkable
class Readable(Protocol):
    """An open binary stream."""

    def read(self, size: int, /) -> bytes:
        """At most `size` bytes; none at the end."""


@dataclass(frozen=True)
class Sources:
    """What the user has named: files, folders, globs, `-` for stdin, URLs, LLM fragments, or open binary streams."""

    names: tuple[str | Path | Readable, ...]
    walking: Walking = field(default_factory=Walking)
    """What of folders is read."""
    base: str = ""
    """The folder that relative paths start from; that of the process if empty."""

    @property
    def slow(self) -> bool:
        """Whether reading them may take for ever: nothing should be read of them for a question that cannot be asked."""
        return any(not isinstance(name, str | Path) or str(name) == "-" or remote.is_url(str(name)) for name in self.names)

    @classmethod
    def recorded(cls, record: Mapping[str, Any]) -> Sources:
        """The sources that `record` describes."""
        known = {each.name for each in fields(Walking)}
        walking = {name: value for name, value in record["walking"].items() if name in known and value is not None}
        return cls(tuple(record["names"]), Walking(**walking), record["base"])

    def once(self) -> str | None:
        """The first source that can be read only once, standard input or a pipe, if there is one. Nothing is opened."""
        return next((str(name) for name in self.names if self._is_for_once(str(name))), None)

    def _is_for_once(self, name: str) -> bool:
        try:
            return name == "-" or files.is_stream(self.path(name))
        except (OSError, ValueError):  # it is not there, or no path
            return False

    def path(self, name: str) -> str:
        """Where that source would be, if it is a file."""
        # A str may hold bytes that are no text.
        return os.path.abspath(os.path.join(self.base, os.path.expanduser(name)))  # noqa: PTH100, PTH111, PTH118 - see above

    def record(self) -> Mapping[str, object] | None:
        """The sources as JSON can hold them, or None where a part of them cannot be read again.

        User and password of a URL are not in it; the URLs that had them are named by `withheld`, if there are any.
        """
        if not all(isinstance(name, str | Path) and str(name) != "-" for name in self.names):
            return None
        given = [str(name) for name in self.names]
        names = recordable(given)
        withheld = [name for name, before in zip(names, given, strict=True) if name != before]
        record = {"names": names, "walking": vars(self.walking), "base": self.base or str(Path.cwd())}
        return record | ({"withheld": withheld} if withheld else {})


def recordable(names: Iterable[str | Path]) -> list[str]:
    """Sources as they may be recorded: URLs without user and password."""
    return [remote.kept(str(name)) for name in names]


type AnyContext = str | list[Any] | dict[str, Any] | Path | Readable | Sources | None
"""What a context can be made of."""


def from_any(context: AnyContext | Context, cache: Path | None = None, reading: Callable[[str], None] | None = None) -> Context:
    """Text, a JSON value, a Path, an open binary stream, sources, or what is a context already.

    `cache` is a folder that keeps what was converted; `reading` is told in a few words what takes long. Raises UsageError.
    """
    if isinstance(context, Context):
        return context
    if isinstance(context, Path | Readable):
        context = Sources((context,))
    if not isinstance(context, Sources):
        return from_value(context)
    return collect(context, cache, reading)


def collect(sources: Sources, cache: Path | None = None, reading: Callable[[str], None] | None = None) -> Context:
    """Find and read all that is named. Raises UsageError for what cannot be, and where there is nothing to read."""
    spool = Spool()
    try:
        collector = _Collector(sources, spool, reading or (lambda _: None))
        for source in sources.names:
            collector.take(source)
        return collector.context(cache)
    except OSError as problem:
        spool.discard()
        message = f"the input cannot be kept in temporary files: {problem.strerror}"
        raise UsageError(message) from problem
    except BaseException:
        spool.discard()
        raise


class _Collector:
    """Gathers what is found, in the order in which it was named."""

    def __init__(self, sources: Sources, spool: Spool, reading: Callable[[str], None]) -> None:
        self._sources = sources
        self._spool = spool
        self._reading = reading
        self._names = Names()
        self._seen: dict[tuple[int, int], str] = {}
        self._found: list[Document | Table | convert.Job] = []
        self._skipped: list[Skipped] = []
        self._attachable: list[Attachable] = []
        self._alone = len(sources.names) == 1

    def take(self, source: str | Path | Readable) -> None:
        """Read one source. Raises UsageError."""
        if isinstance(source, Readable):
            self._stream(source, str(getattr(source, "name", "stream")))
            return
        name = str(source)
        if not name:
            message = "a source is empty: name a file, a folder, a URL or an LLM fragment"
            raise UsageError(message)
        if name == "-":
            self._stream(files.stdin().buffer, "stdin")
        elif os.path.lexists(self._sources.path(name)):
            self._named(name)
        elif remote.is_url(name):
            self._url(name)
        elif fragments.is_fragment(name):
            self._add_all(fragments.resolve(name, self._spool))
        else:
            self._glob(name)

    def context(self, cache: Path | None) -> Context:
        """All that was found. Raises UsageError where it is nothing."""
        made = list(self._converted(cache))
        documents = tuple(each for each in made if isinstance(each, Document))
        tables = tuple(each for each in made if isinstance(each, Table))
        if not documents and not tables and not self._attachable:
            raise UsageError(_nothing(self._skipped))
        parts: dict[str, Any] = {"documents": documents, "tables": tables, "skipped": tuple(self._skipped)}
        parts["attachable"] = tuple(self._attachable)
        return Context(_kind(documents, tables), **parts, again=self._sources.record(), spool=self._spool)

    # Kinds of sources

    def _named(self, name: str, *, matched: bool = False) -> None:
        """A path that is there. Where a glob has `matched` it, it is skipped if it is to be waited for or cannot be read."""
        path = self._sources.path(name)
        if os.path.isdir(path):  # noqa: PTH112 - a str may hold bytes that are no text
            self._folder(path, name)
            return
        shown = clean(PurePath(path).name) if self._alone else files.shown(name)
        if matched and (problem := files.why_no_file(path)) is not None:
            self._refuse(shown, problem)
            return
        with files.opened_if_stream(path) as (stream, problem):
            if stream is not None:
                self._stream(stream, shown)
            elif problem is None:
                self._file(path, shown, named=True)
            else:
                message = f"{clean(name)} cannot be read: {problem}"
                raise UsageError(message)

    def _folder(self, path: str, name: str) -> None:
        found = None
        for found in walk(path, name, self._sources.walking):
            if isinstance(found, Skipped):
                self._skipped.append(found)
            else:
                self._file(found.path, found.name, named=False)
        if found is None:
            self._refuse(f"{files.shown(name)}/", _NO_FILE)

    def _stream(self, stream: Readable, name: str) -> None:
        name = clean(remote.kept(name))
        self._reading(f"reading {name}")
        path = self._spool.new()
        with path.open("wb") as file:
            piece = _piece(stream, name)
            if piece and not _may_be_read(name, piece[: files.SNIFFED]):
                self._refuse(name, files.why_no_text(piece))  # at once: it may never end, as `/dev/zero`
                return
            while piece:
                file.write(piece)
                files.check_room(path, file.tell(), name)
                piece = _piece(stream, name)
        self._file(str(path), name, named=True, made=True)

    def _url(self, url: str) -> None:
        self._reading(f"fetching {remote.shown(url)}")
        fetched = remote.fetch(url, self._spool)
        document = fetched.document
        self._file(document.path, document.name, named=True, made=True, origin=document.origin, content_type=fetched.type)

    def _glob(self, pattern: str) -> None:
        base = f"{self._sources.base}/" if self._sources.base and not os.path.isabs(pattern) else ""  # noqa: PTH117 - as below
        matches = files.glob(base + os.path.expanduser(pattern)) if _GLOB & set(pattern) else []  # noqa: PTH111 - as below
        if not matches:
            what = "no file matches" if _GLOB & set(pattern) else "there is no such file, and no LLM fragment of that name"
            if _ADDRESS.match(pattern):
                what = "there is no such file, and of addresses only those with http:// or https:// can be fetched"
            message = f"{clean(pattern)}: {what}"
            raise UsageError(message)
        self._alone = False
        for match in matches:
            self._named(match.removeprefix(base), matched=True)

    # Files

    def _file(
        self,
        path: str,
        name: str,
        *,
        named: bool,
        made: bool = False,
        origin: str | None = None,
        content_type: str | None = None,
    ) -> None:
        """One file: a text, a table, or what texts are made of. `made` is one of our own spool."""
        try:
            start, status = files.sniff(path)
        except OSError as problem:
            self._refuse(name, why_not(problem))
            return
        if not self._is_new(status, name):
            return
        if files.has_no_size(start, status):
            self._unsized(path, name, named=named)
            return
        origin = origin if made else path
        kind = convert.kind_of(path if start.startswith(b"PK") else name, start, content_type)
        packing = packed.is_packed(start)
        media = None if made or (packed.is_text(start) and not start.startswith(_PDF)) else type_of(start)
        if media is not None:
            name = self._names.unique(name)
            self._attachable.append(Attachable(name, path, media))
        if kind is not None and (named or kind not in _AS_THEY_ARE):
            unique = self._names.unique(name) if media is None else name
            self._found.append(convert.Job(path, unique, kind, origin if made else None))
        elif packing is not None:
            self._packed(path, name, packing, named=named)
        elif not start:
            self._refuse(name, "empty")
        else:
            self._plain(start, path, name, status.st_size, None if made else status.st_mtime_ns, origin if made else None)

    def _unsized(self, path: str, name: str, *, named: bool) -> None:
        """A file as those in `/proc`, which is what comes of reading it."""
        if named:
            with open(path, "rb") as file:  # noqa: PTH123 - a str may hold bytes that are no text
                self._stream(file, name)
        else:
            self._refuse(name, _NO_SIZE)

    def _plain(self, start: bytes, path: str, name: str, size: int, modified: int | None, origin: str | None) -> None:
        """A text, or a table."""
        table = packed.table_of(name, start)
        if table in {"parquet", "sqlite"}:
            self._found.append(Table(self._names.unique(name), path, size, table, modified, origin))
        elif not packed.is_text(start):
            self._refuse(name, files.why_no_text(start))
        else:
            document = Document(self._names.unique(name), path, size, modified, origin, table=table)
            self._found.append(document if files.is_utf8(start) else files.normalized(document, self._spool))

    def _packed(self, path: str, name: str, packing: packed.Packing, *, named: bool) -> None:
        """A compressed text, or an archive, which in a folder is not opened."""
        if not named and (packing in {"zip", "tar"} or _IS_PACKED_TAR.search(name)):
            self._skipped.append(Skipped(name, "an archive: name it to have it read"))
            return
        for found in packed.unpack(path, name, self._spool, taken=self._begin, wanted=convert.may_be):
            if isinstance(found, Document):
                self._unpacked(found)
            else:
                self._add_all([found])

    def _unpacked(self, found: Document) -> None:
        """A text out of a packed file, or what texts are made of."""
        start = _start(found.path)
        is_zip = start.startswith(b"PK")
        kind = convert.kind_of(found.path if is_zip else found.name, start)
        if kind is not None and kind not in _AS_THEY_ARE:
            self._found.append(convert.Job(found.path, self._names.unique(found.name), kind, found.origin))
        elif is_zip:
            self._refuse(found.name, packed.NESTED)
        else:
            self._plain(start, found.path, found.name, found.size, found.modified, found.origin)

    def _converted(self, cache: Path | None) -> Iterator[Document | Table]:
        """All that was found, documents converted."""
        jobs = [each for each in self._found if isinstance(each, convert.Job)]
        results = convert.convert_all(jobs, cache / "converted" if cache is not None else None, self._spool, taken=self._begin)
        for each in self._found:
            made = next(results) if isinstance(each, convert.Job) else each
            if isinstance(made, Skipped):
                self._skipped.append(made)
            else:
                yield made

    def _begin(self, name: str) -> None:
        self._reading(f"reading {name}")

    def _is_new(self, status: os.stat_result, name: str) -> bool:
        """Whether this file was not read before; under another name it is skipped."""
        file = (status.st_dev, status.st_ino)
        first = self._seen.get(file)
        if first is None:
            self._seen[file] = name
        elif first != name:
            self._refuse(name, f"the same file as {first}")
        return first is None

    def _refuse(self, name: str, why: str) -> None:
        self._skipped.append(Skipped(name, why))

    def _add_all(self, found: Iterable[Document | Table | Skipped]) -> None:
        for each in found:
            if isinstance(each, Skipped):
                self._skipped.append(each)
            else:
                self._found.append(replace(each, name=self._names.unique(each.name)))


def _may_be_read(name: str, start: bytes) -> bool:
    """Whether a stream that begins so can be a text, or what texts are made of."""
    return bool(
        packed.is_text(start)
        or packed.is_packed(start)
        or packed.table_of(name, start) in {"parquet", "sqlite"}
        or convert.kind_of(name, start)
    )


def _start(path: str) -> bytes:
    with open(path, "rb") as file:  # noqa: PTH123 - a path of our own
        return file.read(files.SNIFFED)


def _kind(documents: Sequence[Document], tables: Sequence[Table]) -> Literal["text", "large", "many"]:
    if len(documents) != 1 or tables:
        return "many"
    return "text" if fits(documents[0]) else "large"


def _nothing(skipped: Sequence[Skipped]) -> str:
    """Why there is nothing to ask about, in one line."""
    if not skipped:
        return "no input is named: there is nothing to ask about"
    name, reason = skipped[0].name, skipped[0].reason
    if len(skipped) == 1 and reason in _PLAIN_WORDS:
        return f"{name} {_PLAIN_WORDS[reason]}"
    more = f", and {len(skipped) - 1:,} more" if len(skipped) > 1 else ""
    return f"there is nothing to read: {name} was skipped ({reason}){more}"


def _piece(stream: Readable, name: str) -> bytes:
    try:
        piece: object = stream.read(_PIECE)
    except OSError as problem:
        message = f"{name} cannot be read: {why_not(problem)}"
        raise UsageError(message) from problem
    if isinstance(piece, bytes):
        return piece
    message = f"the context is a stream of {type(piece).__name__}: open the file in binary mode, or give a Path"
    raise UsageError(message)
