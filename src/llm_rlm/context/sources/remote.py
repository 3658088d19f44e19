"""The text behind a URL, into the spool, within limits."""

from __future__ import annotations

import codecs
import re
import socket
import threading
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit, urlunsplit

from llm_rlm.context.document import BLOCK, Document
from llm_rlm.context.naming import clean
from llm_rlm.errors import UsageError

from .packed import MARKS, is_packed, is_text, table_of
from .packing import PackError
from .unpacking import unpacked

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    import httpx2

    from llm_rlm.context.document import Spool

    from .packing import Source

_SILENCE = 60.0
"""Seconds that a server may say nothing."""
_OK = 200
_UNAUTHORIZED = 401
_SNIFFED = 8192
_NO_URL = "this is no URL that can be fetched: give http:// or https://, a host, and what is in it"
_LATIN = frozenset({"ascii", "iso8859-1", "cp1252"})
_CHARSETS = ("ascii", "big5", "cp", "euc_", "gb", "hz", "iso", "koi8", "mac-", "shift_jis", "tis-620", "utf-16", "utf-32")
"""Beginnings of Python's names of encodings that texts on the net are in; others are not for texts, or do not end in time."""


@dataclass(frozen=True)
class FetchLimits:
    """How much is taken from a URL."""

    bytes: int = 1 << 30
    """Of the content, unpacked where the server has packed it on the way."""
    seconds: float = 300.0
    """From the look-up of the name to the last byte."""
    redirects: int = 10


@dataclass(frozen=True, slots=True)
class Fetched:
    """What a server sent."""

    document: Document
    type: str
    """What it says that this is: `text/html`; empty if it does not."""


def is_url(source: str) -> bool:
    """Whether a source is fetched."""
    return source[:8].lower().startswith(("http://", "https://"))


def fetch(url: str, spool: Spool, limits: FetchLimits = FetchLimits()) -> Fetched:
    """What is behind an `http` or `https` URL. Raises UsageError in one line, and OSError if the disk is full.

    The document is called as the URL, without user, password and fragment. Text that the server says is in another encoding
    becomes UTF-8; all else is left as it is, HTML and what is no text too. The proxy variables are honoured. Addresses of this
    machine and of private networks are fetched like any other: the URL is from the user, who may as well fetch it with `curl`,
    and never from a model. Redirects lead neither to other schemes nor from https to http.
    """
    name = shown(url)
    work = _Download(url, name, limits, spool.new())
    # In a thread, since neither the look-up of a name nor a server that sends a byte now and then keeps to any other limit.
    thread = threading.Thread(target=work.run, name="llm-rlm download", daemon=True)
    thread.start()
    try:
        thread.join(limits.seconds)
        fetched = work.outcome()
        return replace(fetched, document=_in_utf8(fetched.document, work.charset, spool))
    except BaseException:
        work.stop()
        raise


def shown(url: str) -> str:
    """A URL as it may be printed: without user, password and fragment, on one line."""
    try:
        parts = urlsplit(url)
        _ = parts.port  # An error where what stands for it is the beginning of a password with a slash in it.
        return clean(urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path, parts.query, "")))
    except ValueError:
        return clean(url.rpartition("@")[2].partition("#")[0])


def kept(source: str) -> str:
    """A source as it may be recorded: where it is a URL, without user and password."""
    if not is_url(source):
        return source
    try:
        parts = urlsplit(source)
        _ = parts.port  # as above
        secret = "@" in parts.netloc
    except ValueError:
        secret = "@" in source
    return shown(source) if secret else source


