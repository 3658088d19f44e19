from __future__ import annotations

import contextlib
import json
import os
import sqlite3
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import duckdb
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from llm_rlm.context.document import Document, Table
from llm_rlm.context.tables import querying
from llm_rlm.context.tables.ingest import Limits
from llm_rlm.context.tables.tables import QueryError, Rows, Tables

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

type Maker = Callable[..., Tables]


def never() -> bool:
    return False


def csv_file(path: Path, content: bytes | str, name: str | None = None) -> Document:
    data = content.encode() if isinstance(content, str) else content
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    form: Any = path.suffix[1:]
    return Document(name or path.name, str(path), len(data), table=form)


@pytest.fixture
def make(tmp_path: Path) -> Iterator[Maker]:
    """Tables of files given as name=content; closed at the end."""
    with contextlib.ExitStack() as stack:

        def made(
            files: dict[str, bytes | str] | None = None, *others: Document | Table, limits: Limits | None = None
        ) -> Tables:
            documents = [csv_file(tmp_path / "in" / name, content) for name, content in (files or {}).items()]
            tables = Tables([*documents, *others], limits or Limits(seconds=30, reading_seconds=60))
            stack.callback(tables.close)
            return tables

        yield made


def ask(tables: Tables, sql: str, limit: int = 100) -> Rows:
    return tables.query(sql, limit, never)


PEOPLE = "name,age\nann,30\nbob,25\ncid,41\n"


@pytest.fixture(scope="module")
def people(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Tables]:
    folder = tmp_path_factory.mktemp("hostpath")
    documents = [
        csv_file(folder / "people.csv", PEOPLE),
        csv_file(folder / "later.csv", "x\n1\n"),
        csv_file(folder / "broken.jsonl", '{"a": 1}\nnonsense\n'),
    ]
    tables = Tables(documents, Limits(seconds=30))
    yield tables
    tables.close()


# Names


def test_a_table_is_named_for_its_file_in_a_way_that_sql_takes_without_quotes(make: Maker, tmp_path: Path) -> None:
    names = ["data/Air-Ports 2.csv", "b/order.csv", "2024.tsv", "c/Order.jsonl", "d/.csv", "x.zip/people.csv.gz", "naïve.csv"]
    documents = [csv_file(tmp_path / f"{number}.csv", PEOPLE, name) for number, name in enumerate(names)]
    tables = make(None, *documents)
    given = [each["table"] for each in tables.names]
    assert given == ["air_ports_2", "t_order", "t_2024", "t_order_2", "csv", "people", "na_ve"]
    assert [each["source"] for each in tables.names] == names
    assert all(ask(tables, f"SELECT count(*) FROM {name}").rows == [[3]] for name in given)  # noqa: S608 - our own names


def test_no_keyword_of_duckdb_is_the_name_of_a_table(make: Maker) -> None:
    with duckdb.connect() as connection:
        words = [row[0] for row in connection.execute("SELECT keyword_name FROM duckdb_keywords()").fetchall()]
    assert len(words) > 100
    tables = make({f"{word}.csv": "a\n1\n" for word in words})
    with duckdb.connect() as connection:
        for each in tables.names:
            connection.execute(f"CREATE VIEW {each['table']} AS SELECT 1 AS a").fetchall()
            assert connection.execute(f"SELECT a FROM {each['table']}").fetchall() == [(1,)]  # noqa: S608 - our own names


def sqlite_file(path: Path, *statements: str) -> Table:
    with contextlib.closing(sqlite3.connect(path)) as database:
        for statement in statements:
            database.execute(statement)
        database.commit()
    return Table(path.name, str(path), path.stat().st_size, "sqlite")


def test_each_table_in_a_sqlite_file_has_a_name_and_the_files_name_before_it_where_another_has_it_too(
    make: Maker, tmp_path: Path
) -> None:
    one = sqlite_file(tmp_path / "one.db", "CREATE TABLE users (a)", "CREATE TABLE Orders (a)", "CREATE VIEW v AS SELECT 1")
    two = sqlite_file(tmp_path / "two.sqlite", "CREATE TABLE users (a)", "CREATE TABLE people (a)")
    tables = make({"people.csv": PEOPLE}, one, two)
    given = [(each["table"], each["source"], each["format"]) for each in tables.names]
    assert given == [
        ("people", "people.csv", "csv"),
        ("one_users", "one.db", "sqlite"),
        ("orders", "one.db", "sqlite"),
        ("two_users", "two.sqlite", "sqlite"),
        ("two_people", "two.sqlite", "sqlite"),
    ]


def test_documents_that_are_no_tables_are_left_out(make: Maker, tmp_path: Path) -> None:
    tables = make(None, Document("a.txt", str(tmp_path / "a.txt"), 3))
    assert tables.names == []
    with pytest.raises(QueryError, match="there is no table 'x': the context has no CSV"):
        ask(tables, "FROM x")


# Queries


