"""Make, list and change collections."""

from __future__ import annotations

import dataclasses
import uuid

from app.documents import uploads
from app.documents.add import collection_named, require_editor
from app.domain.access import Principal
from app.domain.documents import Collection, Fingerprints, Index
from app.domain.errors import BadNameError
from app.domain.ids import new_id
from app.domain.ports import Clock
from app.domain.repositories import Database

MAX_DESCRIPTION_CHARS = 2000


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Collections:
    """The use case; safe to call from many threads."""

    database: Database
    clock: Clock
    fingerprints: Fingerprints  # of what a new collection is built with
    dimensions: int

    def create(self, principal: Principal, name: str, description: str = "") -> Collection:
        """Make an empty collection.

        Raises:
            ForbiddenError: a reader's key.
            BadNameError: see `uploads.check_name`.
            ConflictError: the name is taken.
        """
        require_editor(principal)
        collection, index = self.fresh(principal.workspace_id, name, description)
        with self.database.write() as work:
            work.collections.add(collection, index)
            work.commit()
        return collection

    def fresh(self, workspace_id: uuid.UUID, name: str, description: str = "") -> tuple[Collection, Index]:
        """The rows of a collection that is not there yet. Raises BadNameError."""
        now = self.clock.now()
        collection_id = new_id()
        index = Index(
            id=new_id(),
            workspace_id=workspace_id,
            collection_id=collection_id,
            fingerprints=self.fingerprints,
            dimensions=self.dimensions,
            created_at=now,
        )
        collection = Collection(
            id=collection_id,
            workspace_id=workspace_id,
            name=uploads.check_name(name, of="collection"),
            description=_description(description),
            live_index_id=index.id,
            created_at=now,
            updated_at=now,
        )
        return collection, index

    def get(self, principal: Principal, name: str) -> tuple[Collection, int]:
        """A collection and how many documents of it the caller may read, or NotFoundError."""
        with self.database.read() as work:
            collection = collection_named(work, principal, name)
            return collection, work.documents.count_readable(principal, [collection.id])[collection.id]

    def page(self, principal: Principal, *, after: uuid.UUID | None, limit: int) -> list[tuple[Collection, int]]:
        """The workspace's collections in order of creation, each with how many documents the caller may read."""
        with self.database.read() as work:
            found = work.collections.page(principal.workspace_id, after=after, limit=limit)
            counts = work.documents.count_readable(principal, [each.id for each in found])
        return [(each, counts[each.id]) for each in found]

    def change(self, principal: Principal, name: str, *, new_name: str | None, description: str | None) -> Collection:
        """Rename or describe anew; None leaves a part as it is. Raises as `create`, and NotFoundError."""
        require_editor(principal)
        with self.database.write() as work:
            collection = collection_named(work, principal, name, alone=True)
            changed = dataclasses.replace(
                collection,
                name=collection.name if new_name is None else uploads.check_name(new_name, of="collection"),
                description=collection.description if description is None else _description(description),
                updated_at=self.clock.now(),
            )
            work.collections.update(changed)
            work.commit()
        return changed


def _description(text: str) -> str:
    if len(text) > MAX_DESCRIPTION_CHARS or "\x00" in text:
        raise BadNameError(f"a description has at most {MAX_DESCRIPTION_CHARS} characters and no NUL")
    return text
