"""Batches: one JSON object a line, one document each."""

from __future__ import annotations

import collections
import dataclasses
import hashlib
import pathlib
import uuid
from collections.abc import AsyncIterator, Callable
from typing import Annotated

import anyio
from fastapi import APIRouter, Query, Response

from app.api import bodies, problems, replies, schemas, uploads, waiting
from app.api.house import Call, Editor
from app.api.ndjson import Limits, Part, parts
from app.api.openapi import lines_body
from app.api.problems import ContentTypeError, responses
from app.documents.add import BatchPart, Rejected
from app.documents.plan import Outcome
from app.domain.access import Principal
from app.domain.errors import FootnoteError, InvalidInputError, QueueFullError, TooLargeError
from app.gateway.idempotency import Reply

router = APIRouter(prefix="/v1/documents", tags=["documents"])

MAX_SHOWN = 1000  # rejected lines that a reply names
_TYPES = frozenset({"application/x-ndjson", "application/ndjson", "application/jsonl", "application/x-jsonlines"})
_READ_BYTES = 256 * 1024


class NothingAcceptedError(InvalidInputError):
    """No line of a batch could be taken."""

    code = "nothing_accepted"


@dataclasses.dataclass(slots=True, kw_only=True)
class _Tally:
    """What became of the batch so far."""

    job_id: uuid.UUID | None = None
    outcomes: collections.Counter[Outcome] = dataclasses.field(default_factory=collections.Counter)
    rejected: list[Rejected] = dataclasses.field(default_factory=list)
    rejected_total: int = 0

    def reject(self, lines: list[Rejected] | tuple[Rejected, ...]) -> None:
        self.rejected_total += len(lines)
        self.rejected += lines[: MAX_SHOWN - len(self.rejected)]

    def counts(self) -> dict[str, int]:
        """Lines by what they came to; they and the rejected ones are all."""
        return {outcome.value: self.outcomes[outcome] for outcome in Outcome}

    def shown(self) -> list[dict[str, int | str]]:
        ordered = sorted(self.rejected, key=lambda each: each.line)
        return [{"line": each.line, "code": each.code, "message": each.message} for each in ordered]


@router.post(
    "/batch",
    status_code=202,
    summary="Add many documents",
    response_model=schemas.BatchView,
    responses=responses(404, 409, 415, 429, 507),
    openapi_extra=lines_body(schemas.BatchLine),
)
async def batch(
    call: Editor,
    collection: Annotated[str, Query(description="the collection's name")],
    wait: waiting.Wait = None,
) -> Response:
    """NDJSON, one document a line: `{text, title?, external_id?, metadata?, readers?}`.

    Lines that can't be taken are reported and the others go in; where none goes in, the answer is a problem. The job
    works on the accepted lines; those that are unchanged, updated or under way need no work of it. A client that goes
    away in the middle leaves what was taken: its job runs.
    """
    tally = _Tally()
    try:
        reply = await _receive(call, collection, tally)
    except FootnoteError as error:
        more = {
            "rejected": tally.shown(),
            **tally.counts(),
            "job_id": str(tally.job_id) if tally.job_id else None,
        }
        return problems.of_error(
            error, request_id=call.request_id, more=more if tally.rejected_total or tally.job_id else None
        )
    return await waiting.answer(call, reply, wait)


async def _receive(call: Call, collection: str, tally: _Tally) -> Reply:
    limits = _limits(call)
    await uploads.admit(call, limit=limits.batch_bytes)
    declared = bodies.declared_bytes(call.request)
    if declared is not None and declared > limits.batch_bytes:
        raise TooLargeError(
            f"the batch has {declared} bytes, the limit is {limits.batch_bytes}: FOOTNOTE_MAX_BATCH_BYTES"
        )
    if bodies.content_type(call.request) not in _TYPES:
        raise ContentTypeError("this takes Content-Type: application/x-ndjson, one JSON object a line")
    await call.run(lambda principal: call.house.services.collections.get(principal, collection), admitted=True)
    if call.idempotency_key() is None:
        return await _take(call, collection, bodies.stream(call.request), limits, tally)
    return await _take_once(call, collection, limits, tally)


def _limits(call: Call) -> Limits:
    settings = call.house.settings
    return Limits(
        batch_bytes=settings.max_batch_bytes,
        lines=settings.max_batch_lines,
        line_bytes=settings.max_batch_line_bytes,
        text_bytes=settings.max_upload_bytes,
        text_chars=settings.max_text_chars,
    )


async def _take_once(call: Call, collection: str, limits: Limits, tally: _Tally) -> Reply:
    """With an Idempotency-Key the whole batch is read to disk first: its name stands for its bytes."""
    name, idempotency = call.idempotency_key(), call.house.idempotency
    async with uploads.staging(call) as path:
        digest = hashlib.sha256()
        received = 0
        async with await anyio.open_file(path, "xb") as file:
            async for piece in bodies.stream(call.request):
                received += len(piece)
                if received > limits.batch_bytes:
                    raise TooLargeError(
                        f"the batch has more than {limits.batch_bytes} bytes, the limit: FOOTNOTE_MAX_BATCH_BYTES"
                    )
                digest.update(piece)
                await file.write(piece)
        fingerprint = call.fingerprint(digest.digest())
        before = await call.run(lambda principal: idempotency.begin(principal, name, fingerprint), admitted=True)
        if before is not None:
            return before
        done = False
        try:
            reply = await _take(call, collection, _file(path), limits, tally)
            await call.run(lambda principal: idempotency.end(principal, name, reply), admitted=True)
            done = True
        finally:
            if not done:
                await call.run(lambda principal: idempotency.forget(principal, name), admitted=True)
    return reply


async def _file(path: pathlib.Path) -> AsyncIterator[bytes]:
    async with await anyio.open_file(path, "rb") as file:
        while piece := await file.read(_READ_BYTES):
            yield piece


async def _take(call: Call, collection: str, body: AsyncIterator[bytes], limits: Limits, tally: _Tally) -> Reply:
    """Add the batch part by part; whatever ends it, what was taken is sealed."""
    add = call.house.services.add
    try:
        async for part in parts(body, limits):
            tally.reject(part.rejected)
            if part.lines:
                taken = await call.run(_adding(call, collection, part, tally.job_id), admitted=True)
                tally.job_id = taken.job_id or tally.job_id
                tally.outcomes.update(taken.outcomes)
                tally.reject(taken.rejected)
    finally:
        if (job_id := tally.job_id) is not None:
            await call.house.compute.run(lambda: add.seal(call.principal, job_id), admitted=True)
    if tally.job_id is None:
        if tally.rejected and {each.code for each in tally.rejected} == {QueueFullError.code}:
            raise call.house.services.add.room.full()
        raise NothingAcceptedError(
            f"none of the batch's lines could be taken; it has {tally.rejected_total}"
            if tally.rejected_total
            else "the batch is empty"
        )
    shown = {
        "job_id": str(tally.job_id),
        **tally.counts(),
        "rejected": tally.shown(),
        "rejected_total": tally.rejected_total,
    }
    return Reply(status=202, body=replies.dumps(shown), location=f"/v1/jobs/{tally.job_id}")


def _adding(call: Call, collection: str, part: Part, job_id: uuid.UUID | None) -> Callable[[Principal], BatchPart]:
    """The adding of a part, with this part and job bound to it."""

    def work(principal: Principal) -> BatchPart:
        return call.house.services.add.add_part(
            principal,
            collection,
            part.lines,
            job_id=job_id,
            request_id=call.request_id,
            idempotency_key=call.idempotency_key(),
        )

    return work
