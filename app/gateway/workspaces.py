"""Workspaces: made, listed and removed by admins of the default one."""

from __future__ import annotations

import dataclasses
import re
import uuid

from app.domain.access import Principal, Workspace
from app.domain.errors import BadNameError, ConflictError, NotFoundError
from app.domain.ids import new_id
from app.domain.ports import Clock
from app.domain.repositories import Database, ReadWork
from app.gateway.keys import DEFAULT_WORKSPACE, require_admin, require_operator

_NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,62}")


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Workspaces:
    """The use case; safe to call from many threads."""

    database: Database
    clock: Clock

    def create(self, principal: Principal, name: str) -> Workspace:
        """Make an empty workspace; its first key is made with `Keys.create`.

        Raises:
            ForbiddenError: not an admin of the default workspace.
            BadNameError: not 1 to 63 lower-case letters, digits or `-`.
            ConflictError: the name is taken.
        """
        require_admin(principal)
        if not _NAME.fullmatch(name):
            raise BadNameError("a workspace's name has 1 to 63 lower-case letters, digits or '-'")
        workspace = Workspace(id=new_id(), name=name, created_at=self.clock.now())
        with self.database.write() as work:
            require_operator(work.workspaces.get(principal.workspace_id))
            work.workspaces.add(workspace)
            work.commit()
        return workspace

    def page(self, principal: Principal, *, after: uuid.UUID | None, limit: int) -> list[Workspace]:
        """All workspaces for admins of the default one, else the caller's own."""
        require_admin(principal)
        with self.database.read() as work:
            own = work.workspaces.get(principal.workspace_id)
            if own is not None and own.name != DEFAULT_WORKSPACE:
                return [own] if after is None else []
            return work.workspaces.page(after=after, limit=limit)

    def require_operator(self, principal: Principal) -> None:
        """Raise ForbiddenError where the caller is not of the default workspace."""
        with self.database.read() as work:
            require_operator(work.workspaces.get(principal.workspace_id))

    def remove(self, principal: Principal, workspace_id: uuid.UUID) -> None:
        """Remove an empty workspace with its keys.

        Raises:
            ForbiddenError: not an admin of the default workspace.
            NotFoundError: no such workspace.
            ConflictError: it is the default one, or still holds a collection.
        """
        require_admin(principal)
        with self.database.write() as work:
            require_operator(work.workspaces.get(principal.workspace_id))
            workspace = _known(work, workspace_id)
            if workspace.name == DEFAULT_WORKSPACE:
                raise ConflictError("the default workspace can't be removed", code="default_workspace")
            work.workspaces.remove(workspace.id)
            work.commit()


def _known(work: ReadWork, workspace_id: uuid.UUID) -> Workspace:
    workspace = work.workspaces.get(workspace_id)
    if workspace is None:
        raise NotFoundError("no such workspace", code="workspace_not_found")
    return workspace
