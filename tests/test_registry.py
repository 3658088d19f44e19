"""Which models have a drop-in: the file that says it."""

from __future__ import annotations

import stat
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from llm_rlm import UsageError, registry

if TYPE_CHECKING:
    from pathlib import Path


def test_what_is_added_is_there_and_what_is_removed_is_gone() -> None:
    registry.add("a", registry.Entry())
    registry.add("b", registry.Entry("small"))
    registry.add("a", registry.Entry("other"))
    assert registry.entries() == {"a": registry.Entry("other"), "b": registry.Entry("small")}
    registry.remove("rlm/a")
    assert list(registry.entries()) == ["b"]


def test_removing_what_is_not_there_says_what_is() -> None:
    registry.add("a", registry.Entry())
    with pytest.raises(UsageError, match="there is no drop-in model rlm/b; there are: rlm/a"):
        registry.remove("b")


@pytest.mark.parametrize("broken", ["{", "[]", '{"a": 1}', '{"a": {"unknown": 1}}', "\udcff"])
def test_a_file_that_is_broken_is_named_with_the_cure(user_path: Path, broken: str) -> None:
    (user_path / "rlm-models.json").write_bytes(broken.encode("utf-8", "surrogateescape"))
    with pytest.raises(UsageError, match=r"rlm-models\.json"):
        registry.entries()


def test_a_broken_file_does_not_keep_llm_from_working(user_path: Path) -> None:
    (user_path / "rlm-models.json").write_text("{")
    done = subprocess.run([sys.executable, "-m", "llm", "models"], capture_output=True, text=True, check=False)
    assert done.returncode == 0
    assert "rlm-models.json" in done.stderr


def test_the_file_is_replaced_whole(user_path: Path) -> None:
    registry.add("a", registry.Entry())
    assert [path.name for path in user_path.iterdir()] == ["rlm-models.json"]
    assert stat.S_ISREG((user_path / "rlm-models.json").stat().st_mode)
