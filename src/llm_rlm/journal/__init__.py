"""The record of runs: SQLite, written before what it records is used, readable by any tool that opens SQLite."""

from .journal import CallRecord, Journal, Kept, Recorded, SourceRecord, call_key, text_hash

__all__ = ["CallRecord", "Journal", "Kept", "Recorded", "SourceRecord", "call_key", "text_hash"]
