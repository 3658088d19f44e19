"""The tables of the journal, and how a file of an earlier version is brought up to date."""

from __future__ import annotations

import os
import sqlite3
from functools import cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

_BUSY_SECONDS = 60.0
_PRIVATE = 0o600

MIGRATIONS = (
    """
    create table texts (
        hash text primary key,
        text text not null
    ) without rowid;
    create table runs (
        id text primary key,
        question text,
        model text,
        sub_model text,
        settings text not null,
        started real not null,
        ended real,
        finish text,
        limit_kind text,
        error text,
        answer_hash text references texts(hash),
        answer_is_json integer
    );
    create table documents (
        run_id text not null references runs(id),
        name text not null,
        kind text not null,
        bytes integer not null,
        sha256 text,
        path text
    );
    create table turns (
        run_id text not null references runs(id),
        number integer not null,
        sent_hash text references texts(hash),
        reply_hash text references texts(hash),
        input integer,
        output integer,
        cached_input integer,
        started real not null,
        ended real,
        primary key (run_id, number)
    ) without rowid;
    create table cells (
        run_id text not null references runs(id),
        number integer not null,
        turn integer,
        code_hash text not null references texts(hash),
        output_hash text references texts(hash),
        outcome text,
        running real,
        started real not null,
        ended real,
        primary key (run_id, number)
    ) without rowid;
    create table calls (
        id integer primary key,
        run_id text not null references runs(id),
        cell integer,
        key text not null,
        occurrence integer not null,
        model text not null,
        state text not null check (state in ('sent', 'answered', 'failed', 'refused')),
        request_hash text not null references texts(hash),
        response_hash text references texts(hash),
        error text,
        shown_error text,
        input integer,
        output integer,
        cached_input integer,
        started real not null,
        ended real
    );
    create index calls_by_key on calls (run_id, key, occurrence);
    """,
    """
    alter table runs add column process text;
    alter table runs add column system_hash text references texts(hash);
    alter table runs add column limit_value real;
    alter table runs add column limit_used real;
    alter table runs add column life real;
    alter table runs add column seconds real not null default 0;
    alter table documents add column modified integer;
    alter table turns add column last_why text;
    alter table turns add column messages_hash text references texts(hash);
    alter table turns add column cost real;
    alter table turns add column attempts integer not null default 1;
    alter table turns add column unsettled integer not null default 0;
    alter table turns add column bound_tokens integer not null default 0;
    alter table turns add column bound_cost real not null default 0;
    alter table turns add column dropped integer not null default 0;
    alter table cells add column call integer;
    alter table cells add column shown_hash text references texts(hash);
    alter table cells add column held_up integer not null default 0;
    alter table cells add column answer_hash text references texts(hash);
    alter table cells add column answer_is_json integer;
    alter table cells add column dropped integer not null default 0;
    alter table calls rename to calls_1;
    drop index calls_by_key;
    create table calls (
        id integer primary key,
        run_id text not null references runs(id),
        cell integer,
        key text not null,
        occurrence integer not null,
        model text not null,
        state text not null check (state in ('sent', 'answered', 'failed', 'refused', 'unknown')),
        request_hash text not null references texts(hash),
        response_hash text references texts(hash),
        cached_from integer references calls(id),
        error text,
        shown_error text,
        input integer,
        output integer,
        cached_input integer,
        cost real,
        attempts integer not null default 1,
        unsettled integer not null default 0,
        bound_tokens integer not null default 0,
        bound_cost real not null default 0,
        servable integer not null default 1,
        started real not null,
        ended real
    );
    insert into calls (id, run_id, cell, key, occurrence, model, state, request_hash, response_hash, error, shown_error,
            input, output, cached_input, started, ended)
        select id, run_id, cell, key, occurrence, model, state, request_hash, response_hash, error, shown_error,
            input, output, cached_input, started, ended from calls_1;
    drop table calls_1;
    create index calls_by_key on calls (run_id, key, occurrence);
    create index calls_to_serve on calls (key, occurrence, ended)
        where state = 'answered' and servable and cached_from is null;
    create view readable_runs as
        select runs.*, answer.text as answer from runs left join texts as answer on answer.hash = answer_hash;
    create view readable_turns as
        select turns.*, sent.text as sent, reply.text as reply from turns
        left join texts as sent on sent.hash = sent_hash left join texts as reply on reply.hash = reply_hash;
    create view readable_cells as
        select cells.*, code.text as code, output.text as output from cells
        join texts as code on code.hash = code_hash left join texts as output on output.hash = output_hash;
    create view readable_calls as
        select calls.*, request.text as request, response.text as response from calls
        join texts as request on request.hash = request_hash left join texts as response on response.hash = response_hash;
    """,
    """
    alter table documents add column origin text;
    alter table documents add column encoding text;
    alter table documents add column undecodable integer;
    alter table documents add column read_bytes integer;
    alter table documents add column sent_bytes integer;
    alter table documents add column touched_bytes integer;
    create index documents_by_run on documents (run_id, name);
    create table skipped (
        run_id text not null references runs(id),
        name text not null,
        reason text not null
    );
    create index skipped_by_run on skipped (run_id);
    create table citations (
        run_id text not null references runs(id),
        number integer not null,
        quote text not null,
        found text check (found in ('exact', 'folded')),
        source text,
        start integer,
        "end" integer,
        line integer,
        "column" integer,
        place text,
        times integer not null default 0,
        why text,
        primary key (run_id, number)
    ) without rowid;
    alter table cells add column quotes text;
    """,
    """
    alter table runs add column parent text references runs(id);
    alter table runs add column parent_call integer references calls(id);
    alter table runs add column depth integer not null default 0;
    alter table runs add column follows text references runs(id);
    alter table runs add column coverage_complete integer;
    alter table turns add column compacted integer;
    alter table calls add column kind text not null default 'model' check (kind in ('model', 'run', 'function'));
    create index runs_by_parent on runs (parent);
    create index runs_by_followed on runs (follows);
    """,
)
"""What each version adds to the one before. A version that was ever released is not changed any more."""


