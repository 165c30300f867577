"""How rows, vectors and files can come to disagree, and what a look at them found."""

from __future__ import annotations

import dataclasses
import datetime as dt
import enum
import uuid
from collections.abc import Mapping


class DriftKind(enum.StrEnum):
    """Every kind that is looked for; the comment says how it is repaired."""

    ROW_ORPHANED = "row_orphaned"  # a row whose parent is gone; it is deleted
    LIVE_VERSION_WRONG = "live_version_wrong"  # document and versions disagree; the newest live one answers
    LIVE_VERSION_HIDDEN = "live_version_hidden"  # a note keeps a live version out of searches; the note is deleted
    VERSION_STUCK = "version_stuck"  # accepted, and no job is at it; a new job is made
    PURGE_MISSING = "purge_missing"  # deleted, and no job removes it; a new job is made
    JOB_UNSETTLED = "job_unsettled"  # every item has ended and the job has not; it ends
    CONDITIONS_WRONG = "conditions_wrong"  # rows that SQL filters by differ from the document; they are written anew
    CHUNK_MISSING = "chunk_missing"  # an index lacks rows of a live version; it is cut and embedded anew
    CHUNK_ORPHANED = "chunk_orphaned"  # a version that answers no more still has rows; they are swept
    POINT_MISSING = "point_missing"  # an index lacks points of a live version; those are embedded
    POINT_ORPHANED = "point_orphaned"  # a point of nothing; it is deleted
    POINT_READERS_WRONG = "point_readers_wrong"  # a point's access list differs from its document's; it is written anew
    POINT_METADATA_WRONG = "point_metadata_wrong"  # its metadata do; likewise
    ORIGINAL_MISSING = "original_missing"  # the uploaded bytes are gone; restored where the text is all there was
    ORIGINAL_DAMAGED = "original_damaged"  # they have another checksum; likewise
    TEXT_MISSING = "text_missing"  # the canonical text is gone; read from the original once more
    TEXT_DAMAGED = "text_damaged"  # it contradicts the chunks; likewise
    FILE_ORPHANED = "file_orphaned"  # a file of no version; it is deleted


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One place where the stores disagree."""

    kind: DriftKind
    detail: str  # for a person
    workspace_id: uuid.UUID | None = None
    document_id: uuid.UUID | None = None
    version_id: uuid.UUID | None = None
    index_id: uuid.UUID | None = None
    job_id: uuid.UUID | None = None
    collection_id: uuid.UUID | None = None
    space: str | None = None
    chunk_ids: tuple[uuid.UUID, ...] = ()
    key: str | None = None  # of a file
    count: int = 1  # rows, points or files
    repaired: bool | None = None  # None: nobody tried; False: it can't be, `detail` says what a person can do


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class DriftReport:
    """What one look found, by kind."""

    id: uuid.UUID
    started_at: dt.datetime
    finished_at: dt.datetime
    found: Mapping[DriftKind, int]
    repaired: Mapping[DriftKind, int]  # those of them that were repaired, or are by a job that was made for it

    @property
    def left(self) -> int:
        """How many are as they were found."""
        return sum(self.found.values()) - sum(self.repaired.values())
