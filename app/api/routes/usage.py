"""What models were used, and what it cost."""

from __future__ import annotations

import datetime as dt
import re
import uuid
from typing import Annotated

from fastapi import APIRouter, Query, Response
from fastapi.exceptions import RequestValidationError

from app.api import replies, represent, schemas
from app.api.house import Caller
from app.api.problems import responses
from app.domain.models import UsageBy
from app.gateway.books import UsageRequest

router = APIRouter(prefix="/v1/usage", tags=["usage"])
MAX_DAYS = 400
_DEFAULT_DAYS = 30
_MAX_MODEL_CHARS = 200
_DAY = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_NAMES = [each.value for each in UsageBy]

From = Annotated[str | None, Query(alias="from", description=f"first day, UTC; {_DEFAULT_DAYS} days where left out")]
To = Annotated[
    str | None, Query(alias="to", description="last day, UTC; today where left out", examples=["2026-11-28"])
]
By = Annotated[str, Query(description=f"some of {', '.join(_NAMES)}; comma-separated", examples=["day,model"])]
Model = Annotated[str | None, Query(description="only this one's, as the catalogue names it")]
KeyId = Annotated[uuid.UUID | None, Query(description="only this key's")]


@router.get("", summary="What was used", response_model=schemas.UsageReportView, responses=responses())
async def index(
    call: Caller,
    *,
    since: From = None,
    until: To = None,
    by: By = UsageBy.DAY.value,
    model: Model = None,
    key_id: KeyId = None,
) -> Response:
    """Calls, tokens and cost by day, model, key or workspace.

    Admins see their workspace's, others what their own key used. By workspace: of all workspaces, for admins of the
    default one.
    """
    first, last = _days(since, until, today=call.house.services.clock.now().astimezone(dt.UTC).date())
    request = UsageRequest(since=first, until=last, by=_by(by), model=_model(model), key_id=key_id)
    report = await call.run(lambda principal: call.house.services.books.usage(principal, request))
    return replies.of(represent.usage(report))


def _days(since: str | None, until: str | None, *, today: dt.date) -> tuple[dt.date, dt.date]:
    last = today if until is None else _day("to", until)
    first = _before(last) if since is None else _day("from", since)
    if first > last:
        raise _unfit("from", f"must not be behind `to`, which is {last}")
    days = (last - first).days + 1
    if days > MAX_DAYS:
        raise _unfit("from", f"is {days} days before the end of `to`, the limit is {MAX_DAYS}")
    return first, last


def _before(last: dt.date) -> dt.date:
    return dt.date.fromordinal(max(1, last.toordinal() - _DEFAULT_DAYS + 1))


def _day(name: str, text: str) -> dt.date:
    try:
        if _DAY.fullmatch(text):
            return dt.date.fromisoformat(text)
    except ValueError as error:
        raise _unfit(name, "is no day of the calendar") from error
    raise _unfit(name, "must be a day, as 2026-11-28")


def _by(text: str) -> frozenset[UsageBy]:
    names = [name.strip() for name in text.split(",")]
    if not set(names) <= set(_NAMES):
        raise _unfit("by", f"must be some of {', '.join(_NAMES)}; comma-separated")
    return frozenset(UsageBy(name) for name in names)


def _model(text: str | None) -> str | None:
    if text is not None and not (0 < len(text) <= _MAX_MODEL_CHARS and text.isprintable()):
        raise _unfit("model", f"must be 1 to {_MAX_MODEL_CHARS} printable characters")
    return text


def _unfit(name: str, message: str) -> RequestValidationError:
    return RequestValidationError([{"loc": ("query", name), "msg": message, "type": "value_error"}])
