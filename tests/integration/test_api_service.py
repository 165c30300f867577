"""Manners of the service: headers, documentation, health, metrics, logs."""

from __future__ import annotations

import dataclasses
import functools
import json
import pathlib
import re
import shutil
from pathlib import Path
from typing import Any

import pytest
import structlog
from starlette.testclient import TestClient

from app import bootstrap, main
from app.api import routes
from app.main import create_app
from app.settings import Settings
from tests.services.running import embedded_alone


def test_every_answer_has_security_headers_and_an_id(api: Any) -> None:
    for path in ("/v1/documents", "/v1/nothing", "/health/live", "/metrics", "/openapi.json", "/docs"):
        headers = api.get(path).headers
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["referrer-policy"] == "no-referrer"
        assert "frame-ancestors 'none'" in headers["content-security-policy"]
        assert headers["content-security-policy"].startswith("default-src 'none'")
        assert headers["x-request-id"]
        assert "server" not in headers
        assert "access-control-allow-origin" not in headers
    assert api.get("/v1/documents").headers["cache-control"] == "no-store"
    assert api.get("/v1/documents", headers={"X-Request-Id": "mine-1"}).headers["x-request-id"] == "mine-1"


def test_a_foreign_host_is_refused_before_anything_else(api: Any, problem: Any) -> None:
    for host in ("evil.example", "127.0.0.1.evil.example:8321"):
        problem(api.get("/v1/documents", headers={"Host": host}), 421, "bad_host")
    assert api.get("/v1/documents", headers={"Host": "127.0.0.1:8321"}).status_code == 200


def test_no_page_may_call_unless_it_was_named(api: Any) -> None:
    asks = {"Origin": "https://app.example", "Access-Control-Request-Method": "POST"}
    assert "access-control-allow-origin" not in api.client.options("/v1/search", headers=asks).headers
    settings = api.services.settings.model_copy(update={"cors_origins": ("https://app.example",)})
    with_cors = TestClient(create_app(settings, services=api.services), base_url="http://localhost")
    reply = with_cors.options("/v1/search", headers=asks)  # not started: the middleware answers alone
    assert reply.headers["access-control-allow-origin"] == "https://app.example"
    other = with_cors.options("/v1/search", headers={**asks, "Origin": "https://evil.example"})
    assert "access-control-allow-origin" not in other.headers


def test_an_application_that_has_not_started_says_so(api: Any, problem: Any) -> None:
    cold = TestClient(create_app(services=api.services), base_url="http://localhost")
    reply = cold.get("/v1/documents", headers={"Authorization": "Bearer fn_x"})
    problem(reply, 503, "not_ready")
    assert int(reply.headers["retry-after"]) > 0


def test_the_documentation_names_no_other_host(api: Any) -> None:
    page = api.client.get("/docs")
    assert page.status_code == 200
    assert "http://" not in page.text
    assert "https://" not in page.text
    assets = re.findall(r'(?:src|href)="(/[^"]+)"', page.text)
    assert len(assets) == 3
    for asset in assets:
        reply = api.client.get(asset)
        assert reply.status_code == 200
        assert reply.headers["content-type"].split(";")[0] in ("text/javascript", "text/css")
    start = api.client.get("/docs/start.js").text
    assert "http" not in start.replace("/openapi.json", "")
    assert "validatorUrl: null" in start
    styles = api.client.get("/docs/swagger-ui.css").text
    assert not re.findall(r"url\(\s*['\"]?https?:", styles)
    assert "connect-src 'self'" in page.headers["content-security-policy"]
    assert "Apache License" in api.client.get("/docs/LICENSE").text


def test_every_operation_declares_its_problems_and_its_key(api: Any) -> None:
    document = api.client.get("/openapi.json").json()
    assert {"Problem", "Filter", "SearchBody", "DocumentBody", "BatchLine"} <= set(document["components"]["schemas"])
    assert document["components"]["securitySchemes"]["key"]["scheme"] == "bearer"
    for path, methods in document["paths"].items():
        for operation in methods.values():
            assert operation["summary"]
            assert operation["tags"]
            problems = [reply for code, reply in operation["responses"].items() if code >= "400"]
            assert problems
            assert all(list(reply["content"]) == ["application/problem+json"] for reply in problems)
            if path.startswith("/v1/"):
                assert operation["security"] == [{"key": []}]


def test_every_reference_of_the_document_leads_somewhere(api: Any) -> None:
    document = api.client.get("/openapi.json").json()
    for name in set(re.findall(r'"\$ref": ?"#/components/schemas/([^"]+)"', json.dumps(document))):
        assert name in document["components"]["schemas"]


def test_health_is_told_without_a_key(api: Any) -> None:
    assert api.client.get("/health/live").json() == {"status": "live"}
    ready = api.client.get("/health/ready")
    assert ready.status_code == 200
    assert set(ready.json()["parts"].values()) == {None}


