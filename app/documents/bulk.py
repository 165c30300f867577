"""Delete or change many documents of a collection by one call: what a filter finds, as one job.

The documents are hidden, or closed to whom they are closed, when the call returns; the job does the rest. They are taken
page by page, so that other writers come in between.
"""

from __future__ import annotations

import dataclasses
import uuid
from collections.abc import Callable, Sequence

from app.documents import enqueue, uploads
from app.documents.add import collection_named, require_editor
from app.documents.catalogue import Change, apply
from app.documents.remove import hide, spaces_of
from app.domain import filters
from app.domain.access import Principal
from app.domain.documents import Collection, Document
from app.domain.errors import InvalidInputError
from app.domain.filters import Filter
from app.domain.jobs import Job, JobKind
from app.domain.ports import Clock, JobQueue
from app.domain.repositories import Database, WriteWork

_PAGE = 1000  # documents of one transaction: 0.2 s of the database's lock


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """Documents of one collection that the caller may read."""

    collection: str
    filter: Filter | None = None  # None: all of them, which has to be said
    all: bool = False


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Bulk:
    """The use case; safe to call from many threads."""

    database: Database
    queue: JobQueue
    clock: Clock

    def count(self, principal: Principal, selection: Selection) -> int:
        """How many documents a selection finds now. Raises as `delete`."""
        require_editor(principal)
        _check(selection)
        with self.database.read() as work:
            collection = collection_named(work, principal, selection.collection)
            return work.documents.count_matching(principal, collection_id=collection.id, condition=selection.filter)

    def delete(self, principal: Principal, selection: Selection, *, request_id: str | None = None) -> tuple[Job, int]:
        """Hide all of them and ask for their purge; gives the purge's job and their number.

        Raises:
            ForbiddenError: a reader's key.
            InvalidInputError: neither a filter nor `all`.
            NotFoundError: no such collection.
        """

        def hidden(work: WriteWork, collection: Collection, page: Sequence[Document], job: Job) -> Sequence[Document]:
            hide(work, page, spaces=spaces_of(work, collection.id), job_id=job.id, now=self.clock.now())
            return page

        return self._each_page(principal, selection, JobKind.PURGE, hidden, request_id=request_id)

    def change(
        self, principal: Principal, selection: Selection, change: Change, *, request_id: str | None = None
    ) -> tuple[Job, int]:
        """Give all of them these readers or metadata; gives the job that carries it to the index, and how many differed.

        Raises:
            ForbiddenError, InvalidInputError, NotFoundError: as `delete`.
            BadNameError, BadMetadataError: see `uploads`.
        """
        if change.title is not None:
            raise InvalidInputError("many documents can't be given one title", code="no_common_title")
        metadata = None if change.metadata is None else uploads.check_metadata(change.metadata)
        readers = None if change.readers is None else uploads.check_readers(change.readers)
        if metadata is None and readers is None:
            raise InvalidInputError("say what changes: `readers` or `metadata`", code="nothing_to_change")

        def changed(work: WriteWork, collection: Collection, page: Sequence[Document], job: Job) -> Sequence[Document]:
            del collection, job
            return apply(work, page, title=None, metadata=metadata, readers=readers, now=self.clock.now())

        return self._each_page(principal, selection, JobKind.REFRESH, changed, request_id=request_id)

    def _each_page(
        self,
        principal: Principal,
        selection: Selection,
        kind: JobKind,
        do: Callable[[WriteWork, Collection, Sequence[Document], Job], Sequence[Document]],
        *,
        request_id: str | None,
    ) -> tuple[Job, int]:
        """Do it to each page in a transaction of its own, with an item for each document that it touched."""
        require_editor(principal)
        _check(selection)
        job: Job | None = None
        count = 0
        after: uuid.UUID | None = None
        while True:
            with self.database.write() as work:
                now = self.clock.now()
                collection = collection_named(work, principal, selection.collection)
                if job is None:
                    job = enqueue.new_job(
                        kind,
                        workspace_id=principal.workspace_id,
                        now=now,
                        collection_id=collection.id,
                        document_id=None,
                        request_id=request_id,
                        key_id=principal.key_id,
                    )
                    work.jobs.add(job, sealed=False)
                page, after = _page(work, principal, collection, selection, after)
                touched = do(work, collection, page, job)
                items = [
                    enqueue.new_item(job, ordinal=count + place, document_id=each.id, version_id=None, now=now)
                    for place, each in enumerate(touched)
                ]
                work.jobs.add_items(items, priority=enqueue.PRIORITY_BULK)
                count += len(items)
                if after is None:
                    work.jobs.seal(job.id)
                work.jobs.settle([job.id], now)
                job = work.jobs.get(job.workspace_id, job.id) or job
                work.commit()
            if after is None:
                break
        self.queue.nudge()
        return job, count


def _check(selection: Selection) -> None:
    if (selection.filter is None) is not selection.all:
        raise InvalidInputError("give a `filter`, or say `all: true`", code="nothing_selected")


def _page(
    work: WriteWork, principal: Principal, collection: Collection, selection: Selection, after: uuid.UUID | None
) -> tuple[list[Document], uuid.UUID | None]:
    """The next documents, held and still such as the selection says; and the last one looked at, None at the end."""
    found = work.documents.page(
        principal, collection_id=collection.id, condition=selection.filter, after=after, limit=_PAGE
    )
    work.documents.hold(each.id for each in found)
    current = work.documents.many([each.id for each in found])
    wanted = [
        each
        for each in current.values()
        if principal.may_read(each.readers)
        and (selection.filter is None or filters.matches(selection.filter, each.metadata))
    ]
    return wanted, found[-1].id if len(found) == _PAGE else None
