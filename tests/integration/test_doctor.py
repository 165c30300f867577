"""Drift of every kind, planted by hand, is found and repaired; what is right is not touched."""

from __future__ import annotations

import dataclasses
import datetime as dt
import sqlite3
import time
import uuid
from collections.abc import Callable
from typing import Any

import pytest

from app.domain.access import scope
from app.domain.documents import Indexed, Version, VersionState, chunk_ids, original_key
from app.domain.drift import DriftKind, DriftReport, Finding
from app.domain.filters import Comparison
from app.domain.ids import new_id
from app.domain.vectors import Point, Sparse
from tests.services.running import embedded_alone

Corpus = Any  # of conftest.py
TEXT = "The heron stands in the reeds.\n\nThe walrus sleeps on the ice."
OLD = uuid.UUID(int=(1_700_000_000_000 << 80) | (0x7 << 76) | (0b10 << 62) | 5)  # an id of 2023


def look(corpus: Corpus, *, repair: bool = False, deep: bool = False) -> tuple[list[Finding], DriftReport]:
    events = list(corpus.services.doctor(repair=repair, deep=deep))
    assert isinstance(events[-1], DriftReport)
    return [each for each in events if isinstance(each, Finding)], events[-1]


def found(corpus: Corpus, **how: bool) -> set[DriftKind]:
    return {each.kind for each in look(corpus, **how)[0]}


@pytest.fixture
def tidy(corpus: Corpus) -> Corpus:
    """A corpus whose work has ended and in which nothing is wrong."""
    for number in range(3):
        corpus.live(f"{TEXT} Number {number}.", external_id=f"d{number}", metadata={"year": 2000 + number})
    settle(corpus)
    findings, report = look(corpus, deep=True)
    assert findings == []
    assert report.left == 0
    return corpus


def settle(corpus: Corpus) -> None:
    """Wait until no work is under way."""
    deadline = time.monotonic() + 60
    while True:
        with corpus.services.database.read() as work:
            counts = work.jobs.counts()
        if not any(count for (_, state), count in counts.items() if not state.final):
            return
        assert time.monotonic() < deadline, counts
        time.sleep(0.02)


def version_of(corpus: Corpus, external_id: str) -> Version:
    with corpus.services.database.read() as work:
        collection = work.collections.by_name(corpus.admin.workspace_id, corpus.collection)
        document = work.documents.by_external_id(collection.id, external_id)
        return work.versions.many([document.live_version_id])[document.live_version_id]  # type: ignore[no-any-return]


def index_of(corpus: Corpus) -> Any:
    with corpus.services.database.read() as work:
        collection = work.collections.by_name(corpus.admin.workspace_id, corpus.collection)
        return work.collections.live_index(collection.id)


def state_of(corpus: Corpus) -> Any:
    """Everything that a repair could touch, in comparable form."""
    services = corpus.services
    index = index_of(corpus)
    with services.database.read() as work:
        documents = work.documents.in_collection(index.collection_id, after=None, limit=100)
        versions = work.versions.of_documents([each.id for each in documents])
        live = [each.live_version_id for each in documents if each.live_version_id]
        noted = work.chunks.indexed(live)
        chunks = [work.chunks.of_version(each, index.id, first=0, limit=1000) for each in live]
    ids = [one for (index_id, version), note in noted.items() for one in chunk_ids(index_id, version, note.chunks)]
    states = sorted(services.vectors.states(index.space, ids), key=lambda each: each.chunk_id)
    keys = sorted(key for each in versions.values() for one in each for key in (one.original_key, one.text_key))
    files = {key: _read(services, key) for key in keys}
    return documents, versions, noted, chunks, states, files


def _read(services: Any, key: str) -> bytes | None:
    try:
        with services.files.open(key) as stream:
            return stream.read()  # type: ignore[no-any-return]
    except Exception as error:  # noqa: BLE001 - any: the state is compared, not judged
        return repr(type(error)).encode()


def point(corpus: Corpus, chunk_id: uuid.UUID, version_id: uuid.UUID) -> Point:
    index = index_of(corpus)
    return Point(
        chunk_id=chunk_id, index_id=index.id, document_id=new_id(), version_id=version_id, scope=scope(index.id, ["*"]),
        metadata={}, dense=corpus.services.embedder.embed_query("heron"), sparse=Sparse(indices=(1,), values=(1.0,)),
    )  # fmt: skip


# Each plants one drift and says which kind it is.


