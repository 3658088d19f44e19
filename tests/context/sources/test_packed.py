"""Compressed files and archives: what is read out of them, and what those cannot do that are made to harm."""

from __future__ import annotations

import bz2
import errno
import gzip
import io
import itertools
import lzma
import os
import struct
import tarfile
import tracemalloc
import zipfile
import zlib
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

from llm_rlm.context.document import Document, Skipped, Spool, Table
from llm_rlm.context.sources.packed import PackLimits, is_packed, unpack
from llm_rlm.context.sources.unpacking import unpacked

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

TEXT = b"first line\r\n" + b"another \xff line\n" * 5000
PACK: dict[str, Callable[[bytes], bytes]] = {
    "gz": gzip.compress,
    "bz2": bz2.compress,
    "xz": lzma.compress,
    "lzma": lambda data: lzma.compress(data, lzma.FORMAT_ALONE),
    "zst": lambda data: zstandard.ZstdCompressor(write_checksum=True).compress(data),
}
SKIPPABLE = b"\x50\x2a\x4d\x18" + struct.pack("<L", 3) + b"abc"

type Found = list[Document | Table | Skipped]


@contextmanager
def opened(data: bytes, name: str, tmp_path: Path, **more: Any) -> Iterator[Found]:
    """What is made of a file."""
    path = tmp_path / "packed"
    path.write_bytes(data)
    spool = Spool()
    try:
        yield unpack(str(path), name, spool, **more)
    finally:
        spool.discard()


def contents(found: Found) -> dict[str, bytes | str]:
    """The texts, and the reasons why there is none."""
    return {each.name: each.reason if isinstance(each, Skipped) else Path(each.path).read_bytes() for each in found}


def read(data: bytes, tmp_path: Path, name: str = "a", **more: Any) -> dict[str, bytes | str]:
    with opened(data, name, tmp_path, **more) as found:
        return contents(found)


def zipped(*members: tuple[str | zipfile.ZipInfo, bytes], method: int = zipfile.ZIP_DEFLATED) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", method) as archive:
        for name, data in members:
            archive.writestr(name, data, method)
    return file.getvalue()


def member(name: str, data: bytes = b"", **fields: Any) -> tuple[tarfile.TarInfo, bytes]:
    info = tarfile.TarInfo(name)
    info.size = len(data)
    for field, value in fields.items():
        setattr(info, field, value)
    return info, data


def tarred(*members: tuple[tarfile.TarInfo, bytes], form: int = tarfile.PAX_FORMAT) -> bytes:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w", format=form) as archive:
        for info, data in members:
            archive.addfile(info, io.BytesIO(data))
    return file.getvalue()


# Compressed texts


@pytest.mark.parametrize("form", PACK)
def test_a_compressed_text_is_read_and_keeps_its_name(form: str, tmp_path: Path) -> None:
    with opened(PACK[form](TEXT), f"logs/auth.log.{form}", tmp_path) as (document,):
        assert isinstance(document, Document)
        assert (document.name, document.size, document.table) == (f"logs/auth.log.{form}", len(TEXT), None)
        assert (document.origin, document.read()) == (str(tmp_path / "packed"), TEXT)
        assert document.modified == (tmp_path / "packed").stat().st_mtime_ns


@pytest.mark.parametrize("form", PACK)
def test_the_bytes_say_how_a_file_is_packed_whatever_its_name_is(form: str) -> None:
    assert is_packed(PACK[form](TEXT)[:512]) == {"lzma": "xz"}.get(form, form)
    assert is_packed(PACK[form](b"")[:512]) == {"lzma": "xz"}.get(form, form)


@pytest.mark.parametrize(
    "text", [b"", b"PK is a name", b"BZh is not bzip2 yet", b"]\0\0 not lzma", b"x" * 257 + b"ustar" + b"x" * 300]
)
def test_a_text_is_not_packed(text: bytes) -> None:
    assert is_packed(text) is None


