"""`footnote keys`: API keys."""

from __future__ import annotations

import datetime as dt
import enum
import os
import pathlib
from typing import TYPE_CHECKING, Annotated, Any
from urllib.parse import quote

import typer

from ingestion.cli import terminal
from ingestion.cli.options import Session, command

if TYPE_CHECKING:
    from ingestion.cli.client import Service

app = typer.Typer(no_args_is_help=True, help="Make, list, revoke and rotate API keys.")


class Role(enum.StrEnum):
    """What a key may do."""

    ADMIN = "admin"
    EDITOR = "editor"
    READER = "reader"


Name = Annotated[str, typer.Argument(metavar="NAME", help="For people, to tell keys apart.")]
KeyId = Annotated[str, typer.Argument(metavar="KEY", help="The id that `keys list` shows.")]
RoleOption = Annotated[Role, typer.Option("--role", help="reader searches, editor writes, admin manages.")]
User = Annotated[str | None, typer.Option("--user", help="Opens documents with the reader user:NAME.")]
Groups = Annotated[list[str], typer.Option("--group", help="Opens documents with the reader group:NAME. Repeatable.")]
Days = Annotated[float | None, typer.Option("--days", min=0, help="Days for which it works; for ever where left out.")]
Workspace = Annotated[str | None, typer.Option("--workspace", help="Of another workspace, made by its name.")]


@app.command("create")
@command
def create(
    session: Session,
    name: Name,
    *,
    role: RoleOption = Role.READER,
    user: User = None,
    group: Groups = [],  # noqa: B006 - typer reads the default, nobody changes it
    days: Days = None,
    workspace: Workspace = None,
) -> None:
    """Make a key and print it: it is shown this once."""
    body: dict[str, Any] = {"name": name, "role": role.value, "groups": list(group)}
    if user is not None:
        body["user"] = user
    if workspace is not None:
        body["workspace"] = workspace
    if days is not None:
        body["expires_at"] = (dt.datetime.now(dt.UTC) + dt.timedelta(days=days)).isoformat()
    with session.service() as service:
        made = service.post("/v1/keys", body)
    _show_secret(session, made)


@app.command("list")
@command
def list_keys(session: Session) -> None:
    """Keys, revoked ones too; never their secrets."""
    with session.service() as service:
        found = list(service.pages("/v1/keys"))
    session.show_all(
        found, ["id", "name", "prefix", "role", "user", "groups", "created_at", "expires_at", "revoked_at"]
    )


@app.command("revoke")
@command
def revoke(session: Session, key: KeyId) -> None:
    """Make a key stop working, at once."""
    with session.service() as service:
        service.request("DELETE", f"/v1/keys/{quote(key, safe='')}")
    if session.as_json:
        terminal.write(terminal.json_line({"id": key, "revoked": True}))
    else:
        terminal.note(f"revoked {terminal.visible(key)}")


@app.command("rotate")
@command
def rotate(session: Session, key: KeyId) -> None:
    """Make a key anew and print it; the old one stops working at once.

    Where it is the key in the data folder's admin.key, that file gets the new one.
    """
    with session.service() as service:
        old = next((each for each in service.pages("/v1/keys") if each["id"] == key), None)
        made = service.post(f"/v1/keys/{quote(key, safe='')}/rotate")
        if old is not None and service.key_file is not None:
            _renew(service, service.key_file, old, made["secret"])
    _show_secret(session, made)


def _show_secret(session: Session, made: dict[str, Any]) -> None:
    if session.as_json:
        terminal.write(terminal.json_line(made))
        return
    terminal.note(f"key {terminal.visible(made['id'])}, {terminal.visible(made['role'])}; it is shown this once:")
    terminal.write(terminal.visible(made["secret"]))


def _renew(service: Service, path: pathlib.Path, old: dict[str, Any], secret: str) -> None:
    """Put a rotated key into the file that this command read it from; else the owner would be locked out."""
    if service.key is None or not service.key.startswith(old["prefix"]):
        return
    temporary = path.with_suffix(".tmp")
    temporary.unlink(missing_ok=True)
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w") as stream:
        stream.write(f"{secret}\n")
        stream.flush()
        os.fsync(stream.fileno())
    temporary.replace(path)
    terminal.note(f"{path} has the new key")