class _Download:
    """A download, made by one thread and waited for by another."""

    def __init__(self, url: str, name: str, limits: FetchLimits, path: Path) -> None:
        self._url = url
        self._name = name
        self._limits = limits
        self._path = path
        self._file = path.open("xb")
        self._stopped = threading.Event()
        self._sockets: list[Any] = []
        self._outcome: Fetched | BaseException | None = None
        self.charset: str | None = None

    def run(self) -> None:
        """Do it all."""
        with self._file:
            try:
                self._outcome = self._fetched()
            except BaseException as problem:  # noqa: BLE001 - raised again where it is waited for
                self._outcome = problem

    def outcome(self) -> Fetched:
        """What came of it."""
        match self._outcome:
            case Fetched() as fetched:
                return fetched
            case BaseException() as problem:
                raise problem
        raise _refused(self._name, f"this took longer than {self._limits.seconds:,.10g} s")

    def stop(self) -> None:
        """End it, or let go of it: a look-up of a name cannot be ended. The file goes."""
        self._stopped.set()
        for each in self._sockets:
            with suppress(OSError):
                # Not the method of a TLS socket, which would take its state away from under the other thread.
                socket.socket.shutdown(each, socket.SHUT_RDWR)
        with suppress(OSError):
            self._path.unlink()

    def _fetched(self) -> Fetched:
        import httpx2  # noqa: PLC0415 - slow to import

        try:
            url = httpx2.URL(self._url)
            self._check(url)
            with httpx2.Client(timeout=min(_SILENCE, self._limits.seconds)) as client:
                response = self._response(client, url)
                try:
                    return self._kept(response)
                finally:
                    response.close()
        except PackError as problem:
            said = f"what the server sent is {problem}"
        except httpx2.InvalidURL:
            # Its own words may show a part of a password.
            said = _NO_URL
        except httpx2.HTTPError as problem:
            said = _said(problem)
        raise _refused(self._name, said)

    def _response(self, client: httpx2.Client, url: httpx2.URL) -> httpx2.Response:
        """The answer at the end of all redirects."""
        # The password goes as a header of its own: the library would log it with the URL.
        bare = url.copy_with(userinfo=b"", fragment=None)
        headers = {"User-Agent": "llm-rlm", "Accept": "*/*", "Accept-Encoding": "gzip"}
        request = client.build_request("GET", bare, headers=headers, extensions={"trace": self._trace})
        auth = (url.username, url.password) if url.userinfo else None
        for _ in range(self._limits.redirects + 1):
            response = client.send(request, auth=auth, stream=True)
            if not response.has_redirect_location:
                return response
            response.close()
            if response.next_request is None:
                raise _refused(self._name, "the server redirects to what is no URL")
            self._check(response.next_request.url, response.url)
            request, auth = response.next_request, None
        raise _refused(self._name, f"the server redirects more than {self._limits.redirects} times")

    def _check(self, url: httpx2.URL, before: httpx2.URL | None = None) -> None:
        if (
            url.scheme in {"http", "https"}
            and url.host
            and (before is None or (before.scheme, url.scheme) != ("https", "http"))
        ):
            return
        if before is None:
            raise _refused(self._name, _NO_URL)
        raise _refused(self._name, f"the server redirects to {shown(str(url))}, which is not followed")

    def _kept(self, response: httpx2.Response) -> Fetched:
        if response.status_code != _OK:
            reason = clean(f"{response.status_code} {response.reason_phrase}".strip())
            wants = ": give a user and password in the URL" if response.status_code == _UNAUTHORIZED else ""
            raise _refused(self._name, f"the server said {reason}{wants}")
        length = response.headers.get("content-length", "")
        if length.isdecimal() and int(length) > self._limits.bytes:
            raise self._too_large()
        size = 0
        body = self._body(response)
        while piece := body.read(BLOCK):
            size += len(piece)
            if size > self._limits.bytes:
                raise self._too_large()
            self._file.write(piece)
        self._file.flush()
        if not size:
            raise _refused(self._name, "there is nothing in it")
        kind, _, parameters = response.headers.get("content-type", "").partition(";")
        self.charset = _charset(parameters)
        table = table_of(urlsplit(self._name).path, b"")
        return Fetched(Document(self._name, str(self._path), size, origin=self._name, table=table), kind.strip().lower())

    def _body(self, response: httpx2.Response) -> Source:
        """The content, unpacked by what bounds its memory and sees that it breaks off."""
        raw = _Raw(response.iter_raw(), self._stopped)
        match response.headers.get("content-encoding", "identity").strip().lower():
            case "identity" | "":
                return raw
            case "gzip" | "x-gzip":
                return unpacked("gz", raw)
            case other:
                raise _refused(self._name, f"the server has packed it by {clean(other)!r}, which was not asked for")

    def _trace(self, event: str, info: dict[str, Any]) -> None:
        """Note each connection, told of by httpcore, to end it where that is needed."""
        if event.endswith(("connect_tcp.complete", "start_tls.complete")):
            self._sockets.append(info["return_value"].get_extra_info("socket"))
            if self._stopped.is_set():
                self.stop()

    def _too_large(self) -> UsageError:
        return _refused(self._name, f"this is larger than {self._limits.bytes:,} bytes")


