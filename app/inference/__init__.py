"""Everything that holds or calls a model."""
