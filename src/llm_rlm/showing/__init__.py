"""Runs of the journal as a person, or a program, is shown them."""
