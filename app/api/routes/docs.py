"""The interactive documentation, from files of our own: it works with no network."""

from __future__ import annotations

import pathlib

from fastapi import APIRouter
from starlette.responses import FileResponse, HTMLResponse, Response

import app.web
from app.domain.errors import NotFoundError

router = APIRouter(include_in_schema=False)

_FOLDER = pathlib.Path(next(iter(app.web.__path__))) / "docs"
_FILES = {
    "swagger-ui-bundle.js": "text/javascript",
    "swagger-ui.css": "text/css",
    "start.js": "text/javascript",
    "LICENSE": "text/plain",
    "NOTICE": "text/plain",
}
_PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Footnote API</title>
<link rel="icon" href="data:,">
<link rel="stylesheet" href="/docs/swagger-ui.css">
</head>
<body>
<div id="docs"></div>
<script src="/docs/swagger-ui-bundle.js"></script>
<script src="/docs/start.js"></script>
</body>
</html>
"""


@router.get("/docs")
async def page() -> Response:
    """The page."""
    return HTMLResponse(_PAGE)


@router.get("/docs/{name}")
async def file(name: str) -> Response:
    """A file of the page."""
    if name not in _FILES:
        raise NotFoundError("there is no such file", code="no_such_route")
    return FileResponse(_FOLDER / name, media_type=_FILES[name])
