"""Cuts a text into passages that fit the embedder."""
