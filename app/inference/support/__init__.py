"""Whether a passage says what a sentence says."""
