"""Runs to report: real ones, whose models a script plays."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import llm

from llm_rlm import RLM, Limits
from llm_rlm.config import Rate
from llm_rlm.root.names import SUBMIT
from llm_rlm.testing import Reply, ScriptedModel, call, tool_outputs
from scripts import run, scripted, submit

if TYPE_CHECKING:
    from pathlib import Path

    from llm_rlm.runs.result import Result

EVIL = (
    '</script><script>window.hit = 1</script><img src="x" onerror="window.hit = 1"><svg onload="window.hit = 1">'
    "<a href=\"javascript:window.hit = 1\" onclick='window.hit = 1'>here</a><iframe srcdoc='<script>top.hit = 1</script>'>"
    "<link rel=stylesheet href=http://127.0.0.1:9/evil.css><style>body { background: url(http://127.0.0.1:9/evil.png) }</style>"
    '<meta http-equiv="refresh" content="0;url=http://127.0.0.1:9/"><base href="http://127.0.0.1:9/">'
    '<form action="//127.0.0.1:9">'
    "</pre></details></textarea></title><!-- <script {{ 7 * 191 }} {% raw %} ${7 * 191} &lt;b&gt; \\u003cb>"
    ' \x1b[31mred "quoted"'
    "\u2028line\u2029paragraph \u202egnp.exe\u2066 \U000e0041tag \x85 \x7f é 日本 🦜"
)
"""What a text can try."""

SEVEN = "the provider knows nothing of seven"
FEE = "The fee for late returns is 12.50 a day."


def long_run(folder: Path) -> Result:
    """Cells that call side by side, one that fails, child runs, an answer that cites."""
    (folder / "src" / "core").mkdir(parents=True)
    (folder / "src" / "fees.txt").write_text(f"{'Before. ' * 100}\n{FEE}\n{'Après. ' * 100}\n", "utf-8")
    (folder / "src" / "core" / "other.txt").write_text("Nothing of fees.\n" * 50)

    def sub(prompt: llm.Prompt) -> Reply | str:
        if prompt.tools:
            return submit("of the fee") if tool_outputs(prompt) else run("print(await llm_query('below: ' + context[:10]))")
        time.sleep(0.05)
        if "item 7" in str(prompt.prompt):
            raise llm.ModelError(SEVEN)
        return Reply(f"label of {prompt.prompt}", input_tokens=100, output_tokens=10)

    root = scripted(
        run("rs = await llm_batch([f'item {i}' for i in range(20)])\nprint(len(rs.errors), 'failed')"),
        run("name = context.names[0]\nprint(await rlm_query('What is in it?', context=context[name]))"),
        run("1 / 0"),
        call(SUBMIT, answer="12.50 a day", quotes=[FEE, "not in it at all"]),
    )
    prices = {"root": Rate(1, 2), "sub": Rate(1, 2)}
    engine = RLM(root, ScriptedModel(sub, "sub"), Limits(cost=5.0), depth=1, cite=True, prices=prices)
    return engine.ask("What is the fee for late returns?", folder / "src")


def hostile_run(folder: Path) -> Result:
    """A run in which every text is hostile: question, answer, quotes, names, code, output, prompts, errors, models."""
    path = folder / "<" / "script><script>window.hit = 1<" / "script>\"onerror='window.hit=1' {{ 7 * 191 }}.txt"
    path.parent.mkdir(parents=True)
    path.write_text(f"Before {EVIL} after.\n" * 3, "utf-8")
    (folder / "<" / "other.txt").write_text(EVIL, "utf-8")

    def sub(prompt: llm.Prompt) -> Reply | str:
        if prompt.tools:
            return submit(EVIL)
        if "fail" in str(prompt.prompt):
            raise llm.ModelError(EVIL)
        return EVIL

    code = f"evil = {EVIL!r}"
    root = scripted(
        run(f"{code}\nprint(evil, '\\x00', 'x' * 30_000)\nr = await llm_query(evil + '\\ud800\\x00', system=evil)\nprint(r)"),
        run("rs = await llm_batch(['fail ' + evil])\nprint(rs.errors)\nprint(await rlm_query(evil, context=evil))"),
        run("raise ValueError(evil)"),
        call(SUBMIT, answer=EVIL + "\ufeff", quotes=[f"Before {EVIL} after.", EVIL + "?"]),
        model_id=f"root {EVIL}",
    )
    engine = RLM(root, ScriptedModel(sub, f"sub {EVIL}"), depth=1, cite=True)
    return engine.ask(f"Which? {EVIL}", folder / "<")