@pytest.mark.parametrize(
    ("sql", "rows"),
    [
        ("SELECT name FROM people WHERE age > 26 ORDER BY age DESC", [["cid"], ["ann"]]),
        ("FROM people SELECT count(*);", [[3]]),
        ("WITH old AS (SELECT * FROM people WHERE age > 26) SELECT count(*) FROM old -- a comment", [[2]]),
        ("VALUES (1, 'a'), (2, NULL)", [[1, "a"], [2, None]]),
        ("(SELECT 1)", [[1]]),
        ("TABLE later", [[1, 2]]),
        ("SELECT a.name FROM main.people a JOIN memory.main.people b ON a.age = b.age + 5", [["ann"]]),
        ("SELECT column_name FROM (DESCRIBE people)", [["name"], ["age"], ["_line"]]),
        ("PIVOT (SELECT age > 26 AS old, age FROM people) ON old IN (true, false) USING count(*)", None),
        ("SELECT column_name, count FROM (SUMMARIZE people)", [["name", 3], ["age", 3], ["_line", 3]]),
        ("SELECT * FROM range(3) t(i), unnest([i]) u(j) ORDER BY i", [[0, 0], [1, 1], [2, 2]]),
        ("WITH RECURSIVE n AS (SELECT 1 AS i UNION ALL SELECT i + 1 FROM n WHERE i < 3) FROM n", [[1], [2], [3]]),
        ('SELECT "name" FROM PEOPLE LIMIT 1', [["ann"]]),
    ],
)
def test_queries_of_every_kind_are_answered(people: Tables, sql: str, rows: list[list[Any]] | None) -> None:
    result = ask(people, sql)
    assert rows is None or result.rows == rows
    assert result.total == len(result.rows)
    assert result.handle is None


def test_show_tables_lists_all_of_them_with_their_sources(people: Tables) -> None:
    rows = ask(people, "show tables").rows
    assert rows == [["people", "people.csv", "csv"], ["later", "later.csv", "csv"], ["broken", "broken.jsonl", "jsonl"]]


def test_a_result_tells_which_tables_were_used(people: Tables) -> None:
    assert ask(people, "SELECT * FROM people p, later").tables == ["people", "later"]


def test_columns_of_the_same_name_get_different_ones(people: Tables) -> None:
    assert ask(people, "SELECT name, name FROM people LIMIT 1").columns == ["name", "name_1"]


def test_a_missing_table_names_those_there_are(people: Tables) -> None:
    with pytest.raises(QueryError, match=r"there is no table 'nothere'\. There are: people, later, broken$"):
        ask(people, "SELECT * FROM nothere")


@pytest.mark.parametrize(
    ("sql", "said"),
    [
        ("SELEC 1", "syntax error"),
        ("SELECT nme FROM people", 'Candidate bindings: "name"'),
        ("SELECT foo(1)", "foo does not exist"),
        ("SELECT CAST(name AS INTEGER) FROM people", "Could not convert string 'ann' to INT32"),
        ("", "give one statement"),
        (";", "give one statement"),
        ("SELECT 1; SELECT 2", "give one statement"),
        ("SELECT " + "1+" * 60_000 + "1", "characters"),
        ("SELECT " + "(" * 20_000 + "1" + ")" * 20_000, "."),
        ("PIVOT people ON name USING count(*)", "PIVOT with the values"),
        ("SELECT ?", "."),
    ],
)
def test_a_query_that_is_wrong_gets_the_words_of_duckdb_and_the_next_is_answered(people: Tables, sql: str, said: str) -> None:
    with pytest.raises(QueryError, match=said):
        ask(people, sql)
    assert ask(people, "SELECT 1").rows == [[1]]


# What the root model must not do

