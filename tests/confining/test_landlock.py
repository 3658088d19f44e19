from __future__ import annotations

import errno
import os
import struct
import sys
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import pytest

from llm_rlm.confining import landlock
from llm_rlm.confining.kernel import MACHINES, Machine

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="opens files as only Linux can")

_READ_AND_LIST = 0b1100


@dataclass
class Answering:
    """A kernel of some ABI, which writes down what it is asked. `fails` are the calls that it refuses, by what error."""

    abi: int = 7
    fails: dict[str, int] = field(default_factory=dict)
    machine: Machine = MACHINES["x86_64"]
    asked: list[tuple[str, tuple[object, ...]]] = field(default_factory=list)

    def call(self, name: str, *arguments: object) -> int:
        self.asked.append((name, arguments))
        if name in self.fails:
            raise OSError(self.fails[name], os.strerror(self.fails[name]))
        if name != "landlock_create_ruleset":
            return 0
        return self.abi if arguments[0] is None else os.open(os.devnull, os.O_RDONLY)

    @property
    def ruleset(self) -> tuple[int, ...]:
        """The fields that the ruleset was made with."""
        given = next(asked[0] for name, asked in self.asked if name == "landlock_create_ruleset" and asked[0] is not None)
        assert isinstance(given, bytes)
        return struct.unpack(f"={len(given) // 8}Q", given)

    @property
    def rules(self) -> list[int]:
        """The rights of each rule."""
        rules = [asked[2] for name, asked in self.asked if name == "landlock_add_rule"]
        return [struct.unpack("=Qi", rule)[0] for rule in rules if isinstance(rule, bytes)]


@pytest.mark.parametrize(
    ("abi", "highest", "more"),
    [
        (1, 12, ()),
        (2, 13, ()),
        (3, 14, ()),
        (4, 14, (3,)),
        (5, 15, (3,)),
        (6, 15, (3, 3)),
        (7, 15, (3, 3)),
        (99, 15, (3, 3)),
    ],
)
def test_each_abi_is_asked_for_what_it_knows_and_no_more(abi: int, highest: int, more: tuple[int, ...]) -> None:
    kernel = Answering(abi)
    assert landlock.restrict(kernel, (), ()) is None
    files, *rest = kernel.ruleset
    assert files == (1 << highest + 1) - 1
    assert tuple(rest) == more
    assert kernel.asked[-1][0] == "landlock_restrict_self"


@pytest.mark.parametrize("abi", [1, 7])
def test_a_rule_gives_no_right_that_the_ruleset_does_not_handle(abi: int, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    kernel = Answering(abi)
    landlock.restrict(kernel, (str(tmp_path), str(tmp_path / "file")), (str(tmp_path), os.devnull), (str(tmp_path),))
    assert len(kernel.rules) == 5
    assert not any(rights & ~kernel.ruleset[0] for rights in kernel.rules)


def test_what_is_readable_can_be_read_and_not_written_and_nothing_can_be_executed(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    kernel = Answering()
    landlock.restrict(kernel, (str(tmp_path), str(tmp_path / "file")), (str(tmp_path),))
    folder, file, writable = kernel.rules
    assert (folder, file) == (_READ_AND_LIST, 0b100)
    assert not writable & 1
    assert kernel.ruleset[0] & 1


def test_where_all_may_be_read_reading_is_not_handled() -> None:
    kernel = Answering()
    landlock.restrict(kernel, None, ())
    assert not kernel.ruleset[0] & _READ_AND_LIST


def test_a_path_that_is_not_there_gets_no_rule(tmp_path: Path) -> None:
    kernel = Answering()
    assert landlock.restrict(kernel, ("", str(tmp_path / "none")), ()) is None
    assert kernel.rules == []


@pytest.mark.parametrize(
    ("call", "error", "why"),
    [
        ("landlock_create_ruleset", errno.ENOSYS, "the kernel has no Landlock"),
        ("landlock_create_ruleset", errno.EOPNOTSUPP, "Landlock is switched off in the kernel"),
        ("landlock_create_ruleset", errno.EPERM, "Operation not permitted"),
        ("landlock_restrict_self", errno.E2BIG, "Argument list too long"),
    ],
)
def test_a_kernel_that_refuses_is_no_error_and_the_reason_is_told(call: str, error: int, why: str) -> None:
    assert landlock.restrict(Answering(fails={call: error}), (), ()) == why


def test_no_descriptor_stays_open(tmp_path: Path) -> None:
    before = len(os.listdir("/proc/self/fd")) if os.path.isdir("/proc/self/fd") else 0  # noqa: PTH112, PTH208 - counts them
    for fails in ({}, {"landlock_restrict_self": errno.E2BIG}, {"landlock_add_rule": errno.EINVAL}):
        landlock.restrict(Answering(fails=fails), (str(tmp_path),), ())
    after = len(os.listdir("/proc/self/fd")) if before else 0  # noqa: PTH208 - as above
    assert after == before
