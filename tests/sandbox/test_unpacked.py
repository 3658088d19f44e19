from __future__ import annotations

import os
import sys
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from llm_rlm import RLMToolbox
from llm_rlm.errors import SandboxError
from llm_rlm.sandbox import Offer, errand, unpacked
from scripts import scripted

if TYPE_CHECKING:
    from collections.abc import Mapping

    from .conftest import Make

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="owners and modes of POSIX")


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The user's cache folder."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache" / "llm-rlm"


class Unpacking:
    """Puts one file where it is told to, and counts."""

    def __init__(self) -> None:
        self.times = 0

    def __call__(self, variables: Mapping[str, str]) -> None:
        self.times += 1
        Path(variables["TMPDIR"], "file").write_text("unpacked")


def test_it_is_unpacked_once_into_a_folder_that_nobody_else_can_enter(cache: Path) -> None:
    unpack = Unpacking()
    made = unpacked.folder(unpack)
    assert unpacked.folder(unpack) == made
    assert (made / "file").read_text() == "unpacked"
    assert unpack.times == 1
    assert cache.stat().st_mode & 0o777 == 0o700
    assert os.listdir(cache) == [made.name]  # noqa: PTH208 - names


def test_many_at_once_have_one_folder(cache: Path) -> None:
    unpack, found = Unpacking(), []
    threads = [threading.Thread(target=lambda: found.append(unpacked.folder(unpack))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(found)) == 1
    assert unpack.times == 1
    assert len(list(cache.iterdir())) == 1


def test_what_another_process_has_unpacked_meanwhile_is_taken(cache: Path) -> None:
    def unpack(variables: Mapping[str, str]) -> None:
        made = cache / unpacked._name()
        made.mkdir()
        (made / "theirs").write_text("")
        Path(variables["TMPDIR"], "ours").write_text("")

    assert [path.name for path in unpacked.folder(unpack).iterdir()] == ["theirs"]
    assert len(list(cache.iterdir())) == 1


def test_a_failure_leaves_nothing(cache: Path) -> None:
    def fail(_: Mapping[str, str]) -> None:
        raise OSError

    with pytest.raises(OSError):  # noqa: PT011 - that very error
        unpacked.folder(fail)
    assert list(cache.iterdir()) == []


@pytest.mark.parametrize("mode", [0o777, 0o770])
def test_a_cache_folder_that_others_can_write_in_is_not_used(mode: int, cache: Path, temporary: Path) -> None:
    cache.mkdir(parents=True)
    cache.chmod(mode)
    assert unpacked.folder(Unpacking()).is_relative_to(temporary)
    assert list(cache.iterdir()) == []


def test_a_folder_that_somebody_else_has_made_beforehand_is_not_used(
    temporary: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", "/dev/null/none")
    theirs = tmp_path / "theirs"
    theirs.mkdir()
    (temporary / f"llm-rlm-{os.getuid()}").symlink_to(theirs)
    with pytest.raises(PermissionError, match="no folder for the sandbox's interpreter"):
        unpacked.folder(Unpacking())
    assert list(theirs.iterdir()) == []


def damage(made: Path) -> None:
    (made / "file").write_text("unpakced")


def test_what_a_guest_could_not_start_with_is_unpacked_again_if_it_is_damaged(cache: Path) -> None:
    unpack = Unpacking()
    made = unpacked.folder(unpack)
    damage(made)
    unpacked.forget()
    assert not made.exists()
    unpacked.folder(unpack)
    assert (made / "file").read_text() == "unpacked"
    assert unpack.times == 2
    assert made.parent == cache


def test_what_is_as_it_was_stays_and_others_can_start_with_it(cache: Path) -> None:
    made = unpacked.folder(Unpacking())
    unpacked.forget()
    assert list(cache.iterdir()) == [made]


@pytest.mark.parametrize("lost", ["file", unpacked._DIGEST])
def test_what_has_lost_a_file_is_damaged(cache: Path, lost: str) -> None:
    made = unpacked.folder(Unpacking())
    (made / lost).unlink()
    unpacked.forget()
    assert made not in cache.iterdir()


def test_other_versions_that_were_not_used_for_long_are_removed_when_one_is_made(cache: Path) -> None:
    long_ago = time.time() - 100 * 86_400
    made = unpacked.folder(Unpacking())
    old, used = cache / "pyeryx-0.9.0", cache / "pyeryx-0.10.0"
    for path in (old, used):
        path.mkdir()
    os.utime(old, (long_ago, long_ago))
    unpacked.folder(Unpacking())
    assert old.exists()
    damage(made)
    unpacked.forget()
    unpacked.folder(Unpacking())
    (aside,) = cache.glob(".old-*")
    assert set(cache.iterdir()) == {made, used, aside}


def test_what_was_put_aside_a_day_ago_is_removed_when_one_is_made(cache: Path) -> None:
    damage(unpacked.folder(Unpacking()))
    unpacked.forget()
    (aside,) = cache.iterdir()
    os.utime(aside, (0, 0))
    made = unpacked.folder(Unpacking())
    assert list(cache.iterdir()) == [made]


def test_a_version_is_in_use_while_workers_are_started_with_it(cache: Path) -> None:
    made = unpacked.folder(Unpacking())
    os.utime(made, (0, 0))
    unpacked.folder(Unpacking())
    assert made.stat().st_mtime > time.time() - 3600
    assert list(cache.iterdir()) == [made]


def test_a_session_runs_on_what_its_own_user_has_unpacked(cache: Path, make: Make) -> None:
    session = make(Offer())
    assert session.run("import wave\nwave.__name__").output == "'wave'\n"
    assert list(cache.rglob("*.cwasm"))
    assert errand.environment({}) == {}


def test_a_run_whose_sandbox_cannot_be_unpacked_says_so_and_leaves_nothing(
    cache: Path, temporary: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(errand, "_MAIN", "raise SystemExit('the disk is full')")
    problem = "the sandbox cannot be started: the sandbox's process could not unpack: the disk is full"
    with pytest.raises(SandboxError, match=problem), RLMToolbox(context="text", sub_model=scripted("done")) as toolbox:
        toolbox.execute_python("1")
    assert list(cache.iterdir()) == list(temporary.iterdir()) == []
