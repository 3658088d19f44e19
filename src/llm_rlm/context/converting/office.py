"""Word, PowerPoint and Excel files.

Word by markitdown; the others by the libraries that it uses, so that parts can be marked and a sheet is not held in memory.
"""

from __future__ import annotations

import datetime as dt
import shutil
import tempfile
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .output import RefusedError
from .web import without_data
from .zipped import opened

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from .output import Output

_OLE = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"
_ENCRYPTED_PACKAGE = "EncryptedPackage".encode("utf-16-le")
_ROWS_AT_ONCE = 1000
_DEEPEST_GROUP = 50
_MOST_ROWS = 1 << 20
"""Of a sheet, in any version of Excel."""
_DIGITS = len(str(_MOST_ROWS))


def convert_docx(path: str, output: Output) -> None:
    """Headings, paragraphs, lists, tables, footnotes and formulas; of images what is said of them. Word files have no pages."""
    from markitdown import StreamInfo  # noqa: PLC0415 - slow to import, and not always installed
    from markitdown.converters import DocxConverter  # noqa: PLC0415 - as above

    _refuse_encrypted(path)
    with tempfile.TemporaryFile() as file:
        _drop_images(path, file)
        file.seek(0)
        converter = DocxConverter()  # type: ignore[no-untyped-call]
        result = converter.convert(file, StreamInfo(extension=".docx"))
    output.text(without_data(result.markdown))


def _drop_images(path: str, file: Any) -> None:  # noqa: ANN401 - an open file
    """Copy a Word file. Its images would be read, coded and dropped, at many times their size in memory."""
    with opened(path) as source, zipfile.ZipFile(file, "w") as target:
        for member in source.infolist():
            with source.open(member) as before, target.open(member.filename, "w") as after:
                if not member.filename.startswith("word/media/"):
                    shutil.copyfileobj(before, after, 1 << 20)


def convert_pptx(path: str, output: Output) -> None:
    """A mark before each slide; its shapes from top to bottom, tables, the data of charts, notes."""
    import pptx  # noqa: PLC0415 - slow to import, and not always installed

    _refuse_encrypted(path)
    opened(path).close()
    with Path(path).open("rb") as file:  # not by its path: its name may be any
        presentation = pptx.Presentation(file)
    for number, slide in enumerate(presentation.slides, 1):
        output.mark("slide", number)
        for text in _shapes(slide.shapes, slide.shapes.title):
            output.text(f"{text}\n")
        frame = slide.notes_slide.notes_text_frame if slide.has_notes_slide else None
        if frame is not None and frame.text.strip():
            output.text(f"\nNotes:\n\n{frame.text}")


def _shapes(shapes: Any, title: Any, depth: int = 0) -> Iterator[str]:  # noqa: ANN401 - python-pptx is not imported here
    if depth > _DEEPEST_GROUP:
        message = f"groups of shapes more than {_DEEPEST_GROUP} deep"
        raise RefusedError(message)
    for shape in sorted(shapes, key=lambda each: (each.top or 0, each.left or 0)):
        if getattr(shape, "has_table", False):
            yield "\n".join(_table([cell.text for cell in row.cells] for row in shape.table.rows))
        elif getattr(shape, "has_chart", False):
            yield "\n".join(_chart(shape.chart))
        elif shape.has_text_frame:
            yield f"# {shape.text_frame.text.strip()}\n" if title is not None and shape == title else shape.text_frame.text
        elif hasattr(shape, "shapes"):
            yield from _shapes(shape.shapes, None, depth + 1)
        else:
            yield str(shape.element.xpath("string(.//p:cNvPr/@descr)"))


def _chart(chart: Any) -> Iterator[str]:  # noqa: ANN401 - as above
    if chart.has_title and chart.chart_title.has_text_frame:
        yield f"Chart: {chart.chart_title.text_frame.text}\n"
    if any(len(count) > _DIGITS for count in chart.element.xpath(".//c:ptCount/@val")):
        message = "a chart of more points than a sheet has rows"
        raise RefusedError(message)
    for plot in chart.plots:
        series = [(each.name, list(each.values)) for each in plot.series]
        rows = ([label, *(v[at] if at < len(v) else None for _, v in series)] for at, label in enumerate(plot.categories))
        yield from _table([["", *(name for name, _ in series)], *rows])


