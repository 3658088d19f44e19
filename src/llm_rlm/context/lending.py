"""A context for a run below: all of a run's own, or one of its texts, read where it lies."""

from __future__ import annotations

from dataclasses import replace

from .context import Context
from .document import Spool
from .width import fits


def lent(context: Context, document: int | None = None) -> Context:
    """The whole context, or the text of that number, for another run; nothing is copied, and whoever has it removes nothing.

    Raises IndexError for a text that is not there.
    """
    if document is None:
        return replace(context, spool=Spool(), again=None)
    if not 0 <= document < len(context.documents):
        raise IndexError
    text = context.documents[document]
    return Context("text" if fits(text) else "large", documents=(text,))