@given(st.binary(max_size=600))
def test_any_first_bytes_can_be_asked_about(start: bytes) -> None:
    is_packed(start)


@pytest.mark.parametrize("form", PACK)
def test_streams_that_follow_one_another_are_one_text(form: str, tmp_path: Path) -> None:
    data = b"".join(PACK[form](piece) for piece in (b"one\n", b"", b"two\n", TEXT))
    assert read(data, tmp_path) == {"a": b"one\ntwo\n" + TEXT}


@pytest.mark.parametrize("form", ["gz", "bz2", "xz"])
def test_zeros_after_the_end_are_only_padding(form: str, tmp_path: Path) -> None:
    assert read(PACK[form](TEXT) + bytes(200_000) + PACK[form](b"more"), tmp_path) == {"a": TEXT + b"more"}
    assert read(PACK[form](TEXT) + bytes(200_000), tmp_path) == {"a": TEXT}


def test_frames_that_are_to_be_skipped_are(tmp_path: Path) -> None:
    assert is_packed(SKIPPABLE) == "zst"
    assert read(SKIPPABLE + PACK["zst"](TEXT) + SKIPPABLE, tmp_path) == {"a": TEXT}


@pytest.mark.parametrize("form", PACK)
def test_what_breaks_off_anywhere_is_never_taken_for_whole(form: str, tmp_path: Path) -> None:
    data = PACK[form](os.urandom(300).hex().encode() * 20)
    for length in {*range(20, 60), *range(len(data) - 30, len(data))}:
        (reason,) = read(data[:length], tmp_path).values()
        assert reason in {"incomplete: it breaks off", "damaged"}, length