ATTACKS = [
    "SELECT * FROM read_csv('{file}')",
    "SELECT * FROM read_csv_auto('{file}')",
    "SELECT * FROM read_text('{file}')",
    "SELECT * FROM read_blob('{file}')",
    "SELECT * FROM read_json('{file}')",
    "SELECT * FROM read_parquet('{file}')",
    "SELECT * FROM parquet_metadata('{file}')",
    "SELECT * FROM sniff_csv('{file}')",
    "SELECT * FROM glob('/*')",
    "SELECT * FROM '{file}'",
    'SELECT * FROM "{file}"',
    "FROM '{file}.csv'",
    "WITH t AS (SELECT * FROM read_text('{file}')) SELECT * FROM t",
    "SELECT (SELECT content FROM read_text('{file}'))",
    "SELECT * FROM people WHERE name IN (SELECT content FROM read_text('{file}'))",
    "SELECT * FROM query('SELECT * FROM read_text(''{file}'')')",
    "SELECT * FROM query_table('people')",
    "SELECT * FROM query_table(['{file}'])",
    "FROM json_execute_serialized_sql(json_serialize_sql('SELECT 1'))",
    "DESCRIBE SELECT * FROM read_csv('{file}')",
    "SUMMARIZE '{file}'",
    "EXPLAIN ANALYZE SELECT * FROM read_text('{file}')",
    "COPY people TO '{out}'",
    "COPY (SELECT 1) TO '{out}' (FORMAT parquet)",
    "COPY people FROM '{file}'",
    "EXPORT DATABASE '{out}'",
    "IMPORT DATABASE '{out}'",
    "ATTACH '{out}' AS x",
    "ATTACH 'tables/0.db' AS x",
    'DETACH "source 0"',
    "INSTALL httpfs",
    "LOAD httpfs",
    "LOAD '{file}'",
    "FROM 'https://127.0.0.1/x.csv'",
    "SELECT * FROM read_csv('https://127.0.0.1/x.csv')",
    "SELECT getenv('HOME')",
    "SELECT current_setting('temp_directory')",
    "SELECT 'temp_directory'.current_setting()",
    "SELECT system.main.current_setting('allowed_directories')",
    "SELECT list_transform(['temp_directory'], x -> current_setting(x))",
    "SELECT * FROM duckdb_settings()",
    "SELECT * FROM duckdb_databases()",
    "SELECT * FROM duckdb_databases",
    "SELECT * FROM pragma_database_list",
    "SELECT * FROM duckdb_views()",
    "SELECT * FROM pg_catalog.pg_settings",
    "SELECT * FROM information_schema.tables",
    "SELECT * FROM sqlite_master",
    "SELECT * FROM duckdb_extensions()",
    "SELECT * FROM duckdb_secrets()",
    "SELECT * FROM duckdb_temporary_files()",
    "SELECT * FROM duckdb_logs",
    "SELECT * FROM duckdb_settings UNION ALL (WITH duckdb_settings AS (SELECT 1) SELECT * FROM duckdb_settings)",
    "WITH duckdb_databases AS (SELECT 1) SELECT * FROM system.main.duckdb_databases",
    "WITH \"{file}\" AS (SELECT 1) SELECT * FROM '{file}'",
    'SELECT * FROM "source 0".main.data',
    "SELECT * FROM _kept_1",
    "SELECT * FROM arrow_scan(0, 0, 0)",
    "SELECT * FROM pandas_scan(0)",
    "SELECT * FROM seq_scan('people')",
    "SELECT * FROM connection",
    "PRAGMA database_list",
    "PRAGMA enable_external_access",
    "PRAGMA enable_profiling",
    "CALL pragma_database_list()",
    "SET enable_external_access = true",
    "SET GLOBAL allowed_directories = ['/']",
    "SET lock_configuration = false",
    "RESET lock_configuration",
    "SET VARIABLE a = 1",
    "SET log_query_path = '{out}'",
    "CREATE SECRET s (TYPE s3)",
    "CREATE TABLE t AS SELECT 1",
    "CREATE TEMP TABLE t AS SELECT 1",
    "CREATE OR REPLACE VIEW people AS SELECT 1",
    "CREATE MACRO m(a) AS a",
    "CREATE SEQUENCE s",
    "INSERT INTO people VALUES ('x', 1)",
    "INSERT INTO \"source 0\".main.data VALUES ('x', 1)",
    "UPDATE people SET age = 1",
    "DELETE FROM people",
    "DROP VIEW people",
    "ALTER TABLE people RENAME TO x",
    "TRUNCATE people",
    "MERGE INTO people USING later ON true WHEN MATCHED THEN DELETE",
    "WITH gone AS (DELETE FROM people RETURNING *) SELECT * FROM gone",
    "WITH new AS (INSERT INTO people VALUES ('x', 1) RETURNING *) SELECT * FROM new",
    "BEGIN",
    "CHECKPOINT",
    "USE system",
    "VACUUM",
    "ANALYZE",
    "PREPARE p AS SELECT 1",
    "EXECUTE p",
    "SHOW DATABASES",
    "SHOW ALL TABLES",
    "SHOW VARIABLES",
    "SELECT write_log('x')",
    "SELECT nextval('s')",
    "SELECT sleep_ms(1)",
    "SELECT 1; COPY people TO '{out}'",
    "SELECT 1) TO '{out}'; --",
    "/* SELECT */ COPY (SELECT 1) TO '{out}'",
]


@pytest.mark.parametrize("attack", ATTACKS)
def test_no_statement_reaches_files_settings_or_the_tables_contents(people: Tables, tmp_path: Path, attack: str) -> None:
    secret = tmp_path / "secret.txt"
    secret.write_text("a,b\ntop-secret,1\n")
    out = tmp_path / "out"
    ask(people, "FROM people")
    with pytest.raises(QueryError) as failure:
        ask(people, attack.format(file=secret, out=out))
    assert "top-secret" not in str(failure.value)
    assert "crashed" not in str(failure.value)
    assert not out.exists()
    assert ask(people, "SELECT sum(age), count(*) FROM people").rows == [[96, 3]]


# Past the first lock: statements that are run without being looked at

BENEATH = [
    "SELECT * FROM read_csv('{file}')",
    "SELECT * FROM read_text('{file}')",
    "SELECT * FROM '{file}'",
    "SELECT * FROM glob('{folder}/*')",
    "SELECT * FROM sniff_csv('{file}')",
    "SELECT * FROM read_parquet('{file}')",
    "COPY (SELECT 1) TO '{out}'",
    "COPY people TO '{out}' (FORMAT parquet)",
    "EXPORT DATABASE '{out}'",
    "ATTACH '{out}' AS x",
    "INSTALL httpfs",
    "LOAD httpfs",
    "SELECT * FROM read_csv('https://127.0.0.1/x.csv')",
    "SET enable_external_access = true",
    "SET allowed_directories = ['/']",
    "SET allowed_paths = ['{file}']",
    "SET lock_configuration = false",
    "RESET enable_external_access",
    "SET temp_directory = '{out}'",
    "SET log_query_path = '{out}'",
    "SELECT getenv('HOME')",
    "CREATE PERSISTENT SECRET s (TYPE s3)",
    "INSERT INTO \"source 0\".main.data VALUES ('x', 1)",
    'DELETE FROM "source 0".main.data',
    'DROP TABLE "source 0".main.data',
    'CREATE TABLE "source 0".main.other AS SELECT 1',
]


