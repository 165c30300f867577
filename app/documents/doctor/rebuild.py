"""Jobs that bring live versions into an index that lacks some of them."""

from __future__ import annotations

import dataclasses
import uuid

from app.documents import enqueue
from app.domain.documents import Indexed
from app.domain.jobs import JobKind
from app.domain.ports import Clock
from app.domain.repositories import Database


@dataclasses.dataclass(slots=True, kw_only=True)
class Rebuild:
    """Collects versions, and asks for them by one job a collection."""

    database: Database
    clock: Clock
    wanted: dict[tuple[uuid.UUID, uuid.UUID], dict[uuid.UUID, uuid.UUID]] = dataclasses.field(default_factory=dict)

    def cut_again(self, document_id: uuid.UUID, version_id: uuid.UUID, index_id: uuid.UUID) -> bool:
        """Drop what an index has of a live version, and have it built anew."""
        with self.database.write() as work:
            work.documents.hold([document_id])
            document = work.documents.many([document_id]).get(document_id)
            if document is None or document.live_version_id != version_id:
                return False
            work.chunks.remove([version_id], index_id=index_id)
            work.commit()
        self._want(document.workspace_id, document.collection_id, document_id, version_id)
        return True

    def fill_up(self, document_id: uuid.UUID, version_id: uuid.UUID, index_id: uuid.UUID) -> bool:
        """Have the points of a live version written that an index lacks."""
        with self.database.write() as work:
            work.documents.hold([document_id])
            document = work.documents.many([document_id]).get(document_id)
            note = work.chunks.indexed([version_id]).get((index_id, version_id))
            if document is None or document.live_version_id != version_id or note is None:
                return False
            work.chunks.note_indexed(
                [Indexed(index_id=index_id, version_id=version_id, chunks=note.chunks, whole=False)]
            )
            work.commit()
        self._want(document.workspace_id, document.collection_id, document_id, version_id)
        return True

    def ask(self) -> None:
        """Make the jobs; workers find them at their next look."""
        now = self.clock.now()
        with self.database.write() as work:
            for (workspace_id, collection_id), versions in self.wanted.items():
                job = enqueue.new_job(
                    JobKind.REINDEX,
                    workspace_id=workspace_id,
                    now=now,
                    collection_id=collection_id,
                    document_id=None,
                    request_id=None,
                )
                work.jobs.add(job)
                items = [
                    enqueue.new_item(job, ordinal=place, document_id=document_id, version_id=version_id, now=now)
                    for place, (version_id, document_id) in enumerate(versions.items())
                ]
                work.jobs.add_items(items, priority=enqueue.PRIORITY_BULK)
            work.commit()
        self.wanted.clear()

    def _want(
        self, workspace_id: uuid.UUID, collection_id: uuid.UUID, document_id: uuid.UUID, version_id: uuid.UUID
    ) -> None:
        self.wanted.setdefault((workspace_id, collection_id), {})[version_id] = document_id