def a_point_is_gone(corpus: Corpus) -> DriftKind:
    version, index = version_of(corpus, "d1"), index_of(corpus)
    corpus.services.vectors.delete_points(index.space, chunk_ids(index.id, version.id, 1))
    return DriftKind.POINT_MISSING


def all_points_of_a_version_are_gone(corpus: Corpus) -> DriftKind:
    version, index = version_of(corpus, "d1"), index_of(corpus)
    corpus.services.vectors.delete_versions(index.space, [version.id])
    return DriftKind.POINT_MISSING


def a_point_is_too_many(corpus: Corpus) -> DriftKind:
    corpus.services.vectors.upsert(index_of(corpus).space, [point(corpus, new_id(), new_id())])
    return DriftKind.POINT_ORPHANED


def a_live_version_has_a_point_too_many(corpus: Corpus) -> DriftKind:
    version, index = version_of(corpus, "d1"), index_of(corpus)
    extra = chunk_ids(index.id, version.id, 9)[-1]
    corpus.services.vectors.upsert(index.space, [point(corpus, extra, version.id)])
    return DriftKind.POINT_ORPHANED


def readers_are_altered_in_the_index(corpus: Corpus) -> DriftKind:
    version, index = version_of(corpus, "d1"), index_of(corpus)
    ids = chunk_ids(index.id, version.id, version.chunks or 0)
    corpus.services.vectors.set_access(index.space, ids, scope=scope(index.id, ["user:eve"]), metadata=version.metadata)
    return DriftKind.POINT_READERS_WRONG


def metadata_are_stale_in_the_index(corpus: Corpus) -> DriftKind:
    version, index = version_of(corpus, "d1"), index_of(corpus)
    ids = chunk_ids(index.id, version.id, version.chunks or 0)
    corpus.services.vectors.set_access(index.space, ids, scope=scope(index.id, ["*"]), metadata={"year": 1900})
    return DriftKind.POINT_METADATA_WRONG


def an_original_is_gone(corpus: Corpus) -> DriftKind:
    corpus.services.files.delete([version_of(corpus, "d1").original_key])
    return DriftKind.ORIGINAL_MISSING


def a_text_is_gone(corpus: Corpus) -> DriftKind:
    corpus.services.files.delete([version_of(corpus, "d1").text_key])
    return DriftKind.TEXT_MISSING


def a_text_is_damaged(corpus: Corpus) -> DriftKind:
    corpus.services.files.write_many({version_of(corpus, "d1").text_key: b"not a stored text"})
    return DriftKind.TEXT_DAMAGED


def an_original_is_damaged(corpus: Corpus) -> DriftKind:
    corpus.services.files.write_many({version_of(corpus, "d1").original_key: b"other bytes"})
    return DriftKind.ORIGINAL_DAMAGED


def a_file_is_of_nothing(corpus: Corpus) -> DriftKind:
    corpus.services.files.write_many({original_key(OLD): b"left behind"})
    return DriftKind.FILE_ORPHANED


def chunk_rows_are_gone(corpus: Corpus) -> DriftKind:
    version, index = version_of(corpus, "d1"), index_of(corpus)
    with corpus.services.database.write() as work:
        work.chunks.remove_by_id(chunk_ids(index.id, version.id, 1))
        work.commit()
    return DriftKind.CHUNK_MISSING


def an_index_knows_nothing_of_a_live_version(corpus: Corpus) -> DriftKind:
    version, index = version_of(corpus, "d1"), index_of(corpus)
    corpus.services.vectors.delete_versions(index.space, [version.id])
    with corpus.services.database.write() as work:
        work.chunks.remove([version.id], index_id=index.id)
        work.commit()
    return DriftKind.CHUNK_MISSING


def a_document_names_no_version(corpus: Corpus) -> DriftKind:
    version = version_of(corpus, "d1")
    with corpus.services.database.write() as work:
        document = work.documents.many([version.document_id])[version.document_id]
        work.documents.update(dataclasses.replace(document, live_version_id=new_id()))
        work.commit()
    return DriftKind.LIVE_VERSION_WRONG


def a_live_version_is_noted_as_hidden(corpus: Corpus) -> DriftKind:
    version = version_of(corpus, "d1")
    with corpus.services.database.write() as work:
        now = corpus.services.clock.now() + dt.timedelta(days=1)
        work.versions.hide([version.id], document_ids=[version.document_id], space="elsewhere", now=now)
        work.commit()
    return DriftKind.LIVE_VERSION_HIDDEN