@pytest.fixture
def beneath(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> querying._Service:
    """The service in this process, with its table attached."""
    source = csv_file(tmp_path / "people.csv", PEOPLE)
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")
    table = {"table": "people", "name": "people.csv", "path": source.path, "size": source.size, "format": "csv"}
    Path(querying.SETUP).write_text(json.dumps({"tables": [table], "limits": {}}))
    service = querying._Service()
    assert service.query("SELECT count(*) FROM people", 1, 1)["rows"] == [[3]]
    return service


@pytest.mark.parametrize("attack", BENEATH)
def test_the_connection_alone_holds_what_the_statement_could_do(
    beneath: querying._Service, tmp_path: Path, attack: str
) -> None:
    secret, out = tmp_path / "secret.txt", tmp_path / "out"
    secret.write_text("top-secret")
    with pytest.raises(duckdb.Error):
        beneath._rows(attack.format(file=secret, folder=tmp_path, out=out))
    assert not out.exists()
    assert beneath._rows("SELECT count(*) FROM people") == [(3,)]


def test_no_answer_and_no_error_tells_where_the_files_are(people: Tables, tmp_path_factory: pytest.TempPathFactory) -> None:
    ask(people, "FROM people, later")
    folder = people._folder
    assert folder is not None
    said = [json.dumps(people.names)]
    probes = [*ATTACKS, "FROM broken", "FROM nothere", "SELECT nothere FROM people", "SELECT current_database(), version()"]
    for sql in [*probes, "SHOW TABLES", "DESCRIBE people", "SUMMARIZE people", "SELECT current_schemas(true)"]:
        try:
            said.append(json.dumps(ask(people, sql.format(file="/x", out="/y")).__dict__))
        except QueryError as problem:
            said.append(str(problem))
    everything = "\n".join(said)
    for secret in ("hostpath", Path(folder.path).name, "confined", str(tmp_path_factory.getbasetemp()), os.getcwd()):  # noqa: PTH109
        assert secret not in everything
    assert "broken.jsonl" in everything


def test_tables_that_are_named_later_are_there_without_opening_the_lock(people: Tables) -> None:
    assert ask(people, "SELECT count(*) FROM people").rows == [[3]]
    assert ask(people, "SELECT x FROM later").rows == [[1]]


# Limits


def test_a_query_that_would_never_end_is_stopped_and_the_next_is_answered(make: Maker) -> None:
    tables = make({"people.csv": PEOPLE}, limits=Limits(seconds=1))
    ask(tables, "FROM people")
    begun = time.monotonic()
    with pytest.raises(QueryError, match="took longer than 1 s"):
        ask(tables, "SELECT count(*) FROM range(1000000000) a, range(1000000000) b, people")
    assert time.monotonic() - begun < 5
    assert ask(tables, "SELECT count(*) FROM people").rows == [[3]]


def test_a_query_that_does_not_stop_when_told_is_killed(make: Maker, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("llm_rlm.context.tables.tables._GRACE", 0.5)
    tables = make({"people.csv": PEOPLE}, limits=Limits(seconds=0.5, reading_seconds=1))
    ask(tables, "FROM people")
    begun = time.monotonic()
    with pytest.raises(QueryError):
        ask(tables, "SELECT max(length(repeat(name, 500000000))) FROM people, range(100)")
    assert time.monotonic() - begun < 10
    assert ask(tables, "SELECT count(*) FROM people").rows == [[3]]


def test_a_query_can_be_cancelled_and_its_tables_need_not_be_read_again(make: Maker, tmp_path: Path) -> None:
    tables = make({"people.csv": PEOPLE})
    ask(tables, "FROM people")
    begun = time.monotonic()
    with pytest.raises(QueryError, match="cancelled"):
        tables.query("SELECT count(*) FROM range(1000000000) a, range(1000000000)", 1, lambda: time.monotonic() - begun > 0.5)
    assert time.monotonic() - begun < 3
    (tmp_path / "in" / "people.csv").unlink()
    assert ask(tables, "SELECT count(*) FROM people").rows == [[3]]


def test_a_query_that_waits_for_its_turn_can_be_cancelled(make: Maker) -> None:
    tables = make({"people.csv": PEOPLE}, limits=Limits(seconds=5))
    begun = time.monotonic()
    long = threading.Thread(target=_quietly, args=(tables, "SELECT count(*) FROM range(1000000000) a, range(1000000000)"))
    long.start()
    time.sleep(0.3)
    with pytest.raises(QueryError, match="cancelled"):
        tables.query("SELECT 1", 1, lambda: time.monotonic() - begun > 0.6)
    assert time.monotonic() - begun < 3
    tables.close()
    long.join()


def _quietly(tables: Tables, sql: str) -> None:
    with contextlib.suppress(QueryError):
        ask(tables, sql)


def test_a_query_that_needs_more_memory_than_there_is_says_so(make: Maker) -> None:
    tables = make(limits=Limits(memory="100MB", spilled="20MB", rows_kept=10_000_000))
    with pytest.raises(QueryError, match="needs more than the 100MB of memory and 20MB of disk"):
        ask(tables, "SELECT list(range) FROM range(1000000000)")
    with pytest.raises(QueryError, match="needs more than the 100MB of memory and 20MB of disk"):
        ask(tables, "SELECT md5(range::VARCHAR) m FROM range(10000000)")
    assert ask(tables, "SELECT 1").rows == [[1]]


def test_rows_beyond_the_first_are_had_by_handle_in_the_same_order(make: Maker) -> None:
    tables = make()
    first = ask(tables, "SELECT range * 7 % 1000 AS n FROM range(1000) ORDER BY n", 10)
    assert first.rows == [[n] for n in range(10)]
    assert first.total == 1000
    assert first.handle is not None
    assert tables.more(first.handle, 10, 5).rows == [[10], [11], [12], [13], [14]]
    assert tables.more(first.handle, 995, 100).rows == [[n] for n in range(995, 1000)]
    assert tables.more(first.handle, 5000, 100).rows == []


def test_only_the_last_few_results_are_kept(make: Maker) -> None:
    tables = make(limits=Limits(results_kept=2))
    handles = [ask(tables, "FROM range(3)", 1).handle for _ in range(3)]
    assert None not in handles
    assert tables.more(handles[2] or 0, 1, 9).rows == tables.more(handles[1] or 0, 1, 9).rows == [[1], [2]]
    with pytest.raises(QueryError, match="not kept any more: run the query again"):
        tables.more(handles[0] or 0, 1, 9)


def test_handles_survive_tables_that_are_named_later(make: Maker) -> None:
    tables = make({"people.csv": PEOPLE, "later.csv": "x\n1\n"})
    handle = ask(tables, "SELECT name FROM people", 1).handle
    ask(tables, "FROM later")
    assert tables.more(handle or 0, 1, 9).rows == [["bob"], ["cid"]]


def test_a_result_longer_than_what_is_kept_has_no_total(make: Maker) -> None:
    tables = make(limits=Limits(rows_kept=50))
    result = ask(tables, "FROM range(1000000000000)", 10)
    assert (len(result.rows), result.total) == (10, None)
    assert len(tables.more(result.handle or 0, 0, 100).rows) == 50


def test_a_reply_is_limited_in_bytes_and_the_rest_is_had_by_handle(make: Maker) -> None:
    tables = make(limits=Limits(reply=100_000))
    result = ask(tables, "SELECT range, repeat('x', 1000) FROM range(500)", 500)
    assert 50 < len(result.rows) < 100
    assert len(json.dumps(result.rows)) <= 100_000
    assert result.total == 500
    rows = list(result.rows)
    while more := tables.more(result.handle or 0, len(rows), 500).rows:
        rows += more
    assert [row[0] for row in rows] == list(range(500))


def test_huge_cells_are_cut_and_say_so(make: Maker) -> None:
    tables = make(limits=Limits(cell=1000))
    result = ask(tables, "SELECT repeat('é', 5000000) a, range(100000) b, 'short' c")
    assert result.cut == 2
    assert result.rows[0][0] == "é" * 1000 + " … [cut here: the cell is longer]"
    assert result.rows[0][1].startswith("[0,1,2,3")
    assert result.rows[0][2] == "short"


def test_one_row_of_many_huge_cells_fits_in_a_reply(make: Maker) -> None:
    columns = ", ".join(f"repeat('\U0001f600', 200000) AS c{number}" for number in range(100))
    result = ask(make(), f"SELECT {columns}")
    assert result.cut == 100
    assert len(json.dumps(result.rows)) <= 8_000_000


# Values


@pytest.mark.parametrize(
    ("sql", "value"),
    [
        ("NULL", None),
        ("true", True),
        ("9223372036854775807", 9223372036854775807),
        ("170141183460469231731687303715884105727::HUGEINT", 170141183460469231731687303715884105727),
        ("18446744073709551615::UBIGINT", 18446744073709551615),
        ("1.5::DOUBLE", 1.5),
        ("'nan'::DOUBLE", None),
        ("'-inf'::FLOAT", None),
        ("1.10", 1.1),
        ("0.123456789012345::DECIMAL(15,15)", 0.123456789012345),
        ("12345678901234567890.12::DECIMAL(38,2)", "12345678901234567890.12"),
        ("DATE '2024-02-29'", "2024-02-29"),
        ("DATE '0044-03-15 (BC)'", "0044-03-15 (BC)"),
        ("TIMESTAMP '2024-02-29 10:11:12.5'", "2024-02-29 10:11:12.5"),
        ("TIMESTAMP '290000-01-01 00:00:00'", "290000-01-01 00:00:00"),
        ("TIMESTAMPTZ '2024-02-29 10:11:12+02'", "2024-02-29 08:11:12+00"),
        ("TIME '10:11:12'", "10:11:12"),
        ("INTERVAL 3 DAY", "3 days"),
        ("'\\xAA\\xBB'::BLOB", "<2 bytes>"),
        ("'101'::BIT", "101"),
        ("'a'::ENUM('a', 'b')", "a"),
        ("'f47ac10b-58cc-4372-a567-0e02b2c3d479'::UUID", "f47ac10b-58cc-4372-a567-0e02b2c3d479"),
        ("[1, NULL, 3]", [1, None, 3]),
        ("{'a': 1, 'b': {'c': ['x']}}", {"a": 1, "b": {"c": ["x"]}}),
        ("MAP {'k': 1}", {"k": 1}),
        ("[DATE '2024-02-29']", ["2024-02-29"]),
        ("['nan'::DOUBLE, 1.0]", [None, 1.0]),
        ("[1, 2]::INTEGER[2]", [1, 2]),
        ("union_value(a := 1)", {"a": 1}),
        ("'{\"a\": [1, 1e999]}'::JSON", {"a": [1, None]}),
        ("'a' || chr(0) || 'b'", "a\0b"),
        ("''", ""),
    ],
)
def test_values_are_json(people: Tables, sql: str, value: object) -> None:
    result = ask(people, f"SELECT {sql} AS v")
    assert result.rows == [[value]]
    assert result.columns == ["v"]


# CSV


@pytest.mark.parametrize(
    ("content", "columns", "rows"),
    [
        ("a,b\n1,x\n2,y\n", ["a", "b", "_line"], [[1, "x", 2], [2, "y", 3]]),
        ("1,x\n2,y\n", ["column0", "column1", "_line"], [[1, "x", 1], [2, "y", 2]]),
        ("a;b\n1;x,y\n2;z\n", ["a", "b", "_line"], [[1, "x,y", 2], [2, "z", 3]]),
        ("a\tb\n1\tx\n", ["a", "b", "_line"], [[1, "x", 2]]),
        ('a,b\n1,"two\nlines"\n2,"say ""hi"""\n', ["a", "b", "_line"], [[1, "two\nlines", 2], [2, 'say "hi"', 4]]),
        ("a,b\r\n1,x\r\n2,y", ["a", "b", "_line"], [[1, "x", 2], [2, "y", 3]]),
        ("\ufeffa,b\n1,x\n", ["a", "b", "_line"], [[1, "x", 2]]),
        ("a,b\n1,\\N\n2,y\n", ["a", "b", "_line"], [[1, None, 2], [2, "y", 3]]),
        ("a,b\n1,x\n\n2,y\n", ["a", "b", "_line"], [[1, "x", 2], [2, "y", 4]]),
        ("a,a,,\n1,2,3,\n", ["a", "a_1", "column2", "column3", "_line"], [[1, 2, 3, None, 2]]),
        ("a,_line\n1,7\n", ["a", "_line", "_line_1"], [[1, 7, 2]]),
        ("a,b,c\n1,2,3\n4,5\n6,7,8\n", ["a", "b", "c", "_line"], [[1, 2, 3, 2], [4, 5, None, 3], [6, 7, 8, 4]]),
        ("a,b,c\n", ["a", "b", "c", "_line"], []),
        ("a,b\r1,x\r2,y\r", ["a", "b", "_record"], [[1, "x", 1], [2, "y", 2]]),
        ("a,b\n1,caf\xe9\n2,y\n".encode("latin-1"), ["a", "b", "_line"], [[1, "caf\ufffd", 2], [2, "y", 3]]),
    ],
)
def test_a_csv_file_is_read_as_it_is_meant(
    make: Maker, content: bytes | str, columns: list[str], rows: list[list[object]]
) -> None:
    result = ask(make({"t.csv": content}), "FROM t")
    assert result.columns == columns
    assert result.rows == rows


def test_a_value_of_another_type_far_down_the_file_loses_no_row(make: Maker) -> None:
    result = ask(make({"t.csv": "a,b\n" + "1,2\n" * 30_000 + "N/A,3\n"}), "SELECT a, b, _line FROM t WHERE b = 3")
    assert result.rows == [["N/A", 3, 30_002]]


def test_lines_that_cannot_be_read_are_told_and_do_not_shift_the_others(make: Maker) -> None:
    tables = make({"t.csv": "a,b\n" + "1,2\n" * 30_000 + "5,6,7\n9,9\n"})
    result = ask(tables, "SELECT count(*), max(_line) FROM t")
    assert result.rows == [[30_001, 30_003]]
    assert result.notes == ["t.csv: 1 line was not read; the first is line 30002: Expected Number of Columns: 2 Found: 3"]
    assert ask(tables, "SELECT 1 FROM t LIMIT 1").notes == result.notes


def test_a_file_without_names_of_columns_and_one_that_is_not_utf8_are_told(make: Maker) -> None:
    assert ask(make({"t.csv": "1,2\n3,4\n"}), "FROM t").notes == ["t.csv has no line with column names"]
    assert ask(make({"u.csv": b"a,b\n1,\xff\xfe\n"}), "FROM u").notes == [
        "u.csv is not all UTF-8: 2 U+FFFD stand in the table for what is not"
    ]


def test_lines_before_the_table_are_told(make: Maker) -> None:
    result = ask(make({"t.csv": "# made by x\na,b\n1,2\n#3,4\n"}), "FROM t")
    assert result.rows == [["1", 2, 3], ["#3", 4, 4]]
    assert result.notes == ["t.csv: what stands before line 2 is taken for no part of the table"]


def test_what_is_told_of_a_file_is_told_once(make: Maker) -> None:
    result = ask(make({"t.csv": "1,2\n" * 30_000 + "N/A,3\n"}), "FROM t LIMIT 1")
    assert result.notes == ["t.csv has no line with column names"]


def test_quotes_that_begin_after_the_sample_are_quotes(make: Maker) -> None:
    tables = make({"t.csv": "a,b\n" + "1,x\n" * 30_000 + '2,"y, z"\n3,"two\nlines"\n4,w\n'})
    assert ask(tables, "SELECT a, b, _line FROM t WHERE a > 1").rows == [
        [2, "y, z", 30_002],
        [3, "two\nlines", 30_003],
        [4, "w", 30_005],
    ]


def test_tsv_is_parted_by_tabs_only(make: Maker) -> None:
    assert ask(make({"t.tsv": "a,b\tc\n1,2\tx\n"}), "FROM t").rows == [["1,2", "x", 2]]


def test_rows_keep_the_order_of_a_file_that_is_read_in_parts(make: Maker) -> None:
    lines = 400_000
    tables = make({"t.csv": "n,text\n" + "".join(f"{n},{'x' * 90}\n" for n in range(lines))})
    assert ask(tables, "SELECT count(*), count(*) FILTER (_line <> n + 2) FROM t").rows == [[lines, 0]]


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(
        st.tuples(st.integers(0, 999), st.text(st.sampled_from('ab "\n,;é'), min_size=1, max_size=6).filter(str.strip)),
        min_size=1,
        max_size=30,
    )
)
def test_every_row_says_the_line_that_it_begins_on(beneath_any: Callable[[str], querying._Service], rows: list[Any]) -> None:
    content, expected = "number,text\n", []
    for number, text in rows:
        expected.append([number, text, content.count("\n") + 1])
        quoted = text.replace('"', '""')
        content += f'{number},"{quoted}"\n'
    service = beneath_any(content)
    assert service.query("SELECT number, text, _line FROM t", 100, 1)["rows"] == expected


@pytest.fixture
def beneath_any(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], querying._Service]:
    count = iter(range(10_000))

    def made(content: str) -> querying._Service:
        folder = tmp_path / f"{next(count)}"
        folder.mkdir()
        source = csv_file(folder / "t.csv", content)
        monkeypatch.chdir(folder)
        table = {"table": "t", "name": "t.csv", "path": source.path, "size": source.size, "format": "csv"}
        Path(querying.SETUP).write_text(json.dumps({"tables": [table], "limits": {}}))
        return querying._Service()

    return made


