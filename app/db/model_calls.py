"""The books in SQL: every call, and beside them their sums by workspace, day, model and key."""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Sequence

import sqlalchemy as sa

from app.db.engine import upsert
from app.db.repository import Repository, Row
from app.db.tables import model_call as table
from app.db.tables import model_usage, workspace
from app.domain.models import ModelCall, Purpose, Usage, UsageBy, UsageLine

_NO_KEY = uuid.UUID(int=0)
_TOLD_BY = {
    UsageBy.DAY: model_usage.c.day,
    UsageBy.MODEL: model_usage.c.model,
    UsageBy.KEY: model_usage.c.key_id,
    UsageBy.WORKSPACE: model_usage.c.workspace_id,
}
_SUMS = ("calls", "failures", "prompt_tokens", "completion_tokens", "cached_tokens", "cost_usd")


class SqlModelCalls(Repository):
    """Implements `app.domain.repositories.ModelCalls`, which says what each method promises."""

    def add_many(self, calls: Sequence[ModelCall]) -> None:
        """Insert, and add to the sums."""
        if not calls:
            return
        self.connection.execute(table.insert(), [_row(each) for each in calls])
        adding = upsert(self.connection, model_usage)
        sums = {name: model_usage.c[name] + adding.excluded[name] for name in _SUMS}
        statement = adding.on_conflict_do_update(index_elements=list(model_usage.primary_key), set_=sums)
        self.connection.execute(statement, _summed(calls))

    def of_answer(self, answer_id: uuid.UUID) -> list[ModelCall]:
        """What an answer took, in order."""
        query = sa.select(table).where(table.c.answer_id == answer_id).order_by(table.c.id)
        return [_call(row) for row in self.connection.execute(query)]

    def spent(self, workspace_id: uuid.UUID, day: str) -> float:
        """US dollars of a workspace's calls on a day."""
        there = (model_usage.c.workspace_id == workspace_id, model_usage.c.day == day)
        query = sa.select(sa.func.coalesce(sa.func.sum(model_usage.c.cost_usd), 0.0)).where(*there)
        return float(self.connection.execute(query).scalar_one())

    def usage(
        self,
        workspace_id: uuid.UUID | None,
        *,
        since_day: str,
        until_day: str,
        by: frozenset[UsageBy],
        key_id: uuid.UUID | None = None,
        model: str | None = None,
        limit: int | None = None,
    ) -> list[UsageLine]:
        """Sums over the calls of both days and those between."""
        where = [_of(model_usage, workspace_id), model_usage.c.day.between(since_day, until_day)]
        if key_id is not None:
            where.append(model_usage.c.key_id == key_id)
        if model is not None:
            where.append(model_usage.c.model == model)
        told = [column for name, column in _TOLD_BY.items() if name in by]
        sums = [sa.func.coalesce(sa.func.sum(model_usage.c[name]), 0).label(name) for name in _SUMS]
        query = sa.select(*told, *sums).where(*where).group_by(*told).order_by(*told).limit(limit)
        return [_line(row, by) for row in self.connection.execute(query)]

    def prune(self, *, before_day: str, limit: int) -> int:
        """Delete calls of earlier days, and the sums of these days."""
        old = sa.select(table.c.id).where(_of(table, None), table.c.day < before_day).limit(limit)
        self.connection.execute(model_usage.delete().where(_of(model_usage, None), model_usage.c.day < before_day))
        return self.connection.execute(table.delete().where(table.c.id.in_(old.scalar_subquery()))).rowcount


def _of(books: sa.Table, workspace_id: uuid.UUID | None) -> sa.ColumnElement[bool]:
    """Rows of a workspace; or of all, by their ids, since every index over days begins with the workspace."""
    if workspace_id is None:
        return books.c.workspace_id.in_(sa.select(workspace.c.id))
    return books.c.workspace_id == workspace_id


def _summed(calls: Iterable[ModelCall]) -> list[dict[str, object]]:
    """Rows of sums, in one order for everybody: two that write at once do not wait for each other crosswise."""
    groups: dict[tuple[uuid.UUID, str, str, uuid.UUID], list[ModelCall]] = {}
    for call in calls:
        groups.setdefault((call.workspace_id, call.day, call.model, call.key_id or _NO_KEY), []).append(call)
    return [
        {
            "workspace_id": workspace_id,
            "day": day,
            "model": model,
            "key_id": key_id,
            "calls": len(some),
            "failures": sum(each.failed for each in some),
            "prompt_tokens": sum(each.usage.prompt_tokens for each in some),
            "completion_tokens": sum(each.usage.completion_tokens for each in some),
            "cached_tokens": sum(each.usage.cached_tokens for each in some),
            "cost_usd": sum(each.cost_usd for each in some),
        }
        for (workspace_id, day, model, key_id), some in sorted(groups.items())
    ]


def _row(call: ModelCall) -> dict[str, object]:
    return {
        "id": call.id,
        "workspace_id": call.workspace_id,
        "key_id": call.key_id,
        "answer_id": call.answer_id,
        "day": call.day,
        "model": call.model,
        "purpose": call.purpose.value,
        "outcome": call.outcome,
        "prompt_tokens": call.usage.prompt_tokens,
        "completion_tokens": call.usage.completion_tokens,
        "cached_tokens": call.usage.cached_tokens,
        "cost_usd": call.cost_usd,
        "first_token_ms": call.first_token_ms,
        "total_ms": call.total_ms,
        "created_at": call.created_at,
    }


def _call(row: Row) -> ModelCall:
    return ModelCall(
        id=row.id,
        workspace_id=row.workspace_id,
        key_id=row.key_id,
        answer_id=row.answer_id,
        model=row.model,
        purpose=Purpose(row.purpose),
        outcome=row.outcome,
        usage=_usage(row),
        cost_usd=row.cost_usd,
        first_token_ms=row.first_token_ms,
        total_ms=row.total_ms,
        created_at=row.created_at,
    )


def _line(row: Row, by: frozenset[UsageBy]) -> UsageLine:
    return UsageLine(
        calls=int(row.calls),  # PostgreSQL sums into numbers of any size
        failures=int(row.failures),
        usage=_usage(row),
        cost_usd=float(row.cost_usd),
        day=row.day if UsageBy.DAY in by else None,
        model=row.model if UsageBy.MODEL in by else None,
        key_id=row.key_id if UsageBy.KEY in by and row.key_id != _NO_KEY else None,
        workspace_id=row.workspace_id if UsageBy.WORKSPACE in by else None,
    )


def _usage(row: Row) -> Usage:
    return Usage(
        prompt_tokens=int(row.prompt_tokens),
        completion_tokens=int(row.completion_tokens),
        cached_tokens=int(row.cached_tokens),
    )
