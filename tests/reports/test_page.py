"""The page itself: what it holds, and what no text in it can do."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from html.parser import HTMLParser
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from markupsafe import Markup

from llm_rlm.report import areas, data, passages, texts
from llm_rlm.report.page import as_json, render, seconds
from reports.plays import hostile_run, long_run
from reports.test_data import report_of

_OURS = {
    *(
        "html",
        "head",
        "meta",
        "link",
        "title",
        "style",
        "body",
        "a",
        "header",
        "span",
        "form",
        "input",
        "kbd",
        "button",
        "nav",
        "p",
    ),
    *(
        "main",
        "section",
        "h1",
        "h2",
        "h4",
        "h5",
        "div",
        "pre",
        "dl",
        "dt",
        "dd",
        "ol",
        "ul",
        "li",
        "details",
        "summary",
        "q",
        "bdi",
    ),
    *("mark", "i", "canvas", "noscript", "code", "table", "caption", "thead", "tbody", "tr", "th", "td", "svg", "rect", "g"),
    *("footer", "dialog", "script"),
}


class Elements(HTMLParser):
    """The elements of a page with their attributes, the text of scripts, and all other text."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.scripts: list[str] = []
        self.text = ""
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))
        if tag == "script":
            self.scripts.append("")

    def handle_data(self, data: str) -> None:
        if self.found and self.found[-1][0] == "script" and self.cdata_elem == "script":
            self.scripts[-1] += data
        else:
            self.text += data


def test_a_page_says_everything_that_matters_without_its_script(tmp_path: Path) -> None:
    text = Elements("".join(render(report_of(long_run(tmp_path).run_id)))).text
    for part in (
        "What is the fee for late returns?",
        "12.50 a day",
        "The fee for late returns is 12.50 a day.",
        "not supported",
        "ZeroDivisionError: division by zero",
        "What is in it?",
        "19 answered, 1 failed",
        "core/other.txt",
    ):
        assert part in text, part


def test_no_text_of_a_run_makes_an_element_an_attribute_or_a_link(tmp_path: Path) -> None:
    page = "".join(render(report_of(hostile_run(tmp_path).run_id)))
    elements = Elements(page)
    assert {tag for tag, _ in elements.found} <= _OURS | {"title"}
    attributes = [(tag, name, value or "") for tag, attrs in elements.found for name, value in attrs.items()]
    assert not [each for each in attributes if each[1].startswith("on") or each[1] in {"style", "src", "srcdoc", "action"}]
    assert {value[:1] for _, name, value in attributes if name == "href"} <= {"#", "d"}
    assert {value for tag, name, value in attributes if name == "href" and not value.startswith("#")} == {"data:,"}
    assert "1337" not in page
    assert {"html", "body", "main"} <= {tag for tag, _ in elements.found}
    assert [tag for tag, _ in elements.found].count("script") == len(re.findall("<script", page))


def test_what_hides_or_reorders_is_in_no_page(tmp_path: Path) -> None:
    page = "".join(render(report_of(hostile_run(tmp_path).run_id)))
    page.encode("utf-8")
    assert not re.search(
        "[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ufeff\ud800-\udfff\U000e0041]", page
    )
    for sign in ("␛", "␀", "[U+202E]", "[U+2028]", "[U+FEFF]"):
        assert sign in page


def test_the_policy_allows_the_own_style_and_script_and_nothing_else(tmp_path: Path) -> None:
    page = "".join(render(report_of(hostile_run(tmp_path).run_id)))
    elements = Elements(page)
    (policy,) = [attrs["content"] for tag, attrs in elements.found if attrs.get("http-equiv") == "Content-Security-Policy"]
    style = re.search("<style>(.*?)</style>", page, re.DOTALL)
    assert policy is not None
    assert style is not None

    def digest(text: str) -> str:
        return base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()

    assert policy.split("; ")[:6] == [
        "default-src 'none'",
        f"style-src 'sha256-{digest(style[1])}'",
        f"script-src 'sha256-{digest(elements.scripts[-1])}'",
        "img-src data:",
        "base-uri 'none'",
        "form-action 'none'",
    ]
    assert "url(" not in style[1]
    assert "innerHTML" not in elements.scripts[-1]


def test_what_the_script_reads_is_json(tmp_path: Path) -> None:
    report = report_of(hostile_run(tmp_path).run_id)
    *read, _ = Elements("".join(render(report))).scripts
    payload, *chunks = map(json.loads, read)
    assert [text for chunk in chunks for text in chunk] == list(report.texts)
    assert payload["calls"] == json.loads(json.dumps(report.payload["calls"]))
    assert payload["firsts"][0] == 0


@given(st.recursive(st.text(), lambda inner: st.lists(inner, max_size=3), max_leaves=5))
def test_json_in_a_page_ends_no_element_and_comes_back_as_it_was(value: object) -> None:
    text = as_json(value)
    assert isinstance(text, Markup)
    assert not set("<>&\u2028\u2029") & set(text)
    assert json.loads(text) == value


@pytest.mark.parametrize(
    ("shown", "expected"),
    [
        (seconds(0.3404), "340 ms"),
        (seconds(12.44), "12.4 s"),
        (seconds(200), "3 min 20 s"),
        (seconds(3725), "1 h 02 min"),
        (seconds(None), "no end"),
    ],
)
def test_short_times_are_said_exactly(shown: str, expected: str) -> None:
    assert shown == expected


@pytest.mark.parametrize(
    "claim",
    [
        f"{passages.AROUND} bytes on each side",
        f"above {areas.MOST}, folders",
        f"of up to {passages._MOST_AGAIN >> 20} MB",
        f"more than {texts.MOST:,} characters",
        f"more than {texts.MOST_TOGETHER // 1_000_000} million characters",
        f"not under {texts.LEAST:,}",
        f"Up to {data.MOST_RUNS} child runs",
    ],
)
def test_the_bounds_of_a_report_are_as_its_page_says(claim: str) -> None:
    page = (Path(__file__).parents[2] / "docs" / "howto" / "report.md").read_text("utf-8")
    assert claim in " ".join(page.split())
