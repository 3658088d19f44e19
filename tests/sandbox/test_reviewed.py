"""The sandbox rests on wasmtime, which pyeryx embeds: a version that nobody has looked at is found out here."""

from __future__ import annotations

import json
import re
from importlib import metadata
from pathlib import Path

import pytest

DOCS = Path(__file__).parents[2] / "docs" / "sandbox.md"


def embedded() -> dict[str, str]:
    """The version of each crate that pyeryx was built of, by its own bill of materials."""
    files = metadata.files("pyeryx") or []
    bills = [each for each in files if each.name.endswith(".cyclonedx.json")]
    assert bills, "pyeryx names no longer what it was built of: find out otherwise, and mend this test"
    return {each["name"]: each["version"] for bill in bills for each in json.loads(bill.read_text())["components"]}


def reviewed() -> tuple[str, str]:
    """From which version of wasmtime to which, as the documentation says."""
    found = re.search(r"wasmtime (\d+\.\d+\.\d+) to (\d+\.\d+\.\d+) was reviewed", DOCS.read_text())
    assert found is not None
    return found[1], found[2]


def numbers(version: str) -> list[int]:
    return [int(each) for each in version.split(".")]


@pytest.mark.parametrize("crate", ["wasmtime", "wasmtime-wasi"])
def test_the_embedded_wasmtime_is_one_that_was_reviewed(crate: str) -> None:
    first, last = reviewed()
    assert numbers(first) <= numbers(embedded()[crate]) <= numbers(last), "read its advisories, then docs/sandbox.md"


def test_the_bill_of_materials_says_what_is_in_the_library() -> None:
    (library,) = (
        each for each in metadata.files("pyeryx") or [] if each.name.startswith("_eryx") and each.suffix in {".so", ".pyd"}
    )
    content = Path(str(library.locate())).read_bytes()
    assert {each.decode() for each in re.findall(rb"wasmtime-(\d+\.\d+\.\d+)", content)} == {embedded()["wasmtime"]}
