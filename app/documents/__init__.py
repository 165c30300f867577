"""Use cases over documents: add, replace, remove with receipt, catalogue, purge."""
