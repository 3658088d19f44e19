"""The conversation with a root model: by calls of tools, or by blocks of code."""
