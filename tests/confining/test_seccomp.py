from __future__ import annotations

import errno
import struct
from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llm_rlm.confining import seccomp
from llm_rlm.confining.kernel import MACHINES, Machine

ALLOWED, REFUSED, ABSENT = 0x7FFF0000, 0x00050000 | errno.EPERM, 0x00050000 | errno.ENOSYS
THREAD, STREAM, DATAGRAM = 0x10000, 1, 2

machines = pytest.mark.parametrize("name", MACHINES)


def decided(machine: Machine, number: int, first: int = 0, second: int = 0, audit: int | None = None) -> int:
    """What the filter says of a call: classic BPF, run as the kernel runs it."""
    data = struct.pack("=iIQQQQQQQ", number, machine.audit if audit is None else audit, 0, first, second, 0, 0, 0, 0)
    steps = list(struct.iter_unpack("=HBBI", seccomp.program(machine)))
    at, held = 0, 0
    while True:
        code, yes, no, value = steps[at]
        at += 1
        match code:
            case 0x20:
                (held,) = struct.unpack_from("=I", data, value)
            case 0x54:
                held &= value
            case 0x15:
                at += yes if held == value else no
            case 0x35:
                at += yes if held >= value else no
            case 0x45:
                at += yes if held & value else no
            case 0x06:
                return int(value)
            case _:
                pytest.fail(f"an instruction of no kind that is used: {code}")


@machines
def test_each_call_of_the_list_is_refused(name: str) -> None:
    machine = MACHINES[name]
    known = [each for each in seccomp.REFUSED if each in machine.numbers]
    assert set(seccomp.REFUSED) - set(known) <= {"fork", "vfork"}  # which not every processor has
    assert {"socket", "connect", "execve", "execveat", "ptrace", "io_uring_setup"} <= set(known)
    assert {decided(machine, machine.numbers[each]) for each in known} == {REFUSED}


@given(st.sampled_from(sorted(MACHINES)), st.integers(0, 0x3FFFFFFF))
def test_a_call_that_is_not_named_is_allowed(name: str, number: int) -> None:
    machine = MACHINES[name]
    named = {machine.numbers[each] for each in (*seccomp.REFUSED, "clone", "clone3", "socketpair") if each in machine.numbers}
    if number not in named:
        assert decided(machine, number) == ALLOWED


@given(st.sampled_from(sorted(MACHINES)), st.integers(0x40000000, 0x7FFFFFFF))
def test_numbers_of_the_other_table_of_the_processor_are_refused(name: str, number: int) -> None:
    assert decided(MACHINES[name], number) == REFUSED


@machines
def test_calls_of_another_processor_are_refused(name: str) -> None:
    assert decided(MACHINES[name], 0, audit=0x40000003) == REFUSED


@machines
@pytest.mark.parametrize(("flags", "decision"), [(0, REFUSED), (0x11, REFUSED), (THREAD, ALLOWED), (0x3D0F00, ALLOWED)])
def test_a_thread_can_be_started_and_a_process_cannot(name: str, flags: int, decision: int) -> None:
    machine = MACHINES[name]
    assert decided(machine, machine.numbers["clone"], flags) == decision
    assert decided(machine, machine.numbers["clone3"], flags) == ABSENT


@machines
@pytest.mark.parametrize(
    ("kind", "decision"), [(STREAM, ALLOWED), (STREAM | 0x80800, ALLOWED), (DATAGRAM, REFUSED), (5, REFUSED)]
)
def test_a_pair_of_sockets_is_of_streams(name: str, kind: int, decision: int) -> None:
    machine = MACHINES[name]
    assert decided(machine, machine.numbers["socketpair"], 1, kind) == decision


@dataclass
class Refusing:
    """A kernel that takes no filter."""

    error: int
    machine: Machine = MACHINES["aarch64"]

    def call(self, name: str, *_: object) -> int:
        raise OSError(self.error, f"{name} refused")


@pytest.mark.parametrize(("error", "why"), [(errno.ENOSYS, "the kernel has no seccomp"), (errno.EACCES, "seccomp refused")])
def test_a_kernel_that_refuses_is_no_error_and_the_reason_is_told(error: int, why: str) -> None:
    assert seccomp.refuse(Refusing(error)) == why
