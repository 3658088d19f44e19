"""Hostile files and names, through the command: nothing leaves its folder, and a terminal is shown nothing that acts on it."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import os
import sys
import tarfile
import unicodedata
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from click.testing import CliRunner
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from llm.cli import cli

from llm_rlm.testing import say

if TYPE_CHECKING:
    from conftest import Serve

_SECRET = "CANARY-" + "5e11f00d"
_NAMES = st.text(st.characters(exclude_characters="\0", codec="utf-8"), min_size=1, max_size=12) | st.sampled_from(
    [
        "../../up.txt",
        "/etc/passwd",
        "C:\\x.txt",
        "..",
        "a/../../b",
        "\x1b]0;title\x07.txt",
        "\u202etxt.exe",
        "--help",
        "-",
        "<b>&.txt",
    ]
)
_BODIES = st.sampled_from(
    [b"text\n", b"\x1b[2J", b"\0binary", b"<script>1</script>", b"PK\3\4", gzip.compress(b"0" * 999_999), b""]
)
_MEMBERS = st.lists(st.tuples(_NAMES, _BODIES), max_size=4)


@pytest.fixture(autouse=True)
def model(serve: Serve) -> None:
    """A model, which is asked nothing."""
    serve(say("never"))


def _shown(*arguments: str) -> str:
    result = CliRunner().invoke(cli, ["rlm", "--dry-run", "-m", "chat", *arguments])
    assert result.exit_code in {0, 1, 2}
    assert result.exception is None or isinstance(result.exception, SystemExit)
    shown = result.stdout + result.stderr
    assert {unicodedata.category(each) for each in shown if each != "\n"}.isdisjoint({"Cc", "Cf", "Cs", "Cn", "Zl", "Zp"})
    return shown


def _zipped(members: list[tuple[str, bytes]]) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for name, body in dict(members).items():
            archive.writestr(name, body)
    return file.getvalue()


def _tarred(members: list[tuple[str, bytes]], kind: bytes) -> bytes:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w") as archive:
        for name, body in members:
            member = tarfile.TarInfo(name)
            member.type, member.linkname, member.size = kind, "/etc/hostname", len(body) if kind == tarfile.REGTYPE else 0
            archive.addfile(member, io.BytesIO(body))
    return file.getvalue()


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    members=_MEMBERS,
    kind=st.sampled_from(
        [tarfile.REGTYPE, tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.FIFOTYPE, tarfile.DIRTYPE]
    ),
    packed=st.sampled_from([bytes, gzip.compress, bz2.compress, lzma.compress]),
    cut=st.integers(0, 40),
    is_zip=st.booleans(),
)
def test_an_archive_of_anything_is_listed_or_refused_in_plain_text(
    tmp_path_factory: pytest.TempPathFactory,
    members: list[tuple[str, bytes]],
    kind: bytes,
    packed: object,
    cut: int,
    is_zip: bool,
) -> None:
    assert callable(packed)
    data = packed(_zipped(members) if is_zip else _tarred(members, kind))
    path = tmp_path_factory.mktemp("archive") / "a"
    path.write_bytes(data[: len(data) - cut])
    assert Path("/etc/hostname").read_text().strip() + "\n" not in _shown("-c", str(path)).splitlines(keepends=True)
    assert [each.name for each in path.parent.iterdir()] == ["a"]


@pytest.mark.skipif(sys.platform == "win32", reason="such names and files cannot be made there")
def test_a_folder_of_traps_is_listed_and_nothing_outside_it_is_read(tmp_path: Path) -> None:
    (tmp_path / "outside.txt").write_text(_SECRET)
    folder = tmp_path / "in"
    folder.mkdir()
    for name in (
        "\x1b[31mred.txt",
        "\u202etxt.exe",
        "\x9b2J",
        "new\nline.txt",
        "fine.txt",
        "<img src=x>.txt",
        "$(touch PWNED).txt",
    ):
        (folder / name).write_text("text")
    (folder / "link.txt").symlink_to(tmp_path / "outside.txt")
    (folder / "up").symlink_to("..")
    (folder / "zero").symlink_to("/dev/zero")
    os.mkfifo(folder / "fifo")
    shown = _shown("-c", str(folder))
    assert shown.count("skipped") >= 4
    assert "fine.txt" in shown
    assert _SECRET not in shown
    assert sorted(path.name for path in tmp_path.iterdir() if path.name != "user") == ["in", "outside.txt"]


@pytest.mark.parametrize("device", ["/dev/zero", "/dev/random", "/proc/self/mem"])
def test_a_device_that_is_named_is_refused_and_not_read(device: str) -> None:
    if not Path(device).exists():
        pytest.skip(f"there is no {device} here")
    assert "Error" in _shown("-c", device) or "skipped" in _shown("-c", device)
