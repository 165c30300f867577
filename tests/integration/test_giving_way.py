"""A person's note does not wait for the books of a bulk import, though both threads are busy with them."""

from __future__ import annotations

import collections
import contextlib
import hashlib
import pathlib
import random
import threading
import time
from collections.abc import Iterator, Sequence

from app.bootstrap import Services, SystemClock, build
from app.bootstrap.parts import INGEST, KINDS
from app.documents import enqueue
from app.documents.add import Accepted
from app.documents.uploads import Staged, Upload
from app.domain.access import Principal
from app.domain.events import Silent
from app.domain.jobs import Job, JobKind
from app.domain.ports import Embedder, Tokenizer
from app.domain.retry import RetryPolicy
from app.domain.vectors import Matrix, Vector
from app.queues.in_process import InProcessQueue, Lane
from app.settings import Settings
from ingestion.chunk.chunker import Chunker
from ingestion.pipeline import Pipeline
from ingestion.run_job import JobRunner
from ingestion.tasks import Builder, Builders

_WINDOW_SECONDS = 0.5  # that the embedder takes for a window of 256 chunks
_BOOK_CHUNKS = 3000


class Slow:
    """Implements Embedder: one that takes its time, and counts what it was given."""

    def __init__(self, inner: Embedder) -> None:
        self._inner = inner
        self._lock = threading.Lock()
        self.given: collections.Counter[str] = collections.Counter()

    @property
    def fingerprint(self) -> str:
        return self._inner.fingerprint

    @property
    def dimensions(self) -> int:
        return self._inner.dimensions

    @property
    def tokenizer(self) -> Tokenizer:
        return self._inner.tokenizer

    def embed_passages(self, texts: Sequence[str]) -> Matrix:
        with self._lock:
            self.given.update(texts)
        time.sleep(_WINDOW_SECONDS * len(texts) / 256)
        return self._inner.embed_passages(texts)

    def embed_evidence(self, texts: Sequence[str]) -> Matrix:
        return self._inner.embed_evidence(texts)

    def embed_query(self, text: str) -> Vector:
        return self._inner.embed_query(text)

    def close(self) -> None:
        """Nothing of its own."""


@contextlib.contextmanager
def two_threads(services: Services, embedder: Slow) -> Iterator[None]:
    """The ingestion of these services with that embedder, until the block ends."""
    clock = SystemClock()
    pipeline = Pipeline(
        database=services.database,
        files=services.files,
        vectors=services.vectors,
        builders=Builders(
            by_dense={embedder.fingerprint: Builder(embedder=embedder, chunker=Chunker(embedder.tokenizer))},
            sparse=services.sparse.fingerprint,
        ),
        sparse=services.sparse,
        loader=services.loader,
        clock=clock,
        observer=Silent(),
    )
    runner = JobRunner(
        database=services.database,
        runs={JobKind.INGEST: pipeline},
        clock=clock,
        policy=RetryPolicy(attempts=2),
        max_losses=4,
        lease_seconds=600,
        owner="test",
        observer=Silent(),
        unexpected=lambda error, _items: unforeseen.append(error),
        rng=random.Random(1),
    )
    unforeseen: list[BaseException] = []
    queue = InProcessQueue(
        run_slice=runner.run_slice,
        next_run_at=runner.next_run_at,
        stop_slices=runner.stop,
        lanes=[Lane(name=INGEST, kinds=KINDS[INGEST], threads=2)],
        rounds=[],
        clock=clock,
        on_error=lambda _name, error: unforeseen.append(error),
    )
    queue.start()
    try:
        yield
    finally:
        queue.stop(grace_seconds=30)
    assert unforeseen == []


def put(services: Services, text: str, *, priority: int) -> Accepted:
    path = services.stage()
    path.write_text(text)
    content = text.encode()
    staged = Staged(path=path, sha256=hashlib.sha256(content).hexdigest(), size_bytes=len(content))
    upload = Upload(
        external_id=None, title=None, metadata=None, readers=None, filename="text.txt", media_type="text/plain"
    )
    return services.add.add(_admin(services), "default", upload, staged, priority=priority)


def _admin(services: Services) -> Principal:
    return services.keys.authenticate(services.admin_key_path.read_text().strip())


def job_of(services: Services, accepted: Accepted) -> Job:
    assert accepted.job is not None
    return services.jobs.get(_admin(services), accepted.job.id)[0]


def seconds_until_final(services: Services, accepted: Accepted) -> float:
    began = time.monotonic()
    while not job_of(services, accepted).state.final:
        assert time.monotonic() - began < 100
        time.sleep(0.02)
    return time.monotonic() - began


def a_book(number: int) -> str:
    words = " ".join(f"word{n % 97}" for n in range(190))
    return "\n\n".join(f"Chapter {chapter} of book {number}. {words}." for chapter in range(_BOOK_CHUNKS))


def test_a_note_is_live_soon_and_no_chunk_of_the_books_is_embedded_twice(tmp_path: pathlib.Path) -> None:
    services = build(Settings(data_dir=tmp_path, embedder="hashing-16", min_free_bytes=0))
    try:
        embedder = Slow(services.embedder)
        books = [put(services, a_book(number), priority=enqueue.PRIORITY_BULK) for number in range(2)]
        with two_threads(services, embedder):
            while sum(embedder.given.values()) < 1000:  # both are past their first windows
                time.sleep(0.02)
            note = put(services, "The harbour opens at six.", priority=enqueue.PRIORITY_PERSON)
            waited = seconds_until_final(services, note)
            assert [job_of(services, each).state.final for each in books] == [False, False]
            for each in books:
                seconds_until_final(services, each)
        assert {job_of(services, each).state for each in (note, *books)} == {"completed"}
        assert waited < 8, f"{waited} s"
        assert sum(embedder.given.values()) >= 2 * _BOOK_CHUNKS
        assert max(embedder.given.values()) == 1
    finally:
        services.stop()
