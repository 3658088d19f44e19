"""Texts behind URLs: what is fetched from a server on this machine, however it behaves."""

from __future__ import annotations

import gzip
import socket
import threading
import time
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING

import httpx2
import pytest

from llm_rlm.context.document import Spool
from llm_rlm.context.sources import remote
from llm_rlm.context.sources.remote import FetchLimits, fetch, is_url, kept, shown
from llm_rlm.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from llm_rlm.context.document import Document

LIMITS = FetchLimits()

type Answer = Callable[[BaseHTTPRequestHandler], None]


class Server(ThreadingHTTPServer):
    """A server that gives one answer, and knows what it was asked."""

    daemon_threads = True
    block_on_close = True

    def __init__(self, answer: Answer) -> None:
        self.seen: list[tuple[str, dict[str, str]]] = []
        self.released = threading.Event()

        class Handler(BaseHTTPRequestHandler):
            def do_GET(handler) -> None:  # noqa: N805 - http.server chooses the name; self is the server
                self.seen.append((handler.path, {name.lower(): value for name, value in handler.headers.items()}))
                answer(handler)

            def log_message(self, *_: object) -> None:
                """Nothing."""

        super().__init__(("127.0.0.1", 0), Handler)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"

    def handle_error(self, *_: object) -> None:
        """A client that has gone is what some tests are about."""


@pytest.fixture(autouse=True)
def direct(monkeypatch: pytest.MonkeyPatch) -> None:
    """No proxy of the machine that the tests run on."""
    for name in ("http_proxy", "https_proxy", "all_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)


@contextmanager
def serving(answer: Answer) -> Iterator[Server]:
    server = Server(answer)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield server
    finally:
        server.released.set()
        server.shutdown()
        thread.join()
        server.server_close()


def sends(body: bytes, status: int = 200, **headers: str) -> Answer:
    """An answer with these headers."""

    def answer(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(status)
        for name, value in {"Content_Length": str(len(body)), **headers}.items():
            handler.send_header(name.replace("_", "-"), value)
        handler.end_headers()
        handler.wfile.write(body)

    return answer


def leads(*places: str) -> Answer:
    """A server that redirects from each path to the next place, and says `end` at `/end`."""

    def answer(handler: BaseHTTPRequestHandler) -> None:
        number = handler.path.strip("/")
        if number == "end":
            sends(b"end")(handler)
        else:
            sends(b"elsewhere", 302, Location=places[int(number)])(handler)

    return answer


@contextmanager
def fetched(url: str, limits: FetchLimits = LIMITS) -> Iterator[Document]:
    spool = Spool()
    try:
        yield fetch(url, spool, limits).document
    finally:
        spool.discard()


def refusal(url: str, limits: FetchLimits = LIMITS) -> str:
    """What is said of a URL that cannot be fetched, of which no file is left."""
    spool = Spool()
    folder = spool.new().parent
    try:
        with pytest.raises(UsageError) as caught:
            fetch(url, spool, limits)
        assert list(folder.iterdir()) == []
    finally:
        spool.discard()
    message = str(caught.value)
    assert "\n" not in message
    return message.removeprefix(f"{shown(url)}: ")


def test_what_a_server_sends_is_a_document() -> None:
    with (
        serving(sends(b"text\r\n\xff", Content_Type="text/plain")) as server,
        fetched(f"{server.url}/a.txt?b=1#part") as document,
    ):
        assert (document.name, document.origin) == (f"{server.url}/a.txt?b=1",) * 2
        assert (document.size, document.encoding, document.table) == (7, None, None)
        assert Path(document.path).read_bytes() == b"text\r\n\xff"
        (path, headers), *rest = server.seen
        assert (path, rest, headers["user-agent"]) == ("/a.txt?b=1", [], "llm-rlm")
        assert "authorization" not in headers


def test_what_the_server_says_that_it_is_is_told() -> None:
    with serving(sends(b"<p>", Content_Type="Text/HTML; charset=utf-8")) as server:
        spool = Spool()
        assert fetch(server.url, spool).type == "text/html"
        spool.discard()


def test_tables_are_known_by_the_path() -> None:
    with serving(sends(b"a,b\n")) as server, fetched(f"{server.url}/x.csv?download=1") as document:
        assert document.table == "csv"


def test_a_password_is_sent_but_never_shown(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("DEBUG")
    with serving(sends(b"text")) as server:
        url = server.url.replace("//", "//me:se%40cret@")
        with fetched(f"{url}/a") as document:
            assert document.name == document.origin == f"{server.url}/a"
        assert server.seen[0][1]["authorization"] == "Basic bWU6c2VAY3JldA=="
        said = refusal(f"{url}:x/")
    assert "cret" not in said + caplog.text


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("https://me:secret@host/a?b#c", "https://host/a?b"),
        ("http://me:sec/ret@host/a", "host/a"),
        ("http://[broken@host", "host"),
        ("http://host/a\nb\x1b", r"http://host/ab\x1b"),
    ],
)
def test_a_url_is_shown_without_what_is_secret(url: str, expected: str) -> None:
    assert shown(url) == expected


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("https://me:secret@host/a?b#c", "https://host/a?b"),
        ("HTTP://me@host/a", "http://host/a"),
        ("http://me:sec/ret@host/a", "host/a"),
        ("http://[broken@host", "host"),
        ("http://host/@me?a=b@c#d", "http://host/@me?a=b@c#d"),
        ("me:secret@host", "me:secret@host"),
        ("notes@home.txt", "notes@home.txt"),
    ],
)
def test_a_source_is_kept_as_it_is_but_for_user_and_password_of_a_url(source: str, expected: str) -> None:
    assert kept(source) == expected


