"""Files that are no text but can go with a prompt to a model: pictures, PDFs, sound, films. Known by their first bytes."""

from __future__ import annotations

from dataclasses import dataclass

_RIFF, _FORM_AT = b"RIFF", 8
_FORMS = {b"WEBP": "image/webp", b"WAVE": "audio/wav"}
_BRAND_AT = 4
_BRANDS = {b"ftypheic": "image/heic", b"ftypheix": "image/heic", b"ftypavif": "image/avif", b"ftypM4A ": "audio/mp4"}
_STARTS = {
    b"\x89PNG\r\n\x1a\n": "image/png",
    b"\xff\xd8\xff": "image/jpeg",
    b"GIF87a": "image/gif",
    b"GIF89a": "image/gif",
    b"BM": "image/bmp",
    b"II*\0": "image/tiff",
    b"MM\0*": "image/tiff",
    b"%PDF-": "application/pdf",
    b"ID3": "audio/mpeg",
    b"\xff\xfb": "audio/mpeg",
    b"\xff\xf3": "audio/mpeg",
    b"OggS": "audio/ogg",
    b"fLaC": "audio/flac",
    b"\x1aE\xdf\xa3": "video/webm",
}


@dataclass(frozen=True, slots=True)
class Attachable:
    """A file of the sources that can go with a prompt."""

    name: str
    """What user and model call it; that of its text, where it has one (a PDF)."""
    path: str
    """The user's file."""
    type: str
    """Its media type, such as `image/png`."""


def type_of(start: bytes) -> str | None:
    """The media type of a file that begins so; None for what no model is sent."""
    if start.startswith(_RIFF):
        return _FORMS.get(start[_FORM_AT : _FORM_AT + 4])
    brand = start[_BRAND_AT : _BRAND_AT + 8]
    if brand.startswith(b"ftyp"):
        return _BRANDS.get(brand, "video/mp4")
    return next((kind for mark, kind in _STARTS.items() if start.startswith(mark)), None)
