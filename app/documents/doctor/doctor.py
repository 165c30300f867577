"""One look at everything, part by part."""

from __future__ import annotations

import collections
import contextlib
import dataclasses
import datetime as dt
from collections.abc import Callable, Iterator, Mapping

from app.documents.doctor.files import Files
from app.documents.doctor.points import Points
from app.documents.doctor.rebuild import Rebuild
from app.documents.doctor.rows import Rows
from app.domain.documents import Version
from app.domain.drift import DriftKind, DriftReport, Finding
from app.domain.errors import FootnoteError, TransientError
from app.domain.ids import new_id
from app.domain.passages import Loaded
from app.domain.ports import Clock, FileStore, VectorStore
from app.domain.repositories import Database


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Looked:
    """How far a look has come."""

    part: str  # rows, points, files
    looked_at: int  # documents, points or files, of this part


Event = Looked | Finding | DriftReport


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Doctor:
    """The use case, over all workspaces; safe to call from many threads, and to abandon between two events."""

    database: Database
    vectors: VectorStore
    files: FileStore
    clock: Clock
    read: Callable[[Version], Loaded | FootnoteError]  # an original, once more

    def __call__(self, *, repair: bool, deep: bool = False) -> Iterator[Event]:
        """What is found, as it is found, and how far the look is; the report comes last, and is kept.

        Args:
            repair: mend what can be.
            deep: read every original and text too, and compare checksums and chunks.

        Raises:
            TransientError: a store can't be reached.
        """
        started_at = self.clock.now()
        rebuild = Rebuild(database=self.database, clock=self.clock)
        parts: Mapping[str, Rows | Points | Files] = {
            "rows": Rows(database=self.database, clock=self.clock, rebuild=rebuild),
            "points": Points(database=self.database, vectors=self.vectors, rebuild=rebuild),
            "files": Files(database=self.database, files=self.files, read=self.read, started_at=started_at, deep=deep),
        }
        found: collections.Counter[DriftKind] = collections.Counter()
        repaired: collections.Counter[DriftKind] = collections.Counter()
        try:
            for name, part in parts.items():
                looked_at = 0
                for page in part.pages():
                    looked_at += page.looked_at
                    for finding in page.findings:
                        found[finding.kind] += finding.count
                        if repair:
                            mended = part.repair(finding)
                            repaired[finding.kind] += finding.count if mended else 0
                            yield dataclasses.replace(finding, repaired=mended)
                        else:
                            yield finding
                    yield Looked(part=name, looked_at=looked_at)
        finally:  # also where a store does not answer any more, or nobody listens
            with contextlib.suppress(TransientError):
                rebuild.seal()
        yield self._kept(started_at, found, repaired)

    def _kept(
        self, started_at: dt.datetime, found: Mapping[DriftKind, int], repaired: Mapping[DriftKind, int]
    ) -> DriftReport:
        report = DriftReport(
            id=new_id(), started_at=started_at, finished_at=self.clock.now(), found=dict(found), repaired=dict(repaired)
        )
        with self.database.write() as work:
            work.audit.keep(report)
            work.commit()
        return report
