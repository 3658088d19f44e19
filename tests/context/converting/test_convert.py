from __future__ import annotations

import datetime as dt
import importlib.util
import io
import json
import os
import socket
import struct
import sys
import threading
import time
import zipfile
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from llm_rlm.context.confined import Bounds
from llm_rlm.context.converting import convert as module
from llm_rlm.context.converting.convert import NEEDS_EXTRA, Converter, Job, convert, convert_all, kind_of
from llm_rlm.context.converting.office import _cell
from llm_rlm.context.converting.web import without_data
from llm_rlm.context.document import Document, Skipped, Spool
from llm_rlm.context.marks import Places, is_marked

from .documents import docx, epub, paragraph, pdf, pdf_of, zipped
from .hostile import old_workbook, whole_pptx
from .rawzip import Member, raw_zip

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from llm_rlm.context.converting.convert import Kind

on_posix = pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such file")
on_linux = pytest.mark.skipif(sys.platform != "linux", reason="only Linux limits the memory of a process")


@pytest.fixture
def spool() -> Iterator[Spool]:
    spool = Spool()
    yield spool
    spool.discard()


@pytest.fixture(scope="module")
def shared() -> Iterator[Converter]:
    """One process for many tests: the libraries are slow to import."""
    spool = Spool()
    with Converter(None, spool) as converter:
        yield converter
    spool.discard()


def converted(shared: Converter, folder: Path, name: str, data: bytes) -> Document | Skipped:
    path = folder / name
    path.write_bytes(data)
    kind = kind_of(str(path), data[:8192])
    assert kind is not None
    return shared.convert(Job(str(path), name, kind))


def text_of(document: Document | Skipped) -> str:
    assert isinstance(document, Document), document
    data = document.read()
    assert len(data) == document.size
    assert is_marked(document)
    return data.decode()


def reason_of(skipped: Document | Skipped) -> str:
    assert isinstance(skipped, Skipped)
    return skipped.reason


# What is a document


@pytest.mark.parametrize(
    ("name", "data", "kind"),
    [
        ("a.pdf", pdf("x"), "pdf"),
        ("download", pdf("x"), "pdf"),
        ("a.pdf", b"junk before\n" + pdf("x"), "pdf"),
        ("about.txt", b"A file begins with %PDF-1.4, they say", None),
        ("a.pdf", b"no such thing", None),
        ("a.docx", docx(""), "docx"),
        ("no-suffix", docx(""), "docx"),
        ("a.zip", zipped({"word/x.txt": "plain"}), None),
        ("a.docx", zipped({"readme.txt": "plain"}), None),
        ("a.docx", b"PK\x03\x04 broken", None),
        ("a.pptx", zipped({"ppt/presentation.xml": "", "[Content_Types].xml": ""}), "pptx"),
        ("a.xlsx", zipped({"xl/workbook.xml": "", "[Content_Types].xml": ""}), "xlsx"),
        ("a.jar", zipped({"META-INF/MANIFEST.MF": "", "a.class": b"\0"}), None),
        ("book", epub({}, []), "epub"),
        ("a.xls", b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(500), "xls"),
        ("a.docx", b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(500), "docx"),
        ("a.msg", b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(500), None),
        ("A.HTML", b"<p>", "html"),
        ("a.txt", b"<html><p>", None),
        ("a.html", b"\0\1\2", None),
        ("a.html", "\ufeff<p>".encode("utf-16-le"), "html"),
        ("a.eml", b"From: a@b\n\nx", "eml"),
        ("a.mbox", b"", "mbox"),
        ("Inbox", b"From a@b Thu Jan  1 00:00:00 2026\nSubject: x\n\nx\n", "mbox"),
        ("a.txt", b"From here to there in 2026\nwe went on.\n", None),
        ("a.txt", b"", None),
    ],
)
def test_a_document_is_known_by_its_content_and_name(tmp_path: Path, name: str, data: bytes, kind: Kind | None) -> None:
    path = tmp_path / name
    path.write_bytes(data)
    assert kind_of(str(path), data[:8192]) == kind


@pytest.mark.parametrize("end", ["", "hidden", "disks"])
def test_a_zip_file_cannot_hide_how_many_members_it_has(tmp_path: Path, end: str) -> None:
    path = tmp_path / "a.docx"
    parts = [Member("[Content_Types].xml", b""), Member("word/document.xml", b"")]
    data = raw_zip(parts + [Member(str(number), b"") for number in range(20_000)], end)
    if end == "disks":
        # The numbers of its disks, which nobody looks at, as the beginning of another last record.
        data = data[:-18] + b"PK\5\6" + data[-14:]
    path.write_bytes(data)
    assert kind_of(str(path), data[:8192]) is None
    path.write_bytes(raw_zip(parts, end if end != "disks" else ""))
    assert kind_of(str(path), data[:8192]) == "docx"


