"""A second index beside the live one: built, kept up to date, changed over to, gone back from, dropped."""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import os
import pathlib
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest

from app.answering.search import SearchRequest, SearchResult
from app.bootstrap import Services, build
from app.documents.add import Accepted
from app.documents.catalogue import Change
from app.documents.reindex import IndexRole
from app.documents.uploads import Staged, Upload
from app.domain.access import Principal
from app.domain.answers import Question
from app.domain.errors import ConflictError, FingerprintMismatchError, NotFoundError
from app.domain.events import Silent
from app.domain.jobs import Job, JobState
from app.settings import Settings
from tests.services import asking
from tests.services.running import embedded_alone

pytestmark = embedded_alone
OLD, NEW = "hashing-16", "hashing-32"
DOCUMENTS = 60
QUERIES = ("harbour 7", "the crane of berth 12", "who keeps the light", "note 33")


class Counting(Silent):
    """Counts the chunks that were embedded and indexed."""

    def __init__(self) -> None:
        self.embedded = 0
        self.lock = threading.Lock()

    def stage(self, name: str, seconds: float, units: int) -> None:
        del seconds
        if name == "embed":
            with self.lock:
                self.embedded += units


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Services on a folder, and the calls made most."""

    services: Services
    admin: Principal
    counting: Counting

    def put(self, external_id: str, text: str) -> Accepted:
        content = text.encode()
        path = self.services.stage()
        path.write_bytes(content)
        upload = Upload(
            external_id=external_id, title=None, metadata=None, readers=None, filename="n.txt", media_type=None
        )
        staged = Staged(path=path, sha256=hashlib.sha256(content).hexdigest(), size_bytes=len(content))
        try:
            return self.services.add.add(self.admin, "default", upload, staged, idempotency_key=None)
        finally:
            path.unlink(missing_ok=True)

    def ended(self, job: Job | None) -> Job:
        assert job is not None
        deadline = time.monotonic() + 60
        while not (found := self.services.jobs.get(self.admin, job.id)[0]).state.final:
            assert time.monotonic() < deadline, found
            time.sleep(0.01)
        return found

    def search(self, query: str, limit: int = 10) -> SearchResult:
        return self.services.search(self.admin, SearchRequest(query=query, collections=["default"], limit=limit))

    def places(self, query: str) -> list[tuple[str | None, int, int, float]]:
        """What a search shows, in order."""
        return [
            (each.hit.document.external_id, each.hit.chunk.start, each.hit.chunk.end, round(each.fused.score, 9))
            for each in self.search(query).hits
        ]

    def answer(self, question: str) -> tuple[str, list[tuple[Any, ...]]]:
        """An answer's text and its citations."""
        answer = asking.last(self.services.ask, self.admin, Question(text=question, collections=("default",))).answer
        return answer.text, [(each.version_id, each.start, each.end, each.quote) for each in answer.citations]

    def index(self, role: IndexRole) -> Any:
        return next(each for each in self.services.reindex.indexes(self.admin, "default") if each.role is role)


@contextlib.contextmanager
def place(folder: pathlib.Path, **settings: Any) -> Iterator[Place]:
    counting = Counting()
    services = build(Settings(data_dir=folder, min_free_bytes=0, **settings), observer=counting)
    try:
        services.start()
        admin = services.keys.authenticate(services.admin_key_path.read_text().strip())
        yield Place(services=services, admin=admin, counting=counting)
    finally:
        services.stop()


def text_of(number: int) -> str:
    return f"Note {number} tells of harbour {number}.\n\nThe crane of berth {number} is kept by keeper {number % 7}."


def fill(made: Place, documents: int = DOCUMENTS) -> None:
    jobs = [made.put(f"n{number}", text_of(number)).job for number in range(documents)]
    for job in jobs:
        assert made.ended(job).state is JobState.COMPLETED


@pytest.fixture
def filled(tmp_path: pathlib.Path) -> Iterator[Place]:
    """A corpus that was built with the old model, opened with the new one."""
    with place(tmp_path / "data", embedder=OLD) as before:
        fill(before)
    with place(tmp_path / "data", embedder=NEW, other_embedders=(OLD,)) as made:
        yield made


