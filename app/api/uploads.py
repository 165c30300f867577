"""An upload, as a file in a form or as a text in JSON, up to the use case that takes it."""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import json
import pathlib
from collections.abc import AsyncIterator
from typing import Any

from fastapi.exceptions import RequestValidationError

from app.api import bodies, multipart, replies, represent
from app.api.house import Call
from app.api.ndjson import TEXT_NAME, TEXT_TYPE, text_content
from app.api.problems import ContentTypeError
from app.api.schemas import DocumentBody, PriorityName, PutBody, TextBody
from app.documents import enqueue
from app.documents.add import require_editor
from app.documents.plan import Outcome
from app.documents.uploads import Staged, Upload
from app.domain.access import Principal
from app.domain.errors import BadMetadataError, InvalidInputError, StorageFullError
from app.gateway.idempotency import Reply

_FORM = "multipart/form-data"
_JSON = "application/json"


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """Where an upload is to go, as far as the path says it."""

    collection: str | None = None
    external_id: str | None = None
    priority: PriorityName = "person"


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class _Given:
    """An upload, read."""

    collection: str
    upload: Upload
    staged: Staged | None  # None: `content` is to be staged
    content: bytes = b""


async def admit(call: Call, *, limit: int) -> None:
    """Turn away who may not write, and what there is no room for, before the body is read; `limit` is of that, bytes.

    Raises:
        UnauthenticatedError, ForbiddenError.
        StorageFullError: less room than FOOTNOTE_MIN_FREE_BYTES would be left.
    """
    house, declared = call.house, min(bodies.declared_bytes(call.request) or 0, limit)

    def work(principal: Principal) -> None:
        require_editor(principal)
        free = house.services.files.free_bytes()
        if free is not None and free - declared < house.settings.min_free_bytes:
            raise StorageFullError(
                f"{free} bytes are free and {declared} are to come, of which {house.settings.min_free_bytes} are to stay: "
                "FOOTNOTE_MIN_FREE_BYTES"
            )

    await call.run(work)


async def receive(call: Call, target: Target) -> Reply:
    """Read the request's upload and add it; nothing is left of what is refused."""
    await admit(call, limit=_limit(call))
    async with staging(call) as path:
        kind = bodies.content_type(call.request)
        if kind == _FORM:
            given = _of_form(await multipart.receive(call.request, path, limit=_limit(call)), target)
        elif kind == _JSON:
            given = await _of_json(call, target)
        else:
            raise ContentTypeError(f"this takes {_FORM} with a file, or {_JSON} with a text")
        return await call.run(lambda principal: _add(call, principal, given, path, target.priority), admitted=True)


@contextlib.asynccontextmanager
async def staging(call: Call) -> AsyncIterator[pathlib.Path]:
    """A path for incoming bytes; what lies there at the end is removed, whatever happened."""
    path = call.house.services.stage()
    try:
        yield path
    finally:
        path.unlink(missing_ok=True)  # on the loop: one name, and it must happen when the request is cancelled too


def _limit(call: Call) -> int:
    return call.house.settings.max_upload_bytes


def _of_form(form: multipart.Form, target: Target) -> _Given:
    metadata = form.one("metadata")
    return _Given(
        collection=_collection(form.one("collection"), target),
        upload=Upload(
            external_id=_external_id(form.one("external_id"), target),
            title=form.one("title"),
            metadata=None if metadata is None else _metadata(metadata),
            readers=_readers(form.fields.get("readers")),
            filename=form.filename,
            media_type=form.media_type,
        ),
        staged=form.staged,
    )


def _metadata(text: str) -> dict[str, Any]:
    value = bodies.parse(text.encode(), of="`metadata`")
    if not isinstance(value, dict):
        raise BadMetadataError("`metadata` is a JSON object")
    return value


def _readers(values: list[str] | None) -> list[str] | None:
    if values is None or len(values) > 1 or not values[0].lstrip().startswith("["):
        return values
    found = bodies.parse(values[0].encode(), of="`readers`")
    if not all(isinstance(each, str) for each in found):
        raise BadMetadataError("`readers` is a JSON list of strings, or a field a reader")
    return list(found)


async def _of_json(call: Call, target: Target) -> _Given:
    value = await bodies.read_json(call)
    body: TextBody = bodies.fit(DocumentBody if target.collection is None else PutBody, value)
    if body.url is not None:
        raise InvalidInputError(
            "this service fetches nothing from the network: send the content as `text`, or as a file",
            code="url_not_supported",
        )
    if body.text is None:
        raise RequestValidationError([{"loc": ("body", "text"), "msg": "Field required", "type": "missing"}])
    markdown = body.format == "markdown"
    named = body.collection if isinstance(body, DocumentBody | PutBody) else None
    return _Given(
        collection=_collection(named, target),
        upload=Upload(
            external_id=_external_id(body.external_id if isinstance(body, DocumentBody) else None, target),
            title=body.title,
            metadata=body.metadata,
            readers=body.readers,
            filename="text.md" if markdown else TEXT_NAME,
            media_type="text/markdown" if markdown else TEXT_TYPE,
        ),
        staged=None,
        content=text_content(
            body.text, limit_chars=call.house.settings.max_text_chars, limit_bytes=call.house.settings.max_upload_bytes
        ),
    )


def _collection(named: str | None, target: Target) -> str:
    if target.collection is None:
        if named is None:
            raise InvalidInputError("the form has no `collection`", code="collection_missing")
        return named
    if named is not None and named != target.collection:
        raise InvalidInputError("`collection` in the body and in the query are not the same")
    return target.collection


def _external_id(named: str | None, target: Target) -> str | None:
    if target.external_id is not None and named is not None and named != target.external_id:
        raise InvalidInputError("`external_id` in the body and in the path are not the same")
    return named if target.external_id is None else target.external_id


def _add(call: Call, principal: Principal, given: _Given, path: pathlib.Path, priority: PriorityName) -> Reply:
    staged = given.staged or _stage(given.content, path)
    says = dataclasses.asdict(given.upload) | {"collection": given.collection, "sha256": staged.sha256}

    def work() -> Reply:
        accepted = call.house.services.add.add(
            principal,
            given.collection,
            given.upload,
            staged,
            request_id=call.request_id,
            idempotency_key=call.idempotency_key(),
            priority=enqueue.PRIORITY_BULK if priority == "bulk" else enqueue.PRIORITY_PERSON,
        )
        return Reply(
            status=200 if accepted.outcome is Outcome.UNCHANGED else 202,
            body=replies.dumps(represent.accepted(accepted)),
            location=f"/v1/jobs/{accepted.job.id}" if accepted.job else None,
        )

    if call.request.method != "POST":
        return work()
    return call.once(principal, json.dumps(says, sort_keys=True).encode(), work)


def _stage(content: bytes, path: pathlib.Path) -> Staged:
    path.write_bytes(content)
    return Staged(path=path, sha256=hashlib.sha256(content).hexdigest(), size_bytes=len(content))
