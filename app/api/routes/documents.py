"""Documents: in, out, changed, read."""

from __future__ import annotations

import pathlib
import urllib.parse
import uuid
from collections.abc import AsyncIterator
from typing import Annotated, Any, BinaryIO, Literal

import anyio.to_thread
from fastapi import APIRouter, Depends, Query, Response
from starlette.responses import StreamingResponse

from app.api import bodies, paging, replies, represent, schemas, uploads, waiting
from app.api.house import Call, Caller, Editor
from app.api.openapi import json_body, upload_body
from app.api.problems import MalformedBodyError, responses
from app.api.uploads import Target
from app.documents.catalogue import Change
from app.domain import filters
from app.domain.access import Principal
from app.domain.documents import Document
from app.domain.errors import BadFilterError
from app.gateway.idempotency import Reply

router = APIRouter(prefix="/v1/documents", tags=["documents"])
_CURSORS = paging.Cursors("documents")
_CHUNK_CURSORS = paging.Cursors("chunks")
_VERSION_CURSORS = paging.Cursors("versions")

_READ_BYTES = 256 * 1024  # of an original, at once
_MAX_OFFSET = 2**53

CollectionName = Annotated[str, Query(alias="collection", description="the collection's name")]
Priority = Annotated[
    schemas.PriorityName, Query(description="`bulk`: one of many; goes after what single people wait for")
]
Offset = Annotated[int, Query(ge=0, le=_MAX_OFFSET)]


@router.post(
    "",
    status_code=202,
    summary="Add a document",
    response_model=schemas.AcceptedView,
    responses={
        **responses(404, 409, 415, 429, 507),
        200: {"model": schemas.AcceptedView, "description": "Nothing to do"},
    },
    openapi_extra=upload_body(schemas.DocumentBody, collection=True),
)
async def add(call: Editor, wait: waiting.Wait = None, priority: Priority = "person") -> Response:
    """A file in a form, or a text in JSON. 202 with the job that ingests it; 200 where nothing has changed.

    With an `external_id` that is known, the upload replaces that document once it is whole.
    """
    return await waiting.answer(call, await uploads.receive(call, Target(priority=priority)), wait)


@router.put(
    "/by-external-id/{external_id:path}",
    status_code=202,
    summary="Add or replace a document by its external id",
    response_model=schemas.AcceptedView,
    responses={
        **responses(404, 409, 415, 429, 507),
        200: {"model": schemas.AcceptedView, "description": "Nothing to do"},
    },
    openapi_extra=upload_body(schemas.PutBody, collection=False),
)
async def put(
    call: Editor,
    external_id: str,
    collection: CollectionName,
    wait: waiting.Wait = None,
    priority: Priority = "person",
) -> Response:
    """As POST, with the external id in the path: the same request twice is one document."""
    target = Target(collection=collection, external_id=external_id, priority=priority)
    return await waiting.answer(call, await uploads.receive(call, target), wait)


@router.get(
    "/by-external-id/{external_id:path}",
    summary="Show a document by its external id",
    response_model=schemas.DocumentView,
    responses=responses(404),
)
async def show_by_external_id(call: Caller, external_id: str, collection: CollectionName) -> Response:
    """One document."""

    def work(principal: Principal) -> represent.Json:
        found = call.house.services.catalogue.by_external_id(principal, collection, external_id)
        return _shown(call, [(found, collection)])[0]

    return replies.of(await call.run(work))


@router.delete(
    "/by-external-id/{external_id:path}",
    status_code=202,
    summary="Delete a document by its external id",
    response_model=schemas.RemovedView,
    responses=responses(404),
)
async def remove_by_external_id(
    call: Editor, external_id: str, collection: CollectionName, wait: waiting.Wait = None
) -> Response:
    """Hidden when this returns; 202 with the job that purges it."""

    def work(principal: Principal) -> Reply:
        found = call.house.services.catalogue.by_external_id(principal, collection, external_id)
        return _remove(call, principal, found.id)

    return await waiting.answer(call, await call.run(work), wait)


