"""The input of a run: what the user names is found and read here, and what cells ask of it is answered."""

from .context import Context
from .document import ChangedError, Document
from .evidence.coverage import Coverage, Covered
from .evidence.quotes import Citation, find_quotes
from .examine import Examined, examine
from .lending import lent
from .service import Service
from .sources.collect import AnyContext, Readable, Sources, from_any, recordable
from .sources.files import paths_from, stdin
from .sources.value import from_value
from .sources.walk import Walking

__all__ = [
    "AnyContext",
    "ChangedError",
    "Citation",
    "Context",
    "Coverage",
    "Covered",
    "Document",
    "Examined",
    "Readable",
    "Service",
    "Sources",
    "Walking",
    "examine",
    "find_quotes",
    "from_any",
    "from_value",
    "lent",
    "paths_from",
    "recordable",
    "stdin",
]
