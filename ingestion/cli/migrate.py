"""`footnote migrate`: the database of production mode, brought to the form that this version knows."""

from __future__ import annotations

from typing import Annotated

import typer

from ingestion.cli import terminal
from ingestion.cli.options import AsJson, DataDir, Session, ended_in_a_sentence, settings

Check = Annotated[bool, typer.Option("--check", help="Change nothing; exit with 1 where there is something to do.")]


Again = Annotated[
    bool, typer.Option("--admin-key", help="Make one more admin key, where the data folder has no admin.key.")
]


def migrate(
    *, check: Check = False, admin_key: Again = False, data_dir: DataDir = None, as_json: AsJson = False
) -> None:
    """Migrate the database. Where it is new, make the default workspace with its admin key."""
    from app.bootstrap import migrate as bring  # noqa: PLC0415 - the whole service is not paid for by --help

    session = Session(data_dir=data_dir, url=None, key=None, as_json=as_json)
    with ended_in_a_sentence():
        found = bring(settings(data_dir), check=check, key_again=admin_key)
    session.show(dict(found))
    if found["admin_key"]:
        terminal.note(f"the admin key is in {found['admin_key']}")
    if found["revision"] != found["newest"]:
        raise typer.Exit(1)
