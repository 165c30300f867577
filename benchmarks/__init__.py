"""What is measured of the product, each module runnable by itself: `python -m benchmarks.NAME --help`."""