def test_a_collection_of_another_model_answers_while_that_is_named(filled: Place) -> None:
    assert filled.search("harbour 7").hits
    assert filled.put("later", "A later note tells of harbour 99.").job is not None


def test_without_its_model_a_collection_says_what_to_do(tmp_path: pathlib.Path) -> None:
    with place(tmp_path / "data", embedder=OLD) as before:
        fill(before, 1)
    with place(tmp_path / "data", embedder=NEW) as made:
        with pytest.raises(FingerprintMismatchError, match="FOOTNOTE_OTHER_EMBEDDERS"):
            made.search("harbour")
        failed = made.ended(made.put("n1", "More words.").job)
    assert failed.error is not None
    assert "FOOTNOTE_OTHER_EMBEDDERS" in failed.error.message


def test_an_index_is_built_changed_over_to_and_gone_back_from(filled: Place) -> None:
    before = {query: filled.places(query) for query in QUERIES}
    said = filled.answer("Who keeps the crane of berth 12?")
    estimate = filled.services.reindex.estimate(filled.admin, "default")
    assert (estimate.versions, estimate.needed) == (DOCUMENTS, True)
    assert estimate.seconds > 0

    job = filled.ended(filled.services.reindex.start(filled.admin, "default"))
    assert job.state is JobState.COMPLETED, job
    building = filled.index(IndexRole.BUILDING)
    assert (building.versions, building.missing) == (DOCUMENTS, 0)
    assert {query: filled.places(query) for query in QUERIES} == before

    found = filled.services.compare(filled.admin, "default", building.index.id, QUERIES, limit=5)
    assert all(each.live and each.other for each in found)
    filled.services.reindex.activate(filled.admin, "default", building.index.id)
    assert filled.index(IndexRole.LIVE).index == building.index
    assert filled.places("harbour 7")
    assert {query: filled.places(query) for query in QUERIES} != before  # another model ranks otherwise

    standby = filled.index(IndexRole.STANDBY)
    filled.services.reindex.activate(filled.admin, "default", standby.index.id)
    assert {query: filled.places(query) for query in QUERIES} == before
    assert filled.answer("Who keeps the crane of berth 12?") == said


def test_what_is_uploaded_changed_or_deleted_meanwhile_is_so_in_both(filled: Place) -> None:
    filled.ended(filled.services.reindex.start(filled.admin, "default"))
    building = filled.index(IndexRole.BUILDING).index.id
    filled.ended(filled.put("fresh", "A fresh walrus note.").job)
    filled.ended(filled.put("n3", "Note 3 was written anew about a walrus.").job)
    document = filled.put("n4", text_of(4)).document
    filled.services.catalogue.change(filled.admin, document.id, Change(readers=["user:ann"]))
    gone = filled.put("n5", text_of(5)).document
    filled.ended(filled.services.remove.remove(filled.admin, gone.id))

    filled.services.reindex.activate(filled.admin, "default", building)

    assert {place[0] for place in filled.places("walrus")[:2]} == {"fresh", "n3"}
    assert "n5" not in {each[0] for each in filled.places("harbour 5")}
    everyone = dataclasses.replace(filled.admin, role=type(filled.admin.role).READER, user="bob")
    request = SearchRequest(query="harbour 4", collections=["default"], limit=60)
    assert "n4" not in {each.hit.document.external_id for each in filled.services.search(everyone, request).hits}
    ann = dataclasses.replace(everyone, user="ann")
    assert "n4" in {each.hit.document.external_id for each in filled.services.search(ann, request).hits}
    filled.services.purge.sweep()  # after the version that was replaced
    space = filled.index(IndexRole.LIVE).index.space
    indexed = sum(1 for _ in filled.services.vectors.points(space))
    assert indexed == filled.index(IndexRole.LIVE).chunks


