"""Sentences, words and canonical text: what the chunker, the loaders and the answerer share."""
