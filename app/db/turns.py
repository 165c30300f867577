"""Whose item is next, in SQL: by priority, then by turns of the workspaces, then by age.

Every query walks the index (state, family, workspace_id, priority, id), so that it costs a few steps for each workspace that
waits, however many items one of them has.
"""

from __future__ import annotations

import dataclasses
import datetime as dt
import uuid
from collections.abc import Sequence

import sqlalchemy as sa

from app.db.engine import upsert
from app.db.job_rows import family_of
from app.db.repository import batches
from app.db.tables import item, turn
from app.domain.jobs import JobKind, JobState

QUEUED = item.c.state == JobState.QUEUED.value
_UNFINISHED = (JobState.QUEUED.value, JobState.RUNNING.value)
_LATEST = 1000  # finished items that are looked at to tell how fast the work goes
_LEAST_SECONDS = 1.0  # of work, before it tells anything


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Front:
    """The first item of a workspace and family that may be claimed."""

    item_id: uuid.UUID
    workspace_id: uuid.UUID
    family: str
    priority: int
    served: int  # the number of the workspace's last turn; 0 before its first


def fronts(connection: sa.Connection, kinds: Sequence[JobKind], may: sa.ColumnElement[bool]) -> list[Front]:
    """The first item of each workspace and family that may be claimed, in the order in which they are to be."""
    families = sorted({family_of(kind) for kind in kinds})
    found = [front for family in families for front in _fronts(connection, family, may)]
    return sorted(found, key=lambda each: (each.priority, each.served, each.item_id))


def claimable(kinds: Sequence[JobKind], *, due: dt.datetime) -> sa.ColumnElement[bool]:
    """Of waiting items, those that may be claimed then, as a condition that no index is chosen for."""
    kind = sa.func.coalesce(item.c.kind, "")  # a planner without statistics takes the index of `next_run_at`, and sorts
    moment = sa.func.coalesce(item.c.next_run_at, sa.literal(due, item.c.next_run_at.type))
    return sa.and_(kind.in_([each.value for each in kinds]), moment <= due)


def _fronts(connection: sa.Connection, family: str, may: sa.ColumnElement[bool]) -> list[Front]:
    of_family = sa.and_(QUEUED, item.c.family == family)
    first = sa.select(item.c.workspace_id).where(of_family).order_by(item.c.workspace_id).limit(1)
    waiting = sa.select(first.scalar_subquery().label("workspace_id")).cte("waiting", recursive=True)
    following = (
        sa.select(item.c.workspace_id)
        .where(of_family, item.c.workspace_id > waiting.c.workspace_id)
        .order_by(item.c.workspace_id)
        .limit(1)
        .correlate(waiting)
    )
    waiting = waiting.union_all(
        sa.select(following.scalar_subquery()).where(waiting.c.workspace_id.is_not(None))
    )  # workspace by workspace, not row by row
    oldest = (
        sa.select(item.c.id)
        .where(of_family, item.c.workspace_id == waiting.c.workspace_id, may)
        .order_by(item.c.priority, item.c.id)
        .limit(1)
        .correlate(waiting)
    )
    ids = [
        each for each in connection.execute(sa.select(oldest.scalar_subquery()).select_from(waiting)).scalars() if each
    ]
    query = sa.select(
        item.c.id, item.c.workspace_id, item.c.priority, sa.func.coalesce(turn.c.served, 0).label("served")
    ).outerjoin(turn, sa.and_(turn.c.workspace_id == item.c.workspace_id, turn.c.family == family))
    return [
        Front(item_id=row.id, workspace_id=row.workspace_id, family=family, priority=row.priority, served=row.served)
        for some in batches(ids)
        for row in connection.execute(query.where(item.c.id.in_(some)))
    ]


