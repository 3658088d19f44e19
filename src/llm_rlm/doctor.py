"""Whether all that a run needs is there."""
