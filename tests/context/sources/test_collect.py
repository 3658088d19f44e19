"""From what the user names to texts."""

from __future__ import annotations

import gzip
import io
import json
import os
import socket
import sqlite3
import threading
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from context.converting.documents import docx, paragraph
from llm_rlm.context import Context, Sources, Walking, from_any
from llm_rlm.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of all kinds of files, which the process is in."""
    inside = tmp_path / "in"
    (inside / "src" / "deep").mkdir(parents=True)
    (inside / "src" / "a.py").write_text("print('a')\n")
    (inside / "src" / "deep" / "b.py").write_text("print('b')\r\n")
    (inside / "src" / ".hidden").write_text("h")
    (inside / "src" / "logo.png").write_bytes(b"\x89PNG\0")
    (inside / "src" / "empty").touch()
    (inside / "data.csv").write_text("x,y\n1,2\n")
    (inside / "old.log.gz").write_bytes(gzip.compress(b"packed\n"))
    with zipfile.ZipFile(inside / "all.zip", "w") as archive:
        archive.writestr("one.txt", "one")
        archive.writestr("two/2.txt", "two")
    with sqlite3.connect(inside / "base.db") as db:
        db.execute("create table t (x)")
    db.close()
    monkeypatch.chdir(inside)
    return inside


@pytest.fixture
def made() -> Iterator[Any]:
    """Collects sources, and discards what was made."""
    contexts: list[Context] = []

    def collect(*names: object, **more: object) -> Context:
        contexts.append(from_any(Sources(names, **more)))  # type: ignore[arg-type]
        return contexts[-1]

    yield collect
    for context in contexts:
        context.discard()


def texts(context: Context) -> dict[str, bytes]:
    return {document.name: document.read() for document in context.documents}


def skipped(context: Context) -> dict[str, str]:
    return {each.name: each.reason for each in context.skipped}


def test_one_file_is_a_text_under_its_own_name(folder: Path, made: Any) -> None:
    context = made(str(folder / "src" / "a.py"))
    assert (context.kind, texts(context)) == ("text", {"a.py": b"print('a')\n"})
    assert context.documents[0].path == str(folder / "src" / "a.py")


@pytest.mark.usefixtures("folder")
def test_a_folder_is_all_its_texts_and_says_what_it_skipped(made: Any) -> None:
    context = made("src")
    assert (context.kind, list(texts(context))) == ("many", ["src/a.py", "src/deep/b.py"])
    assert texts(context)["src/deep/b.py"] == b"print('b')\r\n"
    assert skipped(context) == {"src/.hidden": "hidden", "src/empty": "empty", "src/logo.png": "binary"}
    assert "src/.hidden" in texts(made("src", walking=Walking(hidden=True)))


@pytest.mark.usefixtures("folder")
def test_in_a_folder_compressed_texts_are_read_and_archives_are_not_opened(made: Any) -> None:
    context = made(".")
    assert texts(context)["old.log.gz"] == b"packed\n"
    assert skipped(context)["all.zip"] == "an archive: name it to have it read"
    assert [(table.name, table.format) for table in context.tables] == [("base.db", "sqlite")]
    assert [document.name for document in context.documents if document.table == "csv"] == ["data.csv"]


@pytest.mark.usefixtures("folder")
def test_an_archive_that_is_named_is_its_members(made: Any) -> None:
    assert texts(made("all.zip")) == {"all.zip/one.txt": b"one", "all.zip/two/2.txt": b"two"}


@pytest.mark.usefixtures("folder")
def test_several_sources_keep_their_order_and_nothing_is_read_twice(made: Any) -> None:
    assert list(texts(made("data.csv", "src", "src/a.py", "./src/deep/b.py"))) == ["data.csv", "src/a.py", "src/deep/b.py"]
    assert list(texts(made("src/**/*.py"))) == ["src/a.py", "src/deep/b.py"]


def test_a_stream_is_kept_until_the_context_is_discarded(temporary: Path, made: Any) -> None:
    stream = io.BytesIO(gzip.compress(b"a\r\nb"))
    stream.name = "stdin"
    context = made(stream)
    assert texts(context) == {"stdin": b"a\r\nb"}
    context.discard()
    assert list(temporary.iterdir()) == []


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")
def test_a_pipe_that_is_named_is_read_and_one_in_a_folder_is_not_waited_for(tmp_path: Path, made: Any) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "a.txt").write_text("a")
    assert skipped(made(str(tmp_path))) == {f"{tmp_path}/pipe": "a named pipe"}
    writer = threading.Thread(target=(tmp_path / "pipe").write_bytes, args=(b"through",))
    writer.start()
    assert texts(made(str(tmp_path / "pipe"))) == {"pipe": b"through"}
    writer.join()


@pytest.mark.parametrize(
    ("content", "text"),
    [
        ("\ufeffgrün\n".encode("utf-16"), "grün\n"),
        ("Grüße aus München\n".encode("cp1252"), "Grüße aus München\n"),
        (b"plain\n", "plain\n"),
    ],
)
def test_other_encodings_are_read_as_utf8(tmp_path: Path, made: Any, content: bytes, text: str) -> None:
    path = tmp_path / "a.txt"
    path.write_bytes(content)
    assert texts(made(str(path)))["a.txt"].decode().removeprefix("\ufeff") == text


@pytest.mark.usefixtures("folder")
@pytest.mark.parametrize(
    ("names", "says"),
    [
        (("missing.txt",), "missing.txt: there is no such file, and no LLM fragment of that name"),
        (("*.nothing",), "[*].nothing: no file matches"),
        (("ftp://host/a",), "of addresses only those with http:// or https:// can be fetched"),
        (("missing\x1b\n",), r"^missing\\x1b\\n: there is no such file"),
        (("",), "a source is empty: name a file, a folder, a URL or an LLM fragment"),
        (("src/logo.png",), "logo.png is a binary file: give text"),
        (("src/empty",), "empty is empty: there is nothing to ask about"),
        (("src/logo.png", "src/empty"), r"there is nothing to read: src/logo.png was skipped \(binary\), and 1 more"),
        ((io.StringIO("text"),), "the context is a stream of str: open the file in binary mode"),
        (("http://127.0.0.1:1/x",), "127.0.0.1:1/x"),
    ],
)
def test_what_cannot_be_read_is_one_clear_line(temporary: Path, names: tuple[object, ...], says: str) -> None:
    with pytest.raises(UsageError, match=says):
        from_any(Sources(names))  # type: ignore[arg-type]
    assert list(temporary.iterdir()) == []


def test_sources_are_recorded_so_that_they_can_be_read_again_from_elsewhere(
    folder: Path, made: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = made("src", Path("data.csv"), walking=Walking(hidden=True))
    record = json.loads(json.dumps(first.again))
    monkeypatch.chdir(folder.parent)
    again = from_any(Sources.recorded(record))
    assert texts(again) == texts(first)
    again.discard()
    assert made(io.BytesIO(b"x")).again is None


def test_mail_becomes_markdown_and_is_kept_for_later_runs(tmp_path: Path) -> None:
    path = tmp_path / "letter.eml"
    path.write_text("From: a@example.org\nTo: b@example.org\nSubject: Lunch\n\nAt noon?\n")
    for _ in range(2):
        context = from_any(path, tmp_path / "cache")
        (document,) = context.documents
        assert "Lunch" in document.read().decode()
        assert (document.name, document.origin) == ("letter.eml", str(path))
        assert Path(document.path).is_relative_to(tmp_path / "cache")
        context.discard()


def test_links_that_go_round_and_files_that_vanish_are_skipped(tmp_path: Path, made: Any) -> None:
    (tmp_path / "a.txt").write_text("a")
    (tmp_path / "round").symlink_to(tmp_path)
    (tmp_path / "gone").symlink_to(tmp_path / "nowhere")
    assert set(skipped(made(str(tmp_path))).values()) == {"a link"}
    with pytest.raises(UsageError, match="gone cannot be read: a link that leads nowhere"):
        from_any(tmp_path / "gone")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")
def test_a_loop_of_links_that_is_named_says_so_and_one_that_a_glob_matches_is_skipped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, made: Any
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("a.txt").write_text("a")
    Path("loop").symlink_to("loop")
    Path("gone").symlink_to("nowhere")
    with pytest.raises(UsageError, match=r"^loop cannot be read: a link that leads nowhere$"):
        from_any(Sources(("loop",)))
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind("likewise")
        os.mkfifo("later")
        assert skipped(made("l[ai]*", "a.txt")) == {"later": "a named pipe", "likewise": "a socket"}
    assert skipped(made("[ag]*", "loo*")) == dict.fromkeys(("gone", "loop"), "a link that leads nowhere")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")
def test_a_stream_that_cannot_be_opened_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    os.mkfifo(tmp_path / "pipe")

    def refused(_: str) -> bool:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("llm_rlm.context.sources.files.is_stream", refused)
    with pytest.raises(UsageError, match="pipe cannot be read: permission denied"):
        from_any(tmp_path / "pipe")


@pytest.mark.usefixtures("folder")
def test_the_same_file_under_another_name_is_skipped_and_says_which_it_is(made: Any) -> None:
    Path("hard.py").hardlink_to("src/a.py")
    context = made("src/a.py", "./src/a.py", "hard.py")
    assert (list(texts(context)), skipped(context)) == (["src/a.py"], {"hard.py": "the same file as src/a.py"})


@pytest.mark.usefixtures("folder")
def test_a_folder_with_no_file_in_it_is_listed(made: Any) -> None:
    Path("nothing/in").mkdir(parents=True)
    assert skipped(made("data.csv", "./nothing")) == {"nothing/": "no file in it"}


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ("plain words".encode("utf-16-le"), "UTF-16 without a byte order mark: convert it to UTF-8"),
        ("plain words".encode("utf-16-be"), "UTF-16 without a byte order mark: convert it to UTF-8"),
        (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1\0", "an old Office file: save it in today's format"),
        (b"\0" * 100, "binary"),
        (b"\0\1", "binary"),
    ],
)
def test_what_is_no_text_says_what_it_is(tmp_path: Path, made: Any, content: bytes, reason: str) -> None:
    (tmp_path / "a").write_bytes(content)
    (tmp_path / "b").write_text("b")
    assert list(skipped(made(str(tmp_path))).values()) == [reason]


def test_a_binary_stream_is_refused_at_its_beginning() -> None:
    class Zeros:
        name = "zeros"
        pieces = 0

        def read(self, size: int) -> bytes:
            self.pieces += 1
            assert self.pieces < 10
            return bytes(size)

    with pytest.raises(UsageError, match="zeros is a binary file"):
        from_any(Zeros())


def test_a_text_stream_that_does_not_end_stops_where_the_disk_has_hardly_any_room(
    temporary: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("llm_rlm.context.sources.files._ROOM", 1 << 62)
    context = from_any(io.BytesIO(b"short"))
    assert context.size == 5
    context.discard()
    monkeypatch.setattr("llm_rlm.context.sources.files._LONG", 0)
    with pytest.raises(UsageError, match="stream does not end: after 5 bytes there is hardly any room left in"):
        from_any(io.BytesIO(b"short"))
    assert list(temporary.iterdir()) == []


def test_a_stream_that_fails_says_so() -> None:
    class Failing:
        name = "tape"

        def read(self, _: int) -> bytes:
            raise OSError(5, "Input/output error")

    with pytest.raises(UsageError, match=r"^tape cannot be read: input/output error$"):
        from_any(Failing())


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="needs /proc")
def test_a_file_without_a_size_is_read_to_its_end_if_it_is_named(made: Any) -> None:
    assert texts(made("/proc/self/status"))["status"].startswith(b"Name:")
    context = made("/proc/self/status", "/proc/self/net")
    assert set(skipped(context).values()) >= {"the system does not say how long it is: name it to have it read"}


def test_office_files_in_an_archive_are_documents_and_other_archives_are_not(tmp_path: Path, made: Any) -> None:
    inner = io.BytesIO()
    with zipfile.ZipFile(inner, "w") as archive:
        archive.writestr("[Content_Types].xml", "x")
    with zipfile.ZipFile(tmp_path / "all.zip", "w") as archive:
        archive.writestr("a.txt", "a")
        archive.writestr("real.docx", docx(paragraph("Hello")))
        archive.writestr("only in name.zip", inner.getvalue())
    context = made(str(tmp_path / "all.zip"))
    assert texts(context)["all.zip/real.docx"] == b"Hello\n"
    assert skipped(context) == {"all.zip/only in name.zip": "an archive in an archive"}
