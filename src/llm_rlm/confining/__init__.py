"""A process of ours gives up what it has no use for: on Linux by the kernel, for good; elsewhere as far as limits go."""

from .process import Measure, Reach, confine, limit, measures

__all__ = ["Measure", "Reach", "confine", "limit", "measures"]
