"""What a process of ours gives up, and what it finds that it has given up."""

from __future__ import annotations

import errno
import os
import sys
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from . import landlock, seccomp
from .kernel import gave_up_privileges, give_up_privileges, kernel

if TYPE_CHECKING:
    from collections.abc import Mapping

    from .kernel import Kernel

PRIVILEGES, FILES, CALLS, LIMITS = "no new privileges", "files", "network and programs", "resource limits"
"""The measures, by name."""


@dataclass(frozen=True, slots=True)
class Reach:
    """What a process may still reach once it is confined."""

    readable: tuple[str, ...] | None
    """Files, and folders with all in them. None is every file that the user can read."""
    writable: tuple[str, ...] = ()
    """Folders in which it may make, change and remove."""
    emptied: tuple[str, ...] = ()
    """Folders in which it may remove empty folders."""
    limits: tuple[tuple[str, int], ...] = ()
    """Resource limits, by their names in `resource`."""


@dataclass(frozen=True, slots=True)
class Measure:
    """One measure of defence, as the process in question found it."""

    name: str
    on: bool
    why: str
    """What it keeps from the process, or why it is off. Short words for the user."""


def confine(reach: Reach) -> dict[str, str]:
    """Give up all else, for good; why not, for each measure that could not be had.

    To be called before there are further threads: files are given up by this one and those that it starts.
    """
    limit(reach.limits)
    system = kernel()
    if isinstance(system, str):
        return dict.fromkeys((PRIVILEGES, FILES, CALLS), system)
    missing = {
        PRIVILEGES: give_up_privileges(system),
        FILES: landlock.restrict(system, reach.readable, reach.writable, reach.emptied),
        CALLS: seccomp.refuse(system),
    }
    return {name: why for name, why in missing.items() if why is not None}


def measures(reach: Reach, missing: Mapping[str, str]) -> list[Measure]:
    """What holds, tried out by this process, which was confined to `reach`; `missing` is what that could not do."""
    system = kernel()
    held = {LIMITS: _limited(reach.limits), **dict.fromkeys((PRIVILEGES, FILES, CALLS), False)}
    if not isinstance(system, str):
        held |= {PRIVILEGES: gave_up_privileges(system), FILES: _files_refused(), CALLS: _calls_refused(system)}
    words = {
        PRIVILEGES: "no program can raise its rights",
        FILES: f"Landlock, ABI {'' if isinstance(system, str) else landlock.version(system)}: no file but its own",
        CALLS: "seccomp: no socket, no program, no new process, no look into another",
        LIMITS: ", ".join(name.removeprefix("RLIMIT_").lower() for name, _ in reach.limits),
    }
    return [Measure(name, on, words[name] if on else missing.get(name, _NOT_HELD)) for name, on in held.items()]


_NOT_HELD = "the system refused it"


def limit(limits: tuple[tuple[str, int], ...]) -> None:
    """Limits for good, where the system knows them."""
    if sys.platform == "win32":
        return
    import resource  # noqa: PLC0415 - not on Windows

    for name, value in limits:
        kind = getattr(resource, name)
        _, hard = resource.getrlimit(kind)
        least = value if hard == resource.RLIM_INFINITY else min(value, hard)
        with suppress(ValueError, OSError):  # macOS refuses some
            resource.setrlimit(kind, (least, least))


def _limited(limits: tuple[tuple[str, int], ...]) -> bool:
    if sys.platform == "win32":
        return False
    import resource  # noqa: PLC0415 - not on Windows

    held = [resource.getrlimit(getattr(resource, name))[0] for name, _ in limits]
    return all(soft != resource.RLIM_INFINITY and soft <= value for soft, (_, value) in zip(held, limits, strict=True))


def _files_refused() -> bool:
    """The root folder can be listed by anyone who is not confined."""
    try:
        os.close(os.open("/", os.O_RDONLY))
    except OSError as problem:
        return problem.errno == errno.EACCES
    return False


def _calls_refused(system: Kernel) -> bool:
    """A datagram socket, and a program at no address, which starts nothing even where it may."""
    for name, arguments in (("socket", (2, 2, 0)), ("execve", (None, None, None))):
        try:
            os.close(system.call(name, *arguments))
        except OSError as problem:
            if problem.errno == errno.EPERM:
                continue
        return False
    return True
