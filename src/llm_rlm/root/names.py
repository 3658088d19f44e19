"""The two tools by their names, which users were promised."""

EXECUTE = "RLMToolbox_execute_python"
"""Runs a cell."""

SUBMIT = "RLMToolbox_submit_answer"
"""Gives the final answer."""