def rows_for_conditions_are_wrong(corpus: Corpus) -> DriftKind:
    version = version_of(corpus, "d1")
    with corpus.services.database.write() as work:
        document = work.documents.many([version.document_id])[version.document_id]
        work.documents.update(dataclasses.replace(document, metadata={"year": 1}))
        work._connection.exec_driver_sql("UPDATE document SET metadata = '{\"year\": 2001}' WHERE external_id = 'd1'")
        work.commit()
    return DriftKind.CONDITIONS_WRONG


PLANTED: list[Callable[[Corpus], DriftKind]] = [
    a_point_is_gone,
    all_points_of_a_version_are_gone,
    a_point_is_too_many,
    a_live_version_has_a_point_too_many,
    readers_are_altered_in_the_index,
    metadata_are_stale_in_the_index,
    an_original_is_gone,
    a_text_is_gone,
    a_text_is_damaged,
    an_original_is_damaged,
    a_file_is_of_nothing,
    chunk_rows_are_gone,
    an_index_knows_nothing_of_a_live_version,
    a_document_names_no_version,
    a_live_version_is_noted_as_hidden,
    rows_for_conditions_are_wrong,
]


@pytest.mark.parametrize("plant", PLANTED, ids=lambda each: each.__name__)
def test_drift_is_found_and_repaired_and_the_rest_is_as_it_was(
    tidy: Corpus, plant: Callable[[Corpus], DriftKind]
) -> None:
    before = state_of(tidy)
    kind = plant(tidy)

    assert kind in found(tidy, deep=True)
    assert kind in found(tidy, deep=True)  # looking changes nothing
    _, report = look(tidy, repair=True, deep=True)

    assert report.left == 0
    settle(tidy)
    findings, after = look(tidy, deep=True)
    assert findings == []
    assert after.found == {}
    assert _without_times(state_of(tidy)) == _without_times(before)
    condition = Comparison(type="eq", key="year", value=2001)
    assert [hit.hit.document.external_id for hit in tidy.search("heron", condition=condition).hits][:1] == ["d1"]


def _without_times(state: Any) -> Any:
    documents, *rest = state
    return [dataclasses.replace(each, updated_at=each.created_at) for each in documents], *rest


def test_what_cannot_be_repaired_is_said_and_left(tidy: Corpus) -> None:
    tidy.live(b"\xff\xfe" + TEXT.encode("utf-16-le"), external_id="wide")
    settle(tidy)
    version = version_of(tidy, "wide")
    tidy.services.files.delete([version.original_key])

    findings, report = look(tidy, repair=True)

    assert [(each.kind, each.repaired) for each in findings] == [(DriftKind.ORIGINAL_MISSING, False)]
    assert report.left == 1
    assert "upload the document again" in findings[0].detail
    tidy.put("Something else.", external_id="wide")
    settle(tidy)
    tidy.services.remove.remove(tidy.admin, version.document_id)
    settle(tidy)
    assert look(tidy)[1].left == 0


def test_an_upload_that_nobody_works_on_and_a_delete_that_nobody_purges_get_their_jobs(tidy: Corpus) -> None:
    version = version_of(tidy, "d1")
    with tidy.services.database.write() as work:
        late = dataclasses.replace(version, id=new_id(), seq=2, state=VersionState.PENDING, chunks=None)
        work.versions.add(late)
        work.documents.mark_deleted([version_of(tidy, "d2").document_id], tidy.services.clock.now())
        work.commit()
    tidy.services.files.write_many({late.original_key: f"{TEXT} Number 1.".encode()})

    assert {DriftKind.VERSION_STUCK, DriftKind.PURGE_MISSING} <= found(tidy)
    look(tidy, repair=True)
    settle(tidy)

    assert look(tidy)[1].found == {}
    assert version_of(tidy, "d1").id == late.id
    assert {hit.hit.document.external_id for hit in tidy.search("heron").hits} == {"d0", "d1"}


