"""Documents as Markdown: which files are such, and the host's side of converting them, once for each content."""

from __future__ import annotations

import hashlib
import importlib.util
import json
import os
import queue
import re
import stat
import struct
import tempfile
import threading
import zipfile
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Self

from llm_rlm.context.confined import Bounds, Confined, ConfinedError
from llm_rlm.context.document import Document, Skipped, Spool
from llm_rlm.context.naming import suffix as suffix_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

type Kind = Literal["pdf", "docx", "pptx", "xlsx", "xls", "epub", "html", "eml", "mbox"]

VERSION = 1
"""Of the converter: a text that another one made is not used."""

MOST_INPUT = 512 << 20
"""Bytes of a document."""

MOST_OUTPUT = 256 << 20
"""Bytes of its Markdown."""

BOUNDS = Bounds(memory=3 << 30, seconds=120.0, cpu_seconds=120.0, written=1 << 30)
"""What converting one document may take."""

NEEDS_EXTRA = "needs the extra: pip install 'llm-rlm[docs]'"

_RECYCLED_ABOVE = 512 << 20
_LONGEST_REASON = 300
_SPOOLING = threading.Lock()
_CHANGED = "changed while it was read"

_PDF = re.compile(rb"\s*%PDF-\d")
_PDF_WITHIN = 1024
_ZIP = b"PK\x03\x04"
_OLE = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"
_MBOX = re.compile(rb"From \S+ [^\n]*\d{4}[^\n]*\n>?[A-Za-z][A-Za-z-]*:")
_EPUB = b"mimetypeapplication/epub+zip"
_OFFICE_SIGNS = (b"[Content_Types].xml", b"_rels/.rels", b"docProps/", b"word/", b"ppt/", b"xl/")
_OFFICE_FOLDERS: tuple[tuple[str, Kind], ...] = (("word/", "docx"), ("ppt/", "pptx"), ("xl/", "xlsx"))
_OFFICE_SUFFIXES: dict[str, Kind] = {
    **dict.fromkeys((".docx", ".docm", ".dotx", ".dotm"), "docx"),
    **dict.fromkeys((".pptx", ".pptm", ".ppsx", ".potx"), "pptx"),
    **dict.fromkeys((".xlsx", ".xlsm", ".xltx", ".xltm"), "xlsx"),
}
_TEXT_SUFFIXES: dict[str, Kind] = {
    **dict.fromkeys((".html", ".htm", ".xhtml", ".xht"), "html"),
    ".eml": "eml",
    **dict.fromkeys((".mbox", ".mbx"), "mbox"),
}
_HTML_TYPES = ("text/html", "application/xhtml+xml")
_WIDE = (b"\xff\xfe", b"\xfe\xff")
_END_OF_ZIP = b"PK\x05\x06"
_END_OF_ZIP64 = b"PK\x06\x06"
_LOCATOR_OF_ZIP64 = b"PK\x06\x07"
_END, _ZIP64_LOCATOR, _ZIP64_END = 22, 20, 56
_LONGEST_END_OF_ZIP = (1 << 16) + _END + _ZIP64_LOCATOR + _ZIP64_END
_MOST_MEMBERS = 20_000


def kind_of(path_or_name: str, start: bytes, content_type: str | None = None) -> Kind | None:
    """The kind of a document, from its first bytes (8 KB will do) and its name; None for what is no such document.

    A zip file is looked into, if `path_or_name` is the path of it, to tell an Office file from any other.
    """
    suffix = suffix_of(path_or_name)
    if _PDF.match(start) or (suffix == ".pdf" and b"%PDF-" in start[:_PDF_WITHIN]):
        return "pdf"
    if start.startswith(_ZIP):
        return _zipped(path_or_name, suffix, start)
    if start.startswith(_OLE):
        # Under the name of a new Office file it is one with a password.
        return "xls" if suffix in {".xls", ".xlt"} else _OFFICE_SUFFIXES.get(suffix)
    return _textual(suffix, start, content_type)


def may_be(name: str, start: bytes) -> bool:
    """Whether what begins so, under a name that is no path of this machine, may be a document that is no text as it is."""
    if start.startswith(_ZIP):
        return suffix_of(name) in {*_OFFICE_SUFFIXES, ".epub"} or any(sign in start for sign in (*_OFFICE_SIGNS, _EPUB))
    return kind_of(name, start) not in {None, "html"}


def _textual(suffix: str, start: bytes, content_type: str | None) -> Kind | None:
    if b"\0" in start and not start.startswith(_WIDE):
        return None
    if suffix in _TEXT_SUFFIXES:
        return _TEXT_SUFFIXES[suffix]
    if content_type is not None and content_type.partition(";")[0].strip().lower() in _HTML_TYPES:
        return "html"
    return "mbox" if _MBOX.match(start) else None


