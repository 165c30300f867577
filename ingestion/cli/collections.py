"""`footnote collections`: named sets of documents."""

from __future__ import annotations

from typing import Annotated
from urllib.parse import quote

import typer

from ingestion.cli import jobs
from ingestion.cli.documents import Wait
from ingestion.cli.options import Session, command

app = typer.Typer(no_args_is_help=True, help="Make, list and delete collections.")

Name = Annotated[str, typer.Argument(metavar="NAME")]
Description = Annotated[str, typer.Option("--description", help="For people.")]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Don't ask.")]


@app.command("create")
@command
def create(session: Session, name: Name, *, description: Description = "") -> None:
    """Make an empty collection."""
    with session.service(makes_folder=True) as service:
        session.show(service.post("/v1/collections", {"name": name, "description": description}))


@app.command("list")
@command
def list_collections(session: Session) -> None:
    """Collections, in order of creation."""
    with session.service() as service:
        found = list(service.pages("/v1/collections"))
    session.show_all(found, ["name", "documents", "description", "created_at", "id"])


@app.command("show")
@command
def show(session: Session, name: Name) -> None:
    """One collection, and how many documents of it this key may read."""
    with session.service() as service:
        session.show(service.get(f"/v1/collections/{quote(name, safe='')}"))


@app.command("delete")
@command
def delete(session: Session, name: Name, *, yes: Yes = False, wait: Wait = True) -> None:
    """Delete a collection with all its documents."""
    if not yes:
        typer.confirm(f"Delete the collection {name} with all its documents?", abort=True, err=True)
    with session.service() as service:
        reply = service.request("DELETE", f"/v1/collections/{quote(name, safe='')}").body
        session.show(jobs.ended(service, reply["job_id"]) if wait else reply)