def test_a_replaced_version_that_nobody_sweeps_is_swept(tidy: Corpus) -> None:
    old = version_of(tidy, "d1")
    with tidy.services.database.read() as work:
        note = work.chunks.indexed([old.id])
        chunks = work.chunks.of_version(old.id, index_of(tidy).id, first=0, limit=10)
    tidy.live("The otter swims.", external_id="d1")
    settle(tidy)
    tidy.services.purge.sweep()
    dataclasses.replace(tidy.services.purge, lease_seconds=-1.0).sweep()
    with tidy.services.database.write() as work:
        work.chunks.add([(old.document_id, each) for each in chunks])
        work.chunks.note_indexed([Indexed(**dataclasses.asdict(each)) for each in note.values()])
        work.commit()
    tidy.services.vectors.upsert(index_of(tidy).space, [point(tidy, each.id, old.id) for each in chunks])

    assert DriftKind.CHUNK_ORPHANED in found(tidy)
    look(tidy, repair=True)
    tidy.services.purge.sweep()

    assert look(tidy)[1].found == {}
    assert tidy.services.vectors.count(index_of(tidy).space, [old.id]) == 0


@embedded_alone
def test_rows_without_their_parent_are_deleted(tidy: Corpus) -> None:
    version = version_of(tidy, "d1")
    path = tidy.services.settings.data_dir / "footnote.db"
    with sqlite3.connect(path, timeout=30) as raw:
        raw.execute("PRAGMA foreign_keys=OFF")
        assert raw.execute("DELETE FROM document WHERE id = ?", (version.document_id.bytes,)).rowcount == 1
    raw.close()

    assert DriftKind.ROW_ORPHANED in found(tidy)
    look(tidy, repair=True)
    look(tidy, repair=True)  # points and files of the rows that are gone now

    left = found(tidy)
    assert left <= {DriftKind.FILE_ORPHANED}  # files are spared for an hour
    assert {hit.hit.document.external_id for hit in tidy.search("heron").hits} == {"d0", "d2"}


def test_a_look_while_everything_changes_finds_nothing(tidy: Corpus) -> None:
    for number in range(40):
        tidy.put(f"{TEXT} Again {number}.", external_id=f"d{number % 8}", metadata={"year": number})
        if number % 5 == 4:
            findings, _ = look(tidy)
            assert findings == []
        if number % 9 == 8:
            tidy.services.remove.remove(tidy.admin, version_owner(tidy, f"d{number % 8}"))
    settle(tidy)
    assert look(tidy, deep=True)[0] == []


def version_owner(corpus: Corpus, external_id: str) -> uuid.UUID:
    with corpus.services.database.read() as work:
        collection = work.collections.by_name(corpus.admin.workspace_id, corpus.collection)
        return work.documents.by_external_id(collection.id, external_id).id  # type: ignore[no-any-return]


def test_a_repair_that_is_cut_off_leaves_nothing_that_nobody_is_at(tidy: Corpus) -> None:
    for name in ("d0", "d1", "d2"):
        tidy.services.vectors.delete_versions(index_of(tidy).space, [version_of(tidy, name).id])
    looking = tidy.services.doctor(repair=True)
    for event in looking:
        if isinstance(event, Finding):
            assert (event.kind, event.repaired) == (DriftKind.POINT_MISSING, True)
            break
    looking.close()  # whoever asked has gone

    settle(tidy)
    missing = [each for each in look(tidy)[0] if each.kind is DriftKind.POINT_MISSING]
    assert len(missing) == 2
    look(tidy, repair=True)
    settle(tidy)
    assert look(tidy, deep=True)[0] == []
    assert {hit.hit.document.external_id for hit in tidy.search("heron").hits} == {"d0", "d1", "d2"}


def test_a_version_that_lacks_points_and_has_no_job_is_found(tidy: Corpus) -> None:
    version, index = version_of(tidy, "d1"), index_of(tidy)
    tidy.services.vectors.delete_versions(index.space, [version.id])
    with tidy.services.database.write() as work:
        note = work.chunks.indexed([version.id])[(index.id, version.id)]
        work.chunks.note_indexed([dataclasses.replace(note, whole=False)])
        work.commit()
    assert found(tidy) == {DriftKind.POINT_MISSING}
    look(tidy, repair=True)
    settle(tidy)
    assert look(tidy, deep=True)[0] == []


def test_an_original_that_was_lost_is_there_again_after_the_same_upload(tidy: Corpus) -> None:
    content = f"{TEXT} Number 1."
    version = version_of(tidy, "d1")
    tidy.services.files.delete([version.original_key])
    tidy.put(content, external_id="d1", metadata={"year": 2001})
    assert version_of(tidy, "d1").id == version.id
    with tidy.services.files.open(version.original_key) as stream:
        assert stream.read() == content.encode()
    assert look(tidy, deep=True)[0] == []
