"""What models were used, for those who may know it; and how long the books are kept."""

from __future__ import annotations

import dataclasses
import datetime as dt
import uuid
from typing import Any

import pytest

from app.domain.errors import InvalidInputError
from app.domain.ids import new_id
from app.domain.models import ModelCall, Purpose, Usage, UsageBy
from app.domain.repositories import Database
from app.gateway.books import UsageRequest

Json = dict[str, Any]
DAY = dt.datetime(2026, 2, 3, 23, 30, tzinfo=dt.UTC)
SPAN = "from=2026-02-01&to=2026-02-28"


class Tenant:
    """A workspace of its own, with an admin and a reader."""

    def __init__(self, api: Any) -> None:
        self.api = api
        name = f"w-{uuid.uuid4().hex[:12]}"
        self.workspace_id = uuid.UUID(api.post("/v1/workspaces", json={"name": name}).json()["id"])
        self.admin, self.admin_id = self.key(name, "admin")
        self.reader, self.reader_id = self.key(name, "reader")

    def key(self, workspace: str, role: str) -> tuple[str, uuid.UUID]:
        made = self.api.post("/v1/keys", json={"name": "k", "role": role, "workspace": workspace}).json()
        return made["secret"], uuid.UUID(made["id"])

    def called(self, key_id: uuid.UUID | None, **parts: Any) -> ModelCall:
        """One call, in the books."""
        given: Json = {
            "id": new_id(),
            "workspace_id": self.workspace_id,
            "key_id": key_id,
            "answer_id": None,
            "model": "small",
            "purpose": Purpose.ANSWER,
            "outcome": "ok",
            "usage": Usage(prompt_tokens=100, completion_tokens=10, cached_tokens=1),
            "cost_usd": 0.1,
            "first_token_ms": 5.0,
            "total_ms": 9.0,
            "created_at": DAY,
        }
        call = ModelCall(**given | parts)
        with self.api.services.database.write() as work:
            work.model_calls.add_many([call])
            work.commit()
        return call


@pytest.fixture
def tenant(api: Any) -> Tenant:
    return Tenant(api)


def usage(api: Any, query: str, *, key: str | None = None) -> Json:
    reply = api.get(f"/v1/usage?{query}", key=key)
    assert reply.status_code == 200, reply.text
    report: Json = reply.json()
    return report


def test_admins_see_what_their_workspace_used(api: Any, tenant: Tenant) -> None:
    tenant.called(tenant.reader_id)
    tenant.called(tenant.admin_id, cost_usd=0.2)
    tenant.called(None, model="strong", outcome="model_timeout", usage=Usage(), cost_usd=0.0)
    tenant.called(None, created_at=DAY + dt.timedelta(hours=1), cost_usd=0.4)
    Tenant(api).called(None, cost_usd=64.0)
    sums = {"prompt_tokens": 200, "completion_tokens": 20, "cached_tokens": 2, "cost_usd": 0.3}
    report = usage(api, f"{SPAN}&by=day,model", key=tenant.admin)
    assert (report["from"], report["to"]) == ("2026-02-01", "2026-02-28")
    assert report["data"][0] == {"day": "2026-02-03", "model": "small", "calls": 2, "failures": 0, **sums}
    assert [(each["day"], each["model"], each["failures"]) for each in report["data"]] == [
        ("2026-02-03", "small", 0),
        ("2026-02-03", "strong", 1),
        ("2026-02-04", "small", 0),
    ]
    assert {name: report["total"][name] for name in ("calls", "failures", "prompt_tokens", "cost_usd")} == {
        "calls": 4, "failures": 1, "prompt_tokens": 300, "cost_usd": 0.7,
    }  # fmt: skip
    by_key = usage(api, f"{SPAN}&by=key", key=tenant.admin)["data"]
    assert {each["key_id"]: each["calls"] for each in by_key} == {
        None: 2, str(tenant.reader_id): 1, str(tenant.admin_id): 1,
    }  # fmt: skip
    assert usage(api, f"{SPAN}&model=strong", key=tenant.admin)["total"]["calls"] == 1
    assert usage(api, f"{SPAN}&key_id={tenant.reader_id}", key=tenant.admin)["total"]["calls"] == 1
    assert usage(api, "from=2026-02-04&to=2026-02-04", key=tenant.admin)["total"]["cost_usd"] == 0.4