# Other formats


def test_jsonl_with_ragged_objects_has_the_columns_of_all_of_them(make: Maker) -> None:
    lines = '{"a": 1, "b": {"c": [1, 2]}}\n\n{"a": 2, "z": "x"}\n' + '{"a": 3}\n' * 30_000 + '{"last": true}\n'
    result = ask(make({"t.jsonl": lines}), "FROM t WHERE a < 3 OR last")
    assert result.columns == ["a", "b", "z", "last", "_line"]
    assert result.rows == [
        [1, {"c": [1, 2]}, None, None, 1],
        [2, None, "x", None, 3],
        [None, None, None, True, 30_004],
    ]


def test_jsonl_with_a_bom_or_bytes_that_are_not_utf8_is_read(make: Maker) -> None:
    tables = make({"t.jsonl": b'\xef\xbb\xbf{"a": 1}\n', "u.jsonl": b'{"a": "x\xff"}\n'})
    assert ask(tables, "FROM t").rows == [[1, 1]]
    assert ask(tables, "FROM u").rows == [["x\ufffd", 1]]


def test_jsonl_that_is_not_json_is_an_error_with_file_and_line(people: Tables) -> None:
    with pytest.raises(QueryError, match=r"^broken\.jsonl is not JSON on line 2: Expecting value") as failure:
        ask(people, "FROM broken")
    assert "source" not in str(failure.value)


