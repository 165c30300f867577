"""Jobs and their items in SQL."""

from __future__ import annotations

import dataclasses
import datetime as dt
import uuid
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

import sqlalchemy as sa

from app.db import settlement, turns
from app.db.filters_sql import admits, readable
from app.db.job_rows import (
    failure_json,
    failure_of,
    item_of,
    item_values,
    job_of,
    job_values,
    warnings_json,
    warnings_of,
)
from app.db.repository import Repository, Row, batches
from app.db.tables import deletion, document, item, version
from app.db.tables import job as table
from app.domain.access import Principal
from app.domain.ids import first_at
from app.domain.jobs import Failure, Item, Job, JobKind, JobState, Stage
from app.domain.repositories import LeaseProgress, Outcome

_RUNNING = item.c.state == JobState.RUNNING.value
_UNFINISHED = (JobState.QUEUED.value, JobState.RUNNING.value)
_LOSSES_TO_RUN_ALONE = 2  # design, section 4
_SAMPLE = 5  # failed items named in a job's summary
_NO_LEASE = {"lease_owner": None, "lease_expires_at": None}


class SqlJobs(Repository):
    """Implements `app.domain.repositories.Jobs`, which says what each method promises."""

    def add(self, job: Job, *, sealed: bool = True) -> None:
        """Insert a job."""
        self.connection.execute(table.insert().values(sealed=sealed, **job_values(job)))

    def add_items(self, items: Sequence[Item], *, priority: int) -> None:
        """Insert items; their jobs' totals rise."""
        if not items:
            return
        self.connection.execute(item.insert(), [item_values(each, priority=priority) for each in items])
        for job_id, count in Counter(each.job_id for each in items).items():
            self.connection.execute(table.update().where(table.c.id == job_id).values(total=table.c.total + count))

    def seal(self, job_id: uuid.UUID) -> None:
        """No more items will come."""
        self.connection.execute(table.update().where(table.c.id == job_id).values(sealed=True))

    def unsealed(self, *, quiet_since: dt.datetime | None) -> list[uuid.UUID]:
        """Jobs that their maker did not seal, and that got no item since."""
        query = sa.select(table.c.id).where(table.c.sealed == sa.false()).order_by(table.c.id)
        if quiet_since is None:
            return list(self.connection.execute(query).scalars())
        newer = sa.exists().where(item.c.job_id == table.c.id, item.c.id >= first_at(quiet_since))
        query = query.where(table.c.created_at < quiet_since)
        quiet = list(
            self.connection.execute(self.locked(query, table)).scalars()
        )  # first: who adds items holds the job
        return [each for some in batches(quiet) for each in self._without(some, newer)]

    def _without(self, job_ids: Sequence[uuid.UUID], newer: sa.ColumnElement[bool]) -> Sequence[uuid.UUID]:
        query = sa.select(table.c.id).where(table.c.id.in_(job_ids), ~newer).order_by(table.c.id)
        return self.connection.execute(query).scalars().all()

    def get(self, workspace_id: uuid.UUID, job_id: uuid.UUID) -> Job | None:
        """One by id."""
        query = sa.select(table).where(table.c.id == job_id, table.c.workspace_id == workspace_id)
        row = self.first(self.locked(query, table))
        return None if row is None else job_of(row)

    def page(self, principal: Principal, *, state: JobState | None, after: uuid.UUID | None, limit: int) -> list[Job]:
        """Jobs that the principal may see, newest first."""
        query = (
            sa.select(table)
            .where(table.c.workspace_id == principal.workspace_id, _visible(principal))
            .order_by(table.c.id.desc())
            .limit(limit)
        )
        if state is not None:
            query = query.where(table.c.state == state.value)
        if after is not None:
            query = query.where(table.c.id < after)
        return [job_of(row) for row in self.connection.execute(query)]

    def visible(self, principal: Principal, job_id: uuid.UUID) -> Job | None:
        """One job, if the principal may see it."""
        row = self.first(
            sa.select(table).where(
                table.c.id == job_id, table.c.workspace_id == principal.workspace_id, _visible(principal)
            )
        )
        return None if row is None else job_of(row)

    def items(self, job_id: uuid.UUID, *, state: JobState | None, after_ordinal: int | None, limit: int) -> list[Item]:
        """A job's items in order of ordinal."""
        query = sa.select(item).where(item.c.job_id == job_id).order_by(item.c.ordinal).limit(limit)
        if state is not None:
            query = query.where(item.c.state == state.value)
        if after_ordinal is not None:
            query = query.where(item.c.ordinal > after_ordinal)
        return [item_of(row) for row in self.connection.execute(query)]

    def last_item(self, job_id: uuid.UUID) -> Item | None:
        """The item of a job with the greatest ordinal."""
        row = self.first(sa.select(item).where(item.c.job_id == job_id).order_by(item.c.ordinal.desc()).limit(1))
        return None if row is None else item_of(row)

    def item_of_version(self, version_id: uuid.UUID) -> Item | None:
        """The newest item that ingests this version."""
        row = self.first(sa.select(item).where(_ingests([version_id])).order_by(item.c.id.desc()).limit(1))
        return None if row is None else item_of(row)

    def unfinished(self, collection_id: uuid.UUID, kind: JobKind) -> uuid.UUID | None:
        """A job of this kind on a collection that has not ended."""
        query = sa.select(table.c.id).where(
            table.c.collection_id == collection_id, table.c.kind == kind.value, table.c.state.in_(_UNFINISHED)
        )
        found: uuid.UUID | None = self.connection.execute(query.limit(1)).scalar_one_or_none()
        return found

    def queue_position(self, job_id: uuid.UUID) -> int | None:
        """How many waiting items come before this job's first one."""
        return turns.position(self.connection, job_id)

    def pace(self, kind: JobKind, *, now: dt.datetime, window: dt.timedelta) -> float | None:
        """Items a second, of late."""
        return turns.pace(self.connection, kind, now=now, window=window)

    def queued(self, workspace_id: uuid.UUID) -> int:
        """Unfinished items of a workspace that ingest."""
        return turns.queued(self.connection, workspace_id)

    def is_outranked(self, item_id: uuid.UUID, kinds: Sequence[JobKind], *, due: dt.datetime) -> bool:
        """Whether a more urgent item waits."""
        return turns.is_outranked(self.connection, item_id, kinds, due=due)

    # Leases

    def claim(
        self,
        *,
        owner: str,
        kinds: Sequence[JobKind],
        now: dt.datetime,
        lease_until: dt.datetime,
        limit: int,
        max_bytes: int,
    ) -> list[Item]:
        """Take waiting items of one workspace and one kind family for this owner."""
        rows = self._claimable(kinds, self._allowed(owner, kinds, now), limit, max_bytes)
        if not rows:
            return []
        for some in batches([row.id for row in rows]):
            self.connection.execute(
                item.update()
                .where(item.c.id.in_(some))
                .values(
                    state=JobState.RUNNING.value,
                    lease_owner=owner,
                    lease_expires_at=lease_until,
                    lease_token=item.c.lease_token + 1,
                )
            )
        started = sa.func.coalesce(table.c.started_at, sa.literal(now, table.c.started_at.type))
        for jobs in batches(sorted({row.job_id for row in rows})):
            self.connection.execute(
                table.update()
                .where(table.c.id.in_(jobs), table.c.state == JobState.QUEUED.value)
                .values(state=JobState.RUNNING.value, started_at=started)
            )
        return [
            dataclasses.replace(
                item_of(row),
                state=JobState.RUNNING,
                lease_owner=owner,
                lease_expires_at=lease_until,
                lease_token=row.lease_token + 1,
            )
            for row in rows
        ]

    def _allowed(self, owner: str, kinds: Sequence[JobKind], now: dt.datetime) -> sa.ColumnElement[bool]:
        """What the owner may claim: while it runs an item that is to run alone, no second one, for it may take all down."""
        may = turns.claimable(kinds, due=now)
        alone = sa.select(item.c.id).where(_RUNNING, item.c.lease_owner == owner, item.c.losses >= _LOSSES_TO_RUN_ALONE)
        return may if self.first(alone.limit(1)) is None else sa.and_(may, item.c.losses < _LOSSES_TO_RUN_ALONE)

    def _claimable(
        self, kinds: Sequence[JobKind], may: sa.ColumnElement[bool], limit: int, max_bytes: int
    ) -> list[Row]:
        """The rows that one claim takes, locked; those that another worker is claiming are passed over."""
        if limit < 1:
            return []
        for front in turns.fronts(self.connection, kinds, may):
            waiting = (
                sa.select(item, version.c.size_bytes)
                .outerjoin(version, version.c.id == item.c.version_id)
                .where(
                    turns.QUEUED,
                    item.c.family == front.family,
                    item.c.workspace_id == front.workspace_id,
                    item.c.priority == front.priority,
                    may,
                )
                .order_by(item.c.id)
                .with_for_update(of=item, skip_locked=True)
            )
            first = self.first(waiting.limit(1))
            if first is None:  # other workers are claiming all of them
                continue
            turns.serve(self.connection, front)
            if first.losses >= _LOSSES_TO_RUN_ALONE or limit == 1:
                return [first]
            others = waiting.where(item.c.id != first.id, item.c.losses < _LOSSES_TO_RUN_ALONE).limit(limit - 1)
            return _fitting(first, self.connection.execute(others).all(), max_bytes)
        return []

    def renew(self, *, owner: str, leases: Mapping[uuid.UUID, int], until: dt.datetime) -> set[uuid.UUID]:
        """Extend leases; gives the ids still held."""
        held = self._held(leases, owner=owner)
        for some in batches(sorted(held)):
            self.connection.execute(item.update().where(item.c.id.in_(some)).values(lease_expires_at=until))
        return held

    def held(self, leases: Mapping[uuid.UUID, int]) -> set[uuid.UUID]:
        """Those of the items that are still running under exactly this token."""
        return self._held(leases)

    def _held(self, leases: Mapping[uuid.UUID, int], *, owner: str | None = None) -> set[uuid.UUID]:
        """Items still leased so; in a writing unit they stay so until it ends."""
        held: set[uuid.UUID] = set()
        for some in batches(sorted(leases)):
            query = sa.select(item.c.id, item.c.lease_token).where(item.c.id.in_(some), _RUNNING).order_by(item.c.id)
            if owner is not None:
                query = query.where(item.c.lease_owner == owner)
            rows = self.connection.execute(self.locked(query, item))
            held.update(row.id for row in rows if row.lease_token == leases[row.id])
        return held

    def progress(self, reports: Sequence[LeaseProgress]) -> set[uuid.UUID]:
        """Write stage and units where the token still holds."""
        held = self._held({each.item_id: each.lease_token for each in reports})
        for told in (False, True):  # reports that name warnings write one column more
            self.write_each(
                item,
                [
                    {
                        "written": each.item_id,
                        "stage": each.stage.value,
                        "units_done": each.units_done,
                        "units_total": each.units_total,
                        "losses": 0,  # it got further: a loss after this says nothing of it
                        **({"warnings": warnings_json(each.warnings)} if each.warnings is not None else {}),
                    }
                    for each in reports
                    if each.item_id in held and (each.warnings is not None) is told
                ],
            )
        return held

    def finish(self, outcomes: Sequence[Outcome], now: dt.datetime) -> set[uuid.UUID]:
        """Write final states where the token still holds."""
        held = self._held({each.item_id: each.lease_token for each in outcomes})
        ended = [each for each in outcomes if each.item_id in held]
        well = (JobState.COMPLETED, JobState.COMPLETED_WITH_WARNINGS)
        # Each row is written once: PostgreSQL takes a shared lock of the job for a row that one transaction changes twice, and
        # two that then settle the job would each wait for the other.
        for done in (True, False):
            self.write_each(
                item,
                [
                    {
                        "written": each.item_id,
                        "state": each.state.value,
                        "warnings": warnings_json(each.warnings),
                        "error": failure_json(each.error),
                        "finished_at": now,
                        **({"stage": Stage.DONE.value} if done else {}),
                        **_NO_LEASE,
                    }
                    for each in ended
                    if (each.state in well) is done
                ],
            )
        return held

    def postpone(
        self, item_id: uuid.UUID, lease_token: int, *, failure: Failure | None, failures: int, next_run_at: dt.datetime
    ) -> bool:
        """Put a running item back to wait, where the token still holds."""
        values: dict[str, Any] = {
            "state": JobState.QUEUED.value,
            "failures": failures,
            "next_run_at": next_run_at,
            **_NO_LEASE,
        }
        if failure is not None:
            values["error"] = failure_json(failure)
        return self._put_back(item_id, lease_token, values)

    def expired(self, now: dt.datetime, *, limit: int) -> list[Item]:
        """Running items whose lease has run out."""
        return self._running(item.c.lease_expires_at <= now, limit=limit)

    def of_other_owners(self, owner: str, *, limit: int) -> list[Item]:
        """Running items that are leased to anyone but this owner."""
        return self._running(item.c.lease_owner != owner, limit=limit)

    def _running(self, condition: sa.ColumnElement[bool], *, limit: int) -> list[Item]:
        query = sa.select(item).where(_RUNNING, condition).order_by(item.c.priority, item.c.id).limit(limit)
        return [item_of(row) for row in self.connection.execute(query)]

    def lose(self, item: Item, *, failures: int, next_run_at: dt.datetime) -> bool:
        """Put back an item whose worker was lost."""
        values = {
            "state": JobState.QUEUED.value,
            "failures": failures,
            "losses": item.losses + 1,
            "lease_token": item.lease_token + 1,
            "next_run_at": next_run_at,
            **_NO_LEASE,
        }
        return self._put_back(item.id, item.lease_token, values)

    def _put_back(self, item_id: uuid.UUID, lease_token: int, values: dict[str, Any]) -> bool:
        changed = self.connection.execute(
            item.update().where(item.c.id == item_id, item.c.lease_token == lease_token, _RUNNING).values(values)
        )
        return changed.rowcount == 1

    def cancel_items(
        self,
        *,
        job_id: uuid.UUID | None = None,
        version_ids: Sequence[uuid.UUID] = (),
        error: Failure,
        now: dt.datetime,
    ) -> list[Item]:
        """Make unfinished items of a job, or those that ingest these versions, cancelled."""
        which = [] if job_id is None else [item.c.job_id == job_id]
        which += [_ingests(some) for some in batches(version_ids)]
        cancelled: list[Item] = []
        for condition in which:
            statement = (
                item.update()
                .where(condition, item.c.state.in_(_UNFINISHED))
                .values(
                    state=JobState.CANCELLED.value,
                    error=failure_json(error),
                    lease_token=item.c.lease_token + 1,
                    finished_at=now,
                    **_NO_LEASE,
                )
                .returning(*item.c)
            )
            cancelled += [item_of(row) for row in self.connection.execute(statement)]
        return sorted(cancelled, key=lambda each: each.id)

    # Jobs as sums of their items

    def settle(self, job_ids: Sequence[uuid.UUID], now: dt.datetime) -> list[Job]:
        """Bring the jobs' counts up to date; those sealed with no unfinished item become final."""
        ended: list[Job] = []
        for some in batches(sorted(set(job_ids))):
            query = sa.select(table).where(table.c.id.in_(some), table.c.state.in_(_UNFINISHED)).order_by(table.c.id)
            if self.writes:  # its key is not changed: who adds items to the job is not waited for
                query = query.with_for_update(of=table, key_share=True)
            rows = self.connection.execute(query).all()
            counts = self._counts([row.id for row in rows])
            changed = []
            for row in rows:
                job = self._settled(row, counts[row.id], now)
                changed.append(job)
                if job.state.final:
                    ended.append(job)
            self._write_jobs(changed)
        return ended

    def _counts(self, job_ids: Sequence[uuid.UUID]) -> dict[uuid.UUID, dict[JobState, int]]:
        counts: dict[uuid.UUID, dict[JobState, int]] = defaultdict(dict)
        query = (
            sa.select(item.c.job_id, item.c.state, sa.func.count())
            .where(item.c.job_id.in_(job_ids))
            .group_by(item.c.job_id, item.c.state)
        )
        for job_id, state, count in self.connection.execute(query):
            counts[job_id][JobState(state)] = count
        return counts

    def _settled(self, row: Row, counts: Mapping[JobState, int], now: dt.datetime) -> Job:
        job = dataclasses.replace(
            job_of(row),
            total=sum(counts.values()),
            done=settlement.completed(counts),
            failed=counts.get(JobState.FAILED, 0),
        )
        if not row.sealed or settlement.unfinished(counts):
            return job
        end = settlement.ending(counts, samples={state: self._ends(job.id, state) for state in counts})
        return dataclasses.replace(job, state=end.state, warnings=end.warnings, error=end.error, finished_at=now)

    def _ends(self, job_id: uuid.UUID, state: JobState) -> list[settlement.ItemEnd]:
        query = (
            sa.select(item.c.ordinal, item.c.warnings, item.c.error)
            .where(item.c.job_id == job_id, item.c.state == state.value)
            .order_by(item.c.ordinal)
            .limit(_SAMPLE)
        )
        return [
            settlement.ItemEnd(ordinal=row.ordinal, warnings=warnings_of(row.warnings), error=failure_of(row.error))
            for row in self.connection.execute(query)
        ]

    def _write_jobs(self, jobs: Sequence[Job]) -> None:
        names = ("state", "total", "done", "failed", "warnings", "error", "finished_at")
        self.write_each(table, [{"written": job.id} | {name: job_values(job)[name] for name in names} for job in jobs])

    def counts(self) -> dict[tuple[JobKind, JobState], int]:
        """Items by kind and state, over all workspaces."""
        query = sa.select(item.c.state, item.c.kind, sa.func.count()).group_by(item.c.state, item.c.kind)
        return {(JobKind(kind), JobState(state)): count for state, kind, count in self.connection.execute(query)}

    def next_run_at(self, kinds: Sequence[JobKind]) -> dt.datetime | None:
        """When the earliest waiting item may be claimed."""
        return turns.earliest(self.connection, kinds)

    def prune(self, *, finished_before: dt.datetime, limit: int) -> int:
        """Delete final jobs that old; their items go by their foreign key."""
        query = (
            sa.select(table.c.id)
            .where(table.c.finished_at < finished_before)
            .order_by(table.c.finished_at, table.c.id)
            .limit(limit)
        )
        old = self.connection.execute(query).scalars().all()
        for some in batches(old):
            self.connection.execute(table.delete().where(table.c.id.in_(some)))
        return len(old)


def _fitting(first: Row, rest: Sequence[Row], max_bytes: int) -> list[Row]:
    """The first, and as many of the rest as keep the versions' sizes within the limit."""
    taken, size_bytes = [first], first.size_bytes or 0
    for row in rest:
        size_bytes += row.size_bytes or 0
        if size_bytes > max_bytes:
            break
        taken.append(row)
    return taken


def _ingests(version_ids: Sequence[uuid.UUID]) -> sa.ColumnElement[bool]:
    return sa.and_(item.c.version_id.in_(version_ids), item.c.family == JobKind.INGEST.value)


def _visible(principal: Principal) -> sa.ColumnElement[bool]:
    """A job on no single document, one that the principal asked for with this key, or on a document that the principal may
    read, or could read when it was deleted.
    """
    if principal.passes_readers:
        return sa.true()
    there = sa.exists().where(document.c.id == table.c.document_id, readable(principal))
    receipt = sa.exists().where(deletion.c.document_id == table.c.document_id, admits(deletion.c.readers, principal))
    own = sa.false() if principal.key_id is None else table.c.key_id == principal.key_id
    return sa.or_(table.c.document_id.is_(None), own, there, receipt)
