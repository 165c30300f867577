"""The moment in which a live version is whole in an index that lacked it."""

from __future__ import annotations

import dataclasses
import datetime as dt
from collections.abc import Sequence

from app.domain import filters
from app.domain.documents import Indexed
from app.domain.jobs import JobState
from app.domain.repositories import Outcome, WriteWork
from ingestion.index.switch import Whole


def complete(work: WriteWork, whole: Sequence[Whole], now: dt.datetime) -> list[Whole]:
    """Note live versions as whole and end their items, in the caller's transaction.

    An item whose lease moved on is passed over; one whose version answers no more ends with nothing noted: its points go
    with the version's. Those whose readers or metadata were changed meanwhile are given back as they now are.
    """
    work.documents.hold(each.version.document_id for each in whole)
    held = work.jobs.held({each.item.id: each.item.lease_token for each in whole})
    mine = [each for each in whole if each.item.id in held]
    documents = work.documents.many(sorted({each.version.document_id for each in mine}))
    noted: list[Indexed] = []
    ended: list[Outcome] = []
    changed: list[Whole] = []
    for each in mine:
        version, item = each.version, each.item
        document = documents.get(version.document_id)
        if document is not None and document.live_version_id == version.id:
            if document.readers != version.readers or not filters.same(document.metadata, version.metadata):
                now_so = dataclasses.replace(version, readers=document.readers, metadata=document.metadata)
                changed.append(dataclasses.replace(each, version=now_so))
                continue
            noted += each.noted()
        state = JobState.COMPLETED_WITH_WARNINGS if each.warnings else JobState.COMPLETED
        ended.append(Outcome(item_id=item.id, lease_token=item.lease_token, state=state, warnings=each.warnings))
    work.chunks.note_indexed(noted)
    work.jobs.finish(ended, now)
    return changed
