"""Fragments of LLM: from loaders of plugins, through the real plugin manager, and from the store of LLM's logs."""

from __future__ import annotations

import hashlib
import sqlite3
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING, Any

import llm
import pytest
import sqlite_utils
from llm.migrations import migrate

from llm_rlm.context.document import Document, Skipped, Spool
from llm_rlm.context.sources.fragments import is_fragment, resolve
from llm_rlm.errors import UsageError
from scripts import plugged

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

type Loader = Callable[[str], Any]


def fragment(content: str, source: str = "") -> llm.Fragment:
    return llm.Fragment(content, source)  # type: ignore[no-untyped-call]  # LLM's


@contextmanager
def loader(prefix: str, load: Loader) -> Iterator[None]:
    """A plugin with this loader."""

    class Plugin:
        __name__ = f"LoaderOfATest{prefix}"

        @llm.hookimpl
        def register_fragment_loaders(self, register: Callable[[str, Loader], None]) -> None:
            register(prefix, load)

    with plugged(Plugin()):
        yield


@pytest.fixture
def store(user_path: Path) -> Callable[..., None]:
    """Store fragments as LLM does."""

    def put(content: str, alias: str, source: str = "") -> None:
        with closing(sqlite3.connect(user_path / "logs.db")) as connection:
            database: Any = sqlite_utils.Database(connection)
            migrate(database)  # type: ignore[no-untyped-call]  # LLM's
            row = {
                "hash": hashlib.sha256(content.encode()).hexdigest(),
                "content": content,
                "source": source,
                "datetime_utc": "now",
            }
            number = database["fragments"].insert(row).last_pk
            database["fragment_aliases"].insert({"alias": alias, "fragment_id": number})
            connection.commit()

    return put


@pytest.fixture
def spool() -> Iterator[Spool]:
    spool = Spool()
    yield spool
    spool.discard()


def texts(found: list[Document | Skipped]) -> dict[str, str]:
    return {each.name: each.reason if isinstance(each, Skipped) else each.read().decode() for each in found}


def test_a_loader_gives_a_text(spool: Spool) -> None:
    with loader("shout", lambda argument: fragment(argument.upper(), f"shout:{argument}")):
        assert is_fragment("shout:grüße:x")
        (document,) = resolve("shout:grüße:x", spool)
    assert isinstance(document, Document)
    assert (document.name, document.read().decode()) == ("shout:grüße:x", "GRÜSSE:X")
    assert (document.size, document.origin) == (9, "shout:grüße:x")


def test_a_loader_gives_several_texts_with_names_of_their_own(spool: Spool) -> None:
    given = [
        fragment("1", "a"),
        fragment("2", "a"),
        fragment("3"),
        fragment("4", "b\n\x1b"),
        fragment("", "e"),
        "5",
    ]
    with loader("many", lambda _: given):
        found = texts(resolve("many:x", spool))
    assert found == {"a": "1", "a (2)": "2", "many:x": "3", r"b\n\x1b": "4", "e": "empty", "many:x (2)": "5"}


def test_attachments_are_skipped_with_the_reason(spool: Spool) -> None:
    given = [fragment("text", "a"), llm.Attachment(type="image/png", path="/x/logo.png"), llm.Attachment(content=b"x")]
    with loader("mixed", lambda _: given):
        found = texts(resolve("mixed:x", spool))
    assert found == {"a": "text", "/x/logo.png": "an attachment (image/png)", "mixed:x": "an attachment"}


def test_lone_surrogates_do_no_harm(spool: Spool) -> None:
    with loader("odd", lambda _: fragment("a\ud800b", "odd")):
        (document,) = resolve("odd:x", spool)
    assert isinstance(document, Document)
    assert document.read().decode(errors="replace").strip("\ufffd").replace("\ufffd", "") == "ab"


def test_a_loader_that_fails_is_named_in_one_line(spool: Spool) -> None:
    def fail(argument: str) -> None:
        message = f"no\nsuch {argument}"
        raise KeyError(message)

    with loader("bad", fail), pytest.raises(UsageError) as caught:
        resolve("bad:x", spool)
    assert str(caught.value) == r"bad:x: the fragment loader 'bad' failed: 'no\nsuch x'"


def test_a_loader_that_gives_nothing_is_an_error(spool: Spool) -> None:
    with loader("none", lambda _: []), pytest.raises(UsageError, match="none:x: the fragment loader gave nothing"):
        resolve("none:x", spool)


def test_an_unknown_prefix_is_told_what_there_is(spool: Spool) -> None:
    with loader("zzz", str), loader("aaa", str), pytest.raises(UsageError) as caught:
        resolve("gitub:a/b", spool)
    assert str(caught.value).startswith("gitub:a/b: there is no such file, and LLM has no fragment loader 'gitub' (it has aaa")
    assert "zzz" in str(caught.value)


@pytest.mark.parametrize("source", ["http://a/b", "ftp://a/b", "C:\\x", "C:/x", "plain", "a/b:c", "a b:c", ":x", ""])
def test_other_sources_are_no_fragments(source: str) -> None:
    assert not is_fragment(source)


def test_a_file_that_is_called_like_a_fragment_is_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert is_fragment("notes:today")
    (tmp_path / "notes:today").touch()
    assert not is_fragment("notes:today")


def test_a_fragment_is_found_by_alias_and_by_hash(store: Callable[..., None], spool: Spool) -> None:
    store("stored text", "mine", "https://example.org/")
    number = hashlib.sha256(b"stored text").hexdigest()
    for name in ("mine", number):
        assert is_fragment(name)
        assert texts(resolve(name, spool)) == {name: "stored text"}
    assert not is_fragment("other")
    with pytest.raises(UsageError, match="other: LLM has no fragment of that alias or hash"):
        resolve("other", spool)


def test_names_cannot_be_sql(store: Callable[..., None]) -> None:
    store("text", "mine")
    assert not any(map(is_fragment, ("' or 1=1 --", "%", "mine' --", "\udcff", "a\0b")))


def test_nothing_is_written_where_llm_keeps_its_logs(store: Callable[..., None], user_path: Path, spool: Spool) -> None:
    assert not is_fragment("mine")
    assert list(user_path.iterdir()) == []
    store("text", "mine")
    before = {path.name: path.read_bytes() for path in user_path.iterdir()}
    resolve("mine", spool)
    with pytest.raises(UsageError):
        resolve("other", spool)
    assert {path.name: path.read_bytes() for path in user_path.iterdir()} == before


@pytest.mark.parametrize("content", [b"", b"this is no database" * 100])
def test_a_store_that_is_not_as_expected_has_no_fragments(content: bytes, user_path: Path) -> None:
    (user_path / "logs.db").write_bytes(content)
    assert not is_fragment("mine")
