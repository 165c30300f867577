"""Writes passages to the index and switches versions."""
