"""Whether all that a run needs is there, and what to do where it is not. No model is asked, and nothing is sent."""

from __future__ import annotations

import platform
import shlex
import shutil
import sqlite3
import stat
import sys
import tempfile
import time
from dataclasses import dataclass
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from llm_rlm import config, leftovers, registry
from llm_rlm.display import words
from llm_rlm.errors import MissingKeyError, RLMError, amount
from llm_rlm.journal.cache import SERVING
from llm_rlm.places import journal_path
from llm_rlm.providers.models import find, key_for
from llm_rlm.providers.prices import Prices, how_to_give
from llm_rlm.sandbox import Offer, Session, hardening

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    import llm

    from llm_rlm.calls import CallReply, CallRequest

type State = Literal["ok", "note", "problem"]

_EXTRAS = {
    "docs": (("markitdown", "pypdfium2", "openpyxl", "pptx", "xlrd", "defusedxml"), "PDF, Office files, EPUB, HTML and mail"),
    "sql": (("duckdb",), "Parquet, and fast sql()"),
    "otel": (("opentelemetry.sdk", "opentelemetry.exporter.otlp.proto.http"), "OpenTelemetry"),
}
_LEAST_FREE = 1 << 30
_QUICK = 0.5
"""Seconds that looking through the journal may take."""
_DAY = 86_400
_ANSWERS = (
    "select count(*), coalesce(sum(length(cast(text as blob))), 0) from calls"  # noqa: S608 - our own names
    f" join texts on hash = response_hash where {SERVING}"
)
_HARDENING = (
    "nothing to be done on another system than Linux; there a newer kernel has it, and docs/sandbox.md says what it adds"
)
_WORKER = "llm_rlm.sandbox.worker"


@dataclass(frozen=True)
class Check:
    """Something that was looked at."""

    name: str
    state: State
    """`note`: runs work, but not with all there is. `problem`: they do not, or not safely."""
    found: str
    cure: str | None = None


def checks(model: str | None = None) -> Iterator[Check]:
    """All checks, one after another; those of models with that one, or LLM's default."""
    yield _versions()
    yield _folder()
    yield _journal(journal_path())
    yield _settings()
    yield from _models(model)
    yield _sandbox()
    yield from _defence()
    yield from _extras()
    yield _temporary(Path(tempfile.gettempdir()))
    yield _left_over(Path(tempfile.gettempdir()))
    yield _stdout()


def _versions() -> Check:
    names = {"llm-rlm": "llm-rlm", "llm": "llm", "pyeryx": "pyeryx"}
    told = [f"{name} {metadata.version(package)}" for name, package in names.items()]
    others = [f"Python {platform.python_version()}", f"SQLite {sqlite3.sqlite_version}", platform.platform(terse=True)]
    return Check("versions", "ok", ", ".join(told + others))


def _folder() -> Check:
    folder = journal_path().parent
    try:
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as problem:
        return Check("folder", "problem", f"{folder}: {problem.strerror}", "make it writable, or set LLM_USER_PATH to another")
    return Check("folder", "ok", str(folder))


def _journal(path: Path) -> Check:
    """The file as it is: it is not made, nor brought up to date."""
    if not path.exists():
        return Check("journal", "ok", f"{path}: none yet, the first run makes it")
    try:
        size, mode = path.stat().st_size, stat.S_IMODE(path.stat().st_mode)
        there = _look_through(path)
    except (OSError, sqlite3.Error) as problem:
        return Check("journal", "problem", f"{path} cannot be read: {problem}", _moving_away(path))
    found = f"{path}: {words.counted(there.runs, 'run')}, {words.size(size)}, version {there.version}"
    if there.answers is not None and there.bytes is not None:
        found += f"; {words.counted(there.answers, 'answer')} of {words.size(there.bytes)} for later runs"
    if there.sound is None:
        found += f"; too large to be looked through in {_QUICK} s"
    elif there.sound != "ok":
        return Check("journal", "problem", f"{found}; damaged: {there.sound}", _moving_away(path))
    if sys.platform != "win32" and mode & 0o077:
        found += f"; others may read it (mode {mode:04o})"
        return Check("journal", "problem", found, shlex.join(["chmod", "600", str(path)]))
    return Check("journal", "ok", found)


