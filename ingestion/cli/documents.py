"""`footnote documents`: look at documents, change them, delete them."""

from __future__ import annotations

import pathlib
import sys
import uuid
from typing import TYPE_CHECKING, Annotated, Any
from urllib.parse import quote

import typer

from ingestion.cli import jobs, terminal
from ingestion.cli.ingest import Metadata, Readers, Title, parse_metadata
from ingestion.cli.options import Session, command
from ingestion.cli.search import Condition, parse_filter

if TYPE_CHECKING:
    from ingestion.cli.client import Service

_SLICE_CHARS = 500_000  # of a text asked for at once; half of what a service gives by default

app = typer.Typer(no_args_is_help=True, help="Look at documents, change them, delete them.")

Name = Annotated[str, typer.Argument(metavar="DOCUMENT", help="Its id, or its external id.")]
MaybeNames = Annotated[
    list[str] | None, typer.Argument(metavar="[DOCUMENT...]", help="Ids, or external ids; none with --filter or --all.")
]
MaybeName = Annotated[
    str | None, typer.Argument(metavar="[DOCUMENT]", help="Its id, or its external id; none with --filter or --all.")
]
All = Annotated[bool, typer.Option("--all", help="All of the collection that this key may read.")]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Don't ask.")]
Collection = Annotated[str, typer.Option("--collection", "-c", help="Where an external id is looked for.")]
OnlyCollection = Annotated[str | None, typer.Option("--collection", "-c", help="Only this one's.")]
Limit = Annotated[int, typer.Option("--limit", "-n", min=1, help="At most so many.")]
Wait = Annotated[bool, typer.Option("--wait/--no-wait", help="Until the work is done.")]
Version = Annotated[str | None, typer.Option("--version", help="A version's id; the live one where left out.")]
Start = Annotated[int, typer.Option("--start", min=0, help="First character, from 0.")]
End = Annotated[int | None, typer.Option("--end", min=0, help="Past the last character.")]
Output = Annotated[pathlib.Path | None, typer.Option("--output", "-o", help="A file to write; else standard output.")]
DocumentId = Annotated[str, typer.Argument(metavar="ID", help="Its id: a deleted document has no other name.")]


@app.command("list")
@command
def list_documents(
    session: Session, *, collection: OnlyCollection = None, condition: Condition = None, limit: Limit = 100
) -> None:
    """Documents, in order of creation."""
    wanted = None if condition is None else terminal.json_line(parse_filter(condition))
    with session.service() as service:
        found = list(service.pages("/v1/documents", {"collection": collection, "filter": wanted}, most=limit))
    session.show_all(found, ["id", "external_id", "title", "collection", "state", "size_bytes"])


@app.command("show")
@command
def show(session: Session, document: Name, *, collection: Collection = "default") -> None:
    """One document."""
    with session.service() as service:
        session.show(_named(service, document, collection))


@app.command("text")
@command
def text(
    session: Session,
    document: Name,
    *,
    collection: Collection = "default",
    version: Version = None,
    start: Start = 0,
    end: End = None,
) -> None:
    """The text that citations point into: characters from --start to --end."""
    with session.service() as service:
        path = f"{_path(service, document, collection)}/text"
        position = start
        while end is None or position < end:
            until = position + _SLICE_CHARS if end is None else min(end, position + _SLICE_CHARS)
            piece = service.get(path, {"version_id": version, "start": position, "end": until})
            version = piece["version_id"]  # the same version to the end, whatever goes live meanwhile
            if session.as_json:
                terminal.write(terminal.json_line(piece))
            else:
                _write_text(piece["text"])
            position = piece["end"]
            if position >= piece["total_chars"] or not piece["text"]:
                break
    if not session.as_json:
        terminal.write()


@app.command("chunks")
@command
def chunks(session: Session, document: Name, *, collection: Collection = "default", limit: Limit = 1000) -> None:
    """The passages that are searched."""
    with session.service() as service:
        found = list(service.pages(f"{_path(service, document, collection)}/chunks", most=limit))
    session.show_all(found, ["ordinal", "page", "start", "end", "headings", "text"])


@app.command("content")
@command
def content(
    session: Session,
    document: Name,
    *,
    collection: Collection = "default",
    version: Version = None,
    output: Output = None,
) -> None:
    """The original bytes, as they were uploaded."""
    if output is None and sys.stdout.isatty():
        raise typer.BadParameter("the original may be anything; name a file with --output, or a pipe")
    with session.service() as service:
        path = f"{_path(service, document, collection)}/content"
        if output is None:
            service.download("GET", path, sys.stdout.buffer, params={"version_id": version})
        else:
            service.download_file("GET", path, output, params={"version_id": version})


