"""Production mode: two API processes, two workers and a beat over PostgreSQL, a broker, S3 and Qdrant's wire."""

from __future__ import annotations

import contextlib
import json
import os
import pathlib
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
import sqlalchemy as sa

from app.bootstrap import build
from app.domain.documents import original_key
from app.domain.errors import ConfigurationError
from app.domain.ids import new_id
from app.settings import Settings
from tests.services import running
from tests.services.proxy import Proxy
from tests.services.running import Stack, call

pytestmark = [pytest.mark.services, pytest.mark.slow, pytest.mark.timeout(300)]
DOCUMENTS = 30


@pytest.fixture(params=["rabbitmq", "redis"], scope="module")
def installed(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    running.require(broker=request.param)
    with running.stack(tmp_path_factory.mktemp(request.param), broker=request.param) as made:
        yield made


def until(what: Any, *, seconds: float = 90.0) -> Any:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if found := what():
            return found
        time.sleep(0.1)
    pytest.fail("it did not happen")


def live(url: str, key: str) -> list[dict[str, Any]]:
    rows = call(url, key, "GET", "/v1/documents?limit=200")["data"]
    return [row for row in rows if row["state"] == "live"]


def test_documents_go_through_workers_and_answer_from_either_api(installed: Stack) -> None:
    one, two = (installed.api(name, running.free_port()) for name in ("api-1", "api-2"))
    installed.worker("worker-1")
    installed.worker("worker-2")
    installed.beat()
    key = installed.key

    for number in range(DOCUMENTS):
        body = {
            "collection": "default",
            "external_id": f"n{number}",
            "text": f"Note {number} tells of harbour {number}.",
        }
        call((one, two)[number % 2], key, "POST", "/v1/documents", json=body)
    until(lambda: len(live(two, key)) == DOCUMENTS)

    hits = call(two, key, "POST", "/v1/search", json={"query": "harbour 7", "limit": 5})["hits"]
    assert hits
    answer = call(one, key, "POST", "/v1/ask", json={"question": "What does note 7 tell of?", "explain": True})
    assert answer["candidates"]
    assert call(two, key, "GET", f"/v1/answers/{answer['id']}")["id"] == answer["id"]
    document = hits[0]["document_id"]
    text = call(one, key, "GET", f"/v1/documents/{document}/text?start={hits[0]['start']}&end={hits[0]['end']}")
    assert text["text"] == hits[0]["text"]

    gone = call(one, key, "DELETE", f"/v1/documents/{document}")
    after = call(two, key, "POST", "/v1/search", json={"query": "harbour 7", "limit": 50})["hits"]
    assert document not in {hit["document_id"] for hit in after}
    until(lambda: call(two, key, "GET", f"/v1/jobs/{gone['job_id']}")["state"] == "completed")
    receipt = call(two, key, "GET", f"/v1/documents/{document}/deletion")
    assert receipt["finished_at"]
    assert receipt["vectors"] >= 1
    assert receipt["bytes"] > 0


def test_a_worker_that_is_killed_loses_nothing(installed: Stack) -> None:
    url = installed.api("api-3", running.free_port())
    key = installed.key
    before = len(live(url, key))
    lines = [json.dumps({"external_id": f"b{n}", "text": f"Batch line {n}. " * 40}) for n in range(60)]
    _batch(url, key, lines)
    time.sleep(0.3)
    installed.kill("worker-1")
    installed.worker("worker-3")
    until(lambda: len(live(url, key)) == before + 60)
    jobs = call(url, key, "GET", "/v1/jobs?limit=200")["data"]
    assert {job["state"] for job in jobs} == {"completed"}


def _batch(url: str, key: str, lines: list[str]) -> None:
    headers = {"Authorization": f"Bearer {key}", "Content-Type": "application/x-ndjson"}
    reply = httpx.post(
        f"{url}/v1/documents/batch?collection=default", headers=headers, content="\n".join(lines), timeout=60,
        trust_env=False,
    )  # fmt: skip
    assert reply.status_code == 202, reply.text


def test_a_worker_that_has_just_started_takes_no_upload_in_progress_for_an_orphan(installed: Stack) -> None:
    under_way, cut_off = new_id(), uuid.UUID(int=new_id().int - (2 * 3_600_000 << 80))  # made two hours ago
    keys = [original_key(each) for each in (under_way, cut_off)]
    with pytest.MonkeyPatch.context() as patch:
        for name, value in installed.environment.items():
            patch.setenv(name, value)
        services = build(Settings())
    try:
        services.files.write_many(dict.fromkeys(keys, b"x"))
        next(each for each in services.rounds if each.name == "housekeeping").call()
        assert [key for key in keys if key in set(services.files.keys())] == keys[:1]
        services.files.delete(keys)
    finally:
        services.stop()


def test_every_process_stops_within_ten_seconds(installed: Stack) -> None:
    for name in [each for each in installed.processes if each.startswith(("api", "worker", "beat"))]:
        began = time.monotonic()
        assert installed.stop(name) in (0, -15), installed.log(name)
        assert time.monotonic() - began < 10


@pytest.mark.parametrize(
    ("milliseconds", "codes"),
    [
        pytest.param(1500, (0, -15), id="slow"),
        pytest.param(60_000, (1,), id="stuck"),  # its lease lapses
    ],
)
def test_a_worker_stops_in_time_whatever_its_model_does_and_the_work_costs_no_try(
    tmp_path: pathlib.Path, milliseconds: int, codes: tuple[int, ...]
) -> None:
    running.require(broker="redis")
    with running.stack(
        tmp_path, broker="redis", FOOTNOTE_EMBEDDER=f"hashing-16+{milliseconds}ms", FOOTNOTE_STOP_GRACE_SECONDS="4"
    ) as made:
        url = made.api("api", running.free_port())
        made.beat()
        made.worker("worker")
        text = " ".join(f"word{number}" for number in range(60_000))  # some 250 chunks: minutes of waiting
        call(url, made.key, "POST", "/v1/documents", json={"collection": "default", "text": text})
        job = until(
            lambda: [each for each in call(url, made.key, "GET", "/v1/jobs")["data"] if each["stage"] == "index"]
        )
        time.sleep(1)  # it is within a batch by now
        began = time.monotonic()
        assert made.stop("worker") in codes, made.log("worker")
        assert time.monotonic() - began < 10

        def waiting() -> list[dict[str, Any]]:
            items = call(url, made.key, "GET", f"/v1/jobs/{job[0]['id']}/items")["data"]
            return [each for each in items if each["state"] == "queued"]

        (item,) = until(waiting)
        assert item["failures"] == 0


def test_a_worker_leaves_to_others_what_it_can_not_work_on_at_once(tmp_path: pathlib.Path) -> None:
    running.require(broker="redis")
    with running.stack(
        tmp_path, broker="redis", FOOTNOTE_EMBEDDER="hashing-16+1000ms", FOOTNOTE_INGEST_WORKERS="1"
    ) as made:
        url = made.api("api", running.free_port())
        made.beat()
        made.worker("first")
        lines = "\n".join(json.dumps({"text": f"Note {number} tells of a harbour. " * 8}) for number in range(400))
        job = call(
            url,
            made.key,
            "POST",
            "/v1/documents/batch?collection=default",
            headers={"Content-Type": "application/x-ndjson"},
            content=lines.encode(),
        )["job_id"]

        def at_once() -> int:
            return len(call(url, made.key, "GET", f"/v1/jobs/{job}/items?state=running&limit=200")["data"])

        until(at_once)
        assert at_once() <= 64
        made.worker("second")
        until(lambda: at_once() > 64)
        assert at_once() <= 128


def test_a_database_that_is_not_migrated_is_not_served(tmp_path: pathlib.Path) -> None:
    running.require(broker="redis")
    with running.bare(tmp_path, broker="redis") as made:
        refused = made.run("serve", "--port", "0")
        assert refused.returncode == 1
        assert "footnote migrate" in refused.stderr
        made.worker("worker")  # it would take messages that others could work on
        assert made.processes["worker"].wait(60) == 1
        assert "footnote migrate" in made.log("worker")
        assert made.run("migrate", "--check").returncode == 1
        assert made.run("migrate").returncode == 0
        elsewhere = ("migrate", "--json", "--data-dir", str(tmp_path / "elsewhere"))
        assert json.loads(made.run(*elsewhere).stdout)["admin_key"] is None
        assert not (tmp_path / "elsewhere" / "admin.key").exists()
        path = json.loads(made.run(*elsewhere, "--admin-key").stdout)["admin_key"]
        assert pathlib.Path(path).read_text().startswith("fn_")
        assert json.loads(made.run(*elsewhere, "--admin-key").stdout)["admin_key"] is None
        assert made.run("migrate", "--check").returncode == 0
        assert "--url" in made.run("search", "x").stderr


@pytest.mark.parametrize("name", ["worker", "beat"])
def test_a_process_of_production_mode_alone_is_not_started_without_it(name: str) -> None:
    kept = {each: value for each, value in os.environ.items() if not each.startswith("FOOTNOTE_")}
    command = [sys.executable, *running.procfile(name)]
    given = {"FOOTNOTE_DATABASE_URL": "postgresql+psycopg://127.0.0.1/x", "FOOTNOTE_QDRANT_URL": ""}
    for settings, missing in (({}, "FOOTNOTE_DATABASE_URL"), (given, "FOOTNOTE_QDRANT_URL")):
        ended = subprocess.run(
            command, env=kept | settings, capture_output=True, text=True, timeout=60, check=False, cwd=running.ROOT
        )
        assert ended.returncode == 1
        assert missing in ended.stderr
        assert "Traceback" not in ended.stderr


def test_a_database_that_says_nothing_is_named_and_holds_no_process_up(tmp_path: pathlib.Path) -> None:
    running.require(broker="redis")
    with running.stack(tmp_path, broker="redis", FOOTNOTE_DATABASE_TIMEOUT_SECONDS="3") as made:
        address = sa.make_url(made.environment["FOOTNOTE_DATABASE_URL"])
        with contextlib.closing(Proxy(address.port or 5432)) as wire:
            through = address.set(port=wire.port).render_as_string(hide_password=False)
            made.environment["FOOTNOTE_DATABASE_URL"] = through
            url = made.api("api", running.free_port())
            made.worker("worker")
            wire.set("hang")
            began = time.monotonic()
            ready = httpx.get(f"{url}/health/ready", timeout=30, trust_env=False)
            assert ready.status_code == 503
            assert ready.json()["parts"]["database"]
            headers = {"Authorization": f"Bearer {made.key}"}
            listed = httpx.get(f"{url}/v1/documents", timeout=30, trust_env=False, headers=headers)
            assert listed.status_code == 503
            assert listed.headers["retry-after"]
            assert time.monotonic() - began < 20
            for name in ("api", "worker"):
                began = time.monotonic()
                assert made.stop(name) in (0, 1, -15), made.log(name)
                assert time.monotonic() - began < 10, name


WHOLE = {
    "database_url": "postgresql+psycopg://nobody@127.0.0.1:1/none",
    "qdrant_url": "http://127.0.0.1:1",
    "broker_url": "redis://127.0.0.1:1/0",
    "files_dir": "/nowhere",
}


@pytest.mark.parametrize("left_out", sorted(WHOLE))
def test_a_half_set_mode_says_what_is_missing(tmp_path: pathlib.Path, left_out: str) -> None:
    given = {name: value for name, value in WHOLE.items() if name != left_out}
    with pytest.raises(ConfigurationError, match=f"FOOTNOTE_{left_out.upper()}") as raised:
        build(Settings(data_dir=tmp_path, **given))  # type: ignore[arg-type]
    assert raised.value.code == "half_set"


@pytest.mark.parametrize(
    "wrong",
    [
        {"database_url": "sqlite:///x.db"},
        {"database_url": "postgresql+asyncpg://nobody@127.0.0.1/none"},
        {"database_url": "postgresql+psycopg://nobody@127.0.0.1:port/none"},
        {"broker_url": "http://127.0.0.1"},
        {"broker_url": "sqs://"},
        {"qdrant_url": "localhost"},
        {"redis_url": "nonsense"},
        {"s3_endpoint": "nonsense"},
        {"s3_access_key": "half"},
        {"s3_secret_key": "half"},
        {"s3_bucket": "and-a-folder"},
    ],
)
def test_a_mode_of_the_wrong_kind_is_refused(tmp_path: pathlib.Path, wrong: dict[str, str]) -> None:
    with pytest.raises(ConfigurationError) as raised:
        build(Settings(data_dir=tmp_path, **(WHOLE | wrong)))  # type: ignore[arg-type]
    assert raised.value.code == "half_set"
