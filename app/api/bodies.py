"""Request bodies: read within a size and a time, and JSON that is only JSON."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncIterator, Callable
from typing import Any, TypeVar

from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, ValidationError
from starlette.requests import Request

from app.api.house import Call, Caller
from app.api.problems import ContentTypeError, MalformedBodyError, SlowBodyError
from app.domain.errors import TooLargeError

M = TypeVar("M", bound=BaseModel)

SILENCE_SECONDS = 30.0  # between two pieces of a body; a person's upload over a bad line still comes through
_SURROGATE = re.compile(rb"\\u[dD][89a-fA-F]")
_MAX_INT_DIGITS = 18  # below 2**63; longer ones are compared as floats, as JavaScript does


async def stream(request: Request, *, silence_seconds: float = SILENCE_SECONDS) -> AsyncIterator[bytes]:
    """The body, piece by piece.

    Raises:
        SlowBodyError: nothing came for `silence_seconds`.
        ClientDisconnect: the client went away.
    """
    pieces = request.stream()
    while True:
        try:
            async with asyncio.timeout(silence_seconds):
                piece = await anext(pieces, None)
        except TimeoutError as error:
            raise SlowBodyError(f"nothing came for {silence_seconds:.0f} s") from error
        if piece is None:
            return
        if piece:
            yield piece


def content_type(request: Request) -> str:
    """The media type that the request says it has, without its parameters, in lower case."""
    return request.headers.get("content-type", "").partition(";")[0].strip().lower()


def declared_bytes(request: Request) -> int | None:
    """The size that the client announced; None where it did not, or not as a number."""
    value = request.headers.get("content-length", "")
    return int(value) if value.isascii() and value.isdigit() and len(value) <= _MAX_INT_DIGITS else None


async def read(request: Request, *, limit: int, setting: str) -> bytes:
    """A whole body of at most `limit` bytes.

    Raises:
        TooLargeError: as soon as that is known.
    """
    declared = declared_bytes(request)
    if declared is not None and declared > limit:
        raise TooLargeError(f"the body has {declared} bytes, the limit is {limit}: {setting}")
    body = bytearray()
    async for piece in stream(request):
        body += piece
        if len(body) > limit:
            raise TooLargeError(f"the body has more than {limit} bytes, the limit: {setting}")
    return bytes(body)


def parse(body: bytes, *, of: str = "the body") -> Any:
    """The value of a JSON text.

    Raises:
        MalformedBodyError: not UTF-8, not JSON, nested too deep, NaN or infinity, or a lone surrogate.
    """
    try:
        text = body.decode("utf-8")
    except UnicodeDecodeError as error:
        raise MalformedBodyError(f"{of} is not UTF-8 at byte {error.start}") from error
    try:
        value = json.loads(text, parse_constant=_no_constant, parse_int=_whole)
    except json.JSONDecodeError as error:
        raise MalformedBodyError(f"{of} is not JSON: {error.msg} at character {error.pos}") from error
    except RecursionError as error:
        raise MalformedBodyError(f"{of} is nested too deep") from error
    if _SURROGATE.search(body):
        _require_whole_characters(value, of)
    return value


def _no_constant(name: str) -> None:
    raise MalformedBodyError(f"{name} is no JSON number")


def _whole(digits: str) -> float:
    return int(digits) if len(digits) <= _MAX_INT_DIGITS else float(digits)


def _require_whole_characters(value: Any, of: str) -> None:
    try:
        json.dumps(value, ensure_ascii=False).encode("utf-8")
    except UnicodeEncodeError as error:
        raise MalformedBodyError(f"{of} holds half of a surrogate pair") from error
    except RecursionError as error:
        raise MalformedBodyError(f"{of} is nested too deep") from error


def fit(model: type[M], value: Any) -> M:
    """The value as a model.

    Raises:
        RequestValidationError: it does not fit; names the parts.
    """
    try:
        return model.model_validate(value)
    except ValidationError as error:
        details = [
            {**each, "loc": ("body", *each["loc"])} for each in error.errors(include_url=False, include_input=False)
        ]
        raise RequestValidationError(details) from error


async def read_json(call: Call) -> Any:
    """The JSON of a request.

    Raises:
        ContentTypeError, TooLargeError, MalformedBodyError, SlowBodyError.
    """
    _require_json(call.request)
    return parse(await _read(call))


def of(model: type[M]) -> Callable[..., Any]:
    """A dependency that gives the request's JSON as a model."""

    async def body(call: Caller) -> M:
        return fit(model, await read_json(call))

    return body


def of_maybe(model: type[M]) -> Callable[..., Any]:
    """A dependency that gives the request's JSON as a model, no body at all as an empty object."""

    async def body(call: Caller) -> M:
        if declared_bytes(call.request):
            _require_json(call.request)
        written = await _read(call)
        if written:
            _require_json(call.request)
        return fit(model, parse(written) if written else {})

    return body


def _require_json(request: Request) -> None:
    if content_type(request) != "application/json":
        raise ContentTypeError("this takes Content-Type: application/json")


async def _read(call: Call) -> bytes:
    limit = call.house.settings.max_json_bytes
    return await read(call.request, limit=limit, setting="FOOTNOTE_MAX_JSON_BYTES")