def test_questions_see_one_index_or_the_other_and_never_none(filled: Place) -> None:
    old = filled.places("harbour 7")
    filled.ended(filled.services.reindex.start(filled.admin, "default"))
    building = filled.index(IndexRole.BUILDING).index.id
    seen: list[list[Any]] = []
    stop = threading.Event()

    def ask() -> None:
        while not stop.is_set():
            seen.append(filled.places("harbour 7"))

    askers = [threading.Thread(target=ask) for _ in range(3)]
    for each in askers:
        each.start()
    for _ in range(6):
        for role in (IndexRole.BUILDING, IndexRole.STANDBY):
            with contextlib.suppress(StopIteration):
                filled.services.reindex.activate(filled.admin, "default", filled.index(role).index.id)
                time.sleep(0.05)
    stop.set()
    for each in askers:
        each.join()
    filled.services.reindex.activate(filled.admin, "default", building)
    new = filled.places("harbour 7")
    assert seen
    assert all(each in (old, new) for each in seen)


def test_a_build_that_lacks_something_is_not_changed_over_to(filled: Place) -> None:
    filled.ended(filled.services.reindex.start(filled.admin, "default"))
    building = filled.index(IndexRole.BUILDING).index
    version = filled.search("harbour 7").hits[0].hit.chunk.version_id
    with filled.services.database.write() as work:
        work.chunks.remove([version], index_id=building.id)
        work.commit()

    with pytest.raises(ConflictError, match="not in this index yet"):
        filled.services.reindex.activate(filled.admin, "default", building.id)

    filled.ended(filled.services.reindex.start(filled.admin, "default"))
    assert filled.index(IndexRole.BUILDING).missing == 0
    filled.services.reindex.activate(filled.admin, "default", building.id)


def test_a_dropped_index_leaves_nothing(filled: Place) -> None:
    filled.ended(filled.services.reindex.start(filled.admin, "default"))
    building = filled.index(IndexRole.BUILDING).index
    assert sum(1 for _ in filled.services.vectors.points(building.space)) > 0
    with pytest.raises(ConflictError, match="answers"):
        filled.services.reindex.drop(filled.admin, "default", filled.index(IndexRole.LIVE).index.id)

    filled.services.reindex.drop(filled.admin, "default", building.id)
    dataclasses.replace(filled.services.purge, lease_seconds=0.0).sweep_indexes()

    assert sum(1 for _ in filled.services.vectors.points(building.space)) == 0
    with filled.services.database.read() as work:
        assert work.collections.index(building.id) is None
        assert not work.chunks.in_index(building.id, limit=1)
    with pytest.raises(NotFoundError):
        filled.services.reindex.activate(filled.admin, "default", building.id)
    assert filled.search("harbour 7").hits


def test_another_chunker_in_the_same_space(tmp_path: pathlib.Path) -> None:
    long = "\n\n".join(f"Paragraph {number} tells of the weather on day {number} at length." for number in range(200))
    with place(tmp_path / "data", embedder=OLD) as before:
        fill(before, 3)
        before.ended(before.put("long", long).job)
        chunks = before.index(IndexRole.LIVE).chunks
        was = before.places("weather on day 150")
    with place(tmp_path / "data", embedder=OLD, chunk_tokens=60) as made:
        made.ended(made.services.reindex.start(made.admin, "default"))
        building = made.index(IndexRole.BUILDING)
        assert building.chunks > chunks
        assert made.places("weather on day 150") == was
        made.services.reindex.activate(made.admin, "default", building.index.id)
        assert made.places("weather on day 150") != was
        made.ended(made.put("n1", "Changed in both of them.").job)
        document = made.put("long", long).document
        made.services.catalogue.change(made.admin, document.id, Change(readers=["user:ann"]))
        states = list(made.services.vectors.points(building.index.space))
        live, standby = (made.index(role).index.id for role in (IndexRole.LIVE, IndexRole.STANDBY))
        tags = {tag for each in states if each.version_id == document.live_version_id for tag in each.scope}
        assert {f"{live}/user:ann", f"{standby}/user:ann"} < tags
        by_index = [{tag.split("/")[0] for tag in each.scope} for each in states]
        assert all(len(each) == 1 for each in by_index)  # a point is of one index
        made.services.reindex.activate(made.admin, "default", standby)
        assert made.places("weather on day 150")[0][0] == "long"