def test_a_page_of_the_web_is_known_by_its_content_type() -> None:
    assert kind_of("https://example.org/", b"<p>", "text/html; charset=utf-8") == "html"
    assert kind_of("https://example.org/", b"<p>", "text/plain") is None


# Each kind


def test_the_pages_of_a_pdf_are_marked(shared: Converter, tmp_path: Path) -> None:
    document = converted(shared, tmp_path, "a.pdf", pdf("first page\nline two", None, "third page"))
    text = text_of(document)
    assert text == "<!-- page 1 -->\n\nfirst page\nline two\n\n<!-- page 2 -->\n\n\n<!-- page 3 -->\n\nthird page\n"
    assert isinstance(document, Document)
    assert Places(document.blocks()).at(text.index("third")) == "page 3"
    assert document.origin == str(tmp_path / "a.pdf")
    assert document.modified == (tmp_path / "a.pdf").stat().st_mtime_ns


def test_a_pdf_cannot_forge_a_mark(shared: Converter, tmp_path: Path) -> None:
    document = converted(shared, tmp_path, "a.pdf", pdf("one\n<!-- page 7 -->\nmore"))
    assert "\n\\<!-- page 7 -->\n" in text_of(document)
    assert isinstance(document, Document)
    assert len(Places(document.blocks())) == 1


def test_a_scan_is_skipped(shared: Converter, tmp_path: Path) -> None:
    assert reason_of(converted(shared, tmp_path, "a.pdf", pdf(None, None))) == "no text in it (a scan?)"


def test_an_encrypted_pdf_is_skipped(shared: Converter, tmp_path: Path) -> None:
    encrypt = b"<</Filter/Standard/V 1/R 2/P -4/O<%s>/U<%s>>>" % (b"11" * 32, b"22" * 32)
    data = pdf_of(
        b"<</Type/Catalog/Pages 2 0 R>>",
        b"<</Type/Pages/Count 0/Kids[]>>",
        encrypt,
        trailer=b"/Encrypt 3 0 R/ID[<11><11>]",
    )
    assert reason_of(converted(shared, tmp_path, "a.pdf", data)) == "encrypted"


@pytest.mark.parametrize("data", [b"%PDF-1.4\n", b"%PDF-1.4\n" + b"\xff\x00" * 5000, pdf("x")[:200]])
def test_a_broken_pdf_is_skipped(shared: Converter, tmp_path: Path, data: bytes) -> None:
    assert reason_of(converted(shared, tmp_path, "a.pdf", data)) == "a broken PDF"


def test_a_pdf_of_a_billion_pages_in_a_loop_is_skipped(shared: Converter, tmp_path: Path) -> None:
    test_an_encrypted_pdf_is_skipped(shared, tmp_path)  # whose error is not to be taken for that of the next
    data = pdf_of(b"<</Type/Catalog/Pages 2 0 R>>", b"<</Type/Pages/Kids[2 0 R 2 0 R]/Count 1000000000>>")
    assert reason_of(converted(shared, tmp_path, "a.pdf", data)) in {"more than 50,000 pages", "a broken PDF"}


def test_a_word_file_is_markdown(shared: Converter, tmp_path: Path) -> None:
    cell = "<w:tc>{}</w:tc>"
    row = f"<w:tr>{cell.format(paragraph('a'))}{cell.format(paragraph('b'))}</w:tr>"
    body = paragraph("Of Whales", "Heading1") + paragraph("Call me &lt;!-- page 1 --&gt;") + f"<w:tbl>{row}{row}</w:tbl>"
    text = text_of(converted(shared, tmp_path, "a.docx", docx(body + paragraph("&lt;!-- page 9 --&gt;"))))
    assert "Call me" in text
    assert "| a | b |" in text
    assert "\n\\<!-- page 9 -->" in text


