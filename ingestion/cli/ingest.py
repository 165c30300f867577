"""`footnote ingest`: find what is meant, send it, wait for it, and say what became of it."""

from __future__ import annotations

import http
import json
import pathlib
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

from app.domain.errors import FootnoteError
from ingestion.cli import terminal
from ingestion.cli.batches import Mapping_
from ingestion.cli.options import INTERRUPTED, Session, command, settings
from ingestion.cli.outcomes import Outcome, Report, State
from ingestion.cli.sources import Selection, Source, Unreadable, found, require_distinct

if TYPE_CHECKING:
    from ingestion.cli.client import Service
    from ingestion.cli.following import Follower, Job
    from ingestion.cli.progress import Display
    from ingestion.cli.sending import Common, Crew

STANDARD_INPUT = "-"
_FEW = 3  # documents that a person waits for; more are a bulk import
_DRAW_SECONDS = 0.1

What = Annotated[list[str], typer.Argument(metavar="PATH|URL|-", help="Files, folders, web addresses; - reads stdin.")]
Collection = Annotated[str, typer.Option("--collection", "-c", help="Where to; made if it is missing.")]
Readers = Annotated[list[str], typer.Option("--readers", help="Who may read: *, user:NAME or group:NAME. Repeatable.")]
Metadata = Annotated[
    list[str], typer.Option("--metadata", help="KEY=VALUE; numbers and true/false as such. Repeatable.")
]
Title = Annotated[str | None, typer.Option("--title", help="Of a single document.")]
ExternalId = Annotated[str | None, typer.Option("--external-id", help="Of a single document; else its path or name.")]
Map = Annotated[list[str], typer.Option("--map", help="For JSON lines: TARGET=KEY, as text=body, metadata.year=year.")]
Include = Annotated[list[str], typer.Option("--include", help="In folders, only files like this: '*.pdf'. Repeatable.")]
Exclude = Annotated[list[str], typer.Option("--exclude", help="In folders, no file or folder like this. Repeatable.")]
Wait = Annotated[bool, typer.Option("--wait/--no-wait", help="Until the documents can be found.")]
Concurrency = Annotated[int, typer.Option("--concurrency", min=1, max=64, help="Uploads at a time.")]


@command
def ingest(
    session: Session,
    what: What,
    *,
    collection: Collection = "default",
    readers: Readers = [],  # noqa: B006 - typer reads the default, nobody changes it
    metadata: Metadata = [],  # noqa: B006
    title: Title = None,
    external_id: ExternalId = None,
    mapping: Map = [],  # noqa: B006
    include: Include = [],  # noqa: B006
    exclude: Exclude = [],  # noqa: B006
    wait: Wait = True,
    concurrency: Concurrency = 8,
) -> None:
    """Put documents in: files, folders, web addresses, standard input.

    A document's external id is its path below the folder given, or its file name: the same command again sends what
    has changed and leaves the rest. Hidden files are passed over.

    JSON lines (.jsonl, .ndjson, also with .gz) are one document a line where --map says which key holds what, or where
    the file is named here itself and its lines have a `text`. Found in a folder, they are so only where the lines hold
    nothing but `text`, `title`, `external_id`, `metadata` (flat) and `readers`, which the first 100 lines tell; any
    other such file is one document.
    """
    from ingestion.cli.sending import Common  # noqa: PLC0415 - httpx is not paid for by --help

    try:
        mapped = Mapping_.parse(mapping)
        described = parse_metadata(metadata)
    except ValueError as error:
        raise typer.BadParameter(str(error)) from error
    if len(what) > 1 and (title or external_id):
        raise typer.BadParameter("--title and --external-id are for one document")
    began = time.monotonic()
    selection = Selection(include=include, exclude=exclude)
    sources = _sources(what, selection, external_id)
    if (title or external_id) and len(sources) > 1:
        raise typer.BadParameter("--title and --external-id are for one document; this is a folder of several")
    common = Common(
        collection=collection,
        title=title,
        metadata=described,
        readers=readers,
        mapping=mapped,
        wait=wait,
        bulk=len(sources) > _FEW,
    )
    report = Report(as_json=session.as_json)
    try:
        with session.service(makes_folder=True) as service:
            _require_collection(service, collection)
            if not wait and service.started_here:
                terminal.note("no service runs: what is accepted is ingested when one starts, as by `footnote serve`")
            _run(service, common, report, sources, concurrency=concurrency, as_json=session.as_json)
    except (FootnoteError, KeyboardInterrupt) as stop:
        _say_stopped(report)
        report.close(time.monotonic() - began, stopped=True)
        if isinstance(stop, KeyboardInterrupt):
            raise typer.Exit(INTERRUPTED) from stop
        raise
    finally:
        for source in sources:
            if isinstance(source, Source) and source.temporary:
                source.path.unlink(missing_ok=True)
    report.close(time.monotonic() - began)
    if report.failed:
        raise typer.Exit(1)


