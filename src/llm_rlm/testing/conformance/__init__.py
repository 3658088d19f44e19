"""A suite that any sandbox can be held to: what a session does, and what hostile programs must not do to it."""