def test_urls_are_told_from_other_sources() -> None:
    assert is_url("http://a/b")
    assert is_url("HTTPS://a/b")
    assert not any(map(is_url, ("ftp://a/b", "file:///etc/passwd", "http", "github:a/b", "")))


@pytest.mark.parametrize(
    "url", ["ftp://host/a", "file:///etc/passwd", "http://", "https:///a", "http://a:b:c/", "http://a\n/", "x"]
)
def test_what_is_no_url_of_the_web_is_refused(url: str) -> None:
    assert "this is no URL that can be fetched" in refusal(url)


# Statuses and redirects


@pytest.mark.parametrize(
    ("status", "said"),
    [(404, "404 Not Found"), (500, "500 Internal Server Error"), (204, "204 No Content"), (206, "206 Partial Content")],
)
def test_any_status_but_200_is_said(status: int, said: str) -> None:
    with serving(sends(b"" if status == 204 else b"text", status)) as server:
        assert refusal(server.url) == f"the server said {said}"


def test_redirects_are_followed_and_the_name_stays() -> None:
    with serving(leads("/1", "2", "/end")) as server, fetched(f"{server.url}/0") as document:
        assert (document.name, document.read()) == (f"{server.url}/0", b"end")
        assert [path for path, _ in server.seen] == ["/0", "/1", "/2", "/end"]


@pytest.mark.parametrize(
    "place", ["file:///etc/passwd", "ftp://127.0.0.1/x", "gopher://x/", "data:text/plain,x", "javascript:alert(1)"]
)
def test_redirects_to_other_schemes_are_not_followed(place: str) -> None:
    with serving(leads(place)) as server:
        assert refusal(f"{server.url}/0").startswith("the server redirects to ")
        assert {path for path, _ in server.seen} == {"/0"}


def test_a_redirect_shows_no_password() -> None:
    with serving(leads("ftp://me:secret@host/x")) as server:
        assert refusal(f"{server.url}/0") == "the server redirects to ftp://host/x, which is not followed"


def test_a_redirect_from_https_to_http_is_not_followed() -> None:
    spool = Spool()
    work = remote._Download("https://a/", "https://a/", FetchLimits(), spool.new())
    work._check(httpx2.URL("https://b/"), httpx2.URL("https://a/"))
    work._check(httpx2.URL("https://b/"), httpx2.URL("http://a/"))
    with pytest.raises(UsageError, match="https://a/: the server redirects to http://b/, which is not followed"):
        work._check(httpx2.URL("http://b/"), httpx2.URL("https://a/"))
    work.run = lambda: None  # type: ignore[method-assign]  # it is never made
    work._file.close()
    spool.discard()


def test_a_password_does_not_go_to_another_server() -> None:
    with serving(sends(b"other")) as other, serving(leads("/1", f"{other.url}/")) as server:
        with fetched(server.url.replace("//", "//me:secret@") + "/0") as document:
            assert document.read() == b"other"
        assert ["authorization" in headers for _, headers in server.seen] == [True, True]
        assert "authorization" not in other.seen[0][1]