def test_parquet_is_read(make: Maker, tmp_path: Path) -> None:
    path = tmp_path / "t[1]*.parquet"
    with duckdb.connect() as connection:
        connection.execute(f"COPY (SELECT range AS a, DATE '2024-01-01' AS d FROM range(3)) TO '{path}'").fetchall()  # noqa: S608 - our own names
    tables = make(None, Table("t.parquet", str(path), path.stat().st_size, "parquet"))
    assert ask(tables, "FROM t WHERE a = 2").rows == [[2, "2024-01-01", 3]]


def test_a_file_that_is_not_of_its_format_is_an_error_that_names_it(make: Maker, tmp_path: Path) -> None:
    files = {"p.parquet": b"PAR1 nonsense", "s.db": b"nonsense that is no database", "e.sqlite": b""}
    others = []
    for name, content in files.items():
        (tmp_path / name).write_bytes(content)
        form: Any = {".parquet": "parquet", ".db": "sqlite", ".sqlite": "sqlite"}[Path(name).suffix]
        others.append(Table(name, str(tmp_path / name), len(content), form))
    tables = make({"people.csv": PEOPLE}, *others)
    assert [each["table"] for each in tables.names] == ["people", "p", "s"]
    for name in ("p", "s"):
        with pytest.raises(QueryError, match=rf"^{name}\.[a-z]+ cannot be read as"):
            ask(tables, f"FROM {name}")
    assert ask(tables, "SELECT count(*) FROM people").rows == [[3]]


