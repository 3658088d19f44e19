"""HTML and EPUB, by markitdown. Nothing that they link to is fetched."""

from __future__ import annotations

import io
import posixpath
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

from .output import RefusedError
from .zipped import opened

if TYPE_CHECKING:
    import zipfile

    from .output import Output

_DATA_IMAGE = re.compile(r"!\[((?:(?!!\[)[^\]\n])*+)\]\(data:(?:(?!\]\(data:)[^)\n])*+\)", re.IGNORECASE)
"""No part of it runs into the next one, so that a line of beginnings is not read once for each."""
_TITLE_WITHIN = 2000
_METADATA = {"title": "Title", "creator": "Author", "publisher": "Publisher", "date": "Date", "language": "Language"}


def convert_html(path: str, output: Output) -> None:
    """The text of the page's body, after its title."""
    title, text = markdown(Path(path).read_bytes())
    if title and title not in text[:_TITLE_WITHIN]:
        output.text(f"# {title}\n\n")
    output.text(text)


def markdown(page: bytes) -> tuple[str, str]:
    """Title and Markdown of an HTML page. Raises ImportError without markitdown."""
    from markitdown import StreamInfo  # noqa: PLC0415 - slow to import, and not always installed
    from markitdown.converters import HtmlConverter  # noqa: PLC0415 - as above

    result = HtmlConverter().convert(io.BytesIO(page), StreamInfo(mimetype="text/html", extension=".html"))
    return " ".join((result.title or "").split()), without_data(result.markdown)


def without_data(text: str) -> str:
    """The Markdown, with the description of an image where its data stood."""
    return _DATA_IMAGE.sub(r"\1", text)


def convert_epub(path: str, output: Output) -> None:
    """What is known of the book, then a mark before each of its files, in reading order."""
    with opened(path) as archive:
        package = _root(archive, _package(archive))
        for line in _metadata(package):
            output.text(line)
        encrypted = _encrypted(archive)
        for name in _spine(archive, package):
            if name in encrypted:
                message = "encrypted"
                raise RefusedError(message)
            output.mark("part", name)
            output.text(markdown(archive.read(name))[1])


def _package(archive: zipfile.ZipFile) -> str:
    for element in _root(archive, "META-INF/container.xml").iter():
        if _tag(element) == "rootfile":
            return str(element.attrib["full-path"])
    message = "a broken EPUB"
    raise RefusedError(message)


def _root(archive: zipfile.ZipFile, name: str) -> Any:  # noqa: ANN401 - an element of ElementTree, which defusedxml does not type
    from defusedxml import ElementTree  # noqa: PLC0415 - comes with markitdown

    root = ElementTree.fromstring(archive.read(name))
    root.set("file", name)
    return root


def _tag(element: Any) -> str:  # noqa: ANN401 - as above
    return str(element.tag).rpartition("}")[2]


def _metadata(package: Any) -> list[str]:  # noqa: ANN401 - as above
    lines = []
    for element in package.iter():
        name, text = _METADATA.get(_tag(element)), " ".join((element.text or "").split())
        if name and text:
            lines.append(f"{name}: {text}")
    return lines


def _spine(archive: zipfile.ZipFile, package: Any) -> list[str]:  # noqa: ANN401 - as above
    folder = posixpath.dirname(package.get("file"))
    files = {element.get("id"): element.get("href", "") for element in package.iter() if _tag(element) == "item"}
    order = [files.get(element.get("idref"), "") for element in package.iter() if _tag(element) == "itemref"]
    members = set(archive.namelist())
    candidates = ([posixpath.normpath(posixpath.join(folder, name)) for name in (unquote(href), href)] for href in order)
    return [found for names in candidates if (found := next((name for name in names if name in members), None))]


def _encrypted(archive: zipfile.ZipFile) -> set[str]:
    """The files that copy protection has made unreadable."""
    name = "META-INF/encryption.xml"
    if name not in archive.namelist():
        return set()
    return {unquote(element.get("URI", "")) for element in _root(archive, name).iter() if _tag(element) == "CipherReference"}