@pytest.mark.parametrize("form", ["gz", "bz2", "xz", "zst"])
def test_what_is_changed_within_is_damaged(form: str, tmp_path: Path, temporary: Path) -> None:
    data = bytearray(PACK[form](os.urandom(3000).hex().encode()))
    data[len(data) // 2] ^= 0x10
    with opened(bytes(data), "a", tmp_path) as found:
        assert contents(found) == {"a": "damaged"}
        assert [file for file in temporary.rglob("*") if file.is_file()] == []


@pytest.mark.parametrize("form", PACK)
def test_what_follows_and_is_not_packed_is_not_left_out_silently(form: str, tmp_path: Path) -> None:
    assert read(PACK[form](TEXT) + b"and some words", tmp_path)["a"] in {"damaged", "incomplete: it breaks off"}


def test_what_needs_very_much_memory_is_refused(tmp_path: Path) -> None:
    stream = lzma.LZMACompressor(check=lzma.CHECK_NONE, filters=[{"id": lzma.FILTER_LZMA2, "preset": 0}])
    small = bytearray(stream.compress(b"text") + stream.flush())
    # The byte of the header that tells the size of the dictionary, and the checksum of the header.
    small[16] = 37
    small[20:24] = struct.pack("<L", zlib.crc32(bytes(small[12:20])))
    assert read(bytes(small), tmp_path) == {"a": "needs more than 256 MB of memory to unpack"}
    long = zstandard.ZstdCompressionParameters(window_log=28, enable_ldm=True)
    frame = zstandard.ZstdCompressor(compression_params=long).compressobj()
    data = frame.compress(b"text" * 1000) + frame.flush()
    assert read(data, tmp_path) == {"a": "needs more than 256 MB of memory to unpack"}


def test_a_binary_and_an_empty_file_are_skipped_with_the_reason(tmp_path: Path) -> None:
    assert read(gzip.compress(b"a\0b"), tmp_path) == {"a": "binary"}
    assert read(gzip.compress(b""), tmp_path) == {"a": "empty"}


@pytest.mark.parametrize("encoding", ["utf-16", "utf-32"])
def test_utf_16_and_utf_32_with_a_mark_are_text(encoding: str, tmp_path: Path) -> None:
    assert read(gzip.compress("text".encode(encoding)), tmp_path) == {"a": "text".encode(encoding)}


def test_a_compressed_table_is_a_table(tmp_path: Path) -> None:
    with opened(gzip.compress(b"a,b\n1,2\n"), "data/x.csv.gz", tmp_path) as (document,):
        assert isinstance(document, Document)
        assert document.table == "csv"
    with opened(gzip.compress(b"PAR1\0\0PAR1"), "x.parquet.gz", tmp_path) as (table,):
        assert isinstance(table, Table)
        assert (table.format, table.size) == ("parquet", 10)
    assert read(gzip.compress(b"no\0SQLite"), tmp_path, "x.db.gz") == {"x.db.gz": "binary"}


def test_what_is_not_packed_is_said_to_be_so(tmp_path: Path) -> None:
    assert read(b"text", tmp_path) == {"a": "not packed in a way that can be read"}


# Limits


@pytest.mark.parametrize("form", PACK)
def test_a_bomb_ends_at_so_many_times_its_size_and_leaves_nothing(form: str, tmp_path: Path, temporary: Path) -> None:
    with opened(PACK[form](bytes(1 << 25).replace(b"\0", b" ")), "a", tmp_path, limits=PackLimits(ratio=50)) as found:
        assert contents(found) == {"a": "more than 50 times its size unpacked"}
        assert [file for file in temporary.rglob("*") if file.is_file()] == []


def test_what_is_small_may_expand_as_it_likes(tmp_path: Path) -> None:
    text = b" " * (1 << 24)
    assert read(bz2.compress(text), tmp_path, limits=PackLimits(ratio=1)) == {"a": text}


@pytest.mark.parametrize("form", PACK)
def test_a_text_is_no_larger_than_the_limit(form: str, tmp_path: Path) -> None:
    limits = PackLimits(member=100_000)
    assert read(PACK[form](b"12345678" * 12_500), tmp_path, limits=limits) == {"a": b"12345678" * 12_500}
    assert read(PACK[form](b"12345678" * 12_501), tmp_path, limits=limits) == {"a": "more than 100,000 bytes unpacked"}


@pytest.mark.parametrize("method", [zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_a_bomb_among_members_is_the_only_one_that_is_not_read(method: int, tmp_path: Path) -> None:
    data = zipped(("small", b"text"), ("bomb", b" " * (1 << 25)), ("last", b"more"), method=method)
    found = read(data, tmp_path, limits=PackLimits(ratio=100))
    assert found == {"a/small": b"text", "a/bomb": "more than 100 times its size unpacked", "a/last": b"more"}


def test_many_bombs_together_end_with_the_archive(tmp_path: Path) -> None:
    data = zipped(*((f"bomb{number}", b" " * 9_000_000) for number in range(9)))
    found = read(data, tmp_path, limits=PackLimits(ratio=50))
    assert len(found) == 2
    assert found["a"] == "not read beyond a/bomb1: more than 50 times its size unpacked"


def test_a_compressed_tar_that_never_ends_is_left(tmp_path: Path) -> None:
    data = gzip.compress(tarred(member("first", b"text"), member("endless", bytes(1 << 25)), member("last", b"more")))
    found = read(data, tmp_path, limits=PackLimits(ratio=100))
    assert found == {
        "a/first": b"text",
        "a/endless": "binary",
        "a": "not read beyond a/endless: more than 100 times its size unpacked",
    }


def test_the_archive_as_a_whole_has_a_limit(tmp_path: Path) -> None:
    members = [(f"{number}", b"12345678" * 100) for number in range(10)]
    limits = PackLimits(total=2500)
    whole = {f"a/{number}": b"12345678" * 100 for number in range(3)}
    end = {"a": "not read beyond a/3: more than 2,500 bytes unpacked"}
    assert read(zipped(*members), tmp_path, limits=limits) == whole | end
    assert read(tarred(*(member(*each) for each in members)), tmp_path, limits=limits) == whole | end


@pytest.mark.parametrize(
    "make",
    [lambda names: zipped(*((name, b"x") for name in names)), lambda names: tarred(*(member(name, b"x") for name in names))],
)
def test_members_are_counted(make: Callable[[list[str]], bytes], tmp_path: Path) -> None:
    data = make(list("abcd"))
    assert read(data, tmp_path, limits=PackLimits(members=4)) == {f"a/{name}": b"x" for name in "abcd"}
    assert read(data, tmp_path, limits=PackLimits(members=2)) == {
        "a/a": b"x",
        "a/b": b"x",
        "a": "not read beyond a/b: more than 2 files in it",
    }


def test_a_full_disk_goes_up_and_leaves_nothing(tmp_path: Path, temporary: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Full(io.FileIO):
        def write(self, _: Any) -> int:
            raise OSError(errno.ENOSPC, "No space left on device")

    def no_space(path: Path, *_: Any, **__: Any) -> io.BufferedWriter:
        return io.BufferedWriter(Full(str(path), "x"))

    monkeypatch.setattr(Path, "open", no_space)
    with open(tmp_path / "a.zip", "wb") as file:  # noqa: PTH123 - Path.open is the full disk
        file.write(zipped(("a", b"text" * 100_000)))
    spool = Spool()
    with pytest.raises(OSError, match="No space left"):
        unpack(str(tmp_path / "a.zip"), "a.zip", spool)
    assert [found for found in temporary.rglob("*") if found.is_file()] == []
    spool.discard()


# Archives


def test_members_are_read_in_the_order_of_the_archive(tmp_path: Path) -> None:
    names = ["z.txt", "b/c.txt", ".hidden", "a.txt"]
    expected = [f"x.zip/{name}" for name in names]
    assert list(read(zipped(*((name, b"x") for name in names)), tmp_path, "x.zip")) == expected
    assert list(read(tarred(*(member(name, b"x") for name in names)), tmp_path, "x.zip")) == expected


@pytest.mark.parametrize("form", [*PACK, None])
def test_a_tar_is_read_however_it_is_compressed(form: str | None, tmp_path: Path) -> None:
    plain = tarred(member("dir", type=tarfile.DIRTYPE), member("dir/a.csv", TEXT), member("b", b"\0"), member("empty"))
    data = PACK[form](plain) if form else plain
    assert is_packed(data) == ({"lzma": "xz"}.get(form, form) if form else "tar")
    with opened(data, "x.tar", tmp_path) as found:
        assert contents(found) == {"x.tar/dir/a.csv": TEXT, "x.tar/b": "binary", "x.tar/empty": "empty"}
        document = found[0]
        assert isinstance(document, Document)
        assert (document.table, document.origin) == ("csv", str(tmp_path / "packed"))


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
@pytest.mark.parametrize("start", [b"", b"#!/bin/sh a program that unpacks itself\n"])
def test_a_zip_is_read_however_it_is_packed(method: int, start: bytes, tmp_path: Path) -> None:
    data = zipped(("dir/", b""), ("dir/a.txt", TEXT), ("b", b"\0"), ("empty", b""), method=method)
    if start:
        data = b"PK\3\4" + start + data
    assert is_packed(data) == "zip"
    assert read(data, tmp_path, "x.zip") == {"x.zip/dir/a.txt": TEXT, "x.zip/b": "binary", "x.zip/empty": "empty"}


def test_a_zip_from_a_pipe_is_read(tmp_path: Path) -> None:
    class Pipe(io.RawIOBase):
        data = b""

        def writable(self) -> bool:
            return True

        def write(self, data: Any) -> int:
            self.data += bytes(data)
            return len(data)

    pipe = Pipe()
    with zipfile.ZipFile(pipe, "w", zipfile.ZIP_LZMA) as archive:
        archive.writestr("a.txt", TEXT)
    assert read(pipe.data, tmp_path) == {"a/a.txt": TEXT}


def test_a_zip_with_numbers_of_64_bits_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(zipfile, "ZIP64_LIMIT", 10)
    monkeypatch.setattr(zipfile, "ZIP_FILECOUNT_LIMIT", 1)
    data = zipped(("a", TEXT), ("b", b"x" * 100))
    assert b"PK\6\6" in data
    assert read(data, tmp_path) == {"a/a": TEXT, "a/b": b"x" * 100}


@pytest.mark.parametrize("form", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_long_names_are_read_in_all_formats(form: int, tmp_path: Path) -> None:
    name = "/".join(["folder" * 10] * 3) + "/name.txt"
    assert read(tarred(member(name, b"x"), member("b", b"y"), form=form), tmp_path) == {f"a/{name}": b"x", "a/b": b"y"}


def test_sizes_of_more_than_33_bits_are_read(tmp_path: Path) -> None:
    header = tarfile.TarInfo("big")
    header.size = 1 << 40
    data = header.tobuf(tarfile.GNU_FORMAT) + b"text" * 1000
    assert read(data, tmp_path) == {"a": "not read beyond a/big: incomplete: it breaks off"}
    header.size = (1 << 40) + 1
    assert read(header.tobuf(tarfile.PAX_FORMAT) + b"t" * 99, tmp_path) == {
        "a": "not read beyond a/big: incomplete: it breaks off"
    }


def test_links_devices_and_files_with_holes_are_skipped_with_the_reason(tmp_path: Path) -> None:
    data = tarred(
        member("link", type=tarfile.SYMTYPE, linkname="/etc/passwd"),
        member("hard", type=tarfile.LNKTYPE, linkname="link"),
        member("device", type=tarfile.CHRTYPE),
        member("fifo", type=tarfile.FIFOTYPE),
        member("sparse", b"x" * 600, type=tarfile.GNUTYPE_SPARSE),
        member("holes", b"x", pax_headers={"GNU.sparse.major": "1"}),
        member("odd", b"x", type=b"Q"),
        member("file", b"text"),
    )
    special = {"a/device": "no regular file", "a/fifo": "no regular file", "a/odd": "no regular file"}
    links = {"a/link": "a link", "a/hard": "a link", "a/sparse": "a sparse file", "a/holes": "a sparse file"}
    assert read(data, tmp_path) == special | links | {"a/file": b"text"}
    info = zipfile.ZipInfo("link")
    info.create_system, info.external_attr = 3, 0o120777 << 16
    assert read(zipped((info, b"/etc/passwd")), tmp_path) == {"a/link": "a link"}


def test_what_is_encrypted_or_packed_in_a_strange_way_is_skipped_with_the_reason(tmp_path: Path) -> None:
    data = bytearray(zipped(("secret", b"x"), ("strange", b"y"), ("plain", b"z")))
    secret, strange = (data.rindex(name) for name in (b"secret", b"strange"))
    data[secret - 38] |= 1
    data[strange - 36] = 9
    assert read(bytes(data), tmp_path) == {
        "a/secret": "encrypted",
        "a/strange": "packed by Deflate64, which cannot be read here",
        "a/plain": b"z",
    }


def test_compressed_members_are_unpacked_once_and_archives_are_not_opened(tmp_path: Path) -> None:
    inner = tarred(member("x", b"x"))
    members = [
        ("x.log.gz", gzip.compress(b"log")),
        ("twice.gz", gzip.compress(gzip.compress(b"log"))),
        ("inner.zip", zipped(("x", b"x"))),
        ("inner.tar", inner),
        ("inner.tar.gz", gzip.compress(inner)),
        ("y.csv.bz2", bz2.compress(b"a,b")),
        ("broken.gz", gzip.compress(b"log")[:-1]),
        ("z", b"z"),
    ]
    nested = "an archive in an archive"
    expected = {
        "a/x.log.gz": b"log",
        "a/twice.gz": "packed more than once",
        "a/inner.zip": nested,
        "a/inner.tar": nested,
        "a/inner.tar.gz": nested,
        "a/y.csv.bz2": b"a,b",
        "a/broken.gz": "incomplete: it breaks off",
        "a/z": b"z",
    }
    assert read(zipped(*members), tmp_path) == expected
    assert read(tarred(*(member(*each) for each in members)), tmp_path) == expected


def test_what_is_wanted_is_given_as_it_is(tmp_path: Path) -> None:
    inner = zipped(("[Content_Types].xml", b"x"))
    data = zipped(("a.docx", inner), ("b.pdf", b"%PDF\0"), ("c.zip", inner))
    found = read(data, tmp_path, wanted=lambda name, start: name.endswith(".docx") or start.startswith(b"%PDF"))
    assert found == {"a/a.docx": inner, "a/b.pdf": b"%PDF\0", "a/c.zip": "an archive in an archive"}


def test_each_text_that_is_begun_is_told(tmp_path: Path) -> None:
    told: list[str] = []
    read(zipped(("one", b"x"), ("two", b"\0")), tmp_path, "x.zip", taken=told.append)
    read(gzip.compress(b"x"), tmp_path, "x.gz", taken=told.append)
    assert told == ["x.zip/one", "x.zip/two", "x.gz"]


def test_an_archive_with_nothing_in_it_is_empty(tmp_path: Path) -> None:
    assert read(zipped(), tmp_path) == {"a": "empty"}
    assert read(tarred(member("dir", type=tarfile.DIRTYPE)), tmp_path) == {"a": "empty"}


def test_the_directory_of_a_zip_is_not_held_beyond_the_limit(tmp_path: Path) -> None:
    data = zipped(*((f"{number:05}", b"x") for number in range(20_000)), method=zipfile.ZIP_STORED)
    tracemalloc.start()
    found = read(data, tmp_path, limits=PackLimits(members=10))
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert len(found) == 11
    assert most < 1_000_000


@pytest.mark.parametrize("form", PACK)
def test_memory_is_bounded_whatever_comes_out(form: str, tmp_path: Path) -> None:
    data = PACK[form](bytes(1 << 26).replace(b"\0", b" "))
    tracemalloc.start()
    read(data, tmp_path, limits=PackLimits(ratio=100))
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert most < 16_000_000


# Names


HOSTILE = ["../../etc/passwd", "/etc/passwd", "C:\\x\\..\\y", "a\nb\x1b[31m", "same", "same", "", "..", "x\u202ey", "\ud800"]
SHOWN = ["etc/passwd", "etc/passwd (2)", "C:/x/y", r"a\nb\x1b[31m", "same", "same (2)", "unnamed", "unnamed (2)", r"x\u202ey"]


def test_names_are_cleaned_and_unique_and_never_paths(tmp_path: Path, temporary: Path) -> None:
    data = tarred(*(member(name, b"x") for name in HOSTILE[:-1]))
    with opened(data, "t", tmp_path) as found:
        assert [each.name for each in found] == [f"t/{name}" for name in SHOWN]
        assert all(Path(each.path).is_relative_to(temporary) for each in found if isinstance(each, Document))
    for each in found:
        each.name.encode()


def test_names_that_are_not_utf_8_are_shown_by_their_bytes(tmp_path: Path) -> None:
    info = tarfile.TarInfo("caf\udce9")
    info.size = 1
    data = info.tobuf(tarfile.GNU_FORMAT, "utf-8", "surrogateescape") + b"x" + bytes(511)
    assert read(data, tmp_path) == {r"a/caf\xe9": b"x"}


def test_names_in_a_zip_are_utf_8_or_of_dos_or_shown_by_their_bytes(tmp_path: Path) -> None:
    data = zipped(("unmarked_XX", b"x"), ("dos_XX", b"y"), ("märked_XX", b"z"))
    data = (
        data.replace(b"unmarked_XX", "unmarked_é".encode())
        .replace(b"dos_XX", b"dos_\x82\x82")
        .replace(b"rked_XX", b"rked_\xff\xff")
    )
    assert list(read(data, tmp_path)) == ["a/unmarked_é", "a/dos_éé", r"a/märked_\xff\xff"]


# Archives that lie


def test_members_that_overlap_are_not_read(tmp_path: Path) -> None:
    data = bytearray(zipped(("a" * 40, b"12345678" * 10), ("b" * 40, b"x"), method=zipfile.ZIP_STORED))
    first = data.index(b"PK\1\2")
    second = data.index(b"PK\1\2", first + 1)
    data[second + 42 : second + 46] = struct.pack("<L", 20)
    found = read(bytes(data), tmp_path)
    assert found[f"a/{'a' * 40}"] == "overlaps another member"
    assert found[f"a/{'b' * 40}"] == "damaged: it is not where the directory says"


@pytest.mark.parametrize(
    ("offset", "value", "reason"), [(24, 3, "longer"), (24, 900, "shorter"), (16, 1, "its checksum is wrong")]
)
def test_what_a_zip_says_of_a_member_is_checked(offset: int, value: int, reason: str, tmp_path: Path) -> None:
    data = bytearray(zipped(("first", b"text" * 10), ("second", b"more")))
    place = data.index(b"PK\1\2") + offset
    data[place : place + 4] = struct.pack("<L", value)
    found = read(bytes(data), tmp_path)
    assert reason in str(found["a/first"])
    assert found["a/second"] == b"more"


@pytest.mark.parametrize("cut", [1, 10, 60, 150])
def test_a_zip_that_breaks_off_says_so(cut: int, tmp_path: Path) -> None:
    (reason,) = read(zipped(("a", TEXT), ("b", TEXT))[:-cut], tmp_path).values()
    assert str(reason) == "incomplete: it has no directory at its end"


def test_a_tar_that_breaks_off_keeps_what_came_before(tmp_path: Path) -> None:
    data = tarred(member("one", b"1"), member("two", b"2" * 5000), member("three", b"3"))
    assert read(data[:3000], tmp_path) == {"a/one": b"1", "a": "not read beyond a/two: incomplete: it breaks off"}
    assert read(data[:1300], tmp_path) == {"a/one": b"1", "a": "not read beyond a/one: incomplete: it breaks off"}
    binary = tarred(member("one", b"1"), member("two", b"\0" * 5_000_000))
    assert read(binary[:-20_000], tmp_path)["a"] == "not read beyond a/two: incomplete: it breaks off"


def test_a_broken_header_in_a_tar_ends_it(tmp_path: Path) -> None:
    data = bytearray(tarred(member("one", b"1"), member("two", b"2")))
    data[1024 + 5] ^= 0xFF
    assert read(bytes(data), tmp_path) == {"a/one": b"1", "a": "not read beyond a/one: damaged"}


def header(name: str, kind: bytes, size: int) -> bytes:
    info = tarfile.TarInfo(name)
    info.type, info.size = kind, size
    return info.tobuf(tarfile.GNU_FORMAT)


@pytest.mark.parametrize(
    "start",
    [
        header("x", b"x", 1 << 36),
        header("x", b"L", 1 << 36),
        (header("x", b"L", 512) + b"n" * 512) * 1000,
        header("x", b"x", 512) + b"999999 path=a\n".ljust(512, b"\0"),
        header("x", b"x", 512) + b"0 path=a\n".ljust(512, b"\0"),
        header("x", b"x", 512) + b"11 size=-1\n".ljust(512, b"\0") + header("a", b"0", 5),
        header("x", b"x", 512) + b"11 size=xy\n".ljust(512, b"\0") + header("a", b"0", 5),
    ],
)
def test_headers_made_to_exhaust_or_to_loop_are_damaged(start: bytes, tmp_path: Path) -> None:
    assert read(start + bytes(5000), tmp_path) == {"a": "damaged"}


def test_a_file_with_holes_whose_map_is_long_is_passed_over(tmp_path: Path) -> None:
    block = bytearray(header("holes", b"S", 512))
    block[482] = 1
    block[148:156] = b"%06o\0 " % (sum(block[:148]) + sum(block[156:]) + 8 * 32)
    maps = bytes(504) + b"\1" + bytes(7) + bytes(512)
    data = bytes(block) + maps + b"x" * 512 + tarred(member("next", b"text"))
    assert read(data, tmp_path) == {"a/holes": "a sparse file", "a/next": b"text"}


@settings(max_examples=150, deadline=None)
@given(data=st.data())
def test_no_damage_raises_or_leaves_a_file_that_is_not_told(
    data: st.DataObject, tmp_path_factory: pytest.TempPathFactory
) -> None:
    whole = SAMPLES[data.draw(st.integers(0, len(SAMPLES) - 1))]
    broken = bytearray(whole[: data.draw(st.integers(0, len(whole)))] if data.draw(st.booleans()) else whole)
    for place, value in data.draw(
        st.lists(st.tuples(st.integers(0, max(0, len(broken) - 1)), st.integers(0, 255)), max_size=4)
    ):
        broken[place : place + 1] = bytes([value])
    path = tmp_path_factory.mktemp("damage") / "a"
    path.write_bytes(broken)
    spool = Spool()
    try:
        found = unpack(str(path), "a", spool, PackLimits(member=1 << 20, total=1 << 21))
        names = [each.name for each in found]
        assert len(set(names)) == len(names) > 0
        kept = {each.path for each in found if not isinstance(each, Skipped)}
        folder = spool.new().parent
        assert {str(file) for file in folder.iterdir()} == kept
    finally:
        spool.discard()


SAMPLES = [
    *(pack(b"some text\n" * 50) for pack in PACK.values()),
    *(zipped(("a", b"some text" * 9), ("b/c", b"more"), method=method) for method in (0, 8, 12, 14)),
    *(tarred(member("a", b"text"), member("n" * 80 + "/" + "m" * 80, b"more"), form=form) for form in range(3)),
    gzip.compress(tarred(member("a", b"text"), member("b.gz", gzip.compress(b"more")))),
]


@settings(max_examples=60, deadline=None)
@given(
    members=st.lists(
        st.tuples(st.text(st.characters(codec="utf-8"), min_size=1, max_size=120), st.binary(min_size=1, max_size=3000)),
        min_size=1,
        max_size=6,
    )
)
def test_all_that_tarfile_and_zipfile_write_is_read(
    members: list[tuple[str, bytes]], tmp_path_factory: pytest.TempPathFactory
) -> None:
    members = [
        (f"f/{number}{name.replace(chr(0), '').replace('/', '')}", b"t" + data.replace(b"\0", b""))
        for number, (name, data) in enumerate(members)
    ]
    folder = tmp_path_factory.mktemp("law")
    expected = [data for _, data in members]
    for number, form in enumerate((tarfile.PAX_FORMAT, tarfile.GNU_FORMAT)):
        assert list(read(tarred(*(member(*each) for each in members), form=form), folder).values()) == expected, number
    for method in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_LZMA):
        assert list(read(zipped(*members, method=method), folder).values()) == expected


@settings(max_examples=60, deadline=None)
@given(st.sampled_from(list(PACK)), st.lists(st.binary(max_size=5000), min_size=1, max_size=4), st.integers(1, 5000))
def test_whatever_is_packed_comes_out_again_in_pieces_that_are_no_larger_than_asked(
    form: str, parts: list[bytes], size: int
) -> None:
    compression = is_packed(PACK[form](b""))
    assert compression is not None
    assert compression != "zip"
    assert compression != "tar"
    source = unpacked(compression, io.BytesIO(b"".join(map(PACK[form], parts))))
    pieces = list(itertools.takewhile(bool, (source.read(size) for _ in itertools.count())))
    assert b"".join(pieces) == b"".join(parts)
    assert all(len(piece) <= size for piece in pieces)
