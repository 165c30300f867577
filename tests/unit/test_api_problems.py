"""Every error class has a status and a body."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from app.api import problems
from app.domain import errors
from app.gateway.idempotency import InProgressError

EXPECTED = {
    errors.FootnoteError: (500, "error"),
    errors.InvalidInputError: (422, "invalid_request"),
    errors.EmptyFileError: (422, "empty_file"),
    errors.TooLargeError: (413, "too_large"),
    errors.UnsupportedFormatError: (415, "unsupported_format"),
    errors.BadNameError: (422, "bad_name"),
    errors.BadFilterError: (422, "bad_filter"),
    errors.BadCursorError: (400, "bad_cursor"),
    errors.BadQueryError: (422, "bad_query"),
    errors.BadMetadataError: (422, "bad_metadata"),
    errors.UnauthenticatedError: (401, "unauthenticated"),
    errors.ForbiddenError: (403, "forbidden"),
    errors.NotFoundError: (404, "not_found"),
    errors.ConflictError: (409, "conflict"),
    errors.DocumentError: (422, "unreadable_document"),
    errors.FingerprintMismatchError: (409, "fingerprint_mismatch"),
    errors.ConfigurationError: (503, "configuration"),
    errors.FolderInUseError: (503, "folder_in_use"),
    errors.FolderNewerError: (503, "folder_newer"),
    errors.BadCatalogueError: (422, "bad_catalogue"),
    errors.LeaseLostError: (409, "lease_lost"),
    errors.ModelRefusedError: (502, "model_refused"),
    errors.OutputInvalidError: (502, "output_invalid"),
    errors.ModelTimeoutError: (503, "model_timeout"),
    errors.ModelDownError: (503, "model_down"),
    errors.ModelBusyError: (503, "model_busy"),
    errors.TransientError: (503, "unavailable"),
    errors.PartDownError: (503, "unavailable"),
    errors.OverloadedError: (503, "overloaded"),
    errors.QueueFullError: (429, "queue_full"),
    errors.RateLimitedError: (429, "rate_limited"),
    errors.StorageFullError: (507, "storage_full"),
    errors.DeadlineExceededError: (503, "deadline_exceeded"),
    problems.MalformedBodyError: (400, "invalid_json"),
    problems.BadHeaderError: (400, "bad_header"),
    problems.ContentTypeError: (415, "unsupported_media_type"),
    problems.BadHostError: (421, "bad_host"),
    problems.SlowBodyError: (408, "request_timeout"),
    problems.NotReadyError: (503, "not_ready"),
    InProgressError: (409, "idempotency_in_progress"),
}


def _of_the_product(root: type[errors.FootnoteError]) -> Iterator[type[errors.FootnoteError]]:
    yield root
    for each in root.__subclasses__():
        yield from _of_the_product(each)


@pytest.mark.parametrize(("error", "expected"), EXPECTED.items(), ids=lambda value: getattr(value, "__name__", ""))
def test_an_error_answers_with_its_status_and_code(
    error: type[errors.FootnoteError], expected: tuple[int, str]
) -> None:
    reply = problems.of_error(error("the sentence for a person"), request_id="r1")
    assert json.loads(bytes(reply.body)) == {
        "type": f"urn:footnote:problem:{expected[1]}",
        "title": json.loads(bytes(reply.body))["title"],
        "status": expected[0],
        "detail": "the sentence for a person",
        "code": expected[1],
        "request_id": "r1",
    }
    assert reply.status_code == expected[0]
    assert reply.media_type == "application/problem+json"


def test_every_class_of_the_error_tree_is_in_the_table_above() -> None:
    tree = {each for each in _of_the_product(errors.FootnoteError) if each.__module__ == errors.__name__}
    assert tree <= set(EXPECTED)


def test_no_error_that_a_caller_can_cause_is_a_5xx() -> None:
    assert all(problems.status_of(each("")) < 500 for each in _of_the_product(errors.InvalidInputError))


def test_an_overload_says_when_to_come_back() -> None:
    reply = problems.of_error(errors.OverloadedError("full", retry_after_seconds=7), request_id=None)
    assert reply.headers["retry-after"] == "7"


def test_a_missing_key_says_how_to_send_one() -> None:
    reply = problems.of_error(errors.UnauthenticatedError("no key"), request_id=None)
    assert reply.headers["www-authenticate"].startswith("Bearer")


def test_a_code_may_be_narrower_than_its_class() -> None:
    reply = problems.of_error(errors.NotFoundError("no such job", code="job_not_found"), request_id=None)
    assert json.loads(bytes(reply.body))["code"] == "job_not_found"


def test_a_validation_problem_repeats_no_value() -> None:
    details = [{"loc": ("body", "query"), "msg": "Input should be a string", "type": "string_type", "input": "secret"}]
    reply = problems.of_validation(details, request_id=None)
    assert b"secret" not in bytes(reply.body)
    assert json.loads(bytes(reply.body))["errors"][0]["loc"] == ["body", "query"]
