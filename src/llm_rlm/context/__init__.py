"""The input of a run: what the user names is found and read here, and what cells ask of it is answered."""

from .collect import AnyContext, Readable, Sources, from_any
from .context import Context
from .coverage import Coverage, Covered
from .document import ChangedError, Document
from .examine import Examined, examine
from .files import paths_from
from .quotes import Citation, find_quotes
from .service import Service
from .value import from_value
from .walk import Walking

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
    "paths_from",
]
