"""`footnote reindex`: a second index of a collection, beside the one that answers."""

from __future__ import annotations

import pathlib
from typing import TYPE_CHECKING, Annotated, Any
from urllib.parse import quote

import typer

from ingestion.cli import jobs, terminal
from ingestion.cli.documents import Wait
from ingestion.cli.errors import LocalError
from ingestion.cli.options import Session, command

if TYPE_CHECKING:
    from ingestion.cli.client import Service

app = typer.Typer(
    no_args_is_help=True,
    help="Build an index for another model or chunker beside the one that answers, compare, change over, go back.",
)

Name = Annotated[str, typer.Argument(metavar="COLLECTION")]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Don't ask.")]
Force = Annotated[bool, typer.Option("--force", help="Although the live index is built so already.")]
Queries = Annotated[pathlib.Path, typer.Argument(metavar="QUERIES", help="A file with one question a line.")]
Limit = Annotated[int, typer.Option("--limit", "-n", min=1, max=50, help="Hits of each index.")]


@app.command("build")
@command
def build(session: Session, name: Name, *, yes: Yes = False, force: Force = False, wait: Wait = True) -> None:
    """Build with the service's model and chunker (FOOTNOTE_EMBEDDER, FOOTNOTE_CHUNK_TOKENS); goes on where it stopped.

    The live index answers meanwhile, and uploads go into both; its model is named in FOOTNOTE_OTHER_EMBEDDERS.
    """
    with session.service() as service:
        found = service.get(f"{_path(name)}/estimate")
        terminal.note(_told(found))
        if not found["needed"] and not force:
            terminal.note("the live index is built with this model and chunker already; --force builds it anew")
            return
        if not yes:
            typer.confirm("Build it?", abort=True, err=True)
        job = service.post(_path(name), {"force": force})
        session.show(jobs.ended(service, job["id"]) if wait else job)


@app.command("status")
@command
def status(session: Session, name: Name) -> None:
    """The indexes of a collection: the live one, the one that is built, the one that was live before."""
    with session.service() as service:
        _show(session, service.get(_path(name))["data"])


@app.command("compare")
@command
def compare(session: Session, name: Name, queries: Queries, *, limit: Limit = 10) -> None:
    """The same questions to the live index and the other one, side by side."""
    try:
        asked = [line.strip() for line in queries.read_text(encoding="utf-8").splitlines() if line.strip()]
    except (OSError, UnicodeDecodeError) as error:
        raise LocalError(f"{queries} can't be read as lines of UTF-8: {error}") from error
    with session.service() as service:
        other = _other(service, name, "building", "standby")
        reply = service.post(f"{_path(name)}/{other}/compare", {"queries": asked, "limit": limit})
    if session.as_json:
        terminal.write(terminal.json_line(reply))
        return
    for each in reply["data"]:
        terminal.write(f"{terminal.visible(each['query'])}  ({each['shared']:.0%} of the documents in both)")
        for rank in range(max(len(each["live"]), len(each["other"]))):
            left, right = (_named(each[side], rank) for side in ("live", "other"))
            terminal.write(f"  {rank + 1:>2}  {left:<40.40}  {right:<40.40}")
    terminal.write(f"{reply['shared']:.0%} of the documents found were found by both")


@app.command("switch")
@command
def switch(session: Session, name: Name) -> None:
    """Let the index that was built answer; the one that did stands by."""
    with session.service() as service:
        other = _other(service, name, "building")
        _show(session, service.post(f"{_path(name)}/{other}/activate")["data"])


@app.command("rollback")
@command
def rollback(session: Session, name: Name) -> None:
    """Let the index that was live before answer again."""
    with session.service() as service:
        other = _other(service, name, "standby")
        _show(session, service.post(f"{_path(name)}/{other}/activate")["data"])


@app.command("drop")
@command
def drop(session: Session, name: Name, *, yes: Yes = False) -> None:
    """Give up the index that is being built, else the one that stands by."""
    with session.service() as service:
        other = _other(service, name, "building", "standby")
        if not yes:
            typer.confirm(f"Drop the index {other}?", abort=True, err=True)
        _show(session, service.request("DELETE", f"{_path(name)}/{other}").body["data"])


def _path(name: str) -> str:
    return f"/v1/collections/{quote(name, safe='')}/indexes"


def _other(service: Service, name: str, *roles: str) -> str:
    """The id of the first index in one of these roles."""
    indexes = {each["role"]: each["id"] for each in service.get(_path(name))["data"]}
    for role in roles:
        if role in indexes:
            return str(indexes[role])
    raise typer.BadParameter(f"{name} has no index that is {' or '.join(roles)}: `footnote reindex status {name}`")


def _show(session: Session, indexes: list[dict[str, Any]]) -> None:
    flat = [
        {**each, "dense": each["fingerprints"]["dense"], "chunker": each["fingerprints"]["chunker"]} for each in indexes
    ]
    session.show_all(indexes if session.as_json else flat, ["role", "versions", "missing", "chunks", "dense", "id"])


def _told(found: dict[str, Any]) -> str:
    model = terminal.visible(found["fingerprints"]["dense"])
    return (
        f"{found['versions']} documents, {found['chunks']} chunks for {model}: about {_time(found['seconds'])} at "
        f"{found['chunks_per_second']:.0f} chunks/s of one process, {found['vector_bytes'] / 1e6:.1f} MB of vectors"
    )


def _time(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 120 else f"{seconds / 60:.0f} min"  # noqa: PLR2004 - two minutes


def _named(hits: list[dict[str, Any]], rank: int) -> str:
    if rank >= len(hits):
        return ""
    hit = hits[rank]
    return terminal.visible(str(hit["external_id"] or hit["title"] or hit["document_id"]))