def test_sqlite_is_read_with_the_types_of_its_values(make: Maker, tmp_path: Path) -> None:
    table = sqlite_file(
        tmp_path / "s.db",
        'CREATE TABLE "My Table" (id INTEGER PRIMARY KEY, x, r, t TEXT, b BLOB, mixed, "Odd ""name""")',
        "INSERT INTO \"My Table\" VALUES (1, 1, 1, 'a,\"b\n', x'AABB', 1, NULL), (2, NULL, 2.5, '', NULL, 'x', NULL)",
    )
    result = ask(make(None, table), "FROM my_table")
    assert result.columns == ["id", "x", "r", "t", "b", "mixed", 'Odd "name"']
    assert result.types == ["BIGINT", "BIGINT", "DOUBLE", "VARCHAR", "BLOB", "VARCHAR", "VARCHAR"]
    assert result.rows == [[1, 1, 1.0, 'a,"b\n', "<2 bytes>", "1", None], [2, None, 2.5, "", None, "x", None]]


def test_what_a_program_has_not_yet_put_into_its_sqlite_file_is_read_too_and_nothing_is_left_beside_it(
    make: Maker, tmp_path: Path
) -> None:
    folder = tmp_path / "db"
    folder.mkdir()
    path = folder / "s.db"
    with contextlib.closing(sqlite3.connect(path)) as database:
        database.execute("PRAGMA journal_mode = WAL")
        database.execute("CREATE TABLE t (a)")
        database.commit()
        database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        database.execute("INSERT INTO t VALUES (42)")
        database.commit()
        before = sorted(each.name for each in folder.iterdir())
        tables = make(None, Table("s.db", str(path), path.stat().st_size, "sqlite"))
        assert ask(tables, "FROM t").rows == [[42]]
        assert sorted(each.name for each in folder.iterdir()) == before