def test_a_loop_of_redirects_ends() -> None:
    with serving(leads("/1", "/0")) as server:
        assert refusal(f"{server.url}/0", FetchLimits(redirects=3)) == "the server redirects more than 3 times"
        assert len(server.seen) == 4


# Limits


def test_what_is_too_large_is_not_begun() -> None:
    with serving(sends(b"x" * 1001)) as server:
        assert refusal(server.url, FetchLimits(bytes=1000)) == "this is larger than 1,000 bytes"
        with fetched(server.url, FetchLimits(bytes=1001)) as document:
            assert document.size == 1001


def endless(handler: BaseHTTPRequestHandler) -> None:
    """Without a length, until the other side has gone."""
    handler.send_response(200)
    handler.end_headers()
    while True:
        handler.wfile.write(b"more and more " * 1000)


def test_what_does_not_end_ends_at_the_limit() -> None:
    with serving(endless) as server:
        assert refusal(server.url, FetchLimits(bytes=1_000_000)) == "this is larger than 1,000,000 bytes"


def test_a_body_that_is_longer_than_it_says_is_cut_and_one_that_is_shorter_is_refused() -> None:
    with serving(sends(b"text and more", Content_Length="4")) as server, fetched(server.url) as document:
        assert document.read() == b"text"
    with serving(sends(b"text", Content_Length="400")) as server:
        assert refusal(server.url).startswith("the connection broke off")


def test_what_is_packed_on_the_way_is_unpacked() -> None:
    text = b"line\n" * 100_000
    body = gzip.compress(text[:7]) + gzip.compress(text[7:])
    with serving(sends(body, Content_Encoding="gzip")) as server, fetched(server.url) as document:
        assert document.read() == text
        assert server.seen[0][1]["accept-encoding"] == "gzip"


def test_a_bomb_ends_at_the_limit() -> None:
    with serving(sends(gzip.compress(bytes(50_000_000)), Content_Encoding="gzip")) as server:
        assert refusal(server.url, FetchLimits(bytes=1_000_000)) == "this is larger than 1,000,000 bytes"


@pytest.mark.parametrize("body", [gzip.compress(b"text" * 100, mtime=0)[:-4], b"no gzip at all"])
def test_what_is_packed_and_broken_is_refused(body: bytes) -> None:
    with serving(sends(body, Content_Encoding="gzip")) as server:
        assert refusal(server.url).startswith("what the server sent is ")


def test_a_packing_that_was_not_asked_for_is_refused() -> None:
    with serving(sends(b"x", Content_Encoding="gzip, br")) as server:
        assert refusal(server.url) == "the server has packed it by 'gzip, br', which was not asked for"


def test_an_empty_body_is_refused() -> None:
    with serving(sends(b"")) as server:
        assert refusal(server.url) == "there is nothing in it"


def drips_body(handler: BaseHTTPRequestHandler) -> None:
    handler.send_response(200)
    handler.end_headers()
    while True:
        handler.wfile.write(b"x")
        time.sleep(0.05)


def drips_head(handler: BaseHTTPRequestHandler) -> None:
    handler.wfile.write(b"HTTP/1.1 200 OK\r\nX: ")
    while True:
        handler.wfile.write(b"x")
        time.sleep(0.05)


@pytest.mark.parametrize("answer", [drips_body, drips_head])
def test_a_server_that_drips_is_left_at_the_time_limit(answer: Answer) -> None:
    with serving(answer) as server:
        begun = time.monotonic()
        assert refusal(server.url, FetchLimits(seconds=0.3)) == "this took longer than 0.3 s"
        assert time.monotonic() - begun < 3
        wait_for_the_end_of_downloads()


def wait_for_the_end_of_downloads() -> None:
    """The connection is closed at once, by which the thread ends."""
    end = time.monotonic() + 5
    while any(thread.name == "llm-rlm download" for thread in threading.enumerate()):
        assert time.monotonic() < end
        time.sleep(0.01)


def test_a_server_that_says_nothing_is_left() -> None:
    with serving(lambda handler: handler.server.released.wait(10) and None) as server:  # type: ignore[attr-defined]
        begun = time.monotonic()
        assert refusal(server.url, FetchLimits(seconds=0.3)) in {"this took longer than 0.3 s", "the server fell silent"}
        assert time.monotonic() - begun < 3
        wait_for_the_end_of_downloads()


