"""Jobs that bring live versions into an index that lacks some of them."""

from __future__ import annotations

import dataclasses
import uuid

from app.documents import enqueue
from app.domain.documents import Document, Indexed
from app.domain.jobs import Job, JobKind
from app.domain.ports import Clock
from app.domain.repositories import Database, WriteWork


@dataclasses.dataclass(slots=True, kw_only=True)
class Rebuild:
    """Asks for versions by one job a collection, in the transaction that makes each lack what it is to be given.

    So whoever is cut off in between leaves nothing that nobody is at; a job that was not sealed is closed by the sweep.
    """

    database: Database
    clock: Clock
    jobs: dict[uuid.UUID, Job] = dataclasses.field(default_factory=dict)  # by collection

    def cut_again(self, document_id: uuid.UUID, version_id: uuid.UUID, index_id: uuid.UUID) -> bool:
        """Drop what an index has of a live version, and have it built anew."""
        with self.database.write() as work:
            work.documents.hold([document_id])
            document = work.documents.many([document_id]).get(document_id)
            if document is None or document.live_version_id != version_id:
                return False
            work.chunks.remove([version_id], index_id=index_id)
            self._ask(work, document, version_id)
            work.commit()
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
            self._ask(work, document, version_id)
            work.commit()
        return True

    def seal(self) -> None:
        """No more is asked for; workers find the jobs at their next look."""
        if not self.jobs:
            return
        with self.database.write() as work:
            for job in self.jobs.values():
                work.jobs.seal(job.id)
            work.jobs.settle([job.id for job in self.jobs.values()], self.clock.now())
            work.commit()
        self.jobs.clear()

    def _ask(self, work: WriteWork, document: Document, version_id: uuid.UUID) -> None:
        now = self.clock.now()
        known = self.jobs.get(document.collection_id)
        job = work.jobs.get(document.workspace_id, known.id) if known else None
        if job is None or job.state.final:  # the sweep took it for abandoned
            job = enqueue.new_job(
                JobKind.REINDEX,
                workspace_id=document.workspace_id,
                now=now,
                collection_id=document.collection_id,
                document_id=None,
                request_id=None,
            )
            work.jobs.add(job, sealed=False)
        item = enqueue.new_item(job, ordinal=job.total, document_id=document.id, version_id=version_id, now=now)
        work.jobs.add_items([item], priority=enqueue.PRIORITY_BULK)
        self.jobs[document.collection_id] = job
