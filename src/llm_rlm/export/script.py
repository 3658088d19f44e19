"""A run as a Python script that does the same again: its cells, one after another, and no root model."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any

from llm_rlm.budget import Limits
from llm_rlm.journal.history import past_run, runs_before
from llm_rlm.journal.records import Records
from llm_rlm.root.names import SUBMIT
from llm_rlm.runs.result import result_of
from llm_rlm.runs.start import Settings

from . import literals

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from llm_rlm.journal import Journal
    from llm_rlm.journal.history import PastCell, PastRun
    from llm_rlm.journal.records import Record

_RUNS_AGAIN = frozenset({"ok", "error", "exit"})
_MOST_SOURCES = 20

_HEAD = '''\
#!/usr/bin/env python3
"""A run of llm-rlm as a script. See QUESTION below for what was asked.

    python THIS_FILE [--no-cache] [-v]{usage}

It runs the cells of run {id} again, in the same sandbox, and prints the answer.
No root model is asked. The calls of cells to sub-models are made again: those that
the journal on this machine has an answer to cost nothing, unless --no-cache is given.
{notes}"""
'''

_ARGUMENTS = """\
parser = argparse.ArgumentParser(description="Run the cells of a run of llm-rlm again.")
parser.add_argument("source", nargs="{nargs}", help="{help}")
parser.add_argument("--no-cache", action="store_true", help="ask anew what was asked before: that costs")
parser.add_argument("-v", "--verbose", action="store_true", help="show on stderr what each cell shows")
given = parser.parse_args()
"""

_RUN = """\


def show(output: str) -> None:
    if given.verbose:
        print(output, file=sys.stderr)


with rlm.cells(context) as cells:
"""

_TAIL = """\
    used = cells.usage
    print(f"run {cells.run_id}: sub-calls made: {used.calls}, from the cache: {used.cached}", file=sys.stderr)
    answer = cells.answer

if answer is None:
    sys.exit("there is no answer")