def convert_xlsx(path: str, output: Output) -> None:
    """A mark before each sheet, and its rows as a table. Of a formula the value that was last seen; blank rows are left out."""
    import openpyxl  # noqa: PLC0415 - slow to import, and not always installed

    _refuse_encrypted(path)
    opened(path).close()
    with Path(path).open("rb") as file:  # not by its path: openpyxl refuses names that do not end in .xlsx
        workbook = openpyxl.load_workbook(file, read_only=True, data_only=True, keep_links=False)
        for sheet in workbook.worksheets:
            # Some programs write a wrong size.
            sheet.reset_dimensions()
            output.mark("sheet", sheet.title)
            _write_table(_rows(sheet), output)


def _rows(sheet: Any) -> Iterator[tuple[object, ...]]:  # noqa: ANN401 - openpyxl is not imported here
    """Those with cells. openpyxl makes up all that a row's number leaves out, however high it is."""
    made_up = 0
    for row in sheet.iter_rows(values_only=True):
        made_up = 0 if row else made_up + 1
        if made_up > _MOST_ROWS:
            message = f"a row beyond the {_MOST_ROWS:,} of a sheet"
            raise RefusedError(message)
        if row:
            yield row


def convert_xls(path: str, output: Output) -> None:
    """As `convert_xlsx`."""
    import xlrd  # noqa: PLC0415 - not always installed

    try:
        # Rows as long as they are: filled up, two far cells would take all of the memory and time.
        workbook = xlrd.open_workbook(path, on_demand=True, ragged_rows=True, logfile=_Nowhere())
    except xlrd.XLRDError as problem:
        reason = "encrypted" if "encrypted" in str(problem).lower() else "a broken XLS"
        raise RefusedError(reason) from None
    for number in range(workbook.nsheets):
        sheet = workbook.sheet_by_index(number)
        output.mark("sheet", sheet.name)
        rows = ([_xls_value(cell, workbook.datemode) for cell in sheet.row(row)] for row in range(sheet.nrows))
        _write_table(rows, output)
        workbook.unload_sheet(number)


def _xls_value(cell: Any, date_mode: int) -> object:  # noqa: ANN401 - xlrd is not imported here
    import xlrd  # noqa: PLC0415 - as above

    if cell.ctype == xlrd.XL_CELL_DATE:
        try:
            return xlrd.xldate_as_datetime(cell.value, date_mode)
        except (xlrd.XLDateError, ValueError, OverflowError):
            return cell.value
    if cell.ctype == xlrd.XL_CELL_BOOLEAN:
        return bool(cell.value)
    if cell.ctype == xlrd.XL_CELL_ERROR:
        return xlrd.error_text_from_code.get(cell.value, "#ERROR")
    return cell.value


class _Nowhere:
    """Takes what a library would print."""

    def write(self, _: str) -> None:
        """Nothing."""

    def flush(self) -> None:
        """Nothing."""


def _write_table(rows: Iterable[Iterable[object]], output: Output) -> None:
    lines: list[str] = []
    for line in _table(rows):
        lines.append(line)
        if len(lines) == _ROWS_AT_ONCE:
            output.text("\n".join(lines))
            lines.clear()
    output.text("\n".join(lines))


def _table(rows: Iterable[Iterable[object]]) -> Iterator[str]:
    """Markdown of a table, whose first row that is not blank is its head."""
    is_head = True
    for row in rows:
        cells = [_cell(value) for value in row]
        while cells and not cells[-1]:
            cells.pop()
        if cells:
            yield f"| {' | '.join(cells)} |"
            if is_head:
                yield f"|{' --- |' * len(cells)}"
            is_head = False


def _cell(value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "TRUE" if value else "FALSE"
    if isinstance(value, float) and value.is_integer() and abs(value) < 1 << 53:
        return str(int(value))
    if isinstance(value, dt.datetime):
        at_midnight = value.time() == dt.time()
        return value.date().isoformat() if at_midnight else value.isoformat(" ")
    lines = (line.strip() for line in str(value).split("\n"))
    return "<br>".join(line for line in lines if line).replace("|", r"\|")


def _refuse_encrypted(path: str) -> None:
    """An Office file with a password is not a zip file but a container with the encrypted one in it."""
    with Path(path).open("rb") as file:
        start = file.read(1 << 16)
        if start.startswith(_OLE):
            size = file.seek(0, 2)
            file.seek(max(0, size - (1 << 20)))
            is_encrypted = _ENCRYPTED_PACKAGE in start or _ENCRYPTED_PACKAGE in file.read()
            raise RefusedError("encrypted" if is_encrypted else "an old Office file: save it in today's format")
