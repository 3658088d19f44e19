"""Pictures, PDFs and sound of the sources go with prompts, where the model takes them."""

from __future__ import annotations

import base64
import json
import struct
import zipfile
import zlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from llm_rlm import RLM, Limits, Settings, UsageError
from llm_rlm.context import Sources, from_any
from llm_rlm.context.media import type_of
from llm_rlm.journal import Journal
from llm_rlm.places import journal_path
from llm_rlm.testing import Reply, ScriptedModel
from scripts import run, scripted, submit, submit_variable

if TYPE_CHECKING:
    import llm

    from conftest import Serve

both_apis = pytest.mark.parametrize("api", ["chat", "responses"])


def png(shade: int = 0) -> bytes:
    """A picture of one pixel."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", 1, 1, 8, 0, 0, 0, 0)
    pixels = zlib.compress(bytes([0, shade]))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Sources:
    (tmp_path / "in" / "photos").mkdir(parents=True)
    (tmp_path / "in" / "notes.txt").write_text("some notes\n")
    (tmp_path / "in" / "photos" / "a.png").write_bytes(png(1))
    (tmp_path / "in" / "photos" / "b.png").write_bytes(png(2))
    (tmp_path / "in" / "photos" / "c.wav").write_bytes(b"RIFF\x24\0\0\0WAVEfmt \0\0\0\0")
    (tmp_path / "in" / "junk.bin").write_bytes(b"\0\1\2\3")
    (tmp_path / "secret.png").write_bytes(png(3))
    monkeypatch.chdir(tmp_path)
    return Sources(("in",))


class Seeing(ScriptedModel):
    """A model that says what it was shown."""

    def __init__(self) -> None:
        self.attachment_types = {"image/png", "application/pdf"}
        self.asked: list[tuple[str, list[bytes]]] = []
        super().__init__(self._say, "seeing")

    def _say(self, prompt: llm.Prompt) -> str:
        self.asked.append((prompt.prompt, [Path(str(attachment.path)).read_bytes() for attachment in prompt.attachments]))
        return f"{len(prompt.attachments)} shown"


def result_of(cell: str, sources: Sources, sub: Any = None, **more: Any) -> Any:
    """What the variable `x` of a cell is."""
    return RLM(scripted(run(cell), submit_variable("x")), sub or Seeing(), **more).ask("?", sources).answer


def test_files_of_the_sources_go_with_a_prompt(folder: Sources) -> None:
    sub = Seeing()
    cell = "x = str(await llm_query('What is it?', attachments=['in/photos/a.png', 'in/photos/b.png']))"
    assert result_of(cell, folder, sub) == "2 shown"
    assert sub.asked == [("What is it?", [png(1), png(2)])]


def test_one_name_need_not_be_in_a_list_and_cells_find_the_names(folder: Sources) -> None:
    sub = Seeing()
    cell = "x = [str(await llm_query('?', attachments=name)) for name in attachable if name.endswith('.png')]"
    assert result_of(cell, folder, sub) == ["1 shown", "1 shown"]
    assert [shown for _, shown in sub.asked] == [[png(1)], [png(2)]]


def test_a_batch_has_an_entry_for_each_prompt(folder: Sources) -> None:
    sub = Seeing()
    cell = (
        "rs = await llm_batch(['0', '1', '2'], attachments=[None, 'in/photos/a.png', attachable[:2]])\nx = [str(r) for r in rs]"
    )
    assert result_of(cell, folder, sub) == ["0 shown", "1 shown", "2 shown"]
    assert sorted(sub.asked) == [("0", []), ("1", [png(1)]), ("2", [png(1), png(2)])]


@both_apis
def test_a_picture_reaches_the_provider_as_the_api_has_it(serve: Serve, folder: Sources, api: str) -> None:
    models = serve(
        run("x = str(await llm_query('What is it?', attachments=['in/photos/a.png']))"), submit_variable("x"), vision=True
    )
    assert RLM(api).ask("?", folder).answer == "sub: What is it?"
    (request,) = models.sub_requests
    url = f"data:image/png;base64,{base64.b64encode(png(1)).decode()}"
    assert url in json.dumps(request.body)


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (
            "llm_query('?', attachments=['secret.png'])",
            "'secret.png' cannot be attached: `attachable` lists the files that can",
        ),
        ("llm_query('?', attachments=['../secret.png'])", "'../secret.png' cannot be attached"),
        ("llm_query('?', attachments=['/etc/passwd'])", "'/etc/passwd' cannot be attached"),
        ("llm_query('?', attachments=['in/notes.txt'])", "in/photos/a.png, in/photos/b.png, in/photos/c.wav"),
        (
            "llm_query('?', attachments=['in/photos/c.wav'])",
            "seeing does not take audio/wav (in/photos/c.wav): it takes application/pdf, image/png",
        ),
        ("llm_query('?', attachments=[5])", "attachments must be a list of names of files (str), see `attachable`"),
        ("llm_query('?', attachments=['in/photos/a.png'] * 101)", "101 attachments; at most 100 can go with one prompt"),
        (
            "llm_batch(['?', '?'], attachments=['in/photos/a.png'])",
            "attachments must have one entry for each of the 2 prompts, not 1 of them: a name, a list of names, or None",
        ),
        ("llm_batch(['?'], attachments=[[5]])", "attachments[0] must be a list of names of files"),
    ],
)
def test_what_cannot_be_attached_is_an_error_that_says_why_and_costs_nothing(folder: Sources, call: str, says: str) -> None:
    sub = Seeing()
    cell = f"try:\n    await {call}\nexcept Exception as problem:\n    x = str(problem)"
    assert says in result_of(cell, folder, sub)
    assert sub.asked == []


def test_a_model_that_takes_no_attachments_is_an_error_that_says_so(folder: Sources) -> None:
    blind = scripted("never")
    cell = "try:\n    await llm_query('?', attachments=attachable[0])\nexcept LLMError as problem:\n    x = str(problem)"
    assert (
        result_of(cell, folder, blind) == "root takes no attachments: ask a model that does, with `model=`, or leave them out"
    )


def test_attachments_that_are_too_large_are_an_error(folder: Sources, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("llm_rlm.providers.attachments.LARGEST", 100)
    cell = "try:\n    await llm_query('?', attachments=attachable[:2])\nexcept LLMError as problem:\n    x = str(problem)"
    assert "at most 100 can go with one prompt" in result_of(cell, folder)


ASK = "x = str(await llm_query('?', attachments=['in/photos/a.png']))"


def test_the_cache_goes_by_what_is_in_the_file(folder: Sources, tmp_path: Path) -> None:
    sub = Seeing()
    for _ in range(2):
        result_of(ASK, folder, sub)
    assert len(sub.asked) == 1
    (tmp_path / "in" / "photos" / "a.png").write_bytes(png(9))
    result_of(ASK, folder, sub)
    assert [shown for _, shown in sub.asked] == [[png(1)], [png(9)]]


def test_the_same_prompt_with_another_file_is_another_question(folder: Sources) -> None:
    sub = Seeing()
    result_of(ASK, folder, sub)
    result_of("x = str(await llm_query('?'))", folder, sub)
    result_of(ASK.replace("a.png", "b.png"), folder, sub)
    assert [shown for _, shown in sub.asked] == [[png(1)], [], [png(2)]]


def test_a_resumed_run_pays_no_attachment_twice_and_the_record_says_what_was_sent(folder: Sources) -> None:
    sub, limits = Seeing(), Limits(turns=2)
    root = scripted(run(ASK), submit("a guess"), submit_variable("x"))
    settings = Settings(cache_days=0)
    assert RLM(root, sub, limits, settings).ask("?", folder).finish == "limit"
    assert RLM(root, sub, Limits(turns=9), settings).resume("last").answer == "1 shown"
    assert len(sub.asked) == 1
    journal = Journal(journal_path())
    (row,) = journal.rows("select request from readable_calls")
    journal.close()
    (attached,) = json.loads(row["request"])["attachments"]
    assert (attached["name"], len(attached["sha256"])) == ("in/photos/a.png", 64)


def test_a_limit_of_tokens_holds_room_for_pictures(folder: Sources) -> None:
    sub = Seeing()
    cell = "rs = await llm_batch(['?'] * 9, attachments=[attachable[:2]] * 9)\nx = len(rs.errors)"
    rlm = RLM(scripted(run(cell), submit_variable("x")), sub, Limits(tokens=90_000))
    assert rlm.ask("?", folder).answer == 9
    assert sub.asked == []


@pytest.mark.usefixtures("folder")
def test_a_folder_of_pictures_only_can_be_asked_about() -> None:
    sub = Seeing()
    assert result_of("x = [context.names, attachable]", Sources(("in/photos",)), sub) == [
        [],
        ["in/photos/a.png", "in/photos/b.png", "in/photos/c.wav"],
    ]
    with pytest.raises(UsageError, match="binary"):
        RLM(scripted(submit("no"))).ask("?", Sources(("in/junk.bin",)))


def test_a_root_model_is_told_of_attachable_files_only_where_there_are_any(folder: Sources) -> None:
    seen: list[str] = []

    def script(prompt: llm.Prompt) -> Reply:
        seen.append(str(prompt.system))
        return submit("done")

    for sources in (folder, Sources(("in/notes.txt",))):
        RLM(ScriptedModel(script, "root")).ask("?", sources)
    assert ["`attachable`: 3 images" in system for system in seen] == [True, False]
    assert ["attachments=" in system for system in seen] == [True, False]


def test_a_pdf_can_be_attached_besides_being_read(folder: Sources, tmp_path: Path) -> None:
    (tmp_path / "in" / "p.pdf").write_bytes(b"%PDF-1.4\n%nothing in it\n")
    context = from_any(folder)
    assert [(file.name, file.type) for file in context.attachable if file.name.endswith("pdf")] == [
        ("in/p.pdf", "application/pdf")
    ]
    context.discard()


@pytest.mark.usefixtures("folder")
def test_pictures_in_archives_cannot_be_attached(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "z.zip", "w") as archive:
        archive.writestr("a.png", png())
        archive.writestr("a.txt", "text")
    cell = "try:\n    await llm_query('?', attachments='z.zip/a.png')\nexcept LLMError as problem:\n    x = str(problem)"
    said = result_of(cell, Sources(("z.zip",)))
    assert said == "'z.zip/a.png' cannot be attached: the input has no files that can (not URLs, members of archives, or text)"


@pytest.mark.parametrize(
    ("start", "type_"),
    [
        (png(), "image/png"),
        (b"\xff\xd8\xff\xe0\0\x10JFIF", "image/jpeg"),
        (b"RIFF\0\0\0\0WEBPVP8 ", "image/webp"),
        (b"RIFF\0\0\0\0AVI LIST", None),
        (b"\0\0\0\x18ftypmp42", "video/mp4"),
        (b"\0\0\0\x18ftypheic", "image/heic"),
        (b"%PDF-1.7", "application/pdf"),
        (b"\0\1\2", None),
        (b"", None),
    ],
)
def test_what_a_file_is_is_told_by_its_first_bytes(start: bytes, type_: str | None) -> None:
    assert type_of(start) == type_


def test_a_text_that_begins_like_a_picture_is_a_text(tmp_path: Path) -> None:
    (tmp_path / "cars.txt").write_text("BMW and others\n")
    context = from_any(tmp_path / "cars.txt")
    assert (context.attachable, context.documents[0].name) == ((), "cars.txt")
