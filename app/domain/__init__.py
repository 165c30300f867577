"""What the product is about: entities, errors and ports. Standard library and numpy alone."""