def test_a_file_that_takes_too_long_to_read_is_given_up(make: Maker, tmp_path: Path) -> None:
    table = sqlite_file(
        tmp_path / "s.db",
        "CREATE TABLE t (a)",
        "INSERT INTO t WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 500000) SELECT i FROM n",
    )
    tables = make({"people.csv": PEOPLE}, table, limits=Limits(reading_seconds=0.2))
    with pytest.raises(QueryError, match=r"took longer than 0\.2 s"):
        ask(tables, "SELECT count(*) FROM t")
    assert ask(tables, "SELECT count(*) FROM people").rows == [[3]]


# Files that change


def test_a_file_that_vanished_or_shrank_is_an_error_that_names_it(make: Maker, tmp_path: Path) -> None:
    tables = make({"gone.csv": PEOPLE, "less.csv": PEOPLE})
    (tmp_path / "in" / "gone.csv").unlink()
    (tmp_path / "in" / "less.csv").write_text("name,age\n")
    with pytest.raises(QueryError, match=r"^gone\.csv was there when the run began and cannot be read now: No such file"):
        ask(tables, "FROM gone")
    with pytest.raises(QueryError, match=r"^less\.csv has changed since the run began"):
        ask(tables, "FROM less")


def test_what_a_file_has_gained_since_is_no_part_of_its_table(make: Maker, tmp_path: Path) -> None:
    tables = make({"t.csv": PEOPLE})
    with (tmp_path / "in" / "t.csv").open("a") as file:
        file.write("dan,50\n")
    assert ask(tables, "SELECT count(*) FROM t").rows == [[3]]


def test_more_tables_can_be_queried_than_are_open_at_a_time(make: Maker) -> None:
    tables = make({f"t{number}.csv": f"a\n{number}\n" for number in range(70)})
    assert [ask(tables, f"SELECT a FROM t{number}").rows[0][0] for number in range(70)] == list(range(70))  # noqa: S608 - our own names
    assert ask(tables, "SELECT a FROM t0").rows == [[0]]


def test_closing_leaves_nothing_and_ends_the_process(make: Maker) -> None:
    tables = make({"people.csv": PEOPLE})
    ask(tables, "FROM people")
    folder = tables._folder
    assert folder is not None
    assert Path(folder.path).exists()
    tables.close()
    assert not Path(folder.path).exists()
    with pytest.raises(QueryError):
        ask(tables, "FROM people")


def test_without_duckdb_the_error_says_what_to_install(tmp_path: Path) -> None:
    code = (
        "import sys, json; sys.modules['duckdb'] = None; from llm_rlm.context.tables.querying import serve;"
        "print(json.dumps(serve({'do': 'query', 'folder': sys.argv[1], 'sql': 'SELECT 1', 'limit': 1, 'handle': 1})))"
    )
    done = subprocess.run([sys.executable, "-c", code, str(tmp_path)], check=True, capture_output=True, text=True)  # noqa: S603 - ours
    assert json.loads(done.stdout) == {"error": "sql() needs the extra: pip install 'llm-rlm[sql]'"}


def test_duckdb_is_not_imported_before_it_is_needed() -> None:
    code = "import sys, llm_rlm.context.tables.tables, llm_rlm.context.tables.querying; assert 'duckdb' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)  # noqa: S603 - ours
