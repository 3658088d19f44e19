"""A suite that any sandbox can be held to: what a session does (`facts`), and what hostile programs do not do to it.

from llm_rlm.sandbox import Session
from llm_rlm.testing.conformance import check
broken = {fact: seen for fact, seen in check(Session).items() if seen is not None}
"""

from .containment import MOST_OUTPUT, Containment, Surroundings, contain
from .facts import FACTS, Bench, Fact, NotSoError, check, hold, name_of
from .programs import Program, parse, programs
from .subject import Echo, Maker, Sandbox

__all__ = [
    "FACTS",
    "MOST_OUTPUT",
    "Bench",
    "Containment",
    "Echo",
    "Fact",
    "Maker",
    "NotSoError",
    "Program",
    "Sandbox",
    "Surroundings",
    "check",
    "contain",
    "hold",
    "name_of",
    "parse",
    "programs",
]
