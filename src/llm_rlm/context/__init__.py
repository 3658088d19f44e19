"""The context of a run: one text or one JSON value, as a file that the sandbox can be given."""

from .source import AnyContext, Context, Readable, from_any, from_file, from_stream, from_value, no_context

__all__ = ["AnyContext", "Context", "Readable", "from_any", "from_file", "from_stream", "from_value", "no_context"]
