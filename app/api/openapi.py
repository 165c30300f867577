"""The OpenAPI document: what FastAPI finds by itself, and the request bodies that are read here."""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from app.api import schemas

_REF = "#/components/schemas/{model}"
_SCALAR = {"anyOf": [{"type": "string", "maxLength": 512}, {"type": "number"}, {"type": "boolean"}]}
_FILTER = {
    "description": "Over metadata. A missing key matches nothing but `ne` and `nin`.",
    "anyOf": [
        {
            "title": "Comparison",
            "type": "object",
            "properties": {
                "type": {"enum": ["eq", "ne", "gt", "gte", "lt", "lte"]},
                "key": {"type": "string", "minLength": 1, "maxLength": 64},
                "value": _SCALAR,
            },
            "required": ["type", "key", "value"],
            "additionalProperties": False,
        },
        {
            "title": "Membership",
            "type": "object",
            "properties": {
                "type": {"enum": ["in", "nin"]},
                "key": {"type": "string", "minLength": 1, "maxLength": 64},
                "value": {"type": "array", "items": _SCALAR, "minItems": 1, "maxItems": 256},
            },
            "required": ["type", "key", "value"],
            "additionalProperties": False,
        },
        {
            "title": "Group",
            "type": "object",
            "properties": {
                "type": {"enum": ["and", "or"]},
                "filters": {"type": "array", "items": {"$ref": "#/components/schemas/Filter"}, "minItems": 1},
            },
            "required": ["type", "filters"],
            "additionalProperties": False,
        },
    ],
    "examples": [{"type": "gte", "key": "year", "value": 2024}],
}
FORM: dict[str, Any] = {
    "type": "object",
    "properties": {
        "file": {"type": "string", "format": "binary"},
        "collection": {"type": "string"},
        "external_id": {"type": "string"},
        "title": {"type": "string"},
        "metadata": {"type": "string", "description": "a JSON object", "examples": ['{"year": 2024}']},
        "readers": {"type": "string", "description": "a JSON list, or the field repeated", "examples": ['["*"]']},
    },
    "required": ["file"],
    "additionalProperties": False,
}


def json_body(model: type[BaseModel], *, required: bool = True) -> dict[str, Any]:
    """What a route that takes this model as JSON declares; `required` says whether there must be a body."""
    return _body({"application/json": {"schema": {"$ref": _REF.format(model=model.__name__)}}}, required=required)


def upload_body(model: type[BaseModel], *, collection: bool) -> dict[str, Any]:
    """What a route that takes a file or a text declares; `collection` says whether the form must name one."""
    form = {**FORM, "required": ["file", "collection"]} if collection else FORM
    return _body(
        {
            "multipart/form-data": {"schema": form},
            "application/json": {"schema": {"$ref": _REF.format(model=model.__name__)}},
        }
    )


def lines_body(model: type[BaseModel]) -> dict[str, Any]:
    """What a route that takes one JSON object a line declares."""
    line = _REF.format(model=model.__name__)
    description = f"one object a line, each as {line}"
    return _body({"application/x-ndjson": {"schema": {"type": "string", "description": description}}})


def file_body(media_type: str, description: str) -> dict[str, Any]:
    """What a route that takes one file as the body declares."""
    return _body({media_type: {"schema": {"type": "string", "format": "binary", "description": description}}})


def _body(content: dict[str, Any], *, required: bool = True) -> dict[str, Any]:
    return {"requestBody": {"required": required, "content": content}}


def install(app: FastAPI) -> None:
    """Give the application its document, made once, at the first look."""

    def document() -> dict[str, Any]:
        if app.openapi_schema is None:
            app.openapi_schema = _document(app)
        return app.openapi_schema

    app.openapi = document  # type: ignore[method-assign]  # the way that FastAPI documents


def _document(app: FastAPI) -> dict[str, Any]:
    document = get_openapi(
        title=app.title, version=app.version, description=app.description, routes=app.routes, tags=app.openapi_tags
    )
    wanted: tuple[type[BaseModel], ...] = (*schemas.REQUESTS, schemas.Problem)
    _, found = models_json_schema([(model, "validation") for model in wanted], ref_template=_REF)
    components = document.setdefault("components", {}).setdefault("schemas", {})
    components.update(found.get("$defs", {}))
    components["Filter"] = _FILTER
    return document
