"""A collection as one file, out and in (admins)."""

from __future__ import annotations

import asyncio
import pathlib
import shutil
import threading
from collections.abc import AsyncIterator, Iterator
from typing import Annotated

import anyio
from fastapi import APIRouter, Query, Response
from starlette.responses import StreamingResponse

from app.answering.patience import Patience
from app.api import bodies, replies, represent, schemas, uploads
from app.api.asking import Told
from app.api.event_stream import CONTENT, EventStream
from app.api.house import Admin, Call
from app.api.openapi import file_body
from app.api.problems import ContentTypeError, responses
from app.documents.archive.importing import Imported
from app.domain import disk
from app.domain.access import Principal
from app.domain.errors import StorageFullError

router = APIRouter(prefix="/v1/collections", tags=["collections"])

_TAR = "application/x-tar"
_BLOCK_BYTES = 1 << 20
_LOOK_BYTES = 64 << 20  # of an archive that comes in, after which the room on the disk is looked at again
_SILENCE_SECONDS = 10.0  # after which a stream says that it goes on


@router.get(
    "/{name}/export",
    summary="Export a collection",
    response_class=Response,
    responses={**responses(404), 200: {"description": "A tar for `footnote import`", "content": {_TAR: {}}}},
)
async def export(call: Admin, name: str) -> Response:
    """The collection's live documents as one file: originals, texts, chunks, vectors, metadata and readers.

    It is written while it is sent: a connection that breaks off leaves a part, which no import takes.
    """
    house = call.house

    def begin(principal: Principal) -> tuple[Iterator[bytes], bytes]:
        blocks = _large(house.services.exports.export(principal, name, stopping=house.stopping.is_set))
        return blocks, next(blocks)

    blocks, first = await call.run(begin)

    async def sent() -> AsyncIterator[bytes]:
        block: bytes | None = first
        while block is not None:
            yield block
            block = await house.compute.run(lambda: next(blocks, None), admitted=True)

    headers = {"Content-Disposition": 'attachment; filename="collection.tar"'}
    return StreamingResponse(sent(), media_type=_TAR, headers=headers)


@router.post(
    "/import",
    summary="Import a collection",
    response_model=schemas.ImportView,
    responses={
        **responses(409, 415, 507),
        200: {"description": "what became of the documents", "content": CONTENT},
    },
    openapi_extra=file_body(_TAR, "what `GET /v1/collections/{name}/export` gave"),
)
async def take(
    call: Admin,
    collection: Annotated[str | None, Query(description="where the documents go; else as the archive says")] = None,
    *,
    stream: Annotated[bool, Query(description="answer with events: `progress` ..., `imported`")] = False,
) -> Response:
    """Merge an archive into a collection, which is made where it is missing: by external id, nothing twice.

    The archive is verified first; a damaged one changes nothing. An import that was cut off is made again as it was.
    """
    patience = Patience(float("inf"))
    async with uploads.staging(call) as path:  # once the import reads the file, its name may go
        await _receive(call, path)
        importing = _Importing(call, path, collection, patience)
        if not stream:
            return replies.of(represent.imported(await importing.whole()))
        events = importing.told()
        first = await anext(events)
    return EventStream(_chained(first, events), patience, request_id=call.request_id)


class _Importing:
    """An import in a thread, and what it tells meanwhile. A client that has left stops it between two batches."""

    def __init__(self, call: Call, path: pathlib.Path, collection: str | None, patience: Patience) -> None:
        self._call = call
        self._path = path
        self._collection = collection
        self._gone = threading.Event()
        self._patience = patience
        self._steps: asyncio.Queue[represent.Json | None] = asyncio.Queue()
        self._loop = asyncio.get_running_loop()

    async def whole(self) -> Imported:
        """What came of it."""
        return await self._call.run(self._work, admitted=True)

    async def told(self) -> AsyncIterator[Told]:
        """What is under way, then what came of it."""
        running = asyncio.ensure_future(self.whole())
        running.add_done_callback(lambda _: self._steps.put_nowait(None))
        last: represent.Json = {}
        try:
            while True:
                try:
                    step = await asyncio.wait_for(self._steps.get(), _SILENCE_SECONDS)
                except TimeoutError:
                    yield "progress", last
                    continue
                if step is None:
                    break
                last = step
                yield "progress", step
            yield "imported", represent.imported(await running)
        finally:
            self._gone.set()

    def _work(self, principal: Principal) -> Imported:
        return self._call.house.services.imports.run(
            principal,
            self._path,
            collection=self._collection,
            request_id=self._call.request_id,
            progress=self._note,
            stopping=self._stopping,
        )

    def _note(self, imported: Imported) -> None:
        self._loop.call_soon_threadsafe(self._steps.put_nowait, represent.imported(imported))

    def _stopping(self) -> bool:
        return self._gone.is_set() or self._patience.gone or self._call.house.stopping.is_set()


def _large(blocks: Iterator[bytes]) -> Iterator[bytes]:
    """The same bytes in blocks of about a megabyte: each is a hop to a thread."""
    waiting = bytearray()
    for block in blocks:
        waiting += block
        if len(waiting) >= _BLOCK_BYTES:
            yield bytes(waiting)
            waiting.clear()
    yield bytes(waiting)


async def _chained(first: Told, rest: AsyncIterator[Told]) -> AsyncIterator[Told]:
    yield first
    async for each in rest:
        yield each


async def _receive(call: Call, path: pathlib.Path) -> None:
    """The body, on the disk.

    Raises:
        StorageFullError: no room for it, or less than FOOTNOTE_MIN_FREE_BYTES would be left.
        ContentTypeError: it says that it is something else.
    """
    declared = bodies.declared_bytes(call.request) or 0
    await uploads.admit(call, limit=declared)
    if bodies.content_type(call.request) not in (_TAR, "application/octet-stream"):
        raise ContentTypeError(f"this takes Content-Type: {_TAR}, what an export gave")
    least = call.house.settings.min_free_bytes
    await anyio.to_thread.run_sync(_require_room, path.parent, least + declared)
    looked = 0
    with disk.our_errors():
        async with await anyio.open_file(path, "xb") as file:
            async for piece in bodies.stream(call.request):
                await file.write(piece)
                looked += len(piece)
                if looked >= _LOOK_BYTES:
                    await anyio.to_thread.run_sync(_require_room, path.parent, least)
                    looked = 0


def _require_room(folder: pathlib.Path, needed: int) -> None:
    free = shutil.disk_usage(folder).free
    if free < needed:
        raise StorageFullError(f"{free} bytes are free for the archive, {needed} are needed: FOOTNOTE_MIN_FREE_BYTES")
