from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from llm_rlm.context import Document
from llm_rlm.context.width import fits

if TYPE_CHECKING:
    from pathlib import Path


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
    path.write_bytes(content + b"\xf0 not part of it")
    document = Document("a.txt", str(path), len(content))
    for most, whether in ((len(content) * width, True), (len(content) * width - 1, False)):
        monkeypatch.setattr("llm_rlm.context.width.MOST_IN_SANDBOX", most)
        assert fits(document) is whether