@router.get("", summary="List documents", response_model=schemas.DocumentList, responses=responses(404))
async def index(
    call: Caller,
    collection: Annotated[str | None, Query(description="a collection's name; all where left out")] = None,
    filter: Annotated[str | None, Query(description="a Filter as JSON", max_length=16_384)] = None,  # noqa: A002 - its name
    limit: paging.Limit = 50,
    after: paging.After = None,
) -> Response:
    """Documents that the caller may read, in order of creation."""
    start = _CURSORS.after_id(after)

    def work(principal: Principal) -> represent.Json:
        rows = call.house.services.catalogue.page(
            principal, collection_name=collection, condition=_filter(filter), after=start, limit=limit + 1
        )
        shown = _shown(call, rows[:limit])
        return paging.page(
            [*shown, *({} for _ in rows[limit:])],
            limit,
            shown=lambda row: row,
            cursor=lambda row: _CURSORS.of(row["id"]),
        )

    return replies.of(await call.run(work))


@router.get("/{document_id}", summary="Show a document", response_model=schemas.DocumentView, responses=responses(404))
async def show(call: Caller, document_id: uuid.UUID) -> Response:
    """One document."""

    def work(principal: Principal) -> represent.Json:
        found, collection = call.house.services.catalogue.get(principal, document_id)
        return _shown(call, [(found, collection.name)])[0]

    return replies.of(await call.run(work))


@router.patch(
    "/{document_id}",
    summary="Change title, metadata or readers",
    response_model=schemas.DocumentView,
    responses=responses(404),
    openapi_extra=json_body(schemas.DocumentChange),
)
async def change(
    call: Editor,
    document_id: uuid.UUID,
    body: Annotated[schemas.DocumentChange, Depends(bodies.of(schemas.DocumentChange))],
) -> Response:
    """Changed when this returns; nothing is embedded anew. `Location` names the job that tells the index."""
    catalogue = call.house.services.catalogue

    def work(principal: Principal) -> tuple[represent.Json, uuid.UUID | None]:
        wanted = Change(title=body.title, metadata=body.metadata, readers=body.readers)
        _, job = catalogue.change(principal, document_id, wanted, request_id=call.request_id)
        found, collection = catalogue.get(principal, document_id)
        return _shown(call, [(found, collection.name)])[0], job.id if job else None

    shown, job_id = await call.run(work)
    return replies.of(shown, headers={"Location": f"/v1/jobs/{job_id}"} if job_id else None)


@router.delete(
    "/{document_id}",
    status_code=202,
    summary="Delete a document",
    response_model=schemas.RemovedView,
    responses=responses(404),
)
async def remove(call: Editor, document_id: uuid.UUID, wait: waiting.Wait = None) -> Response:
    """Hidden when this returns; 202 with the job that purges it."""
    return await waiting.answer(call, await call.run(lambda principal: _remove(call, principal, document_id)), wait)


@router.get(
    "/{document_id}/text", summary="Read a document's text", response_model=schemas.TextView, responses=responses(404)
)
async def text(
    call: Caller,
    document_id: uuid.UUID,
    version_id: uuid.UUID | None = None,
    start: Offset = 0,
    end: Offset | None = None,
    offsets: Annotated[Literal["codepoints", "utf16"], Query(description="what offsets count")] = "codepoints",
) -> Response:
    """Characters [start, end) of a version's canonical text; of the live version where none is named."""
    piece = await call.run(
        lambda principal: call.house.services.catalogue.text(
            principal, document_id, version_id=version_id, start=start, end=end, utf16=offsets == "utf16"
        )
    )
    return replies.of(represent.text(piece))


@router.get(
    "/{document_id}/chunks",
    summary="List a document's chunks",
    response_model=schemas.ChunkList,
    responses=responses(404),
)
async def chunks(
    call: Caller, document_id: uuid.UUID, limit: paging.Limit = 50, after: paging.After = None
) -> Response:
    """The passages of the live version, in the order of its text."""
    last = _CHUNK_CURSORS.after_ordinal(after)
    _, rows = await call.run(
        lambda principal: call.house.services.catalogue.chunks(
            principal, document_id, first=0 if last is None else last + 1, limit=limit + 1
        )
    )
    return replies.of(
        paging.page(rows, limit, shown=represent.chunk, cursor=lambda row: _CHUNK_CURSORS.of(row.ordinal))
    )


