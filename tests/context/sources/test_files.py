from __future__ import annotations

import io
import os
from typing import TYPE_CHECKING

import pytest

from llm_rlm.context.document import ChangedError, Document, Spool
from llm_rlm.context.sources import files

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


def document(path: Path, content: bytes) -> Document:
    path.write_bytes(content)
    return Document(path.name, str(path), len(content))


@pytest.fixture
def spool() -> Iterator[Spool]:
    made = Spool()
    yield made
    made.discard()


def text(found: Document) -> str:
    return found.read().decode("utf-8", "replace")


@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be", "utf-32-le", "utf-32-be"])
def test_a_text_with_a_mark_is_converted_and_what_is_half_a_character_replaced(
    tmp_path: Path, spool: Spool, encoding: str
) -> None:
    found = files.normalized(document(tmp_path / "a", ("\ufeffé😀\r\n" * 9).encode(encoding) + b"\x41"), spool)
    assert found.encoding == encoding[:6]
    assert found.origin == str(tmp_path / "a")
    assert text(found).replace("\ufeff", "").startswith("é😀\r\né😀\r\n")
    assert text(found).endswith("\ufffd")


@pytest.mark.parametrize(
    ("content", "encoding"),
    [
        ("id,name\n1,Jürgen Müller\n2,John\n".encode("cp1252"), "cp1252"),
        ("Grüße schöne".encode("cp1252"), "cp1252"),
        (b"one \xf0 among much that is ASCII\n" * 3, "cp1252"),
        ("Вчера мы ходили в магазин и купили хлеб, молоко. ".encode("cp1251"), "cp1251"),
        ("昨日は友達と東京の新しいレストランで食事をしました。".encode("shift_jis"), "cp932"),
        ("café\r\n".encode(), None),
        (b"\xef\xbb\xbfcaf\xc3\xa9", None),
        ("é".encode() * 50 + b"\xff damaged", None),
        (b"never in cp1252: \x81\n", None),
        (b"a lone surrogate: \xed\xa0\x80\n", None),
        ("sound é, and cut off: caf".encode() + b"\xc3", None),
        (b"\0\xff", None),
    ],
)
def test_another_encoding_is_converted_and_utf8_left_as_it_is(
    tmp_path: Path, spool: Spool, content: bytes, encoding: str | None
) -> None:
    old = document(tmp_path / "a", content)
    new = files.normalized(old, spool)
    assert new.encoding == encoding
    assert new is old if encoding is None else text(new) == content.decode(encoding)
    assert files.normalized(new, spool) is new


def test_what_decoding_replaces_is_counted(tmp_path: Path) -> None:
    assert files.undecodable(document(tmp_path / "a", "\ufffd é".encode() + b"\xff\xfe")) == 2


def test_what_a_file_gains_is_no_part_of_it_and_one_that_shrinks_or_vanishes_is_an_error(tmp_path: Path, spool: Spool) -> None:
    found = document(tmp_path / "a", b"caf\xe9")
    with (tmp_path / "a").open("ab") as file:
        file.write(b" more")
    assert text(files.normalized(found, spool)) == "café"
    (tmp_path / "a").write_bytes(b"c")
    with pytest.raises(ChangedError, match="shorter"):
        files.normalized(found, spool)
    (tmp_path / "a").unlink()
    with pytest.raises(ChangedError, match="cannot be read now"):
        files.normalized(found, spool)


def test_a_pipe_is_a_stream_a_device_or_a_file_is_not(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "file").write_text("x")
    assert [files.is_stream(str(path)) for path in (tmp_path / "pipe", tmp_path / "file", "/dev/zero")] == [True, False, False]


def test_an_open_file_without_a_name_of_its_own_is_a_stream_and_a_device_behind_one_is_not(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with (tmp_path / "file").open("rb") as file, open("/dev/zero", "rb") as zero:  # noqa: PTH123
        assert [files.is_stream(f"/dev/fd/{each.fileno()}") for each in (file, zero)] == [True, False]


def test_a_glob_matches_as_in_a_shell(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("a.py", "b/c.py", "b/d/e.py", ".h/f.py", "b/.g.py", "b/x.txt", "[x].py"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("x")
    monkeypatch.chdir(tmp_path)
    assert files.glob("*.py") == ["[x].py", "a.py"]
    assert files.glob("**/*.py") == ["[x].py", "a.py", "b/c.py", "b/d/e.py"]
    assert files.glob("b/**/e.py") == ["b/d/e.py"]
    assert files.glob(".h/*") == [".h/f.py"]
    assert files.glob(".*") == [".h"]
    assert files.glob("[[]x].py") == ["[x].py"]
    assert files.glob(f"{tmp_path}/b/[!c].???") == [f"{tmp_path}/b/x.txt"]
    assert files.glob("none*") == []


def test_of_a_folder_that_matches_only_itself_is_listed(tmp_path: Path) -> None:
    (tmp_path / "in" / "b" / "d").mkdir(parents=True)
    (tmp_path / "in" / "b" / "d" / "x").write_text("x")
    (tmp_path / "in" / "b.c").write_text("x")
    assert files.glob(f"{tmp_path}/in/**/*") == [f"{tmp_path}/in/b", f"{tmp_path}/in/b.c"]


@pytest.mark.timeout(20)
def test_a_glob_does_not_follow_links_in_circles(tmp_path: Path) -> None:
    for name in ("one", "two"):
        (tmp_path / name).symlink_to(".")
    (tmp_path / "x.py").write_text("x")
    assert files.glob(f"{tmp_path}/**/*.py") == [f"{tmp_path}/x.py"]


@pytest.mark.parametrize(
    ("data", "paths"),
    [
        (b"a\nb c\r\n\nd", ["./a", "./b c", "./d"]),
        (b"a\nb\0c\r\0", ["./a\nb", "./c\r"]),
        (b"\xff\n", [os.fsdecode(b"./\xff")]),
        (b"-\n~\n/a\nhttp://a\n", ["./-", "./~", "/a", "./http://a"]),
        (b"", []),
    ],
)
def test_paths_come_one_a_line_or_up_to_nul(data: bytes, paths: list[str]) -> None:
    assert list(files.paths_from(io.BytesIO(data))) == paths
