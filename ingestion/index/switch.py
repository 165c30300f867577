"""The moment in which a version becomes the live one, and the old one ceases to be: one transaction."""

from __future__ import annotations

import dataclasses
import datetime as dt
from collections.abc import Sequence

from app.domain import filters
from app.domain.access import meet
from app.domain.documents import Index, Version, VersionState
from app.domain.jobs import Item, JobState, Warning_
from app.domain.repositories import Outcome, WriteWork


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Whole:
    """An item whose version is completely in the index."""

    item: Item
    version: Version  # as it was indexed: its readers and metadata are those of its points
    index: Index
    warnings: tuple[Warning_, ...]


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Switched:
    """What came of a switch."""

    ended: tuple[Outcome, ...]  # written: these items are final now
    changed: tuple[Whole, ...]  # not switched: readers or metadata changed since their points were written


def switch(work: WriteWork, whole: Sequence[Whole], now: dt.datetime) -> Switched:
    """Make versions live where they still may be, in the caller's transaction.

    An item whose lease moved on is passed over. A version older than the live one ends as superseded, with a warning.
    One whose readers or metadata were changed meanwhile is given back as it now is: its points come first.
    """
    held = work.jobs.held({each.item.id: each.item.lease_token for each in whole})
    mine = [each for each in whole if each.item.id in held]
    current = work.versions.many([each.version.id for each in mine])
    ended: list[Outcome] = []
    changed: list[Whole] = []
    for each in sorted(mine, key=lambda one: (one.version.document_id.int, one.version.seq)):
        version = current.get(each.version.id)
        if version is None or version.state is not VersionState.PENDING:
            continue
        if version.readers != each.version.readers or not filters.same(version.metadata, each.version.metadata):
            changed.append(dataclasses.replace(each, version=version))
            continue
        superseded = _make_live(work, version, each.index, now)
        warnings = (*each.warnings, superseded) if superseded else each.warnings
        state = JobState.COMPLETED_WITH_WARNINGS if warnings else JobState.COMPLETED
        ended.append(Outcome(item_id=each.item.id, lease_token=each.item.lease_token, state=state, warnings=warnings))
    work.jobs.finish(ended, now)
    return Switched(ended=tuple(ended), changed=tuple(changed))


def _make_live(work: WriteWork, version: Version, index: Index, now: dt.datetime) -> Warning_ | None:
    document = work.documents.get(version.workspace_id, version.document_id)
    if document is None:
        message = f"no undeleted document {version.document_id} though its item is held"
        raise AssertionError(message)  # a delete cancels the items of its document in its own transaction
    live = work.versions.get(version.workspace_id, document.live_version_id) if document.live_version_id else None
    if live is not None and live.seq > version.seq:
        work.versions.update(dataclasses.replace(version, state=VersionState.SUPERSEDED))
        return Warning_(
            code="superseded",
            message=f"a later upload of this document (number {live.seq}) went live before this one (number {version.seq})",
        )
    if live is not None:
        work.versions.update(dataclasses.replace(live, state=VersionState.SUPERSEDED))
        work.versions.hide([live.id], document_ids=[document.id], space=index.fingerprints.space, now=now)
    work.versions.update(dataclasses.replace(version, state=VersionState.LIVE))
    work.versions.unhide(version.id)
    newer = _newer_pending(work, version)
    work.documents.update(
        dataclasses.replace(
            document,
            live_version_id=version.id,
            title=version.title,
            metadata=version.metadata,
            readers=meet(version.readers, newer.readers) if newer else version.readers,
            updated_at=now,
        )
    )
    return None


def _newer_pending(work: WriteWork, version: Version) -> Version | None:
    """A later upload that is under way: its readers, if fewer, hold already."""
    versions = work.versions.of_document(version.document_id)
    return next((each for each in versions if each.state is VersionState.PENDING and each.seq > version.seq), None)