def test_what_is_built_already_is_not_built_again_unless_forced(filled: Place) -> None:
    filled.ended(filled.services.reindex.start(filled.admin, "default"))
    filled.services.reindex.activate(filled.admin, "default", filled.index(IndexRole.BUILDING).index.id)

    with pytest.raises(ConflictError, match="already"):
        filled.services.reindex.start(filled.admin, "default")

    job = filled.ended(filled.services.reindex.start(filled.admin, "default", force=True))
    assert job.state is JobState.COMPLETED
    assert filled.index(IndexRole.BUILDING).missing == 0


def test_a_build_that_is_killed_goes_on_and_embeds_nothing_that_is_in_the_index(tmp_path: pathlib.Path) -> None:
    folder = tmp_path / "data"
    with place(folder, embedder=OLD) as before:
        fill(before, 10)
        for number in range(12):  # windows of a few seconds' work in all
            words = "\n\n".join(
                f"Sentence {each} of book {number} is about harbours and cranes." * 20 for each in range(300)
            )
            before.ended(before.put(f"book{number}", words).job)
    environment = {
        **os.environ,
        "FOOTNOTE_EMBEDDER": NEW,
        "FOOTNOTE_OTHER_EMBEDDERS": OLD,
        "FOOTNOTE_DATA_DIR": str(folder),
    }
    with (tmp_path / "log").open("ab") as log:
        service = subprocess.Popen(
            [sys.executable, "-m", "ingestion.cli", "serve", "--port", "0"], env=environment, stdout=log, stderr=log
        )
        try:
            _until((folder / "service.json").exists)
            started = subprocess.run(
                [sys.executable, "-m", "ingestion.cli", "reindex", "build", "default", "--yes", "--no-wait"],
                env=environment, capture_output=True, text=True, timeout=60, check=False,
            )  # fmt: skip
            assert started.returncode == 0, started.stderr
            time.sleep(0.5)
        finally:
            service.send_signal(signal.SIGKILL)
            service.wait(30)
    with place(folder, embedder=NEW, other_embedders=(OLD,)) as made:
        building = made.index(IndexRole.BUILDING).index
        held = made.counting.embedded  # what the start has begun already
        there = sum(1 for _ in made.services.vectors.points(building.space)) - held
        _until(lambda: made.index(IndexRole.BUILDING).missing == 0)
        chunks = made.index(IndexRole.BUILDING).chunks
        assert sum(1 for _ in made.services.vectors.points(building.space)) == chunks
        assert made.counting.embedded <= chunks - max(0, there)
        made.services.reindex.activate(made.admin, "default", building.id)
        assert made.places("harbours and cranes")


def _until(what: Any) -> None:
    deadline = time.monotonic() + 60
    while not what():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_of_two_tries_one_builds_and_none_where_nothing_is_to_be_built(filled: Place) -> None:
    filled.services.queue.quiet()  # nothing is worked on
    jobs, reindex = filled.services.jobs, filled.services.reindex
    first = reindex.start(filled.admin, "default")
    jobs.cancel(filled.admin, first.id)
    second = jobs.retry(filled.admin, first.id)
    with pytest.raises(ConflictError) as raised:
        jobs.retry(filled.admin, first.id)
    assert raised.value.code == "reindex_running"
    reindex.drop(filled.admin, "default", filled.index(IndexRole.BUILDING).index.id)
    assert jobs.get(filled.admin, second.id)[0].state is JobState.CANCELLED
    for job in (first, second):
        with pytest.raises(ConflictError) as raised:
            jobs.retry(filled.admin, job.id)
        assert raised.value.code == "nothing_to_retry"


def test_a_build_that_was_cancelled_is_tried_again(filled: Place) -> None:
    job = filled.services.reindex.start(filled.admin, "default")
    with contextlib.suppress(ConflictError):  # it may have ended
        filled.services.jobs.cancel(filled.admin, job.id)
        again = filled.ended(filled.services.jobs.retry(filled.admin, job.id))
        assert again.state is JobState.COMPLETED
    if filled.index(IndexRole.BUILDING).missing:
        filled.ended(filled.services.reindex.start(filled.admin, "default"))
    assert filled.index(IndexRole.BUILDING).missing == 0
