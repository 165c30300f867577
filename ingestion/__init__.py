"""From an accepted upload to live chunks: load, chunk, embed, index."""