def parse_metadata(options: Sequence[str]) -> dict[str, Any]:
    """Of `--metadata KEY=VALUE`: numbers, true and false are taken as such, "quoted" and all else as strings.

    Raises:
        ValueError: no KEY=.
    """
    described: dict[str, Any] = {}
    for option in options:
        key, equals, text = option.partition("=")
        if not key or not equals:
            raise ValueError(f"--metadata {option}: as in --metadata year=2024")
        try:
            value = json.loads(text)
        except ValueError:
            value = text
        described[key] = value if isinstance(value, str | int | float | bool) else text
    return described


def _sources(what: Sequence[str], selection: Selection, external_id: str | None) -> list[Source | Unreadable]:
    """Everything that is meant, before anything is sent."""
    from ingestion.cli import downloads  # noqa: PLC0415 - httpx is not paid for by --help

    limit = settings().max_upload_bytes
    sources: list[Source | Unreadable] = []
    for each in what:
        if each == STANDARD_INPUT:
            sources.append(downloads.standard_input(limit_bytes=limit, external_id=external_id))
        elif downloads.is_url(each):
            sources.append(downloads.fetch(each, limit_bytes=limit, external_id=external_id))
        else:
            sources += found(pathlib.Path(each), selection, external_id=external_id)
    require_distinct(sources)
    return sources


def _require_collection(service: Service, name: str) -> None:
    from ingestion.cli.client import segment  # noqa: PLC0415 - as above
    from ingestion.cli.errors import RefusedError  # noqa: PLC0415

    try:
        service.get(f"/v1/collections/{segment(name)}")
    except RefusedError as error:
        if error.status != http.HTTPStatus.NOT_FOUND:
            raise
        try:
            service.post("/v1/collections", {"name": name})
        except RefusedError as taken:
            if taken.status != http.HTTPStatus.CONFLICT:  # another client made it just now
                raise


def _run(
    service: Service,
    common: Common,
    report: Report,
    sources: Sequence[Source | Unreadable],
    *,
    concurrency: int,
    as_json: bool,
) -> None:
    from ingestion.cli import progress  # noqa: PLC0415 - as above
    from ingestion.cli.following import Follower  # noqa: PLC0415
    from ingestion.cli.sending import Crew, Sender  # noqa: PLC0415

    report.to_send(files=len(sources), size_bytes=sum(each.size_bytes for each in sources if isinstance(each, Source)))
    follower = Follower(service)
    sender = Sender(service=service, common=common, report=report, follower=follower)
    with progress.display(as_json=as_json) as display:
        crew = Crew(sender, sources, size=min(concurrency, max(1, len(sources))))
        try:
            _attend(crew, follower, report, display)
            if common.wait and report.unchanged_lines and _follow_earlier(service, common.collection, follower, report):
                _attend(crew, follower, report, display)
        finally:
            crew.close()


def _attend(crew: Crew, follower: Follower, report: Report, display: Display) -> None:
    """Until all is sent and has ended; draws meanwhile.

    Raises:
        FootnoteError: what ended the sending, or the following, before its time.
    """
    while True:
        busy = crew.busy
        crew.check()
        pause = follower.poll()
        _draw(follower, report, display)
        if not busy and not follower.pending:
            return
        until = time.monotonic() + pause
        while time.monotonic() < until and crew.busy == busy:
            time.sleep(min(_DRAW_SECONDS, pause))
            _draw(follower, report, display)


def _draw(follower: Follower, report: Report, display: Display) -> None:
    batches = [job["progress"] for job in list(follower.progress.values()) if job.get("kind") == "batch"]
    report.tally.ended_in_batches = sum(each["done"] + each["failed"] for each in batches)
    display.show(report.tally)


def _follow_earlier(service: Service, collection: str, follower: Follower, report: Report) -> bool:
    """Follow batches that an earlier run left under way: lines of theirs needed no new work and may not be in yet."""

    def ended(job: Job) -> None:
        report.ended(0)
        if failed := job["progress"]["failed"]:
            job_id = job["id"]
            message = f"{terminal.counted(failed, 'line')} of an earlier run failed: `footnote jobs items {job_id} --state failed`"
            place = f"job {job_id}"
            report.add(
                Outcome(external_id=place, path=place, state=State.FAILED, job_id=job_id, code="batch", message=message)
            )

    for state in ("queued", "running"):
        for job in service.pages("/v1/jobs", {"state": state}):
            if job["kind"] == "batch" and job["collection"] == collection:
                follower.follow(job["id"], ended)
    return follower.pending > 0


def _say_stopped(report: Report) -> None:
    tally = report.tally
    unsent = tally.files - tally.files_sent
    if unsent or tally.under_way:
        terminal.note(
            f"stopped: not sent: {unsent} of {terminal.counted(tally.files, 'file')}; "
            f"under way: {terminal.counted(tally.under_way, 'document')}; "
            "the same command again goes on"
        )
