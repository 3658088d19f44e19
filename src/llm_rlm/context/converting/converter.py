"""Documents as Markdown: the part that runs in a process with limits, since any of these files may be hostile.

Nothing heavy is imported before a request needs it.
"""

from __future__ import annotations

import errno
import importlib
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from .output import Output, RefusedError

if TYPE_CHECKING:
    from collections.abc import Callable

_NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)

_LIBRARIES = {
    "pdf": ("pypdfium2",),
    **dict.fromkeys(("html", "docx"), ("markitdown.converters",)),
    "epub": ("markitdown.converters", "defusedxml.ElementTree"),
    "pptx": ("pptx",),
    "xlsx": ("openpyxl",),
    "xls": ("xlrd",),
}
"""What a kind of document is converted by, which is slow to import."""


def prepare(request: dict[str, object]) -> list[str]:
    """Import what the request needs, while bytecode can still be kept. The folder of its `out`, and of all later ones.

    A library that is not installed is told of by `serve`.
    """
    for name in _LIBRARIES.get(str(request["kind"]), ()):
        with suppress(ImportError):
            importlib.import_module(name)
    return [str(request["folder"])]


def serve(request: dict[str, object]) -> dict[str, object]:
    """Convert the file `path` of the kind `kind` into the file `out`, up to `limit` bytes.

    The reply has `size` (bytes), or `skipped` (why not), or `missing` (the name of a module that is not installed).
    """
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
        from .pdf import convert_pdf  # noqa: PLC0415 - only what the request needs

        return convert_pdf
    if kind in {"eml", "mbox"}:
        from . import mail  # noqa: PLC0415 - only what the request needs

        return mail.convert_eml if kind == "eml" else mail.convert_mbox
    if kind in {"html", "epub"}:
        from . import web  # noqa: PLC0415 - only what the request needs

        return web.convert_html if kind == "html" else web.convert_epub
    from . import office  # noqa: PLC0415 - only what the request needs

    return {"docx": office.convert_docx, "pptx": office.convert_pptx, "xlsx": office.convert_xlsx, "xls": office.convert_xls}[
        kind
    ]
