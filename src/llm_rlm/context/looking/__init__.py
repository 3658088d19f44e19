"""Looking through the source bytes of all texts: `grep`, `search`, and finding plain bytes."""
