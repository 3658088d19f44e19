"""From what the user names to texts: files, folders, streams, URLs, archives, fragments, values."""
