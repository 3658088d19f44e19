"""What can be wrong with a question that a cell asks of the sources."""

from llm_rlm.errors import RLMError


class QuestionError(RLMError):
    """What is wrong with a question; its text is for the root model."""
