"""`footnote`: one REST client with two ways to a service: the one that runs, or one inside this process.

application   the commands, and what their errors look like
options       what every command takes: --data-dir, --url, --key, --json
connection    which service to speak to; takes the data folder where none runs
client        requests: retries, pages, problems as errors
terminal      what may reach a screen
ingest        sources -> (downloads, batches) -> sending -> following -> report
"""

from ingestion.cli.application import main

__all__ = ["main"]
