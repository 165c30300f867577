"""What models were used and what it cost, for those who may know it."""

from __future__ import annotations

import dataclasses
import datetime as dt
import uuid
from collections.abc import Sequence

from app.domain.access import Principal, Role
from app.domain.errors import ForbiddenError, InvalidInputError
from app.domain.models import Usage, UsageBy, UsageLine
from app.domain.repositories import Database
from app.gateway.keys import require_admin, require_operator


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class UsageRequest:
    """What somebody wants to know."""

    since: dt.date  # the first day, UTC
    until: dt.date  # the last one
    by: frozenset[UsageBy]
    model: str | None = None  # only this one's
    key_id: uuid.UUID | None = None  # only this key's


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class UsageReport:
    """What was used from the first to the last day."""

    since: dt.date
    until: dt.date
    by: frozenset[UsageBy]
    total: UsageLine
    lines: Sequence[UsageLine]  # in the order of day, model, key and workspace


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Books:
    """The use case; safe to call from many threads."""

    database: Database
    max_lines: int = 10_000  # of one report, about 2 MB; 400 days of 25 models or keys

    def usage(self, principal: Principal, request: UsageRequest) -> UsageReport:
        """What a workspace used, for its admins; what their own key used, for others. Told by workspace: what all did.

        Raises:
            ForbiddenError: another key's usage asked for by who is no admin; or that of all workspaces by who is no
                admin of the default one.
            InvalidInputError: more lines than one report may have.
        """
        key_id = _key(principal, request.key_id)
        every = UsageBy.WORKSPACE in request.by
        if every:
            require_admin(principal)
        with self.database.read() as work:
            if every:
                require_operator(work.workspaces.get(principal.workspace_id))
            lines = work.model_calls.usage(
                None if every else principal.workspace_id,
                since_day=request.since.isoformat(),
                until_day=request.until.isoformat(),
                by=request.by,
                key_id=key_id,
                model=request.model,
                limit=self.max_lines + 1,
            )
        if len(lines) > self.max_lines:
            raise InvalidInputError(
                f"this has more than {self.max_lines} lines: ask for fewer days, or by fewer things",
                code="too_many_lines",
            )
        return UsageReport(since=request.since, until=request.until, by=request.by, total=_total(lines), lines=lines)


def _key(principal: Principal, asked: uuid.UUID | None) -> uuid.UUID | None:
    """Whose calls may be told; None for all of the workspace."""
    if principal.role is Role.ADMIN:
        return asked
    if principal.key_id is None or asked not in (None, principal.key_id):
        raise ForbiddenError("only admins see what other keys used")
    return principal.key_id


def _total(lines: Sequence[UsageLine]) -> UsageLine:
    return UsageLine(
        calls=sum(each.calls for each in lines),
        failures=sum(each.failures for each in lines),
        usage=sum((each.usage for each in lines), Usage()),
        cost_usd=sum((each.cost_usd for each in lines), 0.0),
    )
