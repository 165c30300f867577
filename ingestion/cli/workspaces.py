"""`footnote workspaces`: the border that nothing crosses."""

from __future__ import annotations

from typing import Annotated
from urllib.parse import quote

import typer

from ingestion.cli import terminal
from ingestion.cli.options import Session, command

app = typer.Typer(no_args_is_help=True, help="Make, list and delete workspaces; for admins of the default one.")

Name = Annotated[str, typer.Argument(metavar="NAME")]
WorkspaceId = Annotated[str, typer.Argument(metavar="ID", help="The id that `workspaces list` shows.")]


@app.command("create")
@command
def create(session: Session, name: Name) -> None:
    """Make an empty workspace; `footnote keys create --workspace NAME` makes its first key."""
    with session.service() as service:
        session.show(service.post("/v1/workspaces", {"name": name}))


@app.command("list")
@command
def list_workspaces(session: Session) -> None:
    """Workspaces."""
    with session.service() as service:
        found = list(service.pages("/v1/workspaces"))
    session.show_all(found, ["id", "name", "created_at"])


@app.command("delete")
@command
def delete(session: Session, workspace: WorkspaceId) -> None:
    """Delete an empty workspace with its keys."""
    with session.service() as service:
        service.request("DELETE", f"/v1/workspaces/{quote(workspace, safe='')}")
    if session.as_json:
        terminal.write(terminal.json_line({"id": workspace, "deleted": True}))
    else:
        terminal.note(f"deleted {terminal.visible(workspace)}")
