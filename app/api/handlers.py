"""What answers when a route raises."""

from __future__ import annotations

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.responses import Response

from app.api import problems
from app.api.house import admit_to_errors
from app.api.problems import request_id_of
from app.domain.errors import FootnoteError, InvalidInputError


def install(app: FastAPI) -> None:
    """Register the handlers."""
    app.add_exception_handler(FootnoteError, on_footnote_error)
    app.add_exception_handler(HTTPException, on_http_error)
    app.add_exception_handler(RequestValidationError, on_validation_error)


async def on_footnote_error(request: Request, error: Exception) -> Response:
    """Answer an error of the product; a stranger is told only that it is one."""
    assert isinstance(error, FootnoteError)  # noqa: S101 - registered for this class alone
    if isinstance(error, InvalidInputError):
        try:
            await admit_to_errors(request)
        except FootnoteError as refusal:
            error = refusal
    return problems.of_error(error, request_id=request_id_of(request))


async def on_http_error(request: Request, error: Exception) -> Response:
    """Answer what the framework itself refuses: an unknown route, a method that a route has not."""
    assert isinstance(error, HTTPException)  # noqa: S101 - registered for this class alone
    code, detail = {
        404: ("no_such_route", "there is nothing at this path; /docs lists what there is"),
        405: ("method_not_allowed", f"this path does not take {request.method}"),
    }.get(error.status_code, (f"http_{error.status_code}", str(error.detail)))
    return problems.problem(error.status_code, code, detail, request_id=request_id_of(request), headers=error.headers)


async def on_validation_error(request: Request, error: Exception) -> Response:
    """Answer a request that does not fit the schema; a stranger is told only that it is one."""
    assert isinstance(error, RequestValidationError)  # noqa: S101 - registered for this class alone
    try:
        await admit_to_errors(request)
    except FootnoteError as refusal:
        return problems.of_error(refusal, request_id=request_id_of(request))
    return problems.of_validation(error.errors(), request_id=request_id_of(request))