def test_others_see_what_their_own_key_used(api: Any, problem: Any, tenant: Tenant) -> None:
    tenant.called(tenant.reader_id)
    tenant.called(tenant.admin_id)
    assert usage(api, SPAN, key=tenant.reader)["total"]["calls"] == 1
    assert usage(api, f"{SPAN}&by=key", key=tenant.reader)["data"][0]["key_id"] == str(tenant.reader_id)
    assert usage(api, f"{SPAN}&key_id={tenant.reader_id}", key=tenant.reader)["total"]["calls"] == 1
    for other in (tenant.admin_id, uuid.uuid4()):
        problem(api.get(f"/v1/usage?{SPAN}&key_id={other}", key=tenant.reader), 403, "forbidden")


def test_all_workspaces_are_for_admins_of_the_default_one(api: Any, problem: Any, tenant: Tenant) -> None:
    tenant.called(tenant.reader_id)
    other = Tenant(api)
    other.called(None, cost_usd=0.5)
    report = usage(api, f"{SPAN}&by=workspace")
    found = {each["workspace_id"]: each["cost_usd"] for each in report["data"]}
    assert (found[str(tenant.workspace_id)], found[str(other.workspace_id)]) == (0.1, 0.5)
    assert str(tenant.workspace_id) not in str(usage(api, f"{SPAN}&by=key"))
    for key in (tenant.admin, tenant.reader, api.key("reader"), api.key("editor")):
        problem(api.get(f"/v1/usage?{SPAN}&by=workspace", key=key), 403, "forbidden")


def test_where_nothing_was_asked_of_a_model_nothing_was_used(api: Any, tenant: Tenant) -> None:
    report = usage(api, "", key=tenant.admin)
    first, last = (dt.date.fromisoformat(report[name]) for name in ("from", "to"))
    assert (last - first).days == 29
    assert report["data"] == []
    assert set(report["total"].values()) == {0}
    assert usage(api, "to=0001-01-03", key=tenant.admin)["from"] == "0001-01-01"
    assert usage(api, "from=2025-01-01&to=2026-02-04", key=tenant.admin)["total"]["calls"] == 0  # 400 days


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("from=20260201", "from"),
        ("from=2026-02-30", "from"),
        ("from=2026-2-1", "from"),
        ("from=\u0662\u0660\u0662\u0666-\u0660\u0662-\u0660\u0661", "from"),
        ("to=yesterday", "to"),
        ("to=", "to"),
        ("from=2026-02-02&to=2026-02-01", "from"),
        ("from=2025-01-01&to=2026-02-05", "from"),
        ("by=hour", "by"),
        ("by=day,", "by"),
        ("model=", "model"),
        ("model=a%00b", "model"),
        ("key_id=mine", "key_id"),
    ],
)
def test_what_does_not_fit_is_named(api: Any, problem: Any, query: str, field: str) -> None:
    body = problem(api.get(f"/v1/usage?{query}"), 422, "invalid_request")
    assert [each["loc"] for each in body["errors"]] == [["query", field]]
    problem(api.get(f"/v1/usage?{query}", key="fn_wrong"), 401, "unauthenticated")


def test_a_report_has_no_more_lines_than_can_be_read(api: Any, tenant: Tenant) -> None:
    principal = api.services.keys.authenticate(tenant.admin)
    request = UsageRequest(since=DAY.date(), until=DAY.date(), by=frozenset({UsageBy.MODEL}))
    books = dataclasses.replace(api.services.books, max_lines=2)
    for model in ("a", "b"):
        tenant.called(None, model=model)
    assert len(books.usage(principal, request).lines) == 2
    tenant.called(None, model="c")
    with pytest.raises(InvalidInputError, match="more than 2 lines") as raised:
        books.usage(principal, request)
    assert raised.value.code == "too_many_lines"


def test_old_days_are_forgotten_by_the_housekeeping(api: Any, tenant: Tenant) -> None:
    now = api.services.clock.now()
    tenant.called(None, created_at=now - dt.timedelta(days=403))
    tenant.called(None, created_at=now - dt.timedelta(days=398))
    housekeeping = next(each for each in api.services.rounds if each.name == "housekeeping")
    housekeeping.call()
    database: Database = api.services.database
    with database.read() as work:
        (line,) = work.model_calls.usage(
            tenant.workspace_id, since_day="0001-01-01", until_day="9999-12-31", by=frozenset()
        )
    assert line.calls == 1