def _moving_away(path: Path) -> str:
    """With the files that SQLite has beside it: the last runs may be in them only."""
    there = [end for end in ("", "-wal", "-shm") if Path(f"{path}{end}").exists()]
    return "move it away: " + " && ".join(shlex.join(["mv", f"{path}{end}", f"{path}.broken{end}"]) for end in there)


@dataclass(frozen=True)
class _Found:
    """What a journal holds. None: that takes too long to know, or tables of that version do not say."""

    version: int
    runs: int
    answers: int | None
    """Those that serve later runs."""
    bytes: int | None
    """Of those answers."""
    sound: str | None
    """What SQLite says of the file."""


def _look_through(path: Path) -> _Found:
    db = sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True)
    try:
        (version,) = db.execute("pragma user_version").fetchone()
        (runs,) = db.execute("select count(*) from runs").fetchone()
        answers, size = _quickly(db, _ANSWERS) or (None, None)
        (sound,) = _quickly(db, "pragma quick_check(1)") or (None,)
    finally:
        db.close()
    return _Found(version, runs, answers, size, sound)


def _quickly(db: sqlite3.Connection, query: str) -> tuple[Any, ...] | None:
    """The first row; None if that takes too long, or the tables are of a version that has other columns."""
    end = time.monotonic() + _QUICK
    db.set_progress_handler(lambda: time.monotonic() > end, 10_000)
    try:
        row: tuple[Any, ...] = db.execute(query).fetchone()
    except sqlite3.OperationalError:
        return None
    return row


def _settings() -> Check:
    try:
        kept, drop_ins = config.load(), registry.entries()
    except RLMError as problem:
        return Check("settings", "problem", str(problem), "mend the file, or take it away")
    cost = "no limit" if kept.max_cost is None else f"{amount('cost', kept.max_cost)} a run"
    return Check("settings", "ok", f"{cost}, {len(kept.prices)} prices of your own, {len(drop_ins)} drop-in models")


def _models(name: str | None) -> Iterator[Check]:
    import llm  # noqa: PLC0415 - slow to import

    there = llm.get_models()
    with_tools, with_schemas = (sum(getattr(each, what) for each in there) for what in ("supports_tools", "supports_schema"))
    takes = sum(bool(each.attachment_types) for each in there)
    found = f"{len(there)}: {with_tools} call tools, {with_schemas} take schemas, {takes} take attachments"
    needed = sorted({each.needs_key for each in there if each.needs_key})
    held = [key for key in needed if _has_key(next(each for each in there if each.needs_key == key))]
    lacking = [key for key in needed if key not in held]
    yield Check("keys", "ok", f"set: {', '.join(held) or 'none'}; not set: {', '.join(lacking) or 'none'}")
    yield Check("models", "ok" if there else "problem", found, None if there else "llm install a plugin with models")
    try:
        model = find(name)
    except RLMError as problem:
        yield Check("model", "problem", str(problem), "choose another: llm models default MODEL")
        return
    yield _key(model)
    yield from _model(model)


def _config() -> config.Config:
    """What the user has set; as without it where it cannot be read, which is told apart."""
    try:
        return config.load()
    except RLMError:
        return config.Config()


def _has_key(model: llm.Model) -> bool:
    try:
        return key_for(model, None) is not None
    except MissingKeyError:
        return False


def _key(model: llm.Model) -> Check:
    """Whether there is a key; never what it is."""
    if model.needs_key and not _has_key(model):
        return Check("key", "problem", f"{model.model_id} needs a key, and there is none", f"llm keys set {model.needs_key}")
    return Check("key", "ok", f"{model.model_id}: " + ("set" if model.needs_key else "none needed"))


def _model(model: llm.Model) -> Iterator[Check]:
    name = model.model_id
    if model.supports_tools:
        yield Check("tools", "ok", f"{name} calls tools")
    else:
        yield Check("tools", "note", f"{name} calls no tools: it will write blocks of code", "-m MODEL takes another")
    kept = _config()
    prices = Prices(kept.prices, kept.windows)
    if prices.of(model) is not None:
        yield Check("price", "ok", f"of {name} known: limits of cost hold")
    else:
        yield Check("price", "note", f"of {name} not known: --max-cost cannot hold", how_to_give(name))
    window = prices.window(model)
    if window is not None:
        yield Check("window", "ok", f"of {name}: {window:,} tokens")
    else:
        cure = "give it: --window TOKENS, or in the table [windows] of rlm.toml"
        yield Check("window", "note", f"of {name} not known: long conversations are not shortened", cure)