def serve(connection: sa.Connection, front: Front) -> None:
    """The workspace has had its turn: it goes behind all others."""
    last = connection.execute(sa.select(sa.func.max(turn.c.served))).scalar_one() or 0  # families may share a worker
    statement = upsert(connection, turn).values(workspace_id=front.workspace_id, family=front.family, served=last + 1)
    connection.execute(
        statement.on_conflict_do_update(
            index_elements=[turn.c.workspace_id, turn.c.family], set_={"served": statement.excluded.served}
        )
    )


def is_outranked(connection: sa.Connection, item_id: uuid.UUID, kinds: Sequence[JobKind], *, due: dt.datetime) -> bool:
    """Whether an item of a higher priority than this one's could have been claimed since `due`."""
    own = connection.execute(sa.select(item.c.priority).where(item.c.id == item_id)).scalar_one_or_none()
    return own is not None and any(
        front.priority < own for front in fronts(connection, kinds, claimable(kinds, due=due))[:1]
    )


def position(connection: sa.Connection, job_id: uuid.UUID) -> int | None:
    """See `app.domain.repositories.Jobs.queue_position`."""
    first = connection.execute(
        sa.select(item.c.priority, item.c.id, item.c.kind, item.c.workspace_id)
        .where(item.c.job_id == job_id, QUEUED)
        .order_by(item.c.ordinal)  # items of one job have one priority, and ids in this order
        .limit(1)
    ).first()
    if first is None:
        return None
    of_family = sa.and_(QUEUED, item.c.family == family_of(JobKind(first.kind)))
    counts = connection.execute(
        sa.select(item.c.workspace_id, item.c.priority, sa.func.count())
        .where(of_family, item.c.priority <= first.priority)
        .group_by(item.c.workspace_id, item.c.priority)
    ).all()
    own = sa.select(sa.func.count()).where(
        of_family,
        item.c.workspace_id == first.workspace_id,
        item.c.priority == first.priority,
        item.c.id < sa.literal(first.id, item.c.id.type),
    )
    older = int(connection.execute(own).scalar_one())
    urgent = sum(count for _, priority, count in counts if priority < first.priority)
    others = [
        count
        for workspace_id, priority, count in counts
        if priority == first.priority and workspace_id != first.workspace_id
    ]
    return int(urgent + older + sum(min(older, count) for count in others))


def pace(connection: sa.Connection, kind: JobKind, *, now: dt.datetime, window: dt.timedelta) -> float | None:
    """See `app.domain.repositories.Jobs.pace`."""
    kinds = [each for each in JobKind if family_of(each) == family_of(kind)]
    begun = earliest(connection, kinds) or now
    since = max(now - window, begun)
    ended = connection.execute(
        sa.select(item.c.finished_at)
        .where(
            item.c.finished_at > since,
            item.c.family == family_of(kind),
            item.c.state != JobState.CANCELLED.value,
        )
        .order_by(item.c.finished_at.desc())
        .limit(_LATEST)
    ).all()
    if len(ended) == _LATEST:
        since = ended[-1].finished_at
    seconds = (now - since).total_seconds()
    return len(ended) / seconds if ended and seconds >= _LEAST_SECONDS else None


def earliest(connection: sa.Connection, kinds: Sequence[JobKind]) -> dt.datetime | None:
    """See `app.domain.repositories.Jobs.next_run_at`; asked kind by kind, as the index is ordered."""
    moments: list[dt.datetime | None] = [
        connection.execute(
            sa.select(sa.func.min(item.c.next_run_at)).where(QUEUED, item.c.kind == kind.value)
        ).scalar_one()
        for kind in kinds
    ]
    return min((moment for moment in moments if moment is not None), default=None)


def queued(connection: sa.Connection, workspace_id: uuid.UUID) -> int:
    """See `app.domain.repositories.Jobs.queued`."""
    query = sa.select(sa.func.count()).where(
        item.c.state.in_(_UNFINISHED),
        item.c.family == family_of(JobKind.INGEST),
        item.c.workspace_id == workspace_id,
    )
    return int(connection.execute(query).scalar_one())