@app.command("versions")
@command
def versions(session: Session, document: Name, *, collection: Collection = "default") -> None:
    """All versions, newest first."""
    with session.service() as service:
        found = list(service.pages(f"{_path(service, document, collection)}/versions"))
    session.show_all(found, ["id", "seq", "state", "size_bytes", "pages", "chunks", "created_at"])


@app.command("change")
@command
def change(
    session: Session,
    document: MaybeName = None,
    *,
    collection: Collection = "default",
    condition: Condition = None,
    every: All = False,
    title: Title = None,
    metadata: Metadata = [],  # noqa: B006 - typer reads the default, nobody changes it
    readers: Readers = [],  # noqa: B006
    yes: Yes = False,
    wait: Wait = True,
) -> None:
    """Change title, metadata (as a whole) or readers, of one document or of all that a filter finds, without embedding."""
    try:
        described = parse_metadata(metadata)
    except ValueError as error:
        raise typer.BadParameter(str(error)) from error
    body: dict[str, Any] = {"title": title, "metadata": described or None, "readers": list(readers) or None}
    body = {name: value for name, value in body.items() if value is not None}
    if not body:
        raise typer.BadParameter("say what changes: --title, --metadata or --readers")
    with session.service() as service:
        if document is None:
            selected = {"collection": collection, **_selected(condition, every=every), **body}
            _in_bulk(session, service, "change", selected, yes=yes, wait=wait)
            return
        reply = service.request("PATCH", _path(service, document, collection), body=lambda: {"json": body})
    session.show(reply.body)


@app.command("delete")
@command
def delete(
    session: Session,
    documents: MaybeNames = None,
    *,
    collection: Collection = "default",
    condition: Condition = None,
    every: All = False,
    yes: Yes = False,
    wait: Wait = True,
) -> None:
    """Delete documents, by name or all that a filter finds: hidden at once, then purged; shows the receipts."""
    shown: list[dict[str, Any]] = []
    with session.service() as service:
        if not documents:
            selected = {"collection": collection, **_selected(condition, every=every)}
            _in_bulk(session, service, "delete", selected, yes=yes, wait=wait)
            return
        removed = []
        for name in documents:
            document_id = _id(service, name, collection)
            removed.append((document_id, service.request("DELETE", f"/v1/documents/{document_id}").body))
        for document_id, reply in removed:
            if not wait:
                shown.append(reply)
                continue
            jobs.ended(service, reply["job_id"])
            shown.append(service.get(f"/v1/documents/{document_id}/deletion"))
    session.show_all(shown, ["document_id", "job_id", "finished_at", "rows", "chunks", "vectors", "bytes"])


@app.command("receipt")
@command
def receipt(session: Session, document: DocumentId) -> None:
    """What a delete has removed from each store."""
    with session.service() as service:
        session.show(service.get(f"/v1/documents/{_quoted(document)}/deletion"))


def _selected(condition: str | None, *, every: bool) -> dict[str, Any]:
    if (condition is None) is not every:
        raise typer.BadParameter("name documents, or give --filter, or say --all")
    return {"all": True} if condition is None else {"filter": parse_filter(condition)}


def _in_bulk(session: Session, service: Service, verb: str, selected: dict[str, Any], *, yes: bool, wait: bool) -> None:
    """Delete or change what is selected, once a person has seen how many there are."""
    path = f"/v1/documents/{verb}"
    if not yes:
        count = service.post(path, {**selected, "dry_run": True})["documents"]
        typer.confirm(f"{verb.capitalize()} {count} documents?", abort=True, err=True)
    reply = service.post(path, selected)
    session.show(jobs.ended(service, reply["job_id"]) if wait else reply)


def _named(service: Service, name: str, collection: str) -> dict[str, Any]:
    if _is_id(name):
        return service.get(f"/v1/documents/{name}")
    from ingestion.cli.client import segment  # noqa: PLC0415 - httpx is not paid for by --help

    return service.get(f"/v1/documents/by-external-id/{segment(name)}", {"collection": collection})


def _id(service: Service, name: str, collection: str) -> str:
    return name if _is_id(name) else str(_named(service, name, collection)["id"])


def _path(service: Service, name: str, collection: str) -> str:
    return f"/v1/documents/{_id(service, name, collection)}"


def _is_id(name: str) -> bool:
    try:
        return str(uuid.UUID(name)) == name.lower()
    except ValueError:
        return False


def _quoted(name: str) -> str:
    return quote(name, safe="")


def _write_text(piece: str) -> None:
    """Exactly the text into a file or a pipe; on a screen without what a terminal acts on."""
    sys.stdout.write(terminal.visible(piece, multiline=True) if sys.stdout.isatty() else piece)