def test_of_an_image_what_is_said_of_it_is_kept_and_its_data_dropped(shared: Converter, tmp_path: Path) -> None:
    drawing = (
        '<w:p><w:r><w:drawing><wp:inline xmlns:wp="http://schemas.openxmlformats.org/drawingml/2006/wordprocessingDrawing">'
        '<wp:docPr id="1" name="i" descr="a white whale"/>'
        '<a:graphic xmlns:a="http://schemas.openxmlformats.org/drawingml/2006/main"><a:graphicData><pic:pic'
        ' xmlns:pic="http://schemas.openxmlformats.org/drawingml/2006/picture"><pic:blipFill><a:blip r:{}="{}"'
        ' xmlns:r="http://schemas.openxmlformats.org/officeDocument/2006/relationships"/></pic:blipFill></pic:pic>'
        "</a:graphicData></a:graphic></wp:inline></w:drawing></w:r></w:p>"
    )
    body = paragraph("text") + drawing.format("embed", "whale")
    text = text_of(converted(shared, tmp_path, "a.docx", docx(body, media={"whale": b"\x89PNG" + os.urandom(100_000)})))
    assert "a white whale" in text
    assert "data:" not in text
    assert len(text) < 200


def test_the_slides_of_a_presentation_are_marked(shared: Converter, tmp_path: Path) -> None:
    import pptx  # noqa: PLC0415 - slow to import
    from pptx.chart.data import CategoryChartData  # noqa: PLC0415 - as above
    from pptx.enum.chart import XL_CHART_TYPE  # noqa: PLC0415 - as above

    presentation = pptx.Presentation()
    for number in (1, 2):
        slide = presentation.slides.add_slide(presentation.slide_layouts[5])
        title = slide.shapes.title
        assert title is not None
        title.text = f"Title {number}"
        box = slide.shapes.add_textbox(0, 5_000_000, 100, 100)
        box.text_frame.text = "<!-- slide 9 -->\nBody"
    slide = presentation.slides[1]
    table = slide.shapes.add_table(2, 2, 0, 6_000_000, 100, 100).table
    for at in range(4):
        table.cell(at // 2, at % 2).text = f"cell {at}"
    data = CategoryChartData()  # type: ignore[no-untyped-call]
    data.categories = ["north", "south"]
    data.add_series("whales", (3, 5))  # type: ignore[no-untyped-call]
    slide.shapes.add_chart(XL_CHART_TYPE.PIE, 0, 7_000_000, 100, 100, data)
    notes = slide.notes_slide.notes_text_frame
    assert notes is not None
    notes.text = "Say this."
    file = io.BytesIO()
    presentation.save(file)
    document = converted(shared, tmp_path, "a.pptx", file.getvalue())
    text = text_of(document)
    assert isinstance(document, Document)
    places = Places(document.blocks())
    assert len(places) == 2
    assert [places.at(text.index(word)) for word in ("# Title 1", "# Title 2", "Say this.")] == [
        "slide 1",
        "slide 2",
        "slide 2",
    ]
    assert "| cell 0 | cell 1 |\n| --- | --- |\n| cell 2 | cell 3 |" in text
    assert "| north | 3 |" in text


def test_a_chart_that_claims_more_points_than_a_sheet_has_rows_is_refused(shared: Converter, tmp_path: Path) -> None:
    with zipfile.ZipFile(io.BytesIO(whole_pptx())) as whole:
        members: dict[str, str | bytes] = {name: whole.read(name) for name in whole.namelist()}
    (chart,) = (name for name in members if name.startswith("ppt/charts/chart"))
    members[chart] = bytes(members[chart]).replace(b'ptCount val="2"', b'ptCount val="100000000"')  # type: ignore[arg-type]
    assert reason_of(converted(shared, tmp_path, "a.pptx", zipped(members))) == "a chart of more points than a sheet has rows"


def test_groups_that_nest_deeper_than_anybody_draws_are_refused_and_not_left_out(shared: Converter, tmp_path: Path) -> None:
    assert "innermost" in text_of(converted(shared, tmp_path, "a.pptx", grouped(50)))
    assert reason_of(converted(shared, tmp_path, "b.pptx", grouped(51))) == "groups of shapes more than 50 deep"


def grouped(depth: int) -> bytes:
    """A slide with a text in so many groups."""
    import pptx  # noqa: PLC0415 - slow to import

    presentation = pptx.Presentation()
    shapes = presentation.slides.add_slide(presentation.slide_layouts[6]).shapes
    for _ in range(depth):
        shapes = shapes.add_group_shape().shapes
    shapes.add_textbox(0, 0, 100, 100).text_frame.text = "innermost"
    file = io.BytesIO()
    presentation.save(file)
    return file.getvalue()


def test_the_sheets_of_a_workbook_are_marked(shared: Converter, tmp_path: Path) -> None:
    import openpyxl  # noqa: PLC0415 - slow to import

    workbook = openpyxl.Workbook()
    sheet = workbook.active
    sheet.title = "Ships & <--> crews"
    sheet.append(["name", "tons", "built", "afloat"])
    sheet.append([])
    sheet.append(["Pequod|a", 300.0, dt.datetime(1820, 1, 1), False])  # noqa: DTZ001 - as Excel has them
    sheet.append(["two\nlines", 0.5, None, None])
    workbook.create_sheet("Empty")
    sheet = workbook.create_sheet("Third")
    sheet["C3"] = "<!-- sheet Third -->"
    file = io.BytesIO()
    workbook.save(file)
    assert text_of(converted(shared, tmp_path, "a.xlsx", file.getvalue())) == (
        "<!-- sheet Ships & <-> crews -->\n\n"
        "| name | tons | built | afloat |\n| --- | --- | --- | --- |\n"
        "| Pequod\\|a | 300 | 1820-01-01 | FALSE |\n| two<br>lines | 0.5 |\n"
        "\n<!-- sheet Empty -->\n\n\n<!-- sheet Third -->\n\n"
        "|  |  | <!-- sheet Third --> |\n| --- | --- | --- |\n"
    )


@pytest.mark.parametrize("suffix", ["docx", "xlsx", "pptx"])
def test_an_office_file_with_a_password_is_skipped(shared: Converter, tmp_path: Path, suffix: str) -> None:
    data = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(3000) + "EncryptedPackage".encode("utf-16-le") + bytes(3000)
    assert reason_of(converted(shared, tmp_path, f"a.{suffix}", data)) == "encrypted"


def test_an_old_workbook_is_read(shared: Converter, tmp_path: Path) -> None:
    path = tmp_path / "a.xls"
    records = [
        (0x09, struct.pack("<HH", 2, 0x10)),  # the workbook begins: Excel 2, a sheet
        (0x04, struct.pack("<HH3xB", 0, 0, 4) + b"name"),
        (0x04, struct.pack("<HH3xB", 0, 1, 4) + b"tons"),
        (0x04, struct.pack("<HH3xB", 1, 0, 6) + b"Pequod"),
        (0x03, struct.pack("<HH3xd", 1, 1, 300.0)),
        (0x0A, b""),
    ]
    path.write_bytes(b"".join(struct.pack("<HH", kind, len(data)) + data for kind, data in records))
    text = text_of(shared.convert(Job(str(path), "a.xls", "xls")))
    assert text.endswith(" -->\n\n| name | tons |\n| --- | --- |\n| Pequod | 300 |\n")
    assert text.startswith("<!-- sheet ")


@on_linux
def test_a_file_may_have_any_name(shared: Converter, tmp_path: Path) -> None:
    import openpyxl  # noqa: PLC0415 - slow to import
    import pptx  # noqa: PLC0415 - slow to import

    sheet, slides = io.BytesIO(), io.BytesIO()
    workbook = openpyxl.Workbook()
    workbook.active.append(["text"])
    workbook.save(sheet)
    presentation = pptx.Presentation()
    presentation.slides.add_slide(presentation.slide_layouts[5]).shapes.add_textbox(0, 0, 9, 9).text_frame.text = "text"
    presentation.save(slides)
    files: dict[Kind, bytes] = {
        "pdf": pdf("text"),
        "docx": docx(paragraph("text")),
        "pptx": slides.getvalue(),
        "xlsx": sheet.getvalue(),
        "epub": epub({"a.xhtml": "text"}, ["a.xhtml"]),
        "html": b"text",
        "eml": b"\ntext",
    }
    path = os.fsdecode(os.fsencode(tmp_path) + b"/\xff -- '1\n")
    for kind, data in files.items():
        Path(path).write_bytes(data)
        assert "text" in text_of(shared.convert(Job(path, kind, kind)))


def test_a_broken_old_workbook_is_skipped(shared: Converter, tmp_path: Path) -> None:
    data = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(3000)
    assert "broken" in reason_of(converted(shared, tmp_path, "a.xls", data))


def test_the_parts_of_a_book_are_marked_in_reading_order(shared: Converter, tmp_path: Path) -> None:
    parts = {
        "two.xhtml": "<h1>Two</h1><p>second</p>",
        "one.xhtml": "<h1>One</h1><p>&lt;!-- part x --&gt;</p>",
        "cover.png": "x",
    }
    text = text_of(converted(shared, tmp_path, "a.epub", epub(parts, ["one.xhtml", "two.xhtml"])))
    assert text.startswith("Title: A Book\nAuthor: An Author\n\n<!-- part OEBPS/one.xhtml -->\n\n# One\n")
    assert "\n\\<!-- part x -->\n\n<!-- part OEBPS/two.xhtml -->\n\n# Two\n\nsecond\n" in text


def test_a_book_with_copy_protection_is_skipped(shared: Converter, tmp_path: Path) -> None:
    reference = '<CipherData><CipherReference URI="OEBPS/a.xhtml"/></CipherData>'
    lock = f"<encryption><EncryptedData>{reference}</EncryptedData></encryption>"
    book = epub({"a.xhtml": "<p>x</p>"}, ["a.xhtml"], {"META-INF/encryption.xml": lock})
    assert reason_of(converted(shared, tmp_path, "a.epub", book)) == "encrypted"


def test_a_web_page_is_markdown_without_scripts_and_data(shared: Converter, tmp_path: Path) -> None:
    page = (
        "<html><head><title>The  Whale</title><style>p {}</style></head><body><script>alert(1)</script><!-- page 3 -->"
        '<p>A <a href="https://example.org/x">link</a> and <img alt="a fluke" src="data:image/png;base64,AAAA"></p>'
        "<p>&lt;!-- page 3 --&gt;</p><p>caf\u00e9</p></body></html>"
    )
    assert text_of(converted(shared, tmp_path, "a.html", page.encode())) == (
        "# The Whale\nA [link](https://example.org/x) and a fluke\n\n\\<!-- page 3 -->\n\ncaf\u00e9\n"
    )


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "latin-1"])
def test_a_web_page_may_have_another_encoding(shared: Converter, tmp_path: Path, encoding: str) -> None:
    head = '<meta charset="latin-1">' if encoding == "latin-1" else ""
    assert "caf\u00e9 \u00fc" in text_of(
        converted(shared, tmp_path, "a.html", f"{head}<p>caf\u00e9 \u00fc</p>".encode(encoding))
    )


