"""One collection as one file: written, verified, compared, and merged into a collection elsewhere."""
