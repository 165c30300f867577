"""From the embedded mode to production and back: nothing of a collection changes on the way."""

from __future__ import annotations

import pathlib
import time
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from app.answering.search import Mode
from app.bootstrap import build
from app.documents.archive.comparing import differences
from app.documents.archive.merging import Fate
from app.settings import Settings
from tests.integration.test_archive import Corpus, ScoredHit, admin, export, fill, hits, same_order
from tests.services import running
from tests.services.running import Stack, call, embedded_alone

pytestmark = [pytest.mark.services, pytest.mark.slow, pytest.mark.timeout(300), embedded_alone]
QUERIES = ("harbour", "puffin", "gulls of the long tale", "note 7", "bakery island")


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    running.require(broker="redis")
    with running.stack(tmp_path_factory.mktemp("production"), broker="redis") as made:
        yield made


def found(url: str, key: str, collection: str, query: str, mode: Mode) -> list[ScoredHit]:
    body = {"query": query, "collections": [collection], "limit": 50, "mode": mode.value}
    rows: list[dict[str, Any]] = call(url, key, "POST", "/v1/search", json=body)["hits"]
    return [(each["external_id"], each["start"], each["end"], each["score"]) for each in rows]


def test_a_collection_goes_from_embedded_to_production_and_back(
    corpus: Corpus, installed: Stack, tmp_path: pathlib.Path
) -> None:
    fill(corpus)
    first, second, third = (tmp_path / f"{number}.tar" for number in (1, 2, 3))
    export(corpus.services, corpus.collection, first)
    url = installed.api("api", running.free_port())  # no worker: nothing has to be embedded
    reach = ("--url", url, "--key", installed.key, "--json")

    taken = installed.run("import", str(first), *reach)
    written = installed.run("export", corpus.collection, str(second), *reach)
    again = installed.run("import", str(first), *reach)

    assert taken.returncode == 0, taken.stderr
    assert '"added": 74' in taken.stdout
    assert '"as_they_are": true' in taken.stdout
    assert written.returncode == 0, written.stderr
    assert '"unchanged": 74' in again.stdout
    assert differences(first, second) == []
    for query in QUERIES:
        for mode in Mode:
            embedded = hits(corpus.services, corpus.collection, query, mode)
            same_order(embedded, found(url, installed.key, corpus.collection, query, mode))
    back = build(Settings(data_dir=tmp_path / "back", embedder="hashing-16"))
    try:
        back.start()
        imported = back.imports.run(admin(back), second)
        assert imported.counts[Fate.ADDED] == 74
        assert differences(first, export(back, corpus.collection, third)) == []
    finally:
        back.stop()


@running.in_long_rounds
def test_an_api_process_that_is_killed_in_the_middle_leaves_nothing_half_done(
    corpus: Corpus, installed: Stack, tmp_path: pathlib.Path
) -> None:
    fill(corpus)
    archive = export(corpus.services, corpus.collection, tmp_path / "1.tar")
    url = installed.api("api-killed", running.free_port())
    headers = {"Authorization": f"Bearer {installed.key}", "Content-Type": "application/x-tar"}
    target = f"{url}/v1/collections/import?collection=killed&stream=true"
    with (
        httpx.Client(trust_env=False, timeout=60) as client,
        client.stream("POST", target, content=archive.read_bytes(), headers=headers) as reply,
    ):
        assert next(reply.iter_lines()) == "event: progress"  # of the first batch of two
        installed.kill("api-killed")
    installed.worker("worker")
    installed.beat()
    url = installed.api("api-next", running.free_port())

    again = installed.run("import", str(archive), "--collection", "killed", "--url", url, "--key", installed.key)

    assert again.returncode == 0, again.stderr
    deadline = time.monotonic() + 90
    states: list[str] = []
    while states != ["live"] * 74 and time.monotonic() < deadline:
        time.sleep(0.1)
        rows = call(url, installed.key, "GET", "/v1/documents?limit=200&collection=killed")["data"]
        states = [row["state"] for row in rows]
    assert states == ["live"] * 74
    second = installed.run("export", "killed", str(tmp_path / "2.tar"), "--url", url, "--key", installed.key)
    assert second.returncode == 0, second.stderr
    assert differences(archive, tmp_path / "2.tar") == []