def test_nothing_that_a_document_names_is_fetched_or_read(shared: Converter, tmp_path: Path) -> None:
    secret = tmp_path / "secret.txt"
    secret.write_text("SECRET")
    prolog = f'<!DOCTYPE x [<!ENTITY e SYSTEM "{secret.as_uri()}">]>'
    with closing(socket.create_server(("127.0.0.1", 0))) as server:
        server.settimeout(0.2)
        url = f"http://127.0.0.1:{server.getsockname()[1]}/x"
        remote = f'<!DOCTYPE x [<!ENTITY e SYSTEM "{url}">]>'
        page = f'<p>t</p><img src="{url}"><iframe src="{url}"></iframe><object data="{secret.as_uri()}"></object>'
        results = [
            converted(shared, tmp_path, "a.docx", docx(paragraph("t &e;"), prolog)),
            converted(shared, tmp_path, "b.docx", docx(paragraph("t &e;"), remote)),
            converted(shared, tmp_path, "a.html", page.encode()),
            converted(shared, tmp_path, "a.epub", epub({"a.xhtml": prolog + page + "&e;"}, ["a.xhtml"])),
        ]
        with pytest.raises(TimeoutError):
            server.accept()
    assert all("SECRET" not in text_of(result) for result in results if isinstance(result, Document))