@router.get(
    "/{document_id}/versions",
    summary="List a document's versions",
    response_model=schemas.VersionList,
    responses=responses(404),
)
async def versions(
    call: Caller, document_id: uuid.UUID, limit: paging.Limit = 50, after: paging.After = None
) -> Response:
    """What was uploaded, newest first."""
    last = _VERSION_CURSORS.after_id(after)
    rows = await call.run(lambda principal: call.house.services.catalogue.versions(principal, document_id))
    if last is not None:
        place = next((place for place, row in enumerate(rows) if row.id == last), len(rows))
        rows = rows[place + 1 :]
    return replies.of(paging.page(rows, limit, shown=represent.version, cursor=lambda row: _VERSION_CURSORS.of(row.id)))


@router.get(
    "/{document_id}/deletion",
    summary="Show the receipt of a delete",
    response_model=schemas.DeletionView,
    responses=responses(404),
)
async def deletion(call: Caller, document_id: uuid.UUID) -> Response:
    """What was removed from each store so far, of a document that was deleted."""
    receipt = await call.run(lambda principal: call.house.services.remove.receipt(principal, document_id))
    return replies.of(represent.deletion(receipt))


@router.get(
    "/{document_id}/content",
    summary="Download an original",
    response_class=Response,
    responses={
        **responses(404),
        200: {
            "description": "The bytes as uploaded",
            "content": {"*/*": {"schema": {"type": "string", "format": "binary"}}},
        },
    },
)
async def content(call: Caller, document_id: uuid.UUID, version_id: uuid.UUID | None = None) -> Response:
    """The uploaded bytes of a version; of the live one where none is named."""
    version, stream = await call.run(
        lambda principal: call.house.services.catalogue.content(principal, document_id, version_id=version_id)
    )
    return StreamingResponse(
        _pieces(stream),
        media_type=version.media_type,
        headers={
            "Content-Length": str(version.size_bytes),
            "Content-Disposition": _attachment(version.filename),
        },
    )


async def _pieces(stream: BinaryIO) -> AsyncIterator[bytes]:
    with stream:
        while piece := await anyio.to_thread.run_sync(stream.read, _READ_BYTES):
            yield piece


def _attachment(filename: str) -> str:
    """RFC 6266: an ASCII name for old clients, the real one beside it."""
    stem, suffix = pathlib.PurePath(filename).stem, pathlib.PurePath(filename).suffix
    plain = "".join(char if char.isascii() and (char.isalnum() or char in " ._-") else "_" for char in stem + suffix)
    return f"attachment; filename=\"{plain}\"; filename*=UTF-8''{urllib.parse.quote(filename, safe='')}"


def _filter(raw: str | None) -> filters.Filter | None:
    if raw is None:
        return None
    try:
        value = bodies.parse(raw.encode("utf-8", "surrogatepass"), of="`filter`")
    except MalformedBodyError as error:
        raise BadFilterError(error.message) from error
    return filters.parse(value)


def _shown(call: Call, rows: list[tuple[Document, str]]) -> list[represent.Json]:
    documents = [row[0] for row in rows]
    states = call.house.services.catalogue.states(documents)
    found = call.house.services.catalogue.live_versions(documents)
    return [
        represent.document(each, collection_name=name, state=states[each.id], version=found.get(each.id))
        for each, name in rows
    ]


def _remove(call: Call, principal: Principal, document_id: uuid.UUID) -> Reply:
    job = call.house.services.remove.remove(principal, document_id, request_id=call.request_id)
    body: dict[str, Any] = {"document_id": str(document_id), "job_id": str(job.id), "state": "deleted"}
    return Reply(status=202, body=replies.dumps(body), location=f"/v1/jobs/{job.id}")