def test_a_look_up_of_a_name_that_hangs_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    released = threading.Event()

    def hang(*_: object, **__: object) -> list[object]:
        released.wait(20)
        raise socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")

    monkeypatch.setattr(socket, "getaddrinfo", hang)
    assert refusal("http://example.invalid/", FetchLimits(seconds=0.2)) == "this took longer than 0.2 s"
    released.set()
    wait_for_the_end_of_downloads()


# Connections


def test_a_refused_connection_is_said_in_one_line() -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        port = closed.getsockname()[1]
    assert refusal(f"http://127.0.0.1:{port}/") == "the server cannot be reached: Connection refused"


def test_a_name_that_nobody_has_is_said_in_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown(*_: object, **__: object) -> list[object]:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    assert refusal("http://example.invalid/") == "the server cannot be reached: Name or service not known"


def test_a_server_without_tls_is_said_in_one_line() -> None:
    with serving(sends(b"x")) as server:
        assert refusal(server.url.replace("http:", "https:")).startswith("the server cannot be reached: [SSL")


def test_a_certificate_that_is_not_trusted_is_said_in_one_line() -> None:
    said = remote._said(httpx2.ConnectError("[SSL: CERTIFICATE_VERIFY_FAILED] certificate verify failed: self-signed"))
    assert said.startswith("the server's certificate is not trusted: [SSL")


def test_a_server_that_hangs_up_is_said_in_one_line() -> None:
    with serving(lambda _: None) as server:
        assert refusal(server.url).startswith("the connection broke off: ")


def test_a_proxy_is_used_where_one_is_set(monkeypatch: pytest.MonkeyPatch) -> None:
    with serving(sends(b"by the proxy")) as proxy:
        monkeypatch.setenv("http_proxy", proxy.url)
        with fetched("http://example.invalid/a") as document:
            assert document.read() == b"by the proxy"
        assert proxy.seen[0][0] == "http://example.invalid/a"


def test_a_full_disk_goes_up(monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(remote._Download, "_kept", full)
    spool = Spool()
    with serving(sends(b"x")) as server, pytest.raises(OSError, match="No space left"):
        fetch(server.url, spool)
    spool.discard()


# Encodings


@pytest.mark.parametrize(
    ("body", "charset", "expected", "encoding"),
    [
        ("Größe €".encode("cp1252"), "ISO-8859-1", "Größe €", "cp1252"),
        ("Größe".encode(), "iso-8859-1", "Größe", None),
        ("привет".encode("koi8-r"), '"KOI8-R"', "привет", "koi8-r"),
        ("日本".encode("shift_jis"), "Shift_JIS", "日本", "shift_jis"),
        ("text".encode("utf-16-le"), "utf-16le", "text", "utf-16-le"),
        ("text".encode("utf-16"), "utf-16", "text", "utf-16"),
        ("text".encode("utf-16-le"), "utf-16", "text", "utf-16-le"),
        ("text".encode("utf-32-le"), "utf-32", "text", "utf-32-le"),
        (b"text", "utf-16", "text", None),
        ("\ufefftext".encode(), "koi8-r", "\ufefftext", None),
        (b"text", "UTF-8", "text", None),
        (b"text", "nonsense", "text", None),
        (b"text", "punycode", "text", None),
        (b"74657874", "hex", "74657874", None),
        (b"a\0\xff", "koi8-r", "a\0\ufffd", None),
        (b"\x81\xe9", "latin1", "\ufffdé", "cp1252"),
    ],
)
def test_text_in_a_told_encoding_becomes_utf_8(body: bytes, charset: str, expected: str, encoding: str | None) -> None:
    with serving(sends(body, Content_Type=f"text/plain; x=y; charset={charset}")) as server, fetched(server.url) as document:
        assert (document.read().decode(errors="replace"), document.encoding) == (expected, encoding)
        assert document.size == len(document.read())


def test_what_is_packed_is_left_whatever_encoding_is_told() -> None:
    body = gzip.compress(b"text", mtime=0)
    with serving(sends(body, Content_Type="text/plain; charset=iso-8859-1")) as server, fetched(server.url) as document:
        assert document.read() == body
