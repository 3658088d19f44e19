"""What the scripted server answers: the cells of each scenario, in the form that each system expects.

The server runs this as a script file. The name of the root model says what to play:
`root-FORM-SCENARIO-COUNT-NONCE`. Sub-models are called `sub-MILLISECONDS`. Each root request is
logged as one JSON line in the file that BENCHMARK_LOG names.
"""

import json
import os
import re
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

from llm_rlm.testing import Reply, Request, call, say

_LENGTH = re.compile(r"length=(\d+)")
_log = Path(os.environ["BENCHMARK_LOG"]).open("a", encoding="utf-8", buffering=1)  # noqa: SIM115 - open as long as the server
_seen: Counter[str] = Counter()

_EXPECTED = {"turns": "2", "calls": "{} answered", "prompt": "got answer", "print": "x" * 50}
TRIVIAL = "print(1 + 1)"
FIRST = 'print(f"length={len(context)}")'


def reply(request: Request) -> Reply:
    """Answer a request of any of the systems."""
    if request.model.startswith("sub-"):
        return Reply("answer", delay=int(request.model.removeprefix("sub-")) / 1000)
    _, form, scenario, count, _ = request.model.split("-")
    number = _seen[request.model]
    _seen[request.model] += 1
    answer = _FORMS[form](_cells(form, scenario, int(count)), number)
    event = {"model": request.model, "arrived": request.started, **_seen_in(request, scenario, count)}
    _log.write(json.dumps({**event, "answered": time.monotonic()}) + "\n")
    return answer


def _seen_in(request: Request, scenario: str, count: str) -> dict[str, object]:
    """Whether the cells did what they should, going by what the root model is shown of them."""
    shown = "\n".join(message["content"] for message in request.messages[-3:])
    length = _LENGTH.search(shown)
    return {"ran": _EXPECTED[scenario].format(count) in shown, "length": int(length[1]) if length else None}


def _cells(form: str, scenario: str, count: int) -> list[str]:
    """The cells to run one after another. The first waits for the context, and is not a turn like the others."""
    waiting = "await " if form in {"ours", "toolbox"} else ""
    batch = "llm_batch" if waiting else "llm_query_batched"
    match scenario:
        case "turns":
            return [FIRST] + [TRIVIAL] * count
        case "calls":
            made = f'answers = {waiting}{batch}([f"question {{n}}" for n in range({count})])'
            return [FIRST, f'{made}\nprint(sum(str(a) == "answer" for a in answers), "answered")']
        case "prompt":
            return [FIRST, f'print("got", {waiting}llm_query("x" * {count}))']
        case "print":
            return [FIRST, f'print(("x" * 99 + "\\n") * {count // 100})']
    raise ValueError(scenario)


def _ours(cells: list[str], number: int) -> Reply:
    if number < len(cells):
        return call("RLMToolbox_execute_python", code=cells[number])
    return call("RLMToolbox_submit_answer", answer="done")


def _toolbox(cells: list[str], number: int) -> Reply:
    return call("RLMToolbox_execute_python", code=cells[number]) if number < len(cells) else say("done")


def _chain(cells: list[str], number: int) -> Reply:
    return call("do_nothing", code=cells[number]) if number < len(cells) else say("done")


def _rlms(cells: list[str], number: int) -> Reply:
    code = cells[number] if number < len(cells) else 'answer["content"] = "done"\nanswer["ready"] = True'
    return say(f"```repl\n{code}\n```")


def _dspy(cells: list[str], number: int) -> Reply:
    code = cells[number] if number < len(cells) else 'SUBMIT(answer="done")'
    return say(f"[[ ## reasoning ## ]]\nNext.\n\n[[ ## code ## ]]\n```python\n{code}\n```\n\n[[ ## completed ## ]]")


_FORMS: dict[str, Callable[[list[str], int], Reply]] = {
    "ours": _ours,
    "toolbox": _toolbox,
    "chain": _chain,
    "rlms": _rlms,
    "dspy": _dspy,
}
