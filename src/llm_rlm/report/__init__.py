"""Runs as pages: one file that opens anywhere, with nothing loaded from elsewhere."""

from .writing import write

__all__ = ["write"]
