"""Everything as one file, for the one who holds the data folder (admins of the default workspace)."""

from __future__ import annotations

import pathlib

from fastapi import APIRouter, Response
from starlette.background import BackgroundTask
from starlette.responses import FileResponse

from app.api.house import Admin
from app.api.problems import responses
from app.domain.access import Principal
from app.gateway.keys import require_admin

router = APIRouter(prefix="/v1/backup", tags=["backup"])

_MEDIA_TYPE = "application/x-tar"


@router.post(
    "",
    summary="Back everything up",
    response_class=Response,
    responses={**responses(507), 200: {"description": "A tar for `footnote restore`", "content": {_MEDIA_TYPE: {}}}},
)
async def backup(call: Admin) -> Response:
    """One file that `footnote restore` takes: every workspace's documents, vectors and rows, as of one moment."""
    services = call.house.services

    def work(principal: Principal) -> pathlib.Path:
        require_admin(principal)
        services.workspaces.require_operator(principal)
        target = services.stage()
        services.backup(target)
        return target

    path = await call.run(work)
    return FileResponse(
        path,
        media_type=_MEDIA_TYPE,
        filename="footnote.tar",
        background=BackgroundTask(lambda: path.unlink(missing_ok=True)),
    )
