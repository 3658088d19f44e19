"""Modules of the guest, compiled and packed; that a guest runs them is tested in a real one."""

from __future__ import annotations

import sys

import pytest

from llm_rlm.sandbox.guest import boot

SOURCES = {name: f"def said():\n    return {name!r}\n" for name in boot.ORDER}


def test_what_is_packed_is_unpacked_as_it_was() -> None:
    codes = boot.compiled(SOURCES)
    assert boot.unpacked(boot.pack(codes)) == codes


def test_a_module_keeps_its_name_for_tracebacks() -> None:
    codes = boot.unpacked(boot.pack(boot.compiled(SOURCES)))
    assert {name: code.co_filename for name, code in codes.items()} == {name: f"<rlm {name}>" for name in boot.ORDER}


def test_what_another_python_has_packed_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    packed = boot.pack(boot.compiled(SOURCES))
    monkeypatch.setattr(sys, "version", "4.0")
    with pytest.raises(RuntimeError, match="compiled by another Python: 3"):
        boot.unpacked(packed)