class _Raw:
    """The pieces of a body as a source."""

    def __init__(self, pieces: Iterator[bytes], stopped: threading.Event) -> None:
        self._pieces = pieces
        self._stopped = stopped
        self._left = memoryview(b"")

    def read(self, size: int) -> bytes:
        while not self._left:
            piece = next(self._pieces, None)
            if piece is None or self._stopped.is_set():
                return b""
            self._left = memoryview(piece)
        piece, self._left = bytes(self._left[:size]), self._left[size:]
        return piece


def _said(problem: httpx2.HTTPError) -> str:
    """What went wrong with a connection, in one line."""
    import httpx2  # noqa: PLC0415 - was imported

    cause = re.sub(r"^\[Errno -?\d+\] ", "", clean(" ".join(str(problem).split())))
    match problem:
        case httpx2.ConnectTimeout():
            return "the server cannot be reached: no answer"
        case httpx2.TimeoutException():
            return "the server fell silent"
        case httpx2.ProxyError():
            return f"the proxy refused: {cause}"
        case httpx2.ConnectError() if "CERTIFICATE_VERIFY_FAILED" in cause:
            return f"the server's certificate is not trusted: {cause}"
        case httpx2.ConnectError():
            return f"the server cannot be reached: {cause}"
        case _:
            return f"the connection broke off: {cause}" if cause else "the connection broke off"


def _charset(parameters: str) -> str | None:
    """The encoding in the parameters of a content type, by Python's name, where it is not UTF-8 and Python knows it."""
    for parameter in parameters.split(";"):
        key, _, value = parameter.partition("=")
        if key.strip().lower() == "charset":
            with suppress(LookupError, ValueError):
                found = codecs.lookup(value.strip().strip("\"'")).name
                return found if found.startswith(_CHARSETS) else None
    return None


def _in_utf8(document: Document, charset: str | None, spool: Spool) -> Document:
    """The document, converted if its encoding is told, is another, and may be believed."""
    start = document.read(0, _SNIFFED)
    wide = charset is not None and charset.startswith(("utf-16", "utf-32"))
    if wide and not start.startswith(MARKS):
        if start.isascii() and b"\0" not in start:
            return document  # it is not what the server says
        charset = f"{charset}-le" if charset in {"utf-16", "utf-32"} else charset  # as browsers take it
    if charset is None or is_packed(start) or not (wide or (is_text(start) and not start.startswith(MARKS))):
        return document
    if charset in _LATIN:
        # Servers say Latin-1 of what is UTF-8, since they always say so; and mean the encoding of Windows, as browsers know.
        if _is_utf8(document):
            return document
        charset = "cp1252"
    path = spool.new()
    decoder = codecs.getincrementaldecoder(charset)("replace")
    with path.open("xb") as file:
        for block in document.blocks():
            file.write(decoder.decode(block).encode("utf-8", "replace"))
        file.write(decoder.decode(b"", final=True).encode("utf-8", "replace"))
        size = file.tell()
    return replace(document, path=str(path), size=size, encoding=charset)


def _is_utf8(document: Document) -> bool:
    decoder = codecs.getincrementaldecoder("utf-8")()
    try:
        for block in document.blocks():
            decoder.decode(block)
        decoder.decode(b"", final=True)
    except UnicodeDecodeError:
        return False
    return True


def _refused(name: str, message: str) -> UsageError:
    return UsageError(f"{name}: {message}")
