"""Scripts that meet the faults of a provider, by chance but always the same, to test retries against.

faulty = Faulty(echo, share=0.3, seed=1)
with ScriptedServer(faulty) as server:
    ...
assert all(times == 1 for times in faulty.answered.values())
"""

import json
import random
import threading
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from typing import get_args

from .exchange import Fault, Reply, Request, Script, refuse

type Maker = Callable[[Reply], Reply]
"""Makes of the reply that would have been sent the one to send instead."""

_SOON = 0.02
_LATE = 0.2
_FIRST_ERROR = 400


def _slow(reply: Reply) -> Reply:
    return replace(reply, delay=(reply.delay or 0.0) + _LATE)


def _break(fault: Fault, reply: Reply) -> Reply:
    return replace(reply, fault=fault)


KINDS: Mapping[str, Maker] = {
    "429": lambda _: refuse(429, _SOON, "too many requests"),
    "429 date": lambda _: refuse(429, datetime.now(UTC), "too many requests"),
    "500": lambda _: refuse(500, text="internal error"),
    "502": lambda _: refuse(502, text="bad gateway"),
    "503": lambda _: refuse(503, _SOON, "overloaded"),
    "slow": _slow,
} | {fault: partial(_break, fault) for fault in get_args(Fault)}
"""The faults known by name.

"429" and "503" ask to retry after 0.02 s, "429 date" at the time it is sent, "500" and "502" do
not say when. "slow" is the whole reply 0.2 s later than its own `delay`, in place of the delay of
the server. The others are the faults of a `Reply`.
"""

DEFAULT_KINDS: Sequence[str] = tuple(kind for kind in KINDS if kind != "stall")
"""All kinds but "stall", which holds a request until the client gives it up."""


def model_and_messages(request: Request) -> str:
    """The model and the messages as JSON: the same whenever a client asks the same again."""
    return json.dumps([request.model, request.messages], ensure_ascii=False)


class Faulty:
    """A script of which a given share of the requests meets a fault.

    `share` is from 0 to 1. `kinds` are names out of `KINDS`, or makers of faults by names of
    one's own; all are equally likely, and a name given twice is twice as likely.

    `identity` tells which requests are the same one, asked again. The same request meets at most
    `most_in_a_row` faults before it is answered in full, so that a client that retries more often
    than that always gets through, unless it asks the same several times at once. Whether a
    request meets a fault, and which, depends on `seed`, on its identity and on how often it was
    asked before, so not on the order in which different requests arrive.

    A fault spoils the reply that `script` made; that reply is kept, and is what the same request
    gets when it is asked again. So a script that counts its calls need not know of the faults.

    Calls and readers may be in several threads; `script` is called in one at a time. Raises
    `ValueError` for a share out of range, for no kinds or unknown ones, and for a negative
    `most_in_a_row`.
    """

    def __init__(
        self,
        script: Script,
        *,
        share: float = 0.3,
        kinds: Sequence[str] | Mapping[str, Maker] = DEFAULT_KINDS,
        seed: int = 0,
        most_in_a_row: int = 3,
        identity: Callable[[Request], str] = model_and_messages,
    ) -> None:
        """Wrap `script`."""
        self._makers = kinds if isinstance(kinds, Mapping) else KINDS
        self._kinds = tuple(kinds)
        _check(share, self._kinds, self._makers, most_in_a_row)
        self._script = script
        self._share = share
        self._seed = seed
        self._most = most_in_a_row
        self._identity = identity
        # Reentrant, so that the script may read the ledger.
        self._lock = threading.RLock()
        self._asked: Counter[str] = Counter()
        self._answered: Counter[str] = Counter()
        self._met: defaultdict[str, Counter[str]] = defaultdict(Counter)
        self._row: Counter[str] = Counter()
        self._spoilt: dict[str, Reply] = {}

    @property
    def asked(self) -> Counter[str]:
        """How many times each request was asked, by identity; a copy."""
        with self._lock:
            return self._asked.copy()

    @property
    def answered(self) -> Counter[str]:
        """How many times each request was answered in full, by identity; a copy.

        Those are the replies handed on to be sent as the script made them, but for their delay;
        the client may have gone away before. A reply that the script itself gave a fault or an
        error status does not count.
        """
        with self._lock:
            return self._answered.copy()

    @property
    def faults(self) -> Counter[str]:
        """How many faults were met, by kind; a copy."""
        with self._lock:
            return sum(self._met.values(), Counter())

    @property
    def faults_by_request(self) -> dict[str, Counter[str]]:
        """How many faults each request met, by identity and then by kind; a copy, without those that met none."""
        with self._lock:
            return {who: met.copy() for who, met in self._met.items()}

    def __call__(self, request: Request) -> Reply:
        """Answer by the script, or with a fault."""
        who = self._identity(request)
        with self._lock:
            self._asked[who] += 1
            kind = self._draw(who)
            reply = self._spoilt.pop(who, None) or self._script(request)
            if kind is None:
                return self._pass(who, reply)
            self._met[who][kind] += 1
            sent = self._makers[kind](reply)
            if replace(sent, delay=reply.delay) == reply:
                self._pass(who, reply)
                return sent
            self._row[who] += 1
            self._spoilt[who] = reply
            return sent

    def _draw(self, who: str) -> str | None:
        chance = random.Random(f"{self._seed} {self._asked[who]} {who}")  # noqa: S311 - no secret
        if self._row[who] >= self._most or chance.random() >= self._share:
            return None
        return chance.choice(self._kinds)

    def _pass(self, who: str, reply: Reply) -> Reply:
        self._row[who] = 0
        if reply.fault is None and reply.status < _FIRST_ERROR:
            self._answered[who] += 1
        return reply


def _check(share: float, kinds: Sequence[str], makers: Mapping[str, Maker], most_in_a_row: int) -> None:
    if not 0 <= share <= 1:
        msg = f"a share is from 0 to 1, not {share}"
        raise ValueError(msg)
    if unknown := [kind for kind in kinds if kind not in makers]:
        msg = f"unknown kinds {unknown}; known are {', '.join(makers)}"
        raise ValueError(msg)
    if not kinds:
        msg = "no kinds of faults"
        raise ValueError(msg)
    if most_in_a_row < 0:
        msg = f"most_in_a_row cannot be {most_in_a_row}"
        raise ValueError(msg)
