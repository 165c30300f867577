"""Models that write: the catalogue, the ways to call them, and what keeps a failing one from failing answers."""
