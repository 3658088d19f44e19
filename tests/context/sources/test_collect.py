"""From what the user names to texts."""

from __future__ import annotations

import gzip
import io
import json
import os
import sqlite3
import threading
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

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
    with pytest.raises(UsageError, match="gone: there is no such file"):
        from_any(tmp_path / "gone")