def _zipped(path: str, suffix: str, start: bytes) -> Kind | None:
    if _EPUB in start[:200]:
        return "epub"
    if suffix not in _OFFICE_SUFFIXES and suffix != ".epub" and not any(sign in start for sign in _OFFICE_SIGNS):
        return None
    members = _members(path)
    if "META-INF/container.xml" in members and suffix == ".epub":
        return "epub"
    if "[Content_Types].xml" not in members:
        return None
    return next((kind for folder, kind in _OFFICE_FOLDERS if any(name.startswith(folder) for name in members)), None)


def _members(path: str) -> set[str]:
    """The names in a zip file; none for one that is broken, is of a version that `zipfile` cannot read, or has too many.

    Such a file is no document; what reads archives then says why it is skipped.
    """
    try:
        with Path(path).open("rb") as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(max(0, size - _LONGEST_END_OF_ZIP))
            end = file.read()
            count, listed = _directory(end)
            if count > _MOST_MEMBERS or listed > _MOST_MEMBERS * 512:
                return set()
            with zipfile.ZipFile(file) as archive:
                return set(archive.namelist())
    except (OSError, zipfile.BadZipFile, struct.error, ValueError, NotImplementedError):
        return set()


def _directory(end: bytes) -> tuple[int, int]:
    """How many members the last bytes of a zip file tell of, and in how many bytes: where, and as, `zipfile` then reads it.

    Raises struct.error, ValueError.
    """
    at = len(end) - _END
    if at < 0 or not (end.startswith(_END_OF_ZIP, at) and end.endswith(b"\0\0")):
        at = end.rindex(_END_OF_ZIP)
    of_zip64 = at - _ZIP64_LOCATOR - _ZIP64_END
    if of_zip64 >= 0 and end.startswith(_LOCATOR_OF_ZIP64, at - _ZIP64_LOCATOR) and end.startswith(_END_OF_ZIP64, of_zip64):
        # It holds, whatever the record after it says.
        return struct.unpack_from("<QQ", end, of_zip64 + 32)
    return struct.unpack_from("<HI", end, at + 10)


@dataclass(frozen=True, slots=True)
class Job:
    """A document that is to be converted."""

    path: str
    """The file on this machine."""
    name: str
    """What user and model call it."""
    kind: Kind
    origin: str | None = None
    """The user's file or URL, where `path` was unpacked or fetched from it."""


def convert(path: str, name: str, kind: Kind, cache: Path | None, spool: Spool) -> Document | Skipped:
    """One document as Markdown with marks (`marks.py`), or why not.

    Takes up to `BOUNDS.seconds`. Raises OSError for a disk that is full. `cache` is a folder that keeps what was converted,
    by content; None for none. HTML without the extra stays as it is.
    """
    with Converter(cache, spool) as converter:
        return converter.convert(Job(path, name, kind))


def convert_all(
    jobs: Iterable[Job],
    cache: Path | None,
    spool: Spool,
    *,
    workers: int = 2,
    taken: Callable[[str], None] | None = None,
    cancelled: Callable[[], bool] | None = None,
) -> Iterator[Document | Skipped]:
    """The results in the order of the jobs, several under way at a time, each in a process of its own.

    `taken` is called with the name of each document that is begun, in a thread. When `cancelled` says so, the rest is skipped.
    """
    converters = [Converter(cache, spool) for _ in range(workers)]
    free: queue.SimpleQueue[Converter] = queue.SimpleQueue()
    for converter in converters:
        free.put(converter)

    def one(job: Job) -> Document | Skipped:
        converter = free.get()
        try:
            if taken is not None:
                taken(job.name)
            return converter.convert(job, cancelled)
        finally:
            free.put(converter)

    pool = ThreadPoolExecutor(workers, thread_name_prefix="llm-rlm-convert")
    try:
        yield from pool.map(one, jobs)
    finally:
        pool.shutdown(wait=False, cancel_futures=True)
        for converter in converters:
            converter.close()
        pool.shutdown()


