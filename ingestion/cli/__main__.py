"""`python -m ingestion.cli`, for an environment without the script."""

from ingestion.cli.application import main

main()
