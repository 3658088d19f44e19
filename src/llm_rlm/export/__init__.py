"""Runs of the journal in the forms that others read: a script, messages for training and evaluation, spans."""
