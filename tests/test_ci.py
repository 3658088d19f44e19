"""What CI runs, as far as it can be looked at without it."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path
from typing import Any

import pytest

HERE = Path(__file__).parent.parent


@pytest.fixture(scope="module")
def audit() -> Any:
    """The script, which lies outside of the package."""
    spec = importlib.util.spec_from_file_location("audit", HERE / ".ci" / "audit.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def package(name: str, *advisories: str) -> dict[str, Any]:
    return {"name": name, "version": "1.0", "vulns": [{"id": each} for each in advisories]}


SKIPPED = {"name": "c", "skip_reason": "Dependency not found"}


def test_an_advisory_fails_and_is_named(audit: Any) -> None:
    code, text = audit.judge([package("a"), package("b", "CVE-1", "CVE-2"), SKIPPED])
    assert code == 1
    assert text.splitlines() == [
        "advisories: 2 in 2 packages; NOT CHECKED: 1 that the index does not tell of",
        "b 1.0: CVE-1",
        "b 1.0: CVE-2",
    ]


def test_no_advisory_passes(audit: Any) -> None:
    assert audit.judge([package("a"), package("b")]) == (0, "advisories: 0 in 2 packages")


def test_where_nothing_could_be_checked_that_is_said_and_is_no_failure(audit: Any) -> None:
    assert audit.judge([SKIPPED]) == (0, "advisories: NOT CHECKED: the index tells of none of the 1 packages")


def test_an_index_that_cannot_be_reached_is_no_failure_and_is_said(
    audit: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "uvx").write_text("#!/bin/sh\necho 'no route to host' >&2\nexit 1\n")
    (tmp_path / "uvx").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    assert audit.main("anywhere") == 0
    assert capsys.readouterr().out == "advisories: NOT CHECKED: no route to host\n"


def test_each_action_is_pinned_to_a_commit() -> None:
    used = [
        line.split("uses:")[1].split("#")[0].strip()
        for path in (HERE / ".github" / "workflows").glob("*.yml")
        for line in path.read_text().splitlines()
        if "uses:" in line
    ]
    assert used
    assert [each for each in used if not re.fullmatch(r"[\w./-]+@[0-9a-f]{40}", each)] == []
