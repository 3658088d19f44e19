"""The scripts that play the models in the examples of these pages. They are no language models: each knows its question.

    python -m llm_rlm.testing.server --script docs/plays.py:play

serves them to whoever wants to follow the examples without a key. The cells are real: what they find is not known here.
"""

from __future__ import annotations

from llm_rlm.root.names import EXECUTE, SUBMIT
from llm_rlm.testing import Labeller, Reply, Request, call, say

PLAYS: dict[str, tuple[str, ...]] = {
    # The tutorial.
    "Which user had the most failed logins, and from where?": (
        'print(f"{len(context):,} characters")\nprint(context[:150])',
        """\
import re
from collections import Counter

failed = Counter(re.findall(r"Failed password for (\\w+) from (\\S+)", context))
(user, address), times = failed.most_common(1)[0]
answer = f"{user}: {times:,} failed logins from {address}"
answer""",
    ),
    "When did mallory get in?": (
        """\
hits = grep("Accepted password for mallory")
submit(f"{len(hits)} time, at {hits[0][:19]}", quotes=[hits[0]])""",
    ),
    "What do users ask the help desk for?": (
        'tickets = grep("helpdesk:")\nprint(tickets.total, "tickets, such as")\nprint(tickets[0])',
        """\
rs = await llm_map(tickets, "What is asked for?", labels=["a new password", "a new phone", "more space"])
answer = "\\n".join(f"{label}: {times}" for label, times in rs.counts().items())""",
    ),
    "What did the help desk hear, hour by hour?": (
        """\
hours = {}
for ticket in grep("helpdesk:"):
    hours.setdefault(ticket[:13], []).append(ticket)
rs = await llm_batch(["Summarize:\\n" + "\\n".join(lines) for lines in hours.values()])
told = [f"{hour}: {r}" for hour, r in zip(hours, rs) if r]
answer = "\\n".join([f"{len(told)} of {len(hours)} hours:", *told])""",
    ),
    # Logs.
    "Which service fails most?": (
        """\
from collections import Counter

errors = grep(" ERROR ", limit=100_000)
service, times = Counter(hit.split()[2] for hit in errors).most_common(1)[0]
answer = f"{service}: {times} of {errors.total} errors, in {len(context)} files\"""",
    ),
    "Which error came first?": (
        """\
hit = min(grep(" ERROR "))
submit(hit.partition(" ERROR ")[2], quotes=[hit])""",
    ),
    "How many lines are there?": ("answer = str(len(context.splitlines()))",),
    # Code.
    "Where is the retry policy set?": (
        """\
for name in context:
    print(name, len(context[name]))
hits = grep(r"\\bretr", ignore_case=True)
hits""",
        """\
hit = grep("ATTEMPTS =")[0]
submit(f"In {hit.name}: {hit}", quotes=[hit])""",
    ),
    "Which TODO is the oldest?": ('answer = min(grep("TODO"), key=lambda hit: hit.split("TODO ")[1]).strip()',),
    "Which functions are there?": (
        'functions = {hit.split("(")[0].split()[-1]: hit for hit in grep(r"^def ")}\nanswer = ", ".join(functions)',
    ),
    "Which of them is never called?": (
        """\
calls = {name: grep(rf"\\b{name}\\(").total - 1 for name in functions}
answer = ", ".join(name for name, times in calls.items() if not times)""",
    ),
    # Books.
    "What happens in each chapter?": (
        """\
parts = context.split("CHAPTER ")[1:]
rs = await llm_batch(["Say in a sentence what happens:\\n" + part for part in parts])
answer = "\\n".join(f"{number}. {r}" for number, r in enumerate(rs, start=1))""",
    ),
    "Which places are named, and in which chapter first?": (
        """\
import re

answer = {"items": []}
seen = set()
for part in context.split("CHAPTER ")[1:]:
    for place in re.findall(r"to ([A-Z]\\w+)", part):
        if place not in seen:
            seen.add(place)
            answer["items"].append({"place": place, "chapter": int(part.split()[0])})""",
    ),
    # Tables.
    "Which product earned most?": (
        'print(sql("SHOW TABLES"))',
        """\
best = sql("select product, sum(amount) as total from orders group by product order by total desc limit 1")[0]
answer = f"{best['product']}: {best['total']}\"""",
    ),
    "Which customers complain, and about what?": (
        """\
rows = sql("select customer, note from orders where note is not null order by id")
rs = await llm_map([row["note"] for row in rows], "What is it about?", labels=["price", "quality"])
answer = "\\n".join(f"{row['customer']}: {r}" for row, r in zip(rows, rs))""",
    ),
    "How many orders has each city?": (
        """\
rows = sql("select city, count(*) as orders from customers join orders using (customer) group by city order by city")
answer = ", ".join(f"{row['city']} {row['orders']}" for row in rows)""",
    ),
    # Mail.
    "What was promised, by whom, until when?": (
        """\
promises = grep("I will", ignore_case=True)
answer = "\\n".join(promises)
submit(answer, quotes=list(promises))""",
    ),
    # Models of your own.
    "How many words has it?": ("words = context.split()\nprint(len(words))", 'submit(f"{len(words):,} words")'),
    # Cost.
    "Which reviews are angry?": (
        """\
reviews = context.splitlines()
rs = await llm_map(reviews, "Is it angry?", labels=["angry", "content"])
answer = f"{rs.counts()['angry']} of {len(reviews)}\"""",
    ),
    # Other ways in.
    "Which errors are there?": (
        """\
from collections import Counter

found = Counter(line.split("ERROR ")[1] for line in context.splitlines() if "ERROR" in line)
answer = ", ".join(f"{what} ({times})" for what, times in found.most_common())""",
    ),
    "And which came first?": ('answer = next(line for line in context.splitlines() if "ERROR" in line)',),
    "Who owns the most TODOs?": (
        """\
import asyncio
from collections import Counter

owners = Counter(await asyncio.gather(*(owner(hit.name) for hit in grep("TODO"))))
answer = owners.most_common(1)[0][0]""",
    ),
    # Values.
    "Who is the author, and how old?": ('answer = {"name": grep("by ")[0].split("by ")[1], "age": 41}',),
}
"""The cells of each question. After the last one the variable `answer` is submitted, if a cell has not submitted already."""

