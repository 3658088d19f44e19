"""Whatever the texts of a run are, its page is our own elements, our own script, and text."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from typing import TYPE_CHECKING

from hypothesis import given, settings
from hypothesis import strategies as st

from llm_rlm.budget import Bound, Spent, Tokens
from llm_rlm.journal import CallRecord, Journal, SourceRecord
from llm_rlm.report.data import gather
from llm_rlm.report.page import render
from llm_rlm.report.texts import visible
from reports.plays import EVIL
from reports.test_page import Elements

if TYPE_CHECKING:
    from collections.abc import Mapping

_PIECES = st.sampled_from(
    [
        *(
            "<script>",
            "</script>",
            "</script ",
            "<!--",
            "-->",
            "<![CDATA[",
            "]]>",
            "</title>",
            "</pre>",
            "&lt;",
            "&#60;",
            "\\u003c",
        ),
        *(
            "<img src=x onerror=1>",
            "' onload='1",
            '" onclick="1',
            "javascript:1",
            "{{ 1 }}",
            "{% raw %}",
            "${1}",
            "`",
            "\\",
            "\n",
        ),
        *("<svg/onload=1>", "<base href=//a>", "\u2028", "\u202e", "\x00", "\x1b[2J", "\ufeff", "é", "🦜", EVIL),
    ]
)
_TEXTS = st.lists(_PIECES | st.text(st.characters(codec="utf-8"), max_size=5), max_size=4).map("".join)
_FIELDS = (
    *("question", "model", "sub_model", "system", "error", "answer", "say", "result", "reply", "malformed", "argument", "name"),
    *(
        "code",
        "output",
        "shown",
        "submitted",
        "quote",
        "prompt",
        "call_system",
        "payload",
        "response",
        "call_model",
        "call_error",
    ),
    *("shown_error", "document", "path", "origin", "reason", "cited", "source", "place", "why", "last_why"),
)
_RUNS = st.fixed_dictionaries(dict.fromkeys(_FIELDS, _TEXTS))


def _record(journal: Journal, said: Mapping[str, str]) -> None:
    """A run with these texts in every field that holds one."""
    document = {"name": said["document"], "kind": "text", "bytes": 10, "path": said["path"], "origin": said["origin"]}
    sources = SourceRecord([document], [(said["document"], said["reason"])])
    named = {name: said[name] for name in ("question", "model", "sub_model")}
    journal.begin_run("01any", system=said["system"], sources=sources, settings="{}", process=None, **named)
    journal.begin_turn("01any", 1, json.dumps({"say": said["say"], "results": [said["result"]]}), said["last_why"], Bound())
    calls = [{"name": "RLMToolbox_submit_answer", "arguments": {said["name"]: said["argument"]}}]
    reply = {"text": said["reply"], "calls": calls, "malformed": said["malformed"]}
    journal.end_turn("01any", 1, json.dumps(reply), "[]", Spent(Tokens(1, 1), 0.1))
    journal.begin_cell("01any", 1, said["code"], 1, 0)
    asked = {"prompt": said["prompt"], "system": said["call_system"], "payload": said["payload"], "schema": {said["name"]: 1}}
    for kind in ("model", "function"):
        call = CallRecord(f"key {kind}", 1, said["call_model"], json.dumps(asked), 1, kind)
        number = journal.begin_call("01any", call, Bound())
        journal.end_call(number, said["response"], Spent(Tokens(1, 1), 0.1))
        journal.fail_call(journal.begin_call("01any", call, Bound()), said["call_error"], said["shown_error"])
    more = {"outcome": "ok", "running": 0.1, "answer_is_json": False, "quotes": json.dumps([said["quote"]])}
    journal.end_cell("01any", 1, said["output"], said["shown"], answer=said["submitted"], **more)
    places = {"start": 0, "end": 1, "line": 1, "column": 1, "place": said["place"], "times": 2}
    cited = {"quote": said["cited"], "found": "exact", "source": said["source"], "why": None, **places}
    journal.add_citations("01any", [cited, {**cited, "found": None, "why": said["why"]}])
    journal.know_coverage("01any", {said["document"]: {"read_bytes": 1, "sent_bytes": 1, "touched_bytes": 2}}, complete=True)
    journal.end_run("01any", answer=said["answer"], finish="submitted", error=said["error"] or None)


def _page(said: Mapping[str, str]) -> str:
    journal = Journal(None)
    try:
        _record(journal, said)
        return "".join(render(gather(journal, "01any")))
    finally:
        journal.close()


def _hash(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


_PLAIN = Elements(_page(dict.fromkeys(_FIELDS, "plain")))


@settings(max_examples=15)
@given(_RUNS)
def test_any_texts_make_a_page_of_our_own_elements_script_and_links(said: dict[str, str]) -> None:
    page = _page(said)
    elements = Elements(page)
    assert {tag for tag, _ in elements.found} <= {tag for tag, _ in _PLAIN.found}
    attributes = [(name, value or "") for _, attrs in elements.found for name, value in attrs.items()]
    assert {name for name, _ in attributes} <= {name for _, attrs in _PLAIN.found for name in attrs} | {"class", "tabindex"}
    assert not [name for name, _ in attributes if name.startswith("on") or name in {"style", "src", "srcdoc", "action"}]
    assert {value for name, value in attributes if name == "href" and not re.fullmatch("#[a-z]+", value)} == {"data:,"}
    kinds = [attrs.get("type") for tag, attrs in elements.found if tag == "script"]
    assert kinds == ["application/json"] * (len(kinds) - 1) + [None]
    (policy,) = [attrs["content"] or "" for _, attrs in elements.found if attrs.get("http-equiv") == "Content-Security-Policy"]
    assert f"script-src {_hash(elements.scripts[-1])};" in policy
    assert elements.scripts[-1] == _PLAIN.scripts[-1]
    assert len(re.findall("<script|<style", page, re.IGNORECASE)) == len(kinds) + 1


@settings(max_examples=15)
@given(_RUNS)
def test_what_the_script_reads_is_the_very_texts_of_the_calls(said: dict[str, str]) -> None:
    data, *chunks, _ = Elements(_page(said)).scripts
    texts = [text for chunk in chunks for text in json.loads(chunk)]
    rows = json.loads(data)["calls"]
    for row, response in zip(rows, (said["response"], None) * 2, strict=True):
        shown = [texts[number] if number is not None else None for number in (row[6], row[7], row[9], row[11], row[14])]
        whole = (said["prompt"], said["call_system"], said["payload"], response, said["call_model"])
        assert shown == [visible(text) if text is not None else None for text in whole]
