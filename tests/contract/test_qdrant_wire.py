"""The Qdrant adapter when the server misbehaves: on a stand-in that speaks its REST."""

from __future__ import annotations

import contextlib
import json
import pathlib
import subprocess
import sys
import time
import uuid
import warnings
from collections.abc import Iterator
from typing import Any

import httpx
import numpy as np
import pytest
from qdrant_client import QdrantClient

from app.domain.errors import ConfigurationError, StorageFullError, TransientError
from app.domain.vectors import Point, Space, Sparse, VectorQuery
from app.stores.qdrant_vectors import QdrantVectorStore

SPACE = Space(name="contract", dimensions=4)
WIRE = pathlib.Path(__file__).parents[1] / "services" / "qdrant_wire.py"


@contextlib.contextmanager
def wire(folder: pathlib.Path, *arguments: str) -> Iterator[str]:
    """The address of a stand-in."""
    command = [sys.executable, str(WIRE), str(folder), *arguments]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        port = json.loads(process.stdout.readline())["port"]
        try:
            yield f"http://127.0.0.1:{port}"
        finally:
            process.kill()


@contextlib.contextmanager
def store_at(url: str, **parts: Any) -> Iterator[QdrantVectorStore]:
    client = QdrantClient(url=url, timeout=2, check_compatibility=False, api_key=parts.pop("api_key", None))
    store = QdrantVectorStore(client, exact=True, **parts)
    yield store
    store.close()


def point(number: int) -> Point:
    return Point(
        chunk_id=uuid.UUID(int=number),
        index_id=uuid.UUID(int=1),
        document_id=uuid.UUID(int=2),
        version_id=uuid.UUID(int=3),
        scope=["s"],
        metadata={},
        dense=np.array([1, 0, 0, 0], dtype=np.float32),
        sparse=Sparse(indices=(1,), values=(1.0,)),
    )


def fault(url: str, kind: str | None, **parts: Any) -> None:
    httpx.put(f"{url}/_fault", json={"kind": kind, **parts}, trust_env=False).raise_for_status()


QUERY = VectorQuery(dense=np.array([1, 0, 0, 0], dtype=np.float32), sparse=None, scope=["s"])


@pytest.mark.parametrize("kind", ["busy", "cut"])
def test_what_passes_by_itself_is_tried_again(tmp_path: pathlib.Path, kind: str) -> None:
    with wire(tmp_path / "q") as url, store_at(url) as store:
        store.upsert(SPACE, [point(1)])
        fault(url, kind, requests=2)
        store.upsert(SPACE, [point(2)])
        fault(url, kind, requests=2)
        assert len(store.search(SPACE, QUERY).dense) == 2


@pytest.mark.parametrize("kind", ["busy", "cut", "hang"])
def test_what_does_not_pass_is_a_transient_error_in_bounded_time(tmp_path: pathlib.Path, kind: str) -> None:
    with wire(tmp_path / "q") as url, store_at(url) as store:
        store.upsert(SPACE, [point(1)])
        fault(url, kind, seconds=30)
        began = time.monotonic()
        with pytest.raises(TransientError) as raised:
            store.search(SPACE, QUERY)
        assert raised.value.code == "index_unavailable"
        assert time.monotonic() - began < 4  # one try of 2 s, or three that end at once, and pauses
        fault(url, None)
        assert len(store.search(SPACE, QUERY).dense) == 1


def test_a_server_that_is_not_there_is_a_transient_error(tmp_path: pathlib.Path) -> None:
    with wire(tmp_path / "q") as url:
        pass
    with store_at(url) as store, pytest.raises(TransientError):
        store.ping()


def test_a_full_disk_is_told_as_such(tmp_path: pathlib.Path) -> None:
    with wire(tmp_path / "q") as url, store_at(url) as store:
        store.ensure(SPACE)
        fault(url, "full")
        with pytest.raises(StorageFullError):
            store.upsert(SPACE, [point(1)])


def test_a_wrong_key_is_a_matter_of_configuration(tmp_path: pathlib.Path) -> None:
    with wire(tmp_path / "q", "--api-key", "right") as url, warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Api key is used with an insecure connection")
        with (
            store_at(url, api_key="wrong") as store,
            pytest.raises(ConfigurationError, match="FOOTNOTE_QDRANT_API_KEY"),
        ):
            store.ensure(SPACE)
        with store_at(url, api_key="right") as store:
            store.ensure(SPACE)


def test_what_was_written_is_there_after_a_kill(tmp_path: pathlib.Path) -> None:
    with wire(tmp_path / "q") as url, store_at(url) as store:
        store.upsert(SPACE, [point(number) for number in range(1, 1000)])
    with wire(tmp_path / "q") as url, store_at(url) as store:
        assert store.count(SPACE) == 999


def test_two_processes_make_one_collection(tmp_path: pathlib.Path) -> None:
    with wire(tmp_path / "q") as url, store_at(url) as one, store_at(url) as other:
        one.ensure(SPACE)
        other.ensure(SPACE)
        one.upsert(SPACE, [point(1)])
        assert other.count(SPACE) == 1
