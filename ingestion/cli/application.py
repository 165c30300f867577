"""The commands of `footnote`."""

from __future__ import annotations

import typer

from ingestion.cli import (
    archives,
    ask,
    carrying,
    collections,
    conversations,
    doctor,
    documents,
    ingest,
    jobs,
    keys,
    migrate,
    models,
    policies,
    reindex,
    search,
    serve,
    terminal,
    usage,
    workspaces,
)

app = typer.Typer(
    name="footnote",
    help="Put documents in and ask them questions. Speaks to the service that runs on the data folder, "
    "or opens the folder itself.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,  # a traceback with local values would show keys and texts
    rich_markup_mode=None,
)
app.command("serve")(serve.serve)
app.command("ingest")(ingest.ingest)
app.command("ask")(ask.ask)
app.command("search")(search.search)
app.add_typer(conversations.app, name="conversations")
app.command("usage")(usage.usage)
app.add_typer(documents.app, name="documents")
app.add_typer(collections.app, name="collections")
app.add_typer(jobs.app, name="jobs")
app.add_typer(keys.app, name="keys")
app.add_typer(workspaces.app, name="workspaces")
app.add_typer(policies.app, name="policy")
app.add_typer(policies.templates, name="templates")
app.add_typer(reindex.app, name="reindex")
app.add_typer(models.app, name="models")
app.command("migrate")(migrate.migrate)
app.command("doctor")(doctor.doctor)
app.command("backup")(archives.backup)
app.command("restore")(archives.restore)
app.command("export")(carrying.export)
app.command("import")(carrying.import_)


def main() -> None:
    """Run the command line and exit: 0 well, 1 something failed, 2 a wrong command, 130 stopped by Ctrl-C."""
    terminal.forgiving_streams()
    app()
