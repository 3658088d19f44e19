"""Documents as Markdown: the part that runs in a process with limits, since any of these files may be hostile.

Nothing heavy is imported before a request needs it.
"""

from __future__ import annotations

import errno
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from .marks import escaped, mark

if TYPE_CHECKING:
    from collections.abc import Callable

    from .marks import MarkKind

_NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_CONTROL = re.compile(r"[^\S\n\t ]|[\x00-\x08\x0e-\x1f\x7f]")
_LINE_ENDS = re.compile(r"\r\n?|[\x0b\x0c\x85\u2028\u2029]")


class RefusedError(Exception):
    """The document is not converted. The text is short words for the user."""


class Output:
    """The Markdown, as it is written."""

    def __init__(self, file: BinaryIO, limit: int) -> None:
        """`limit` is in bytes."""
        self._file = file
        self._limit = limit
        self.size = 0
        self.is_blank = True

    def mark(self, kind: MarkKind, label: str | int) -> None:
        """Begin a page or another part."""
        self._write(f"\n{mark(kind, label)}\n\n" if self.size else f"{mark(kind, label)}\n\n")

    def text(self, text: str) -> None:
        """Whole lines of text of the document."""
        text = _CONTROL.sub(" ", _LINE_ENDS.sub("\n", text)).rstrip()
        if text.strip():
            self.is_blank = False
            self._write(f"{escaped(text)}\n")

    def note(self, text: str) -> None:
        """A line that is not of the document: with nothing else it is one without text."""
        self._write(f"{text}\n")

    def _write(self, text: str) -> None:
        data = text.encode("utf-8", "replace")
        self.size += len(data)
        if self.size > self._limit:
            message = f"more than {self._limit >> 20} MB of text"
            raise RefusedError(message)
        self._file.write(data)


def serve(request: dict[str, object]) -> dict[str, object]:
    """Convert the file `path` of the kind `kind` into the file `out`, up to `limit` bytes.

    The reply has `size` (bytes), or `skipped` (why not), or `missing` (the name of a module that is not installed);
    and `peak`, the bytes of memory that the process has used at most.
    """
    return {**_reply(request), "peak": _peak()}


def _reply(request: dict[str, object]) -> dict[str, object]:
    try:
        with Path(str(request["out"])).open("wb") as file:
            output = Output(file, int(str(request["limit"])))
            _converter(str(request["kind"]))(str(request["path"]), output)
    except MemoryError:
        raise
    except ImportError as problem:
        return {"missing": problem.name or str(problem)}
    except Exception as problem:  # noqa: BLE001 - the libraries raise anything on a broken file
        return {"skipped": _reason(problem)}
    if output.is_blank:
        return {"skipped": "no text in it (a scan?)" if request["kind"] == "pdf" else "no text in it"}
    return {"size": output.size}


def _reason(problem: Exception) -> str:
    if isinstance(problem, RefusedError):
        return str(problem)
    if isinstance(problem, RecursionError):
        return "nested too deeply"
    if isinstance(problem, OSError) and problem.errno in _NO_ROOM:
        return "no room on the disk for its text"
    return f"broken, or not the kind of file it seems ({type(problem).__name__})"


def _converter(kind: str) -> Callable[[str, Output], None]:
    if kind == "pdf":
        from .converter_pdf import convert_pdf  # noqa: PLC0415 - only what the request needs

        return convert_pdf
    if kind in {"eml", "mbox"}:
        from . import converter_mail  # noqa: PLC0415 - only what the request needs

        return converter_mail.convert_eml if kind == "eml" else converter_mail.convert_mbox
    if kind in {"html", "epub"}:
        from . import converter_web  # noqa: PLC0415 - only what the request needs

        return converter_web.convert_html if kind == "html" else converter_web.convert_epub
    from . import converter_office as office  # noqa: PLC0415 - only what the request needs

    return {"docx": office.convert_docx, "pptx": office.convert_pptx, "xlsx": office.convert_xlsx, "xls": office.convert_xls}[
        kind
    ]


def _peak() -> int:
    """0 where the system does not tell."""
    try:
        import resource  # noqa: PLC0415 - not on Windows
    except ImportError:
        return 0
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak << 10
