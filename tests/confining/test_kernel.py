from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest

from llm_rlm.confining import kernel

HEADERS = {"x86_64": "/usr/include/x86_64-linux-gnu/asm/unistd_64.h", "aarch64": "/usr/include/asm-generic/unistd.h"}


@pytest.mark.parametrize("name", HEADERS)
def test_the_numbers_of_the_calls_are_those_of_the_headers_of_the_kernel(name: str) -> None:
    header = Path(HEADERS[name])
    if not header.exists():
        pytest.skip("the headers of the kernel are not installed")
    there = dict(re.findall(r"#define __NR_(\w+)\s+(\d+)", header.read_text()))
    numbers = kernel.MACHINES[name].numbers
    assert {each: int(there[each]) for each in numbers} == numbers


@pytest.mark.parametrize("name", kernel.MACHINES)
def test_no_two_calls_have_one_number(name: str) -> None:
    numbers = kernel.MACHINES[name].numbers
    assert len(set(numbers.values())) == len(numbers)


@pytest.mark.parametrize("platform", ["darwin", "win32", "freebsd14"])
def test_another_system_has_no_such_kernel(platform: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", platform)
    assert kernel.kernel() == "Linux only"


@pytest.mark.skipif(sys.platform != "linux", reason="asks for the processor as Linux names it")
def test_a_processor_whose_calls_are_not_known_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kernel, "MACHINES", {})
    assert "not written for" in str(kernel.kernel())
