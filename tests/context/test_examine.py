from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from llm_rlm.context import ChangedError, Document, document, examine

if TYPE_CHECKING:
    from pathlib import Path


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(content=st.binary(min_size=1) | st.text(min_size=1).map(lambda text: text.encode("utf-8", "replace")))
@example(content="x\ufffdy\ufffd".encode() + b"\xff")
def test_a_text_is_known_by_its_hash_and_what_is_not_utf8_is_counted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: bytes
) -> None:
    monkeypatch.setattr(document.Document.blocks, "__defaults__", (0, None, 3))
    path = tmp_path / "text"
    path.write_bytes(content)
    known = examine(Document("text", str(path), len(content)), lambda: False)
    assert known is not None
    replaced = content.decode("utf-8", "replace").count("\ufffd") - content.count("\ufffd".encode())
    assert (known.sha256, known.undecodable) == (hashlib.sha256(content).hexdigest(), replaced)


def test_nobody_waits_for_what_is_given_up(tmp_path: Path) -> None:
    (tmp_path / "text").write_bytes(b"text")
    assert examine(Document("text", str(tmp_path / "text"), 4), lambda: True) is None


def test_a_text_that_was_cut_or_removed_meanwhile_is_an_error_that_names_it(tmp_path: Path) -> None:
    path = tmp_path / "log"
    path.write_bytes(b"12345")
    with pytest.raises(ChangedError, match="var/log is shorter than it was when the run began: 5 bytes are gone"):
        examine(Document("var/log", str(path), 10), lambda: False)
    path.unlink()
    with pytest.raises(ChangedError, match="var/log was there when the run began and cannot be read now: No such file"):
        examine(Document("var/log", str(path), 5), lambda: False)
