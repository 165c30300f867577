"""Errors as problem details (RFC 9457): one table from class to status, and one body for all."""

from __future__ import annotations

import http
import json
from collections.abc import Mapping, Sequence
from typing import Any

from fastapi import Request
from starlette.responses import Response

from app.domain import errors
from app.domain.errors import FootnoteError, InvalidInputError, OverloadedError, TransientError
from app.gateway.idempotency import InProgressError

MEDIA_TYPE = "application/problem+json"
_RETRY_AFTER_SECONDS = 2  # where the error itself names none
_MAX_FIELD_ERRORS = 20
_MAX_DETAIL_CHARS = 1000

# What pydantic calls its errors, said to a person behind the part's name; the braces are filled from its context.
_SENTENCES = {
    "missing": "is missing",
    "extra_forbidden": "is not known here",
    "literal_error": "must be one of {expected}",
    "greater_than_equal": "must be at least {ge}",
    "less_than_equal": "must be at most {le}",
    "string_too_long": "may have at most {max_length} characters",
    **dict.fromkeys(("model_type", "model_attributes_type", "dict_type"), "must be a JSON object"),
    **dict.fromkeys(("int_type", "int_parsing", "int_from_float"), "must be a whole number"),
    **dict.fromkeys(("float_type", "float_parsing"), "must be a number"),
    **dict.fromkeys(("bool_type", "bool_parsing"), "must be true or false"),
    **dict.fromkeys(("uuid_type", "uuid_parsing"), "must be an id, as 0199c0de-0000-7000-8000-000000000000"),
    **dict.fromkeys(
        ("datetime_type", "datetime_parsing", "datetime_from_date_parsing"), "must be a time, as 2026-01-31T12:00:00Z"
    ),
    "int_parsing_size": "has too many digits",
    "finite_number": "must be a finite number",
    "string_type": "must be a string",
    "list_type": "must be a list",
}


class MalformedBodyError(InvalidInputError):
    """The body is not what its content type says: not JSON, not a form, not UTF-8."""

    code = "invalid_json"


class ContentTypeError(InvalidInputError):
    """The request's content type is not one that this route reads."""

    code = "unsupported_media_type"


class BadHostError(InvalidInputError):
    """The `Host` is not one that this service answers to: how a web page would reach it by DNS tricks."""

    code = "bad_host"


class SlowBodyError(InvalidInputError):
    """The body stopped coming."""

    code = "request_timeout"


class BadHeaderError(InvalidInputError):
    """A header with a value that is not allowed."""

    code = "bad_header"


class NotReadyError(TransientError):
    """The service is starting or stopping."""

    code = "not_ready"


# The nearest class of an error's ancestry counts.
STATUS: dict[type[FootnoteError], int] = {
    MalformedBodyError: 400,
    BadHeaderError: 400,
    errors.BadCursorError: 400,
    errors.UnauthenticatedError: 401,
    errors.ForbiddenError: 403,
    errors.NotFoundError: 404,
    SlowBodyError: 408,
    errors.ConflictError: 409,
    InProgressError: 409,
    errors.FingerprintMismatchError: 409,
    errors.LeaseLostError: 409,
    errors.TooLargeError: 413,
    errors.UnsupportedFormatError: 415,
    ContentTypeError: 415,
    BadHostError: 421,
    errors.InvalidInputError: 422,
    errors.BadCatalogueError: 422,
    errors.DocumentError: 422,
    errors.QueueFullError: 429,
    errors.RateLimitedError: 429,
    errors.ModelRefusedError: 502,
    errors.OutputInvalidError: 502,
    errors.TransientError: 503,
    errors.ConfigurationError: 503,  # a folder that became read-only while the service ran
    errors.StorageFullError: 507,
    errors.FootnoteError: 500,
}


def status_of(error: FootnoteError) -> int:
    """The status of an error, by the nearest class in the table."""
    return next(STATUS[each] for each in type(error).__mro__ if each in STATUS)


def problem(
    status: int,
    code: str,
    detail: str,
    *,
    request_id: str | None,
    headers: Mapping[str, str] | None = None,
    more: Mapping[str, Any] | None = None,
) -> Response:
    """One problem response; `more` adds members to its body."""
    body = body_of(status, code, detail, request_id=request_id) | dict(more or {})
    return Response(json.dumps(body), status_code=status, headers=dict(headers or {}), media_type=MEDIA_TYPE)


def body_of(status: int, code: str, detail: str, *, request_id: str | None) -> dict[str, Any]:
    """The members that every problem has."""
    return {
        "type": f"urn:footnote:problem:{code}",
        "title": http.HTTPStatus(status).phrase,
        "status": status,
        "detail": detail[:_MAX_DETAIL_CHARS],
        "code": code,
        "request_id": request_id,
    }


def event_of(error: FootnoteError, *, request_id: str | None) -> dict[str, Any]:
    """An error of the product as it is told within a stream."""
    return body_of(status_of(error), error.code, error.message, request_id=request_id)


def of_error(error: FootnoteError, *, request_id: str | None, more: Mapping[str, Any] | None = None) -> Response:
    """The response to an error of the product."""
    status = status_of(error)
    headers: dict[str, str] = {}
    if status == http.HTTPStatus.UNAUTHORIZED:
        headers["WWW-Authenticate"] = 'Bearer realm="footnote"'
    if isinstance(error, TransientError):
        seconds = error.retry_after_seconds if isinstance(error, OverloadedError) else _RETRY_AFTER_SECONDS
        headers["Retry-After"] = str(seconds)
    return problem(status, error.code, error.message, request_id=request_id, headers=headers, more=more)


def of_validation(details: Sequence[Any], *, request_id: str | None) -> Response:
    """The response to a request whose parts do not fit the schema; names each part, repeats no value."""
    fields = [
        {"loc": [str(part)[:100] for part in each["loc"]], "message": sentence(each), "type": each["type"]}
        for each in details[:_MAX_FIELD_ERRORS]
    ]
    return problem(422, "invalid_request", sentences(details), request_id=request_id, more={"errors": fields})


def sentences(details: Sequence[Any]) -> str:
    """What is wrong with a request's parts, in one line."""
    said = (
        f"{'.'.join(str(part)[:100] for part in each['loc'])} {sentence(each)}" for each in details[:_MAX_FIELD_ERRORS]
    )
    return "; ".join(said) or "the request is not valid"


def sentence(detail: Mapping[str, Any]) -> str:
    """What is wrong with a part of a request, to stand behind its name, for one who does not know the validator."""
    said = _SENTENCES.get(detail["type"])
    return (said.format(**detail.get("ctx") or {}) if said else str(detail["msg"]))[:300]


def request_id_of(request: Request) -> str | None:
    """The id that the middleware gave the request."""
    found = request.scope.get("footnote.request_id")
    return found if isinstance(found, str) else None


def responses(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """What a route declares: these statuses and those that every route may answer with."""
    content = {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}}
    every = sorted({*statuses, 400, 401, 403, 408, 413, 421, 422, 503})
    return {status: {"description": http.HTTPStatus(status).phrase, "content": content} for status in every}
