"""The context: from a file, a stream or a value to a file that the sandbox can be given."""

from __future__ import annotations

import hashlib
import io
import json
import os
import threading
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llm_rlm.context import from_file, from_stream, from_value, no_context, source
from llm_rlm.errors import UsageError

if TYPE_CHECKING:
    from pathlib import Path

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4),
    max_leaves=20,
)


def test_a_file_is_read_where_it_is(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_text("text")
    context = from_file(path)
    assert (context.name, context.type, context.size, context.path, context.temporary) == ("a.txt", "str", 4, path, False)
    assert context.digest() == hashlib.sha256(b"text").hexdigest()
    context.discard()
    assert path.exists()


def test_a_stream_is_kept_in_a_temporary_file_until_it_is_discarded(temporary: Path) -> None:
    context = from_stream(io.BytesIO(b"a\r\nb"))
    assert context.path is not None
    assert context.path.read_bytes() == b"a\r\nb"
    assert context.path.stat().st_mode & 0o077 == 0
    context.discard()
    assert list(temporary.iterdir()) == []


@given(JSON.filter(lambda value: value is not None and not isinstance(value, str)))
def test_a_json_value_is_written_as_what_it_is(value: object) -> None:
    context = from_value(value)
    assert context.path is not None
    try:
        assert json.loads(context.path.read_bytes()) == json.loads(json.dumps(value).encode("utf-8", "replace"))
        assert context.type == type(value).__name__
    finally:
        context.discard()


@given(st.text(st.characters(exclude_categories=["Cs"])))
def test_a_text_is_written_as_it_is(text: str) -> None:
    context = from_value(text)
    assert context.path is not None
    try:
        assert context.path.read_bytes().decode() == text
    finally:
        context.discard()


def test_none_is_no_context() -> None:
    assert from_value(None) == no_context()
    assert no_context().digest() is None


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("missing", "there is no such file"),
        ("folder", "is a directory: give one file"),
        ("binary", "is a binary file: give text"),
        ("empty", "is empty: there is nothing to ask about"),
        ("file/inside", "cannot be read: Not a directory"),
    ],
)
def test_a_file_that_cannot_be_used_is_refused_by_name(tmp_path: Path, name: str, says: str) -> None:
    (tmp_path / "folder").mkdir()
    for file, content in (("binary", b"a\0b"), ("empty", b""), ("file", b"x")):
        (tmp_path / file).write_bytes(content)
    with pytest.raises(UsageError, match=f"{name} {says}|{name}: {says}"):
        from_file(tmp_path / name)


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may read everything")
def test_a_file_without_permission_is_refused_by_name(tmp_path: Path) -> None:
    path = tmp_path / "closed"
    path.write_text("x")
    path.chmod(0)
    with pytest.raises(UsageError, match="closed cannot be read: Permission denied"):
        from_file(path)


@pytest.mark.parametrize(("content", "says"), [(b"", "stream is empty"), (b"\0", "stream is a binary file")])
def test_a_stream_that_cannot_be_used_leaves_nothing_behind(temporary: Path, content: bytes, says: str) -> None:
    with pytest.raises(UsageError, match=says):
        from_stream(io.BytesIO(content))
    assert list(temporary.iterdir()) == []


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")
def test_a_named_pipe_is_read_as_a_stream(tmp_path: Path) -> None:
    path = tmp_path / "pipe"
    os.mkfifo(path)
    writer = threading.Thread(target=path.write_bytes, args=(b"through",))
    writer.start()
    context = from_file(path)
    writer.join()
    assert context.path is not None
    assert context.path.read_bytes() == b"through"
    context.discard()


@pytest.mark.parametrize(
    ("content", "width"),
    [
        (b"plain", 1),
        ("caf\u00e9".encode(), 1),
        ("\u20ac".encode(), 2),
        ("\U0001f600".encode(), 4),
        (b"\xff\xfe broken", 2),
    ],
)
def test_the_widest_character_decides_what_fits(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: bytes, width: int
) -> None:
    path = tmp_path / "a.txt"
    path.write_bytes(content)
    monkeypatch.setattr(source, "MOST_IN_SANDBOX", len(content) * width)
    assert from_file(path).size == len(content)
    monkeypatch.setattr(source, "MOST_IN_SANDBOX", len(content) * width - 1)
    with pytest.raises(UsageError, match=f"a.txt is too large: {len(content)} bytes with characters of {width} byte"):
        from_file(path)


def test_a_value_too_large_for_the_sandbox_leaves_nothing_behind(temporary: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(source, "MOST_IN_SANDBOX", 3)
    with pytest.raises(UsageError, match="too large"):
        from_value("four")
    assert list(temporary.iterdir()) == []