@embedded_alone
def test_a_part_that_is_down_is_named(api: Any, problem: Any) -> None:
    settings = api.services.settings.model_copy(update={"min_free_bytes": 2**60})
    services = dataclasses.replace(api.services, settings=settings)
    app = create_app(services=services)
    app.state.house = dataclasses.replace(api.client.app.state.house, services=services, settings=settings)
    client = TestClient(app, base_url="http://localhost")
    body = problem(client.get("/health/ready"), 503, "not_ready")
    assert body["parts"]["disk"]
    assert "disk" in body["detail"]
    headers = {"Authorization": f"Bearer {api.secret}"}
    upload = client.post("/v1/documents", json={"collection": "default", "text": "t"}, headers=headers)
    problem(upload, 507, "storage_full")


def test_metrics_tell_requests_items_and_the_index(api: Any) -> None:
    name = api.collection()
    api.live(name, "measured words")
    api.hits(name, "measured")
    page = api.client.get("/metrics").text
    assert 'footnote_requests_total{method="POST",route="/v1/search",status="200"}' in page
    assert 'footnote_stage_seconds_count{stage="search.embed"}' in page
    assert 'footnote_items{kind="ingest",state="completed"}' in page
    assert re.search(r'footnote_index\{unit="points"\} [1-9]', page)
    assert "measured" not in page
    assert name not in page


def test_metrics_may_be_kept_for_admins(api: Any, problem: Any) -> None:
    app = create_app(services=api.services)
    settings = api.services.settings.model_copy(update={"metrics_public": False})
    app.state.house = dataclasses.replace(api.client.app.state.house, settings=settings)
    client = TestClient(app, base_url="http://localhost")
    problem(client.get("/metrics"), 401, "unauthenticated")
    reader = {"Authorization": f"Bearer {api.key('reader')}"}
    problem(client.get("/metrics", headers=reader), 403, "forbidden")
    assert client.get("/metrics", headers={"Authorization": f"Bearer {api.secret}"}).status_code == 200


@pytest.mark.usefixtures("this_process")
def test_logs_hold_no_text_no_query_and_no_key(api: Any) -> None:
    name = api.collection()
    with structlog.testing.capture_logs() as logs:
        api.live(name, "a confidential sentence", external_id="confidential-id")
        api.hits(name, "confidential question")
        api.get(f"/v1/documents/by-external-id/confidential-id?collection={name}")
    requests = [entry for entry in logs if entry["event"] == "request"]
    assert [entry["route"] for entry in requests] == [
        "/v1/documents",
        "/v1/search",
        "/v1/documents/by-external-id/{external_id:path}",
    ]
    assert all(entry["workspace_id"] for entry in requests)
    assert all(set(entry) >= {"method", "status", "ms"} for entry in requests)
    assert "confidential" not in str(logs)
    assert api.secret not in str(logs)


@embedded_alone
def test_a_folder_that_is_held_can_not_be_opened_twice(api: Any) -> None:
    from app.domain.errors import FolderInUseError  # noqa: PLC0415 - read where it is used

    with pytest.raises(FolderInUseError), TestClient(create_app(api.services.settings)):
        pass


def test_an_application_builds_starts_and_stops_its_own_services(tmp_path: Path) -> None:
    settings = Settings(data_dir=tmp_path / "own", embedder="hashing-16")
    for _ in range(2):  # the folder is let go, so that the next one can take it
        with TestClient(create_app(settings), base_url="http://localhost") as client:
            key = (settings.data_dir / bootstrap.ADMIN_KEY_FILE).read_text().strip()
            reply = client.get("/v1/collections", headers={"Authorization": f"Bearer {key}"})
            assert [each["name"] for each in reply.json()["data"]] == ["default"]
    shutil.rmtree(settings.data_dir)


def test_every_router_is_part_of_the_application() -> None:
    modules = {path.stem for path in Path(routes.__file__).parent.glob("[a-z]*.py")}
    assert {module.__name__.rpartition(".")[2] for module in main._ROUTERS} == modules


def test_a_key_that_asks_too_often_is_told_when_to_come_back(tmp_path: pathlib.Path, problem: Any) -> None:
    settings = Settings(data_dir=tmp_path, embedder="hashing-16", min_free_bytes=0, requests_per_minute=60)
    with TestClient(create_app(settings), base_url="http://localhost") as client:
        secret = (tmp_path / "admin.key").read_text().strip()
        ask = functools.partial(client.get, "/v1/documents", headers={"Authorization": f"Bearer {secret}"})
        codes = [ask().status_code for _ in range(12)]
        assert codes[:10] == [200] * 10
        refused = ask()
        problem(refused, 429, "rate_limited")
        assert 1 <= int(refused.headers["retry-after"]) <= 2
        assert client.get("/health/live").status_code == 200