print(answer if isinstance(answer, str) else json.dumps(answer, ensure_ascii=False, indent=2))
"""


@dataclass(frozen=True)
class _Input:
    """How a script gets its input."""

    source: str
    """The expression that makes it."""
    needs: bool
    """Whether it has to be given."""
    names: Sequence[str] = ()
    constant: str = ""
    """What stands above the expression."""


def script(journal: Journal, run_id: str) -> str:
    """The script of a run. `run_id` is whole; see `history.find_run`."""
    past = past_run(journal, run_id)
    before = runs_before(journal, past)
    cells = [cell for run in (*before, past) for cell in run.cells]
    made = _input(past)
    seed = before[0].id if before else past.id
    notes = _notes(past, before, cells, _dropped(Records(journal).record(run_id)))
    head = _HEAD.format(id=past.id, usage=_usage(made), notes="".join(f"\n{note}\n" for note in notes))
    parts = [
        f"QUESTION = {literals.text(past.question or '')}\n\n",
        _own_functions(past),
        _ARGUMENTS.format(nargs="+" if made.needs else "*", help=_help(made)),
        "\n",
        made.constant,
        f"context = {made.source}\n",
        f"rlm = {_engine(past, seed)}\n",
        _RUN,
        *(_cell(cell) for cell in cells),
        _answer(past),
        _TAIL,
    ]
    body = "".join(parts)
    return literals.escaped(f"{head}{_imports(body)}{body}")


def _imports(body: str) -> str:
    """What a script needs."""
    path = "from pathlib import Path\n" if "Path(" in body else ""
    names = [name for name in ("RLM", "Limits", "Rate", "Settings", "Sources", "Walking") if f"{name}(" in body]
    return f"\nimport argparse\nimport json\nimport sys\n{path}\nfrom llm_rlm import {', '.join(names)}\n\n"


# What stands above the script


def _dropped(record: Record) -> str:
    """The cells and turns that did not count in the end."""
    found = [("cell", cell.number) for cell in record.cells if cell.dropped]
    found += [("turn", turn.number) for turn in record.turns if turn.dropped]
    return ", ".join(f"{what} {number}" for what, number in found)


def _notes(past: PastRun, before: Sequence[PastRun], cells: Sequence[PastCell], dropped: str) -> Iterator[str]:
    """What a reader has to know, each at most a few lines long."""
    if dropped:
        yield f"Left out, because the run went on from before them or they brought no reply: {dropped}."
    if before:
        yield f"It begins with the cells of {len(before)} earlier runs of the same session."
    if left := [str(cell.number) for cell in cells if cell.outcome not in _RUNS_AGAIN]:
        yield f"Left out, because they did not come to their end: cells {', '.join(left)}."
    if any("rlm_query" in cell.code for cell in cells):
        yield "Child runs that cells start are asked anew: their models are paid."
    if past.finish not in {"submitted", "prose"}:
        yield "The run did not end with an answer that was submitted: what it did may lack its end."
    if (past.settings.get("sources") or {}).get("withheld"):
        yield "A URL of its input had a user and password, which are not kept: give all of it again."
    if past.documents:
        yield "Its input was:\n" + "\n".join(_sources(past))


def _sources(past: PastRun) -> Iterator[str]:
    for document in past.documents[:_MOST_SOURCES]:
        digest = f", sha256 {document.sha256}" if document.sha256 else ""
        yield f"    {_in_docstring(document.name)}: {document.bytes} bytes of {document.kind}{digest}"
    if (more := len(past.documents) - _MOST_SOURCES) > 0:
        yield f"    and {more} more"


def _in_docstring(name: str) -> str:
    return literals.comment(name).replace("\\", "/").replace('"', "'")


def _usage(made: _Input) -> str:
    return " SOURCE..." if made.needs else " [SOURCE...]"


def _help(made: _Input) -> str:
    return "the input: it is not stored" if made.needs else "the input, if it has moved"


def _own_functions(past: PastRun) -> str:
    """Functions of the user are not recorded: a place for them."""
    names = past.settings.get("asked", {}).get("own_functions", ())
    if not names:
        return ""
    why = f"put these functions of yours into FUNCTIONS: {', '.join(names)}"
    return f"FUNCTIONS = []\nif not FUNCTIONS:\n    sys.exit({why!r})\n\n"


# The input


def _input(past: PastRun) -> _Input:
    recorded = past.settings.get("sources")
    if recorded is not None:
        return _recorded(recorded)
    if not past.documents:
        return _Input("None", needs=False)
    if past.documents[0].kind == "json":
        return _Input("json.loads(Path(given.source[0]).read_bytes())", needs=True)
    if len(past.documents) == 1 and (path := past.documents[0].path) is not None:
        return _Input("Path(given.source[0]) if given.source else FILE", needs=False, constant=f"FILE = Path({path!r})\n")
    return _Input("Sources(tuple(given.source))", needs=True)


def _recorded(recorded: Mapping[str, Any]) -> _Input:
    walking = "" if recorded["walking"] == _WALKING else f", walking=Walking(**{recorded['walking']!r})"
    given = f"Sources(tuple(given.source){walking})"
    if recorded.get("withheld"):
        return _Input(given, needs=True)
    named = f"Sources({tuple(recorded['names'])!r}{walking}, base={recorded['base']!r})"
    return _Input(f"{given} if given.source else SOURCES", needs=False, constant=f"SOURCES = {named}\n")


_WALKING = {"hidden": False, "ignore": True}


# The engine


def _engine(past: PastRun, seed: str) -> str:
    """What makes an RLM that asks as the run did."""
    asked = past.settings.get("asked", {})
    arguments = {"sub_model": repr(past.sub_model), "limits": _limits(past), "settings": _settings(past, seed)}
    for name in ("sub_options", "tools", "schema"):
        if asked.get(name):
            arguments[name] = literals.of(asked[name])
    if asked.get("prices"):
        rates = ", ".join(f"{model!r}: Rate(**{rate!r})" for model, rate in asked["prices"].items())
        arguments["prices"] = f"{{{rates}}}"
    if asked.get("own_functions"):
        arguments["functions"] = "FUNCTIONS"
    if asked.get("depth", 1) != 1:
        arguments["depth"] = repr(asked["depth"])
    return literals.call("RLM", **arguments)


def _limits(past: PastRun) -> str:
    given = past.settings.get("limits", {})
    return f"Limits({', '.join(f'{each.name}={given.get(each.name)!r}' for each in fields(Limits) if each.name in given)})"


def _settings(past: PastRun, seed: str) -> str:
    """The answers of the run serve however old they are; and `random` draws as it did."""
    default = Settings()
    kept = {each.name: past.settings.get(each.name, getattr(default, each.name)) for each in fields(Settings)}
    changed = {name: repr(value) for name, value in kept.items() if value != getattr(default, name)}
    changed |= {"cache_days": "0 if given.no_cache else None", "seed": repr(kept["seed"] or seed)}
    return f"Settings({', '.join(f'{name}={value}' for name, value in changed.items())})"


# What the run did


def _cell(cell: PastCell) -> str:
    if cell.outcome not in _RUNS_AGAIN:
        return ""
    turn = f", turn {cell.turn}" if cell.turn is not None else ""
    how = "" if cell.outcome == "ok" else f"; it ended with {'an error' if cell.outcome == 'error' else 'exit()'}"
    return f"    # Cell {cell.number}{turn}{how}\n    show(cells.run({literals.text(cell.code)}))\n\n"


def _answer(past: PastRun) -> str:
    """What submits the answer, where no cell did."""
    if past.answer is None or any(
        (cell.answer, cell.answer_is_json) == (past.answer, past.answer_is_json) for cell in past.cells
    ):
        return ""
    variable, quotes = _submitted(past)
    if variable is not None:
        return f"    cells.submit(variable_name={variable!r}{quotes})\n\n"
    if past.answer_is_json:
        value = literals.of(result_of(past).answer)
        return f"    # The answer as the root model wrote it\n    cells.run({f'submit({value})'!r})\n\n"
    return f"    # The answer as the root model wrote it\n    cells.submit({literals.text(past.answer)}{quotes})\n\n"


def _submitted(past: PastRun) -> tuple[str | None, str]:
    """The variable that was submitted at the end, if it was one, and the quotes with it as an argument."""
    if not past.turns or past.finish == "prose":
        return None, ""
    reply = past.turns[-1].reply
    calls = [call for call in (*reply["calls"], reply.get("withheld")) if call is not None and call["name"] == SUBMIT]
    for call in reversed(calls):
        arguments = call["arguments"]
        if isinstance(arguments, dict) and "_raw" not in arguments:
            quotes = arguments.get("quotes")
            name = arguments.get("variable_name")
            return name or None, f", quotes={quotes!r}" if quotes else ""
    return None, ""