class Converter:
    """Converts one document at a time, in a process that is kept for the next."""

    def __init__(self, cache: Path | None, spool: Spool, bounds: Bounds = BOUNDS) -> None:
        """Nothing is started before it is needed."""
        self._cache = cache
        self._spool = spool
        self._bounds = bounds
        self._confined = Confined("llm_rlm.context.converting.converter", bounds)

    def convert(self, job: Job, cancelled: Callable[[], bool] | None = None) -> Document | Skipped:
        """As the function."""
        if job.kind not in {"eml", "mbox"} and importlib.util.find_spec("markitdown") is None:
            return _as_it_is(job) if job.kind == "html" else Skipped(job.name, NEEDS_EXTRA)
        if cancelled is not None and cancelled():
            return Skipped(job.name, "was cancelled")
        try:
            before = _status(job.path)
            if isinstance(before, str):
                return Skipped(job.name, before)
            with Path(job.path).open("rb") as file:
                digest = hashlib.file_digest(file, "sha256").hexdigest()
        except OSError as problem:
            return Skipped(job.name, (problem.strerror or "cannot be read").lower())
        name = f"{digest}.{job.kind}.{VERSION}.md"
        kept = _kept(self._cache, name)
        made = kept or self._make(job, name, before, cancelled)
        if isinstance(made, Skipped):
            return made
        modified = before.st_mtime_ns if job.origin is None else None
        return Document(job.name, str(made), made.stat().st_size, modified=modified, origin=job.origin or job.path)

    def close(self) -> None:
        """End the process; a document that is under way in another thread is skipped."""
        self._confined.close()

    def __enter__(self) -> Self:
        """Itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close it."""
        self.close()

    def _make(self, job: Job, name: str, before: os.stat_result, cancelled: Callable[[], bool] | None) -> Path | Skipped:
        """The path of the Markdown."""
        with _new_file(self._cache, self._spool) as new:
            refusal = self._ask(job, new, cancelled)
            if refusal is not None:
                return Skipped(job.name, refusal)
            try:
                after = _status(job.path)
            except OSError:
                return Skipped(job.name, _CHANGED)
            if isinstance(after, str) or (after.st_mtime_ns, after.st_size) != (before.st_mtime_ns, before.st_size):
                return Skipped(job.name, _CHANGED)
            return _keep(new, name)

    def _ask(self, job: Job, new: Path, cancelled: Callable[[], bool] | None) -> str | None:
        """Have the file converted into `new`. Why it was not, if so."""
        request: dict[str, object] = {
            "kind": job.kind,
            "path": str(Path(job.path).absolute()),
            "out": str(new),
            "folder": str(new.parent if self._cache and new.parent == self._cache.absolute() else new.parent.parent),
            "limit": MOST_OUTPUT,
        }
        try:
            reply = self._confined.ask(request, cancelled=cancelled)
        except ConfinedError as problem:
            return f"could not be converted: it {problem.reason}"
        if self._confined.memory() > _RECYCLED_ABOVE:
            # What one document has taken is not to be missing to the next.
            self._confined.close()
            self._confined = Confined("llm_rlm.context.converting.converter", self._bounds)
        if "missing" in reply:
            return NEEDS_EXTRA
        # One line, whoever wrote it: a document may have taken over the process that converts it.
        return " ".join(str(reply["skipped"])[:_LONGEST_REASON].split()) if "skipped" in reply else None


def _as_it_is(job: Job) -> Document | Skipped:
    try:
        status = _status(job.path)
    except OSError as problem:
        return Skipped(job.name, (problem.strerror or "cannot be read").lower())
    if isinstance(status, str):
        return Skipped(job.name, status)
    return Document(job.name, job.path, status.st_size, modified=None if job.origin else status.st_mtime_ns, origin=job.origin)


def _status(path: str) -> os.stat_result | str:
    """Or why the file is not to be opened. Raises OSError."""
    status = Path(path).stat()
    if not stat.S_ISREG(status.st_mode):
        return "not a regular file"
    return f"larger than {MOST_INPUT >> 20} MB" if status.st_size > MOST_INPUT else status


@contextmanager
def _new_file(cache: Path | None, spool: Spool) -> Iterator[Path]:
    """An empty file in the cache, or in the spool where there is none; removed again unless it has been renamed."""
    folder = _usable(cache) or _spooled(spool)
    number, name = tempfile.mkstemp(prefix=".new-", dir=folder)
    os.close(number)
    path = Path(name)
    try:
        yield path
    finally:
        path.unlink(missing_ok=True)


def _spooled(spool: Spool) -> Path:
    """A new folder in the spool, which knows nothing of threads."""
    with _SPOOLING:
        folder = spool.new()
        folder.mkdir(mode=0o700)
    return folder


def _usable(cache: Path | None) -> Path | None:
    if cache is None:
        return None
    try:
        cache.mkdir(mode=0o700, parents=True, exist_ok=True)
        cache.chmod(0o700)
    except OSError:
        return None
    return cache if os.access(cache, os.W_OK) else None


def _keep(new: Path, name: str) -> Path:
    """Give the file its name, beside a note by which it can be checked."""
    path = new.with_name(name)
    with new.open("rb") as file:
        note = {"size": new.stat().st_size, "sha256": hashlib.file_digest(file, "sha256").hexdigest()}
    number, noted = tempfile.mkstemp(prefix=".new-", dir=new.parent)
    with os.fdopen(number, "w", encoding="ascii") as file_of_note:
        json.dump(note, file_of_note)
    Path(noted).replace(path.with_suffix(".json"))
    new.replace(path)
    return path


def _kept(cache: Path | None, name: str) -> Path | None:
    """The file in the cache, if it is what was put there."""
    if cache is None:
        return None
    path = cache / name
    with suppress(OSError, ValueError, KeyError, TypeError):
        note: dict[str, Any] = json.loads(path.with_suffix(".json").read_text("ascii"))
        if path.stat().st_size == note["size"]:
            with path.open("rb") as file:
                if hashlib.file_digest(file, "sha256").hexdigest() == note["sha256"]:
                    return path
    return None
