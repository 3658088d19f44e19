"""The documents of a run as a map."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llm_rlm.report.areas import HEIGHT, MOST, WIDTH, Area, areas, folder_of, tiles
from llm_rlm.runs.result import Share

_SIZES = st.lists(st.integers(1, 10**9), min_size=1, max_size=MOST)


def test_few_documents_are_shown_one_by_one_in_their_order() -> None:
    found = areas([Share("b/two.txt", 100, 60, 50, 80), Share("a.txt", 10, 0, 0, 0)])
    assert [area.name for area in found] == ["b/two.txt", "a.txt"]
    two, one = found
    assert (two.both, two.read, two.sent, two.touched) == (30, 30, 20, 80)
    assert (one.touched, one.untouched) == (0, 1)


def test_of_very_many_documents_folders_are_shown_and_none_is_lost() -> None:
    shares = [Share(f"big/{at % 20}/{at}.txt", 10, at % 2 * 10, 0, at % 2 * 10) for at in range(20_000)]
    shares += [Share("small/only.txt", 5, 5, 5, 5)]
    found = areas(shares)
    assert len(found) <= MOST
    assert {"big/3/", "small/only.txt"} <= {area.name for area in found}
    assert sum(area.documents for area in found) == len(shares)
    assert sum(area.size for area in found) == sum(share.size for share in shares)
    assert sum(area.untouched for area in found) == 10_000


def test_of_one_folder_with_very_many_documents_the_largest_are_shown_and_the_rest_together() -> None:
    found = areas(Share(f"flat/{at}.txt", at, 0, 0, 0) for at in range(1, 1001))
    names = {area.name for area in found}
    assert len(found) == MOST
    assert "flat/1000.txt" in names
    assert "flat/… 941 more" in names
    assert sum(area.documents for area in found) == 1000


@pytest.mark.parametrize(
    ("names", "folder"),
    [
        (["/a/b/c.txt", "/a/b/d/e.txt"], "/a/b/"),
        (["a.txt"], ""),
        (["ab/c", "ac/d"], ""),
        ([], ""),
        (["a/b/", "a/b/c/d"], "a/b/"),
    ],
)
def test_the_folder_that_all_names_begin_with_is_found(names: list[str], folder: str) -> None:
    assert folder_of(names) == folder


@given(_SIZES)
def test_tiles_are_as_large_as_their_documents_and_fill_the_map(sizes: list[int]) -> None:
    made = tiles([Area(str(at), size) for at, size in enumerate(sizes)])
    assert len(made) == len(sizes)
    for tile in made:
        assert tile.x >= -1e-6
        assert tile.y >= -1e-6
        assert tile.x + tile.width <= WIDTH + 1e-3
        assert tile.y + tile.height <= HEIGHT + 1e-3
        share = tile.area.size / sum(sizes)
        assert tile.width * tile.height == pytest.approx(share * WIDTH * HEIGHT, rel=1e-6, abs=1e-6)


def test_documents_without_a_byte_have_no_tile() -> None:
    assert tiles([Area("empty")]) == []
    assert [length for _, _, length in Area("empty").parts] == [0, 0, 0]