def connect(path: Path | None) -> sqlite3.Connection:
    """A connection to the file, made if need be and its tables up to date; None is a file in memory.

    Raises OSError or sqlite3.Error.
    """
    if path is not None:
        path.parent.mkdir(parents=True, exist_ok=True)
        os.close(os.open(path, os.O_CREAT | os.O_RDWR, _PRIVATE))
    where = path if path is not None else ":memory:"
    db = sqlite3.connect(where, timeout=_BUSY_SECONDS, check_same_thread=False, isolation_level=None)
    try:
        db.execute("pragma journal_mode = wal")
        db.execute("pragma synchronous = normal")
        if _version(db) < len(MIGRATIONS):
            _migrate(db)
        if path is not None:
            _check(db)
    except BaseException:
        db.close()
        raise
    return db


def _migrate(db: sqlite3.Connection) -> None:
    """Bring the tables up to date. Looks again once it may write: another run may have done it meanwhile."""
    db.execute("begin immediate")
    for number, script in enumerate(MIGRATIONS[_version(db) :], start=_version(db) + 1):
        for statement in script.split(";"):
            db.execute(statement)
        db.execute(f"pragma user_version = {number}")
    db.execute("commit")


def _version(db: sqlite3.Connection) -> int:
    """How many migrations the file has had."""
    (done,) = db.execute("pragma user_version").fetchone()
    if done > len(MIGRATIONS):
        message = "it was written by a newer llm-rlm"
        raise sqlite3.DatabaseError(message)
    return max(0, int(done))


def _check(db: sqlite3.Connection) -> None:
    """Raise sqlite3.DatabaseError for a file whose tables are others, or that does more when it is written to."""
    others = dict(_made()) != {name: what for name, what in _outline(db).items() if name in _made()}
    if others or db.execute("select 1 from sqlite_master where type = 'trigger'").fetchone() is not None:
        message = "its tables are not those that llm-rlm makes"
        raise sqlite3.DatabaseError(message)


@cache
def _made() -> dict[str, object]:
    """What the migrations make."""
    db = sqlite3.connect(":memory:", isolation_level=None)
    try:
        _migrate(db)
        return _outline(db)
    finally:
        db.close()


def _outline(db: sqlite3.Connection) -> dict[str, object]:
    """The columns of each table, and the text of each view."""
    found = db.execute("select type, name, sql from sqlite_master where type in ('table', 'view')").fetchall()
    return {
        name: sql if kind == "view" else db.execute("select * from pragma_table_xinfo(?)", (name,)).fetchall()
        for kind, name, sql in found
    }
