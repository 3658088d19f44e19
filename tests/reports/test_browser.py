"""Reports in a real browser: what they show, that they work, and that nothing of a run's texts runs, loads or links."""

from __future__ import annotations

import json
import re
from contextlib import ExitStack
from typing import TYPE_CHECKING

import pytest

from llm_rlm.errors import amount
from llm_rlm.report import write
from reports.chromium import COMMAND, browser
from reports.plays import hostile_run, long_run

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from reports.chromium import Page

pytestmark = pytest.mark.skipif(COMMAND is None, reason="there is no Chromium: install it, or name it in CHROMIUM")

WIDTHS = (360, 800, 1440)
READY = "'ready' in document.documentElement.dataset"


@pytest.fixture(scope="module")
def chromium(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[], Page]]:
    """One browser for all tests here; each has pages of its own."""
    with ExitStack() as stack:
        yield stack.enter_context(browser(tmp_path_factory.mktemp("chromium")))


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The report of a run, made once."""
    folder = tmp_path_factory.mktemp("told")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LLM_USER_PATH", str(folder))
        long_run(folder)
        return write("last", folder / "run.html")


def search(page: Page, wanted: str) -> str:
    """Search as a person does; what the page says of it."""
    page.press("/")
    page.ask("Input.insertText", text=wanted)
    assert page.becomes(f"document.querySelector('#found').textContent.endsWith({json.dumps(f' with “{wanted}”')})")
    return str(page.run("document.querySelector('#found').textContent"))


def use(page: Page) -> None:
    """Open and touch all there is: each part, the dialog of each call, the search, the timeline."""
    assert page.run(READY)
    page.run("document.querySelectorAll('details').forEach((each) => { each.open = true; })")
    for number in range(page.run("document.querySelectorAll('.row').length")):
        page.run(f"document.querySelectorAll('.row')[{number}].click()")
        assert page.run("document.querySelector('#call').open")
    page.press("Escape")
    assert page.becomes("!document.querySelector('dialog[open]') && document.activeElement.className === 'list'")
    page.press("t")
    for key in ("ArrowRight", "ArrowDown", "ArrowDown", "+", "0"):
        page.press(key)
    assert page.run("document.querySelector('#at').textContent")


@pytest.mark.parametrize("make", [long_run, hostile_run])
def test_nothing_is_loaded_run_or_forbidden_and_nothing_is_wider_than_the_screen(
    chromium: Callable[[], Page], tmp_path: Path, make: Callable[[Path], object]
) -> None:
    make(tmp_path)
    path = write("last", tmp_path / "run.html")
    for width in WIDTHS:
        page = chromium()
        page.open(path, width, dark=width == 800)
        use(page)
        assert page.requests == [path.resolve().as_uri()]
        assert page.complaints == []
        assert page.run("window.hit === undefined && location.href === document.URL && document.scripts.length > 1")
        assert page.run("document.documentElement.scrollWidth <= innerWidth"), width
        assert page.run("[...document.links].every((link) => link.getAttribute('href').startsWith('#'))")
        assert (
            page.run("document.querySelectorAll('img, iframe, object, embed, base, form[action], [onclick], [onerror]').length")
            == 0
        )


def test_what_the_page_forbids_would_have_run_without_its_policy_and_its_escapes(
    chromium: Callable[[], Page], tmp_path: Path
) -> None:
    """That the browser would have told: else the test above could not fail."""
    path = tmp_path / "open.html"
    path.write_text("<script>window.hit = 1</script><img src='http://127.0.0.1:9/a.png'><script>undefined.x</script>")
    page = chromium()
    page.open(path)
    assert page.run("window.hit") == 1
    assert "http://127.0.0.1:9/a.png" in page.requests
    assert page.complaints
    hostile_run(tmp_path)
    report = write("last", tmp_path / "run.html").read_text("utf-8")
    injected = report.replace("<main", '<script>window.hit = 1</script><img src="x"><main', 1)
    path.write_text(injected, "utf-8")
    page = chromium()
    page.open(path)
    assert page.run("window.hit === undefined")
    assert page.becomes(READY)
    assert any("Content Security Policy" in each for each in page.complaints)


def test_keys_lead_through_the_report(chromium: Callable[[], Page], told: Path) -> None:
    page = chromium()
    page.open(told)
    focused = "document.activeElement.textContent.trim()"
    page.press("j")
    assert page.run("document.activeElement.tagName") == "SUMMARY"
    assert "The fee for late returns" in page.run(focused)
    page.press("Enter")
    assert page.run("document.activeElement.parentElement.open && document.querySelector('.passage mark').checkVisibility()")
    page.press("j")
    assert "not in it at all" in page.run(focused)
    page.press("k")
    assert "The fee for late returns" in page.run(focused)
    page.press("c")
    for key in ("j", "j", "Enter"):
        page.press(key)
    assert page.run("document.querySelector('#call').open")
    assert page.run("document.querySelector('#call-title').textContent").startswith("Call 2 of 22")
    page.press("j")
    assert page.run("document.querySelector('#call-title').textContent").startswith("Call 3 of 22")
    page.press("Escape")
    page.press("?")
    assert page.run("document.querySelector('#help').open")


def test_the_search_finds_steps_and_calls(chromium: Callable[[], Page], told: Path) -> None:
    page = chromium()
    page.open(told)
    assert search(page, "label of ITEM 13") == "0 steps and 1 call with “label of ITEM 13”"
    assert page.run("document.querySelectorAll('.row').length") == 1
    page.press("Escape")
    assert page.becomes("document.querySelectorAll('.row').length > 1")
    assert search(page, "ZeroDivisionError").startswith("1 step and 0 calls")
    assert page.run("[...document.querySelectorAll('.cell .output')].filter((each) => each.checkVisibility()).length") == 1


def test_the_calls_of_a_cell_are_shown_by_its_button_and_filters_agree(chromium: Callable[[], Page], told: Path) -> None:
    page = chromium()
    page.open(told)
    many = "document.querySelector('#how-many').textContent"
    assert page.run(many) == "22"
    page.run("document.querySelector('.to-calls').click()")
    assert page.run(many) == "20 of 22"
    page.run("(s => { s.value = 'failed'; s.dispatchEvent(new Event('change')); })(document.querySelector('[name=state]'))")
    assert page.run(many) == "1 of 22"
    assert "item 7" in page.run("document.querySelector('.row').textContent")


def test_the_timeline_has_calls_that_ran_side_by_side_below_one_another(chromium: Callable[[], Page], told: Path) -> None:
    page = chromium()
    page.open(told)
    page.press("t")
    page.press("ArrowRight")
    bars = []
    for _ in range(6):
        bars.append(page.run("document.querySelector('#at').textContent"))
        page.press("ArrowDown")
    turn, cell, *calls = bars
    assert turn.startswith("turn 1: the root model took ")
    assert "cell 1: " in cell
    assert ", of which it waited " in cell
    assert all(call.startswith("Call, cell 1, ") for call in calls)
    assert len(set(calls)) == 4
    page.press("Enter")
    assert page.run("document.querySelector('#call-title').textContent").endswith(" of 22 · cell 1")


def test_a_call_of_the_timeline_opens_also_while_a_search_leaves_it_out(chromium: Callable[[], Page], told: Path) -> None:
    page = chromium()
    page.open(told)
    assert search(page, "zzz").startswith("0 steps and 0 calls")
    page.run("document.querySelector('.chart canvas').focus()")
    for key in ("ArrowRight", "ArrowDown", "ArrowDown"):
        page.press(key)
    assert page.run("document.querySelector('#at').textContent").startswith("Call, ")
    page.press("Enter")
    assert page.run("document.querySelector('#call').open")


def test_of_ten_thousand_calls_only_those_that_are_seen_are_there(
    chromium: Callable[[], Page], told: Path, tmp_path: Path
) -> None:
    text = told.read_text("utf-8")
    call = re.search(r'"calls":\[(\[.*?\]),', text)
    assert call is not None
    path = tmp_path / "large.html"
    path.write_text(text.replace('"calls":[', '"calls":[' + f"{call[1]}," * 10_000, 1), "utf-8")
    page = chromium()
    page.open(path)
    assert page.run("document.querySelector('#how-many').textContent") == "10,022"
    assert page.run("document.querySelectorAll('.row').length") < 60
    page.run("document.querySelector('.list').scrollTop = 1e9")
    assert page.becomes("document.querySelector('.rows').lastElementChild.id === 'row-10021'")
    assert page.run("document.querySelectorAll('.row').length") < 60
    assert page.complaints == []


def test_money_is_written_as_everywhere_else(chromium: Callable[[], Page], told: Path, tmp_path: Path) -> None:
    text = told.read_text("utf-8")
    costs = [2.0, 0.0999, 0.09, 0.0412, 1.24e-5, 1e-9, 0]
    data = re.search(r'"calls":(\[\[.*?\]\])', text)
    assert data is not None
    calls = json.loads(data[1])
    at = (
        text.split("const COLUMNS = [", 1)[1]
        .split("]", 1)[0]
        .replace('"', "")
        .replace("\n", "")
        .replace(" ", "")
        .split(",")
        .index("cost")
    )
    for call, cost in zip(calls, costs, strict=False):
        call[at] = cost
    path = tmp_path / "money.html"
    path.write_text(text.replace(data[1], json.dumps(calls), 1), "utf-8")
    page = chromium()
    page.open(path)
    shown = page.run("[...document.querySelectorAll('.row .money')].map((each) => each.textContent)")
    assert shown[: len(costs)] == [amount("cost", cost) for cost in costs]


def test_it_is_dark_where_the_system_is_and_the_button_turns_it(chromium: Callable[[], Page], told: Path) -> None:
    paper = "getComputedStyle(document.body).backgroundColor"
    page = chromium()
    page.open(told)
    light = page.run(paper)
    page.run("document.querySelector('#theme').click()")
    dark = page.run(paper)
    assert dark != light
    page.run("document.querySelector('#theme').click()")
    assert page.run(paper) == light
    page = chromium()
    page.open(told, dark=True)
    assert page.run(paper) == dark


def test_a_printed_report_has_its_cells_and_citations_open(chromium: Callable[[], Page], told: Path) -> None:
    page = chromium()
    page.open(told)
    shut = "document.querySelectorAll('details.matters:not([open])').length"
    before = page.run(shut)
    assert before
    page.run("dispatchEvent(new Event('beforeprint'))")
    assert page.run(shut) == 0
    page.run("dispatchEvent(new Event('afterprint'))")
    assert page.run(shut) == before
    assert len(page.ask("Page.printToPDF")["data"]) > 10_000
