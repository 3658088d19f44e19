"""One run and what is around it: from a question, by turns of its root model and cells, to a result."""
