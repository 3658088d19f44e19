"""A PDF, page by page. By PDFium: twenty times as fast as pdfminer, in the order that is read, and hardened in Chrome."""

from __future__ import annotations

import mmap
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from .output import RefusedError

if TYPE_CHECKING:
    from .output import Output

_MOST_PAGES = 50_000
_HYPHEN_AT_LINE_END = "\ufffe"
"""Where PDFium has joined a word that was broken at the end of a line."""


def convert_pdf(path: str, output: Output) -> None:
    """A mark before the text of each page. Raises RefusedError for an encrypted file."""
    import pypdfium2  # noqa: PLC0415 - slow to import, and not always installed

    with Path(path).open("rb") as file:  # not by its path, which may hold bytes that are no text
        _convert(file, output, pypdfium2)


def _convert(file: BinaryIO, output: Output, pypdfium2: Any) -> None:  # noqa: ANN401 - a module that is slow to import
    try:
        document = pypdfium2.PdfDocument(file)
    except pypdfium2.PdfiumError as problem:
        reason = "encrypted" if "password" in str(problem).lower() and _says_encrypted(file) else "a broken PDF"
        raise RefusedError(reason) from None
    if len(document) > _MOST_PAGES:
        message = f"more than {_MOST_PAGES:,} pages"
        raise RefusedError(message)
    read = 0
    for number in range(len(document)):
        output.mark("page", number + 1)
        text = _page(document, number, pypdfium2.PdfiumError)
        if text is None:
            output.note("(this page cannot be read)")
        else:
            read += 1
            output.text(text)
    if not read:
        message = "a broken PDF"
        raise RefusedError(message)


def _says_encrypted(file: BinaryIO) -> bool:
    """Whether it does: PDFium's own word for why it failed may be that on the file before."""
    with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        return data.find(b"/Encrypt") >= 0


def _page(document: Any, number: int, error: type[Exception]) -> str | None:  # noqa: ANN401 - pypdfium2 is not imported here
    try:
        page = document[number]
    except error:
        return None
    try:
        text_page = page.get_textpage()
        try:
            text = str(text_page.get_text_range())
        finally:
            text_page.close()
    except error:
        return None
    finally:
        page.close()
    return text.replace(_HYPHEN_AT_LINE_END, "")
