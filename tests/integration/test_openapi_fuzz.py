"""Whatever the OpenAPI document allows, and much that it does not, never ends in a 5xx."""

from __future__ import annotations

import json
import os
import pathlib
from collections.abc import Iterator
from typing import Any

import hypothesis
import pytest
import schemathesis
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.core.result import Ok
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from app.main import create_app
from app.settings import Settings

_CHECKS = [not_a_server_error, status_code_conformance, content_type_conformance, response_schema_conformance]
_EXAMPLES = int(os.environ.get("FOOTNOTE_FUZZ_EXAMPLES", "6"))  # of an operation, in each mode; see `make fuzz`


class _Served:
    """The application under test: one that never starts while tests are collected, the session's when they run."""

    def __init__(self) -> None:
        self.app: Any = create_app(Settings(data_dir=pathlib.Path("never-opened"), allowed_hosts=("*",)))

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            raise NotImplementedError  # the session's client has started it already
        await self.app(scope, receive, send)


_served = _Served()
_document = _served.app.openapi()
_found = list(schemathesis.openapi.from_asgi("/openapi.json", _served).get_all_operations())
_operations: list[Any] = [each.ok() for each in _found if isinstance(each, Ok)]


@schemathesis.serializer("application/x-ndjson", "application/x-tar")
def _as_lines(_: Any, value: Any) -> Any:
    """A batch or a file as bytes: what the document calls a string is sent as it stands."""
    return value.encode("utf-8", "replace") if isinstance(value, str) else json.dumps(value).encode()


def _cases() -> Iterator[Any]:
    for operation in _operations:
        declared = _document["paths"][operation.path][operation.method.lower()]
        for mode in GenerationMode:
            takes_something = "parameters" in declared or "requestBody" in declared or "security" in declared
            if mode is GenerationMode.POSITIVE or takes_something:
                yield pytest.param(operation, mode, id=f"{operation.label}-{mode.value}")


def test_every_route_is_fuzzed() -> None:
    assert len(_operations) == sum(len(methods) for methods in _document["paths"].values())


@pytest.mark.parametrize(("operation", "mode"), list(_cases()))
def test_no_request_ends_in_a_5xx_and_replies_are_as_declared(api: Any, operation: Any, mode: GenerationMode) -> None:
    _served.app = api.client.app
    headers = {"Authorization": f"Bearer {api.secret}"}

    @hypothesis.settings(
        max_examples=_EXAMPLES,
        derandomize=True,
        deadline=None,
        database=None,
        suppress_health_check=list(hypothesis.HealthCheck),
        phases=[hypothesis.Phase.explicit, hypothesis.Phase.generate],
    )
    @hypothesis.given(case=operation.as_strategy(generation_mode=mode))
    def fuzz(case: Any) -> None:
        case.call_and_validate(base_url="http://localhost", headers=headers, checks=_CHECKS)

    fuzz()