_LABELS = {
    "a new password": ("password",),
    "a new phone": ("phone",),
    "more space": ("disk",),
    "price": ("dear", "price"),
    "quality": ("broke", "scratched"),
    "angry": ("never again", "refund"),
    "content": ("",),
}


def play(request: Request) -> Reply:
    """What the root model says next, or a sub-model."""
    said = [message["content"] for message in request.messages if message["role"] == "user"]
    asked = [question for question in PLAYS for text in said if question in text]
    if not asked or any("<item " in text for text in said):
        return sub_model(request)
    return _root(request, asked[-1])


def _root(request: Request, question: str) -> Reply:
    """The next cell, by tool or as a block of code; then the answer; then, in a chain of LLM's own, what came of that."""
    begun = max(
        at for at, message in enumerate(request.messages) if question in message["content"] and message["role"] == "user"
    )
    turn = sum(message["role"] == "assistant" for message in request.messages[begun:])
    cells = PLAYS[question]
    if not request.tools:
        return say(f"```python\n{cells[min(turn, len(cells) - 1)]}\n```")
    if turn < len(cells):
        return call(EXECUTE, code=cells[turn])
    return call(SUBMIT, variable_name="answer") if turn == len(cells) else say(request.tool_results[-1])


def sub_model(request: Request) -> Reply:
    """Labels by the words of an item; of other prompts the first line of what is asked about."""
    if "<item " in request.prompt:
        return Labeller(_label, list(_LABELS))(request)
    _, *lines = request.prompt.splitlines()
    if request.prompt.startswith("Summarize"):
        return say(f"{len(lines)} ticket" + "s" * (len(lines) != 1))
    return say(next((line for line in lines[1:] if line.strip()), "nothing"))


def _label(text: str) -> str:
    return next(label for label, words in _LABELS.items() if any(word in text for word in words))
