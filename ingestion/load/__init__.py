"""Reads an original into canonical text, pages and blocks."""
