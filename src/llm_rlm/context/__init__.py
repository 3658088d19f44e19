"""The context of a run: one text or one JSON value, as a file that the sandbox can be given."""

from .source import Context, Readable, from_file, from_stream, from_value, no_context

__all__ = ["Context", "Readable", "from_file", "from_stream", "from_value", "no_context"]
