"""`footnote export` and `footnote import`: one collection as one file, from a service to another."""

from __future__ import annotations

import pathlib
import time
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Annotated, Any, BinaryIO
from urllib.parse import quote

import typer

from ingestion.cli import jobs, terminal
from ingestion.cli.errors import LocalError, UnreachableError
from ingestion.cli.options import Session, command

if TYPE_CHECKING:
    from ingestion.cli.client import Service

Collection = Annotated[str, typer.Argument(metavar="COLLECTION")]
Target = Annotated[pathlib.Path, typer.Argument(metavar="FILE", help="A file that does not exist.")]
Archive = Annotated[pathlib.Path, typer.Argument(metavar="FILE", help="What `footnote export` wrote.")]
Into = Annotated[
    str | None, typer.Option("--collection", "-c", help="Where the documents go; else as the archive says.")
]
Wait = Annotated[bool, typer.Option("--wait/--no-wait", help="For documents that have to be ingested anew.")]

_LINE_SECONDS = 5.0  # between lines of progress
_SEND_BYTES = 1 << 20
_TAR = "application/x-tar"


@command
def export(session: Session, collection: Collection, target: Target) -> None:
    """Write a collection into one file: originals, texts, chunks, vectors, readers and metadata; then verify it."""
    if target.exists():
        raise LocalError(f"{target} exists; an export overwrites nothing", code="target_exists")
    progress = _Progress(as_json=session.as_json)
    with session.service() as service:
        size = service.download_file(
            "GET",
            f"/v1/collections/{quote(collection, safe='')}/export",
            target,
            told=lambda written: progress.say(f"{written / 1e6:.1f} MB written"),
        )
    session.show({"file": str(target), "bytes": size, **_verified(target)})


@command
def import_(session: Session, archive: Archive, *, collection: Into = None, wait: Wait = True) -> None:
    """Merge an exported collection into one here, by external id. Repeated, it changes nothing."""
    if not archive.is_file():
        raise LocalError(f"there is no file {archive}", code="no_such_path")
    progress = _Progress(as_json=session.as_json)
    with session.service(makes_folder=True) as service:
        result = _sent(service, archive, collection, progress)
        ended = [jobs.ended(service, job_id) for job_id in result["job_ids"]] if wait else []
        failed = sum(job["progress"]["failed"] for job in ended)
        session.show({**result, "failed": failed} if wait else result)
    if failed:
        raise typer.Exit(1)


def _sent(service: Service, archive: pathlib.Path, collection: str | None, progress: _Progress) -> dict[str, Any]:
    """What the service made of the archive, once it is done."""
    size = archive.stat().st_size

    def blocks() -> Iterator[bytes]:
        with _opened(archive) as stream:
            sent = 0
            while block := stream.read(_SEND_BYTES):
                yield block
                sent += len(block)
                progress.say(f"{sent / 1e6:.1f} of {size / 1e6:.1f} MB sent")

    def body() -> Mapping[str, Any]:
        return {"content": blocks(), "headers": {"Content-Type": _TAR, "Content-Length": str(size)}}

    params = {"collection": collection, "stream": "true"}
    for name, told in service.events_of("/v1/collections/import", body, params=params):
        if name == "imported":
            return told
        if told:
            progress.say(f"{told['done']} of {terminal.counted(told['documents'], 'document')} imported")
    raise UnreachableError("the service broke off; import again, nothing is done twice")


def _opened(archive: pathlib.Path) -> BinaryIO:
    try:
        return archive.open("rb")
    except OSError as error:
        raise LocalError(f"{archive} can't be read: {(error.strerror or str(error)).lower()}") from error


def _verified(target: pathlib.Path) -> dict[str, int]:
    from app.documents.archive.reading import Archive as Reader  # noqa: PLC0415 - numpy is not paid for by --help

    kept = False
    try:
        with Reader(target) as archive:
            found = archive.verify()
        kept = True
    finally:
        if not kept:
            target.unlink(missing_ok=True)
    return {"documents": found.documents, "chunks": found.chunks}


class _Progress:
    """A line on standard error now and then; with --json none."""

    def __init__(self, *, as_json: bool) -> None:
        self._last = float("inf") if as_json else time.monotonic()

    def say(self, line: str) -> None:
        """The state as it is now."""
        if time.monotonic() - self._last >= _LINE_SECONDS:
            self._last = time.monotonic()
            terminal.note(line)