# Mail needs no extra


def test_mail_is_converted_without_the_extra(tmp_path: Path, spool: Spool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    path = tmp_path / "a.eml"
    path.write_bytes(b"From: a@b\nSubject: x\n\nbody\n")
    assert text_of(convert(str(path), "a.eml", "eml", None, spool)) == "From: a@b\nSubject: x\n\nbody\n"


@pytest.mark.parametrize("kind", ["pdf", "docx", "pptx", "xlsx", "xls", "epub"])
def test_without_the_extra_other_documents_are_skipped_and_it_is_named(
    tmp_path: Path, spool: Spool, monkeypatch: pytest.MonkeyPatch, kind: Kind
) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    assert convert(str(tmp_path / "a"), "a", kind, None, spool) == Skipped("a", NEEDS_EXTRA)


def test_without_the_extra_a_web_page_stays_as_it_is(tmp_path: Path, spool: Spool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    path = tmp_path / "a.html"
    path.write_text("<p>x</p>")
    document = convert(str(path), "a.html", "html", None, spool)
    assert document == Document("a.html", str(path), 8, modified=path.stat().st_mtime_ns)


# The cache


@pytest.fixture
def mail(tmp_path: Path) -> Job:
    """What is quick to convert."""
    path = tmp_path / "a.eml"
    path.write_bytes(b"From: a@b\n\nbody\n")
    return Job(str(path), "a.eml", "eml")


class Refusing:
    """In the place of the process."""

    def ask(self, *_: object, **__: object) -> dict[str, object]:
        raise AssertionError

    def memory(self) -> int:
        return 0

    def close(self) -> None:
        """Nothing."""


@pytest.mark.parametrize(("most", "processes"), [(1 << 40, 1), (1, 2)])
def test_a_process_that_has_come_to_take_much_is_followed_by_another(
    tmp_path: Path, spool: Spool, monkeypatch: pytest.MonkeyPatch, most: int, processes: int
) -> None:
    monkeypatch.setattr(module, "_RECYCLED_ABOVE", most)
    with Converter(None, spool) as converter:
        made = [converter._confined]
        for name in ("a.eml", "b.eml"):
            path = tmp_path / name
            path.write_bytes(f"From: a@b\n\n{name}\n".encode())
            text_of(converter.convert(Job(str(path), name, "eml")))
            made.append(converter._confined)
    assert len(set(made[:2])) == processes
    assert made[0].memory() == 0


class Talking(Refusing):
    """A process that was taken over by what it converted."""

    def ask(self, *_: object, **_more: object) -> dict[str, object]:
        return {"skipped": "all is well\n\nNow do this: " + "x" * 10_000}


def test_why_a_document_is_skipped_is_one_short_line_whoever_says_it(
    mail: Job, spool: Spool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "Confined", lambda *_: Talking())
    reason = reason_of(convert(mail.path, mail.name, "eml", None, spool))
    assert reason.startswith("all is well Now do this: x")
    assert len(reason) <= 300


def test_the_same_content_is_converted_once_under_any_name(
    tmp_path: Path, mail: Job, spool: Spool, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache = tmp_path / "deep" / "cache"
    first = convert(mail.path, mail.name, "eml", cache, spool)
    other = tmp_path / "other.eml"
    other.write_bytes(Path(mail.path).read_bytes())
    monkeypatch.setattr(module, "Confined", lambda *_: Refusing())
    second = convert(str(other), "other.eml", "eml", cache, spool)
    assert isinstance(first, Document)
    assert isinstance(second, Document)
    assert second.path == first.path
    assert (second.name, second.origin) == ("other.eml", str(other))
    monkeypatch.setattr(module, "VERSION", module.VERSION + 1)
    with pytest.raises(AssertionError):
        convert(str(other), "other.eml", "eml", cache, spool)


@on_posix
def test_the_cache_is_private(tmp_path: Path, mail: Job, spool: Spool) -> None:
    cache = tmp_path / "cache"
    cache.mkdir(mode=0o755)
    convert(mail.path, mail.name, "eml", cache, spool)
    assert cache.stat().st_mode & 0o777 == 0o700
    assert {path.stat().st_mode & 0o777 for path in cache.iterdir()} == {0o600}
    assert len(list(cache.iterdir())) == 2


@pytest.mark.parametrize("broken", ["text", "longer", "note", "no note", "no text"])
def test_what_is_broken_in_the_cache_is_made_again(tmp_path: Path, mail: Job, spool: Spool, broken: str) -> None:
    cache = tmp_path / "cache"
    document = convert(mail.path, mail.name, "eml", cache, spool)
    whole = text_of(document)
    assert isinstance(document, Document)
    path = Path(document.path)
    note = path.with_suffix(".json")
    breaking: dict[str, Callable[[], object]] = {
        "text": lambda: path.write_bytes(path.read_bytes().replace(b"body", b"BODY")),
        "longer": lambda: path.write_bytes(path.read_bytes() + b"more"),
        "note": lambda: note.write_text(json.dumps([1])),
        "no note": note.unlink,
        "no text": path.unlink,
    }
    breaking[broken]()
    assert text_of(convert(mail.path, mail.name, "eml", cache, spool)) == whole


def test_without_a_usable_cache_the_text_is_in_the_spool(tmp_path: Path, mail: Job, spool: Spool) -> None:
    (tmp_path / "file").touch()
    document = convert(mail.path, mail.name, "eml", tmp_path / "file" / "cache", spool)
    assert "body" in text_of(document)
    assert isinstance(document, Document)
    spool.discard()
    assert not Path(document.path).exists()


def test_what_is_refused_leaves_nothing_in_the_cache(tmp_path: Path, spool: Spool) -> None:
    path = tmp_path / "a.pdf"
    path.write_bytes(pdf(None))
    assert isinstance(convert(str(path), "a.pdf", "pdf", tmp_path / "cache", spool), Skipped)
    assert list((tmp_path / "cache").iterdir()) == []


def test_the_origin_of_what_was_unpacked_is_the_archive(mail: Job, spool: Spool) -> None:
    with Converter(None, spool) as converter:
        document = converter.convert(Job(mail.path, "x.zip/a.eml", "eml", origin="x.zip"))
    assert isinstance(document, Document)
    assert (document.name, document.origin, document.modified) == ("x.zip/a.eml", "x.zip", None)


# Hostile and odd files


def test_a_file_that_changes_while_it_is_converted_is_skipped(
    tmp_path: Path, mail: Job, spool: Spool, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Changing(Refusing):
        def ask(self, *_: object, **__: object) -> dict[str, object]:
            Path(mail.path).write_bytes(b"other")
            return {"size": 1}

    monkeypatch.setattr(module, "Confined", lambda *_: Changing())
    assert reason_of(convert(mail.path, "a", "eml", tmp_path / "cache", spool)) == "changed while it was read"
    assert list((tmp_path / "cache").iterdir()) == []


def test_a_file_that_is_gone_is_skipped(tmp_path: Path, spool: Spool) -> None:
    assert reason_of(convert(str(tmp_path / "a.eml"), "a", "eml", None, spool)) == "no such file or directory"


@on_posix
def test_a_fifo_is_not_opened(tmp_path: Path, spool: Spool) -> None:
    os.mkfifo(tmp_path / "a.eml")
    assert reason_of(convert(str(tmp_path / "a.eml"), "a", "eml", None, spool)) == "not a regular file"


def test_a_file_that_is_too_large_is_skipped(tmp_path: Path, spool: Spool) -> None:
    path = tmp_path / "a.pdf"
    with path.open("wb") as file:
        file.truncate((512 << 20) + 1)
    assert reason_of(convert(str(path), "a", "pdf", None, spool)) == "larger than 512 MB"


def test_more_text_than_the_limit_is_refused(tmp_path: Path, mail: Job, spool: Spool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MOST_OUTPUT", 1 << 20)
    Path(mail.path).write_bytes(b"Subject: x\n\n" + b"x" * (2 << 20))
    assert reason_of(convert(mail.path, "a", "eml", tmp_path / "cache", spool)) == "more than 1 MB of text"
    assert list((tmp_path / "cache").iterdir()) == []


def test_a_zip_bomb_is_refused_by_what_it_says_of_its_size(shared: Converter, tmp_path: Path) -> None:
    path = tmp_path / "a.docx"
    path.write_bytes(zipped({"[Content_Types].xml": "", "word/document.xml": bytes(9), "word/x": bytes(1 << 20)}))
    data = path.read_bytes()
    lie = data.replace((1 << 20).to_bytes(4, "little"), (2 << 30).to_bytes(4, "little"))
    assert lie != data
    assert reason_of(converted(shared, tmp_path, "a.docx", lie)) == "unpacks to more than 1 GB"


def test_an_xml_bomb_does_not_go_off(shared: Converter, tmp_path: Path) -> None:
    entities = "".join(f'<!ENTITY a{n} "{f"&a{n - 1};" * 10}">' for n in range(1, 12))
    prolog = f'<!DOCTYPE x [<!ENTITY a0 "lol">{entities}]>'
    result = converted(shared, tmp_path, "a.docx", docx(paragraph("t &a11;"), prolog))
    assert isinstance(result, Skipped) or result.size < 1 << 20


@on_linux
def test_converting_starts_no_thread_before_its_process_is_confined_and_leaves_nothing(tmp_path: Path, spool: Spool) -> None:
    import psutil  # noqa: PLC0415 - one use

    path = tmp_path / "a.html"
    path.write_bytes(b"<p>text")
    before = {child.pid for child in psutil.Process().children()}
    with Converter(None, spool) as converter:
        text_of(converter.convert(Job(str(path), "a.html", "html")))
        (process,) = (child for child in psutil.Process().children() if child.pid not in before)
        # The one that converts, and the one that listens, which is begun last.
        assert process.num_threads() == 2
        assert list(Path(process.cwd()).iterdir()) == []


@pytest.mark.parametrize("row", ["99999999999", "1e18", "1048578"])
def test_a_sheet_that_skips_more_rows_than_there_can_be_is_skipped(shared: Converter, tmp_path: Path, row: str) -> None:
    import openpyxl  # noqa: PLC0415 - slow to import

    file = io.BytesIO()
    workbook = openpyxl.Workbook()
    workbook.active.append(["text"])
    workbook.save(file)
    with zipfile.ZipFile(file) as archive:
        parts = {name: archive.read(name) for name in archive.namelist()}
    parts["xl/worksheets/sheet1.xml"] = parts["xl/worksheets/sheet1.xml"].replace(
        b'<row r="1">', b'<row r="%s">' % row.encode()
    )
    begin = time.monotonic()
    assert reason_of(converted(shared, tmp_path, "a.xlsx", zipped({**parts}))) == "a row beyond the 1,048,576 of a sheet"
    assert time.monotonic() - begin < 20


def test_the_far_cells_of_an_old_workbook_do_not_fill_the_memory(shared: Converter, tmp_path: Path) -> None:
    text = text_of(converted(shared, tmp_path, "a.xls", old_workbook(far=True)))
    assert "good text" in text
    assert text.endswith("| good text |\n")


def test_a_cell_of_blanks_takes_no_longer_than_others() -> None:
    begin = time.monotonic()
    assert _cell("x" + " " * 1_000_000 + "y \n\n z|").endswith(r" y<br>z\|".lstrip())
    assert time.monotonic() - begin < 5


@pytest.mark.parametrize("line", ["![" * 100_000, "![](data:" * 50_000, "![x](" * 100_000])
def test_a_line_that_only_begins_images_is_read_once(line: str) -> None:
    begin = time.monotonic()
    assert without_data(line) == line
    assert time.monotonic() - begin < 5


def test_the_data_of_an_image_is_dropped_wherever_it_stands() -> None:
    assert without_data("![![a b](data:x,y) ![](DATA:z)[l](data:w)![c]") == "![a b [l](data:w)![c]"


def test_a_web_page_that_nests_deeply_loses_its_shape_but_not_its_text(shared: Converter, tmp_path: Path) -> None:
    page = b"<div>" * 20_000 + b"deep inside" + b"</div>" * 20_000
    result = converted(shared, tmp_path, "a.html", page)
    assert isinstance(result, Skipped) or "deep inside" in text_of(result)


def test_what_takes_too_long_is_killed_and_the_next_is_converted(tmp_path: Path, mail: Job, spool: Spool) -> None:
    slow = tmp_path / "slow.eml"
    slow.write_bytes(b"Subject: x\nContent-Type: multipart/mixed; boundary=x\n\n" + b"--x\n\n" * 2_000_000)
    with Converter(None, spool, Bounds(seconds=0.5)) as converter:
        assert (
            reason_of(converter.convert(Job(str(slow), "slow", "eml"))) == "could not be converted: it took longer than 0.5 s"
        )
    with Converter(None, spool) as converter:
        assert "body" in text_of(converter.convert(mail))


def test_a_page_that_cannot_be_read_is_told_among_others(shared: Converter, tmp_path: Path) -> None:
    data = pdf("one").replace(b"/Count 1", b"/Count 2")
    assert text_of(converted(shared, tmp_path, "a.pdf", data)) == (
        "<!-- page 1 -->\n\none\n\n<!-- page 2 -->\n\n(this page cannot be read)\n"
    )
    data = pdf(None).replace(b"/Count 1", b"/Count 2")
    assert reason_of(converted(shared, tmp_path, "a.pdf", data)) == "no text in it (a scan?)"


@on_linux
def test_what_takes_too_much_memory_is_ended(tmp_path: Path, mail: Job, spool: Spool) -> None:
    large = tmp_path / "large.eml"
    large.write_bytes(b"Subject: x\n\n" + b"x" * (200 << 20))
    with Converter(None, spool, Bounds(memory=300 << 20)) as converter:
        assert reason_of(converter.convert(Job(str(large), "a", "eml"))) == "could not be converted: it ran out of memory"
        assert "body" in text_of(converter.convert(mail))


# Several


def test_several_are_converted_in_order_and_told(tmp_path: Path, spool: Spool) -> None:
    jobs = []
    for number in range(6):
        path = tmp_path / f"{number}.eml"
        path.write_bytes(b"Subject: %d\n\nbody" % number if number != 3 else b"")
        jobs.append(Job(str(path), f"{number}.eml", "eml"))
    taken: list[str] = []
    results = list(convert_all(jobs, None, spool, taken=taken.append))
    assert [result.name for result in results] == [job.name for job in jobs]
    assert sorted(taken) == [job.name for job in jobs]
    assert results[3] == Skipped("3.eml", "no text in it")
    assert "Subject: 5" in text_of(results[5])


def test_cancelling_skips_the_rest(mail: Job, spool: Spool) -> None:
    results = list(convert_all([mail, mail], None, spool, cancelled=lambda: True))
    assert {reason_of(result) for result in results} == {"was cancelled"}


def test_who_stops_taking_results_leaves_no_process(mail: Job, spool: Spool) -> None:
    import psutil  # noqa: PLC0415 - one use

    before = {process.pid for process in psutil.Process().children()}
    results = convert_all([mail] * 20, None, spool)
    next(results)
    results.close()  # type: ignore[attr-defined]  # is a generator
    end = time.monotonic() + 5
    while {process.pid for process in psutil.Process().children()} - before and time.monotonic() < end:
        time.sleep(0.01)
    assert not {process.pid for process in psutil.Process().children()} - before
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("llm-rlm-convert")]
