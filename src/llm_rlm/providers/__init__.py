"""The models of LLM: found, asked, tried again, and what they cost."""
