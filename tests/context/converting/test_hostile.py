from __future__ import annotations

import contextlib
import resource
import socket
import tempfile
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, get_args

import psutil
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from llm_rlm.context.confined import Bounds
from llm_rlm.context.converting import convert as module
from llm_rlm.context.converting.convert import Converter, Job, Kind, kind_of, may_be
from llm_rlm.context.document import Document, Skipped, Spool
from llm_rlm.context.marks import is_marked, marks

from .hostile import FORGED, Lures, good, hostile

if TYPE_CHECKING:
    from collections.abc import Iterator

_KINDS: tuple[Kind, ...] = get_args(Kind.__value__)
_SECRET = "the-secret-of-the-canary"
_SECONDS = 20.0
_MOST_GROWTH = 300 << 20
_COUNTED = {"pdf": "page", "pptx": "slide", "mbox": "message"}
_NAMED = {"xlsx": "sheet", "xls": "sheet", "epub": "part"}


@dataclass(frozen=True, slots=True)
class Place:
    """Where hostile files are converted, and what is watched meanwhile."""

    converter: Converter
    folder: Path
    temporary: Path
    elsewhere: Path
    lures: Lures
    server: socket.socket


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    root = tmp_path_factory.mktemp("hostile")
    for name in ("folder", "temporary", "elsewhere", "canary"):
        (root / name).mkdir()
    canary = root / "canary" / "secret.txt"
    canary.write_text(_SECRET)
    spool = Spool()
    with pytest.MonkeyPatch.context() as patch, closing(socket.create_server(("127.0.0.1", 0))) as server:
        server.setblocking(False)
        patch.setenv("TMPDIR", str(root / "temporary"))
        patch.setattr(tempfile, "tempdir", None)
        patch.setattr(module, "MOST_OUTPUT", 8 << 20)
        bounds = Bounds(memory=2 << 30, seconds=_SECONDS, cpu_seconds=_SECONDS, written=1 << 30)
        with Converter(None, spool, bounds) as converter:
            lures = Lures(canary.as_uri(), f"http://127.0.0.1:{server.getsockname()[1]}/x")
            yield Place(converter, root / "folder", root / "temporary", root / "elsewhere", lures, server)
    spool.discard()


@pytest.mark.parametrize("kind", _KINDS)
@settings(
    max_examples=4, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.large_base_example]
)
@given(data=st.data())
def test_a_hostile_document_is_text_or_skipped_and_harms_nothing(place: Place, kind: Kind, data: st.DataObject) -> None:
    check(place, kind, data.draw(hostile(kind, place.lures)))


def check(place: Place, kind: Kind, data: bytes) -> Document | Skipped:
    path = place.folder / f"a.{kind}"
    path.write_bytes(data)
    process = psutil.Process()
    before, peak = process.memory_info().rss, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss << 10
    with contextlib.chdir(place.elsewhere):
        assert kind_of(str(path), data[:8192]) in {*_KINDS, None}
        may_be(path.name, data[:8192])
        result = place.converter.convert(Job(str(path), path.name, kind))
        if isinstance(result, Document):
            _check_text(result, kind)
        else:
            _check_reason(result, place)
        path.write_bytes(good(kind))
        after = place.converter.convert(Job(str(path), path.name, kind))
        assert isinstance(after, Document)
        assert b"good text" in after.read()
    assert process.memory_info().rss - before < _MOST_GROWTH
    assert (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss << 10) - peak < _MOST_GROWTH
    with pytest.raises(BlockingIOError):
        place.server.accept()
    assert list(place.folder.iterdir()) == [path]
    path.unlink()
    assert list(place.elsewhere.iterdir()) == []
    _check_temporary(place.temporary)
    for document in (result, after):
        if isinstance(document, Document):
            _remove(Path(document.path))
    return result


def _check_text(document: Document, kind: Kind) -> None:
    data = document.read()
    assert len(data) == document.size == Path(document.path).stat().st_size
    assert b"".join(document.blocks(size=1000)) == data
    assert is_marked(document)
    text = data.decode()
    assert text.endswith("\n")
    assert not [c for c in set(text) if c < " " and c not in "\n\t"]
    assert _SECRET not in text
    places = [place for _, place in marks(document.blocks())]
    if kind in _COUNTED:
        assert places == [f"{_COUNTED[kind]} {number}" for number in range(1, len(places) + 1)]
    elif kind in _NAMED:
        assert all(place.startswith(f"{_NAMED[kind]} ") and FORGED not in place for place in places)
    else:
        assert places == []


def _check_reason(skipped: Skipped, place: Place) -> None:
    assert skipped.reason.isprintable()
    assert 0 < len(skipped.reason) < 100
    assert "/" not in skipped.reason
    assert str(place.folder) not in skipped.reason


def _check_temporary(folder: Path) -> None:
    """Beside what was converted, only the converter's own folder is there, and nothing in it."""
    for each in folder.iterdir():
        if each.name.startswith("llm-rlm-confined-"):
            assert list(each.iterdir()) == []
        else:
            files = [path for path in each.rglob("*") if path.is_file()]
            assert all(path.suffix in {".md", ".json"} or path.name.startswith(".") for path in files), files


def _remove(path: Path) -> None:
    path.unlink()
    path.with_suffix(".json").unlink()
    path.parent.rmdir()