def _defence() -> Iterator[Check]:
    """What keeps a sandbox's process from what it has no use for, besides WebAssembly."""
    try:
        measures = hardening.status()
    except (RLMError, OSError) as problem:
        yield Check("defence", "note", f"cannot be looked at: {problem}", "see the sandbox, above")
        return
    for measure in measures:
        yield Check(measure.name, "ok" if measure.on else "note", measure.why, None if measure.on else _HARDENING)


class _NoCalls:
    """There is nobody to ask."""

    def ask(self, requests: Sequence[CallRequest], deliver: Callable[[CallReply], None]) -> None:
        """No cell here asks."""

    def begin_cell(self, number: int) -> int:  # noqa: ARG002 - the protocol's
        """Nothing is known of any."""
        return 0

    def left(self) -> dict[str, float | None]:
        """There are no limits."""
        return {}


def _sandbox() -> Check:
    """A trivial cell, twice: where code of the guest was not compiled yet, the first takes longer."""
    try:
        first, memory = _cell()
        again, _ = _cell()
    except RLMError as problem:
        return Check("sandbox", "problem", f"does not start: {problem}", "install again: llm install --force-reinstall llm-rlm")
    return Check("sandbox", "ok", f"starts and runs a cell in {first:.2f} s, again in {again:.2f} s, {memory / 1e6:.0f} MB")


def _cell() -> tuple[float, int]:
    """Seconds that a session with one cell takes, and bytes of memory of its worker. Raises SandboxError."""
    import psutil  # noqa: PLC0415 - takes a while to import

    started = time.monotonic()
    session = Session(Offer(), _NoCalls())
    try:
        session.run_cell(1, "print(6 * 7)")
        seconds = time.monotonic() - started
        workers = [child for child in psutil.Process().children() if _WORKER in " ".join(child.cmdline())]
        return seconds, max((worker.memory_info().rss for worker in workers), default=0)
    except psutil.Error:
        return time.monotonic() - started, 0
    finally:
        session.close()


def _extras() -> Iterator[Check]:
    for extra, (modules, serves) in _EXTRAS.items():
        missing = [module for module in modules if not _is_there(module)]
        if missing:
            wished = ", which rlm.toml asks for" if extra == "otel" and _config().otel else ""
            cure = f"llm install 'llm-rlm[{extra}]'"
            yield Check(f"extra {extra}", "note", f"not installed ({', '.join(missing)}): no {serves}{wished}", cure)
        else:
            yield Check(f"extra {extra}", "ok", f"installed: {serves}")


def _is_there(module: str) -> bool:
    try:
        return find_spec(module) is not None
    except ModuleNotFoundError:  # nor is the package that it would be in
        return False


def _temporary(folder: Path) -> Check:
    free = shutil.disk_usage(folder).free
    found = f"{folder}: {free / 1e9:,.1f} GB free"
    if free < _LEAST_FREE:
        return Check("temporary", "note", f"{found}, too little for large input", "make room, or set TMPDIR to another folder")
    return Check("temporary", "ok", found)


def _left_over(folder: Path) -> Check:
    """Temporary files that nobody holds or has touched for a day. Processes end with their run, however it ends."""
    since = time.time() - _DAY
    there = folder.glob(f"{leftovers.HELD}*")
    old = [path for path in there if (at := _modified(path)) is not None and at < since and not leftovers.is_held(path)]
    if not old:
        return Check("left over", "ok", "nothing of dead runs")
    found = f"{words.counted(len(old), 'temporary file')} of dead runs"
    cure = f"the next run removes them; or remove {leftovers.HELD}* in {folder} that are a day old"
    return Check("left over", "note", found, cure)


def _modified(path: Path) -> float | None:
    """When it was last changed; None where it is gone meanwhile."""
    try:
        return path.stat().st_mtime
    except OSError:
        return None


def _stdout() -> Check:
    encoding = (getattr(sys.stdout, "encoding", None) or "unknown").lower()
    if encoding.replace("-", "") == "utf8":
        return Check("output", "ok", encoding)
    return Check("output", "note", f"{encoding}: some characters are shown as escapes", "set PYTHONUTF8=1, or a UTF-8 locale")
