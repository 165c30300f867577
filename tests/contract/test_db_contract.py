"""What every database must do, whichever it is."""

from __future__ import annotations

import concurrent.futures
import dataclasses
import datetime as dt
import pathlib
import threading
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import sqlalchemy as sa
from alembic import command
from alembic.config import Config

from app.db import migrate
from app.db.unit_of_work import SqlDatabase, SqlWork
from app.domain.access import EVERYONE, Key, Principal, Role, Workspace
from app.domain.answers import Answer, AnswerSentence, AnswerStatus, Citation, Notice
from app.domain.conversations import Conversation, Summary
from app.domain.documents import (
    Chunk,
    Collection,
    Deletion,
    Document,
    Fingerprints,
    Index,
    Indexed,
    Version,
    VersionState,
)
from app.domain.errors import ConflictError, FolderNewerError, NotFoundError, PartDownError, TransientError
from app.domain.filters import Comparison, Filter, Group, Membership, Scalar, matches
from app.domain.ids import made_at, new_id
from app.domain.jobs import Failure, Item, Job, JobKind, JobState, Stage, Warning_
from app.domain.models import ModelCall, Purpose, Usage, UsageBy, UsageLine
from app.domain.policies import OutputFormat, PersonalData, Policy, PolicyVersion, TemplateVersion, Unsupported
from app.domain.repositories import Database, LeaseProgress, Outcome
from tests.contract import filter_cases
from tests.services import running
from tests.services.proxy import Proxy

NOW = dt.datetime(2026, 3, 1, 12, 0, 0, 250, tzinfo=dt.UTC)
LATER = NOW + dt.timedelta(minutes=1)
A_DAY = dt.timedelta(days=1)
SPACE = "space"
BROKEN = Failure(code="unreadable_document", message="page 3 is not a page", retryable=False)


@pytest.fixture(scope="module")
def postgres() -> Iterator[str]:
    with running.database() as url:
        yield url


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.services)])
def database(request: pytest.FixtureRequest, tmp_path: pathlib.Path) -> Iterator[SqlDatabase]:
    url: str | pathlib.Path = tmp_path / "footnote.sqlite"
    if request.param == "postgresql":
        url = request.getfixturevalue("postgres")
        _empty(str(url))
    opened = SqlDatabase(url, pool_size=12, busy_timeout_seconds=20)
    opened.migrate()
    yield opened
    opened.close()


def _empty(url: str) -> None:
    engine = sa.create_engine(url)
    with engine.begin() as connection:
        connection.execute(sa.text("DROP SCHEMA public CASCADE"))
        connection.execute(sa.text("CREATE SCHEMA public"))
    engine.dispose()


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """A workspace with one collection."""

    workspace: Workspace
    collection: Collection
    index: Index

    def principal(self, *groups: str, role: Role = Role.READER) -> Principal:
        return Principal(workspace_id=self.workspace.id, key_id=None, role=role, groups=groups)


ADMIN = Role.ADMIN


def make_place(database: Database, name: str = "default") -> Place:
    workspace = Workspace(id=new_id(), name=name, created_at=NOW)
    collection, index = make_collection(workspace, "papers")
    with database.write() as work:
        work.workspaces.add(workspace)
        work.collections.add(collection, index)
        work.commit()
    return Place(workspace=workspace, collection=collection, index=index)


def make_collection(workspace: Workspace, name: str, *, chunker: str = "c1") -> tuple[Collection, Index]:
    collection_id, index_id = new_id(), new_id()
    collection = Collection(
        id=collection_id,
        workspace_id=workspace.id,
        name=name,
        description="",
        live_index_id=index_id,
        created_at=NOW,
        updated_at=NOW,
    )
    index = Index(
        id=index_id,
        workspace_id=workspace.id,
        collection_id=collection_id,
        fingerprints=Fingerprints(chunker=chunker, dense="d", sparse="s"),
        dimensions=384,
        created_at=NOW,
    )
    return collection, index


@pytest.fixture
def place(database: SqlDatabase) -> Place:
    return make_place(database)


def a_document(
    place: Place,
    external_id: str | None = None,
    *,
    metadata: Mapping[str, Scalar] | None = None,
    readers: Sequence[str] = (EVERYONE,),
) -> Document:
    return Document(
        id=new_id(),
        workspace_id=place.workspace.id,
        collection_id=place.collection.id,
        external_id=external_id,
        title="0",
        metadata=dict(metadata or {}),
        readers=tuple(readers),
        live_version_id=None,
        created_at=NOW,
        updated_at=NOW,
    )


def a_version(document: Document, seq: int = 1, *, size_bytes: int = 10) -> Version:
    return Version(
        id=new_id(),
        workspace_id=document.workspace_id,
        document_id=document.id,
        seq=seq,
        state=VersionState.PENDING,
        filename="a.txt",
        media_type="text/plain",
        sha256="0" * 64,
        size_bytes=size_bytes,
        loader="l1",
        title="t",
        metadata={"year": 2024},
        readers=(EVERYONE,),
        pages=None,
        text_chars=None,
        chunks=None,
        created_at=NOW,
    )


def some_chunks(place: Place, version: Version, count: int) -> list[Chunk]:
    return [
        Chunk(
            index_id=place.index.id,
            version_id=version.id,
            ordinal=ordinal,
            start=ordinal * 10,
            end=ordinal * 10 + 10,
            page=None if ordinal else 1,
            headings=("Über", "uns"),
            text=f"text {ordinal} 🙂",
        )
        for ordinal in range(count)
    ]


def a_live_document(database: Database, place: Place, chunks: int = 3) -> tuple[Document, Version, list[Chunk]]:
    document = a_document(place)
    version = dataclasses.replace(a_version(document), state=VersionState.LIVE, chunks=chunks)
    document = dataclasses.replace(document, live_version_id=version.id)
    cut = some_chunks(place, version, chunks)
    with database.write() as work:
        work.documents.add(document)
        work.versions.add(version)
        work.chunks.add([(document.id, each) for each in cut])
        work.commit()
    return document, version, cut


def a_job(place: Place, kind: JobKind = JobKind.INGEST, *, document_id: uuid.UUID | None = None) -> Job:
    return Job(
        id=new_id(),
        workspace_id=place.workspace.id,
        kind=kind,
        state=JobState.QUEUED,
        collection_id=place.collection.id,
        document_id=document_id,
        retry_of=None,
        total=0,
        done=0,
        failed=0,
        warnings=(),
        error=None,
        request_id="r1",
        created_at=NOW,
        started_at=None,
        finished_at=None,
    )


def an_item(job: Job, ordinal: int = 0, *, version_id: uuid.UUID | None = None, losses: int = 0) -> Item:
    return Item(
        id=new_id(),
        job_id=job.id,
        workspace_id=job.workspace_id,
        kind=job.kind,
        ordinal=ordinal,
        document_id=job.document_id,
        version_id=version_id,
        state=JobState.QUEUED,
        stage=Stage.LOAD,
        units_done=0,
        units_total=None,
        lease_owner=None,
        lease_expires_at=None,
        lease_token=0,
        failures=0,
        losses=losses,
        next_run_at=NOW,
        warnings=(),
        error=None,
    )


def queue_job(
    database: Database,
    place: Place,
    items: int,
    kind: JobKind = JobKind.BATCH,
    *,
    priority: int = 0,
    sealed: bool = True,
) -> tuple[Job, list[Item]]:
    job = a_job(place, kind)
    made = [an_item(job, ordinal) for ordinal in range(items)]
    with database.write() as work:
        work.jobs.add(job, sealed=sealed)
        work.jobs.add_items(made, priority=priority)
        work.commit()
    return job, made


def claim(database: Database, **changes: Any) -> list[Item]:
    arguments: dict[str, Any] = {
        "owner": "worker",
        "kinds": list(JobKind),
        "now": NOW,
        "lease_until": LATER,
        "limit": 10,
        "max_bytes": 1000,
    }
    with database.write() as work:
        items = work.jobs.claim(**(arguments | changes))
        work.commit()
    return items


def end(database: Database, items: Sequence[Item], state: JobState, **more: Any) -> list[Job]:
    """Finish claimed items and settle their jobs; gives those that ended."""
    with database.write() as work:
        outcomes = [Outcome(item_id=each.id, lease_token=each.lease_token, state=state, **more) for each in items]
        work.jobs.finish(outcomes, NOW)
        ended = work.jobs.settle([each.job_id for each in items], LATER)
        work.commit()
    return ended


# Migrations


def test_the_tables_are_those_that_the_code_declares(database: SqlDatabase) -> None:
    assert migrate.check(database._engines.writer) == []


def test_migrating_twice_is_migrating_once(database: SqlDatabase) -> None:
    database.migrate()

    assert migrate.check(database._engines.writer) == []


def back_to(database: SqlDatabase, revision: str) -> None:
    """The tables as an earlier version of Footnote left them, with what they hold."""
    with database._engines.writer.connect() as connection, connection.begin():
        config = Config()
        config.set_main_option("script_location", str(migrate.FOLDER))
        config.attributes["connection"] = connection
        command.downgrade(config, revision)


@pytest.mark.parametrize("revision", migrate.REVISIONS[:-1])
def test_from_every_earlier_revision_what_is_there_goes_on(database: SqlDatabase, place: Place, revision: str) -> None:
    document, version, chunks = a_live_document(database, place, 3)
    late = dataclasses.replace(a_version(document, seq=2), chunks=7)
    _, batch = queue_job(database, place, 2)
    _, purge = queue_job(database, place, 1, JobKind.PURGE)
    cut = dataclasses.replace(batch[0], id=new_id(), ordinal=9, version_id=late.id, stage=Stage.INDEX)
    with database.write() as work:
        work.versions.add(late)
        work.versions.hide([late.id], document_ids=[document.id], space=SPACE, now=NOW)
        work.jobs.add_items([cut], priority=50)
        for one, whole in ((version, True), (late, False)):
            note = Indexed(index_id=place.index.id, version_id=one.id, chunks=one.chunks or 0, whole=whole)
            work.chunks.note_indexed([note])
        work.commit()
    back_to(database, revision)

    database.migrate()

    assert migrate.check(database._engines.writer) == []
    assert [each.id for each in claim(database, kinds=[JobKind.PURGE, JobKind.REFRESH])] == [purge[0].id]
    assert [each.id for each in claim(database)] == [each.id for each in batch]
    with database.read() as work:
        assert work.documents.get(place.workspace.id, document.id) == document
        assert work.versions.hidden_ids(SPACE, limit=9) == [late.id]
        hits = work.chunks.hits(place.workspace.id, [each.id for each in chunks])
        assert all(hit.live for hit in hits.values())
        assert len(hits) == 3
        noted = work.chunks.indexed([version.id, late.id])
    live, pending = noted[place.index.id, version.id], noted[place.index.id, late.id]
    assert (live.whole, pending.chunks, pending.whole) == (True, 7, False)


def test_a_database_of_a_newer_version_is_refused(database: SqlDatabase) -> None:
    with database._engines.writer.begin() as connection:
        connection.execute(sa.text("UPDATE alembic_version SET version_num = '9999'"))

    with pytest.raises(FolderNewerError, match="9999"):
        database.migrate()


# Units of work


def test_what_is_not_committed_is_undone(database: SqlDatabase, place: Place) -> None:
    document = a_document(place)

    with database.write() as work:
        work.documents.add(document)

    with database.read() as work:
        assert work.documents.get(place.workspace.id, document.id) is None


def test_an_error_undoes_the_unit(database: SqlDatabase, place: Place) -> None:
    document = a_document(place)

    def add_and_fail() -> None:
        with database.write() as work:
            work.documents.add(document)
            raise KeyError

    with pytest.raises(KeyError):
        add_and_fail()

    with database.read() as work:
        assert work.documents.get(place.workspace.id, document.id) is None


def test_a_reading_unit_sees_one_state_and_waits_for_no_writer(database: SqlDatabase, place: Place) -> None:
    document = a_document(place)
    with database.read() as reading:
        assert reading.documents.get(place.workspace.id, document.id) is None
        with database.write() as work:
            work.documents.add(document)
            work.commit()
        assert reading.documents.get(place.workspace.id, document.id) is None

    with database.read() as work:
        assert work.documents.get(place.workspace.id, document.id) == document


def test_no_update_is_lost_between_reading_and_writing(database: SqlDatabase, place: Place) -> None:
    document = a_document(place)
    with database.write() as work:
        work.documents.add(document)
        work.commit()

    def count_up(_: int) -> None:
        for _round in range(50):
            with database.write() as work:
                seen = work.documents.get(place.workspace.id, document.id)
                assert seen is not None
                work.documents.update(dataclasses.replace(seen, title=str(int(seen.title) + 1)))
                work.commit()

    with ThreadPoolExecutor(8) as threads:
        list(threads.map(count_up, range(8)))

    with database.read() as work:
        counted = work.documents.get(place.workspace.id, document.id)
    assert counted is not None
    assert counted.title == "400"


def test_a_row_needs_what_it_belongs_to(database: SqlDatabase, place: Place) -> None:
    orphan = dataclasses.replace(a_document(place), collection_id=new_id())

    with pytest.raises(ConflictError), database.write() as work:
        work.documents.add(orphan)


# Workspaces and keys


def test_workspaces_are_found_by_id_and_name_and_in_pages(database: SqlDatabase) -> None:
    places = [make_place(database, name) for name in ("a", "b", "c")]

    with database.read() as work:
        assert work.workspaces.get(places[0].workspace.id) == places[0].workspace
        assert work.workspaces.by_name("b") == places[1].workspace
        first = work.workspaces.page(after=None, limit=2)
        rest = work.workspaces.page(after=first[-1].id, limit=2)

    assert [each.name for each in (*first, *rest)] == ["a", "b", "c"]


def test_a_taken_workspace_name_is_a_conflict_and_the_unit_goes_no_further(database: SqlDatabase, place: Place) -> None:
    with pytest.raises(ConflictError, match="'default'"), database.write() as work:
        work.workspaces.add(Workspace(id=new_id(), name=place.workspace.name, created_at=NOW))


def test_a_workspace_goes_only_when_it_holds_no_collection(database: SqlDatabase, place: Place) -> None:
    queue_job(database, place, 1)
    with pytest.raises(ConflictError, match="collection"), database.write() as work:
        work.workspaces.remove(place.workspace.id)

    with database.write() as work:
        work.collections.mark_deleted(place.workspace.id, place.collection.id, NOW)
        work.workspaces.remove(place.workspace.id)
        work.commit()

    with database.read() as work:
        assert work.workspaces.get(place.workspace.id) is None
        assert work.jobs.counts() == {}


def a_key(place: Place, secret_hash: str, *, expires_at: dt.datetime | None = None) -> Key:
    return Key(
        id=new_id(),
        workspace_id=place.workspace.id,
        name="laptop",
        prefix="fn_abc",
        secret_hash=secret_hash,
        role=Role.EDITOR,
        user="ann",
        groups=("staff", "law"),
        created_at=NOW,
        expires_at=expires_at,
        revoked_at=None,
    )


def test_a_key_is_found_by_its_hash_until_and_after_it_is_revoked(database: SqlDatabase, place: Place) -> None:
    key, expired = a_key(place, "h1"), a_key(place, "h2", expires_at=NOW)
    with database.write() as work:
        work.keys.add(key)
        work.keys.add(expired)
        assert work.keys.by_secret_hash("h1") == key
        assert work.keys.revoke(place.workspace.id, key.id, LATER)
        assert not work.keys.revoke(place.workspace.id, key.id, LATER)
        assert not work.keys.revoke(place.workspace.id, expired.id, LATER)
        assert not work.keys.revoke(new_id(), key.id, LATER)
        work.commit()

    with database.read() as work:
        assert work.keys.by_secret_hash("h1") == dataclasses.replace(key, revoked_at=LATER)
        assert [each.id for each in work.keys.page(place.workspace.id, after=key.id, limit=5)] == [expired.id]
        assert work.keys.get(new_id(), key.id) is None


# Collections


def test_a_collection_comes_back_as_it_went_in(database: SqlDatabase, place: Place) -> None:
    with database.read() as work:
        assert work.collections.get(place.workspace.id, place.collection.id) == place.collection
        assert work.collections.by_name(place.workspace.id, "papers") == place.collection
        assert work.collections.named(place.workspace.id, ["papers", "unknown"]) == [(place.collection, place.index)]
        assert work.collections.named(place.workspace.id, None) == [(place.collection, place.index)]
        assert work.collections.named(place.workspace.id, []) == []
        assert work.collections.index(place.index.id) == place.index
        assert work.collections.get(new_id(), place.collection.id) is None


def test_a_collections_name_is_taken_until_it_is_deleted(database: SqlDatabase, place: Place) -> None:
    with pytest.raises(ConflictError, match="'papers'"), database.write() as work:
        work.collections.add(*make_collection(place.workspace, "papers"))
    other, index = make_collection(place.workspace, "letters")
    with database.write() as work:
        work.collections.add(other, index)
        work.commit()
    with pytest.raises(ConflictError, match="'papers'"), database.write() as work:
        work.collections.update(dataclasses.replace(other, name="papers"))

    with database.write() as work:
        work.collections.mark_deleted(place.workspace.id, place.collection.id, NOW)
        work.collections.update(dataclasses.replace(other, name="papers"))
        work.commit()

    with database.read() as work:
        assert [each.id for each in work.collections.page(place.workspace.id, after=None, limit=9)] == [other.id]
        assert work.collections.live_index(place.collection.id) == place.index


def test_each_space_is_listed_once(database: SqlDatabase, place: Place) -> None:
    with database.write() as work:
        work.collections.add(*make_collection(place.workspace, "other", chunker="c2"))
        work.commit()

    with database.read() as work:
        assert work.collections.spaces() == [(place.index.fingerprints, 384)]


# Documents


def test_a_document_comes_back_as_it_went_in(database: SqlDatabase, place: Place) -> None:
    metadata: dict[str, Scalar] = {"a": "x", "n": 2**70, "f": 0.1, "i": 1, "b": True}
    document = a_document(place, "notes/ä.txt", metadata=metadata, readers=("group:law", "user:ann"))
    with database.write() as work:
        work.documents.add(document)
        work.commit()

    with database.read() as work:
        found = work.documents.by_external_id(place.collection.id, "notes/ä.txt")
        assert found == document == work.documents.get(place.workspace.id, document.id)
        assert [type(value) for value in found.metadata.values()] == [str, int, float, int, bool]
        assert work.documents.get(new_id(), document.id) is None


def test_an_external_id_is_free_again_once_its_document_is_deleted(database: SqlDatabase, place: Place) -> None:
    first, second = a_document(place, "a"), a_document(place, "a")
    with database.write() as work:
        work.documents.add(first)
        work.documents.add(a_document(place))
        work.documents.add(a_document(place))  # without an external id nothing is taken
        work.commit()
    with pytest.raises(ConflictError, match="'a'"), database.write() as work:
        work.documents.add(second)

    with database.write() as work:
        work.documents.mark_deleted([first.id], NOW)
        work.documents.add(second)
        work.commit()

    with database.read() as work:
        assert work.documents.by_external_id(place.collection.id, "a") == second
        assert work.documents.get(place.workspace.id, first.id) is None
        gone = work.documents.deleted(place.workspace.id, first.id)
        assert gone is not None
        assert gone.deleted_at == NOW
        assert work.documents.deleted(place.workspace.id, second.id) is None
        assert work.collections.count_documents([place.collection.id]) == {place.collection.id: 3}


def test_documents_of_a_deleted_collection_are_seen_by_its_purge_only(database: SqlDatabase, place: Place) -> None:
    document = a_document(place, "a")
    with database.write() as work:
        work.documents.add(document)
        work.collections.mark_deleted(place.workspace.id, place.collection.id, NOW)
        work.commit()

    with database.read() as work:
        assert work.documents.get(place.workspace.id, document.id) is None
        assert work.documents.by_external_id(place.collection.id, "a") is None
        assert page_of(work, place.principal(role=ADMIN)) == []
        assert work.documents.in_collection(place.collection.id, after=None, limit=5) == [document]
        assert work.documents.in_collection(place.collection.id, after=document.id, limit=5) == []


def page_of(work: SqlWork, principal: Principal, condition: Filter | None = None) -> list[Document]:
    return work.documents.page(principal, collection_id=None, condition=condition, after=None, limit=1000)


def test_a_page_shows_what_the_caller_may_read(database: SqlDatabase, place: Place) -> None:
    everyone = a_document(place)
    law = a_document(place, readers=("group:law", "user:ann"))
    nobody = a_document(place, readers=())
    with database.write() as work:
        for document in (everyone, law, nobody):
            work.documents.add(document)
        work.commit()

    with database.read() as work:
        assert page_of(work, place.principal()) == [everyone]
        assert page_of(work, place.principal("law", "staff")) == [everyone, law]
        assert page_of(work, place.principal(role=Role.EDITOR)) == [everyone]
        assert page_of(work, place.principal(role=ADMIN)) == [everyone, law, nobody]
        elsewhere = new_id()
        counts = work.documents.count_readable(place.principal("law"), [place.collection.id, elsewhere])
        assert counts == {place.collection.id: 2, elsewhere: 0}


def test_changed_readers_and_metadata_count_from_the_commit_on(database: SqlDatabase, place: Place) -> None:
    document = a_document(place, metadata={"flag": 1})
    yes = Comparison(type="eq", key="flag", value=True)
    with database.write() as work:
        work.documents.add(document)
        assert page_of(work, place.principal(), yes) == []
        changed = dataclasses.replace(document, readers=("group:law",), metadata={"flag": True})
        work.documents.update(changed)
        work.commit()

    with database.read() as work:
        assert page_of(work, place.principal()) == []
        assert page_of(work, place.principal("law"), yes) == [changed]


def test_pages_follow_each_other_in_order_of_creation(database: SqlDatabase, place: Place) -> None:
    documents = [a_document(place) for _ in range(7)]
    with database.write() as work:
        for document in reversed(documents):
            work.documents.add(document)
        work.commit()

    seen: list[Document] = []
    with database.read() as work:
        while page := work.documents.page(
            place.principal(),
            collection_id=place.collection.id,
            condition=None,
            after=seen[-1].id if seen else None,
            limit=3,
        ):
            seen += page

    assert seen == documents


METADATA: list[dict[str, Scalar]] = [
    {},
    {"k": "a"},
    {"k": "A"},
    {"k": ""},
    {"k": "Z" * 512},
    {"k": "é"},
    {"k": "e\u0301"},
    {"k": "\uffff"},
    {"k": "🙂"},
    {"k": "true"},
    {"k": "1"},
    {"k": "%_'\""},
    {"k": True},
    {"k": False},
    {"k": 0},
    {"k": -0.0},
    {"k": 1},
    {"k": 1.0},
    {"k": 0.1},
    {"k": 0.3},
    {"k": 0.1 + 0.2},
    {"k": -0.1},
    {"k": -1},
    {"k": -10},
    {"k": -11},
    {"k": 10},
    {"k": 9},
    {"k": 2**53},
    {"k": 2**53 + 1},
    {"k": float(2**53)},
    {"k": 2**63},
    {"k": 2**64 + 1},
    {"k": -(2**64) - 1},
    {"k": -(2.0**64)},
    {"k": 1e308},
    {"k": 5e-324},
    {"k": -5e-324},
    {"other": "a"},
]
VALUES: list[Scalar] = [value for each in METADATA for key, value in each.items() if key == "k"]


def conditions() -> list[Filter]:
    plain: list[Filter] = [
        Comparison(type=kind, key="k", value=value)
        for value in VALUES
        for kind in ("eq", "ne", "gt", "gte", "lt", "lte")
        if kind in ("eq", "ne") or not isinstance(value, bool)
    ]
    mixed = Membership(type="in", key="k", values=("a", 1, True, 2**53 + 1))
    none_of = Membership(type="nin", key="k", values=("a", 1, True, 2**53 + 1))
    above, below = Comparison(type="gt", key="k", value=-1), Comparison(type="lt", key="k", value="b")
    groups = [Group(type="or", filters=(above, below)), Group(type="and", filters=(above, none_of))]
    nested = Group(type="and", filters=(groups[0], Group(type="or", filters=(none_of, below))))
    return [*plain, mixed, none_of, *groups, nested, Comparison(type="ne", key="absent", value=1)]


def test_sql_filters_as_the_reference_does(database: SqlDatabase, place: Place) -> None:
    documents = [a_document(place, metadata=metadata) for metadata in METADATA]
    with database.write() as work:
        for document in documents:
            work.documents.add(document)
        work.commit()

    with database.read() as work:
        for condition in conditions():
            found = [each.metadata for each in page_of(work, place.principal(), condition)]
            assert found == [each for each in METADATA if matches(condition, each)], condition


def test_sql_filters_the_shared_cases_as_every_index_does(database: SqlDatabase, place: Place) -> None:
    names = {}
    with database.write() as work:
        for name, metadata in filter_cases.DOCUMENTS.items():
            document = a_document(place, metadata=metadata)
            names[document.id] = name
            work.documents.add(document)
        work.commit()

    with database.read() as work:
        for condition in filter_cases.FILTERS:
            found = {names[each.id] for each in page_of(work, place.principal(), condition)}
            assert found == filter_cases.expected(condition), condition


def test_removing_a_deleted_document_takes_all_that_hangs_on_it(database: SqlDatabase, place: Place) -> None:
    document, version, chunks = a_live_document(database, place)
    with database.write() as work:
        work.versions.add(a_version(document, seq=2))
        assert work.documents.remove([document.id]) == {}  # not deleted
        work.documents.mark_deleted([document.id], NOW)
        assert work.documents.remove([document.id, new_id()]) == {document.id: 3}
        work.commit()

    with database.read() as work:
        assert work.versions.of_document(document.id) == []
        assert work.chunks.count(version.id, place.index.id) == 0
        assert work.chunks.hits(place.workspace.id, [each.id for each in chunks]) == {}


def test_updating_what_is_gone_says_so(database: SqlDatabase, place: Place) -> None:
    with database.write() as work, pytest.raises(NotFoundError):
        work.documents.update(a_document(place))


# Versions


def test_a_version_comes_back_as_it_went_in_and_as_it_was_changed(database: SqlDatabase, place: Place) -> None:
    document = a_document(place)
    first, second = a_version(document), a_version(document, seq=2)
    with database.write() as work:
        work.documents.add(document)
        work.versions.add(first)
        work.versions.add(second)
        changed = dataclasses.replace(
            first, state=VersionState.LIVE, title="n", metadata={}, readers=(), pages=3, text_chars=9, chunks=2
        )
        work.versions.update(changed)
        work.commit()

    with database.read() as work:
        assert work.versions.of_document(document.id) == [second, changed]
        assert work.versions.get(place.workspace.id, first.id) == changed
        assert work.versions.many([first.id, new_id()]) == {first.id: changed}
        assert work.chunks.total() == 2
    with pytest.raises(ConflictError, match="version 2"), database.write() as work:
        work.versions.add(a_version(document, seq=2))


def test_a_removed_version_leaves_no_chunk_and_answers_no_more(database: SqlDatabase, place: Place) -> None:
    document, version, _ = a_live_document(database, place)
    with database.write() as work:
        work.versions.remove(version.id)
        work.commit()

    with database.read() as work:
        assert work.versions.get(place.workspace.id, version.id) is None
        assert work.chunks.count(version.id, place.index.id) == 0
        left = work.documents.get(place.workspace.id, document.id)
        assert left is not None
        assert left.live_version_id is None


def test_hidden_versions_are_listed_until_swept_or_live(database: SqlDatabase, place: Place) -> None:
    document = a_document(place)
    pending, failed = a_version(document), dataclasses.replace(a_version(document, seq=2), state=VersionState.FAILED)
    removed = new_id()
    with database.write() as work:
        work.documents.add(document)
        work.versions.add(pending)
        work.versions.add(failed)
        work.versions.hide([pending.id], document_ids=[document.id], space=SPACE, now=NOW)
        work.versions.hide([failed.id, removed], document_ids=[document.id] * 2, space=SPACE, now=LATER)
        work.versions.hide([new_id()], document_ids=[new_id()], space="another", now=LATER)
        assert work.versions.hidden_ids(SPACE, limit=9) == [removed, failed.id, pending.id]
        assert work.versions.hidden_ids(SPACE, limit=1) == [removed]
        due = {note.version_id for note in work.versions.hidden_for_sweep(swept_before=NOW, limit=9)}
        assert {failed.id, removed} < due
        assert pending.id not in due

        work.versions.swept(work.versions.hidden_of([removed]), now=NOW, forget=False)
        assert work.versions.hidden_ids(SPACE, limit=9) == [failed.id, pending.id]
        assert removed not in {each.version_id for each in work.versions.hidden_for_sweep(swept_before=NOW, limit=9)}
        assert removed in {each.version_id for each in work.versions.hidden_for_sweep(swept_before=LATER, limit=9)}
        work.versions.hide([removed], document_ids=[document.id], space=SPACE, now=LATER)  # points were written again
        assert removed in work.versions.hidden_ids(SPACE, limit=9)
        work.versions.swept(work.versions.hidden_of([removed]), now=LATER, forget=True)
        work.versions.unhide([pending.id])
        assert work.versions.hidden_of([removed, pending.id]) == []
        (note,) = work.versions.hidden_of([failed.id])
        assert (note.space, note.document_id, note.swept_at) == (SPACE, document.id, None)
        work.commit()


# Chunks


def test_chunks_come_back_as_they_went_in_and_twice_is_once(database: SqlDatabase, place: Place) -> None:
    document, version, chunks = a_live_document(database, place, 5)
    with database.write() as work:
        work.chunks.add([(document.id, each) for each in chunks])
        work.commit()

    with database.read() as work:
        assert work.chunks.of_version(version.id, place.index.id, first=0, limit=9) == chunks
        assert work.chunks.of_version(version.id, place.index.id, first=2, limit=2) == chunks[2:4]
        assert work.chunks.count(version.id, place.index.id) == 5
    with database.write() as work:
        assert work.chunks.remove([version.id], index_id=new_id()) == 0
        assert work.chunks.remove([version.id]) == 5


def test_hits_say_which_chunks_are_live(database: SqlDatabase, place: Place) -> None:
    document, _, chunks = a_live_document(database, place, 700)
    ids = [each.id for each in chunks]
    with database.write() as work:
        old = dataclasses.replace(a_version(document, seq=2), state=VersionState.SUPERSEDED)
        work.versions.add(old)
        stale = some_chunks(place, old, 1)
        work.chunks.add([(document.id, each) for each in stale])
        work.commit()

    with database.read() as work:
        hits = work.chunks.hits(place.workspace.id, [*ids, stale[0].id, new_id()])
        assert set(hits) == {*ids, stale[0].id}
        assert [hits[each.id].chunk for each in chunks] == chunks
        assert all(hits[each].live for each in ids)
        assert not hits[stale[0].id].live
        assert hits[ids[0]].document == document
        assert work.chunks.hits(new_id(), ids) == {}


@pytest.mark.parametrize("what", ["document", "collection", "version"])
def test_a_hit_is_not_live_once_its_source_is_gone(database: SqlDatabase, place: Place, what: str) -> None:
    document, _, chunks = a_live_document(database, place)
    with database.write() as work:
        if what == "document":
            work.documents.mark_deleted([document.id], NOW)
        elif what == "collection":
            work.collections.mark_deleted(place.workspace.id, place.collection.id, NOW)
        else:
            work.documents.update(dataclasses.replace(document, live_version_id=None))
        work.commit()

    with database.read() as work:
        (hit,) = work.chunks.hits(place.workspace.id, [chunks[0].id]).values()
    assert not hit.live


# Who gets which item


def test_of_ten_workers_one_gets_each_item(database: SqlDatabase, place: Place) -> None:
    _, items = queue_job(database, place, 60)
    start = threading.Barrier(10)

    def work_on(number: int) -> list[uuid.UUID]:
        mine: list[uuid.UUID] = []
        start.wait()
        misses = 0
        while misses < 2:  # a worker may find all of them in the hands of others
            got = claim(database, owner=f"worker {number}", limit=3)
            mine += [each.id for each in got]
            misses += not got
        return mine

    with ThreadPoolExecutor(10) as threads:
        claimed = [each for mine in threads.map(work_on, range(10)) for each in mine]

    assert sorted(claimed) == sorted(each.id for each in items)


def test_a_claim_leases_items_and_their_job_runs(database: SqlDatabase, place: Place) -> None:
    job, items = queue_job(database, place, 3)

    claimed = claim(database, limit=2)

    assert [each.id for each in claimed] == [each.id for each in items[:2]]
    with database.read() as work:
        assert work.jobs.items(job.id, state=JobState.RUNNING, after_ordinal=None, limit=9) == claimed
        running = work.jobs.get(place.workspace.id, job.id)
    assert running == dataclasses.replace(job, state=JobState.RUNNING, total=3, started_at=NOW)
    assert {(each.lease_owner, each.lease_expires_at, each.lease_token) for each in claimed} == {("worker", LATER, 1)}


def test_the_urgent_and_the_old_are_claimed_first(database: SqlDatabase, place: Place) -> None:
    _, old = queue_job(database, place, 2, priority=10)
    _, urgent = queue_job(database, place, 1, priority=0)
    _, young = queue_job(database, place, 1, priority=10)

    claims = [claim(database) for _ in range(2)]

    assert [[each.id for each in items] for items in claims] == [
        [urgent[0].id],
        [each.id for each in (*old, *young)],
    ]


def test_workspaces_take_turns(database: SqlDatabase, place: Place) -> None:
    second, third = make_place(database, "second"), make_place(database, "third")
    _, many = queue_job(database, place, 40)
    _, few = queue_job(database, second, 3)
    _, last = queue_job(database, third, 1)

    claims = [claim(database, limit=2) for _ in range(6)]

    assert [[each.id for each in items] for items in claims] == [
        [each.id for each in many[:2]],
        [each.id for each in few[:2]],
        [last[0].id],
        [each.id for each in many[2:4]],
        [few[2].id],
        [each.id for each in many[4:6]],
    ]


def test_a_turn_is_of_those_who_wait_for_the_same_and_the_urgent_need_none(database: SqlDatabase, place: Place) -> None:
    other = make_place(database, "other")
    queue_job(database, place, 4, priority=10)
    queue_job(database, other, 4, priority=10)
    _, purges = queue_job(database, place, 1, JobKind.PURGE)

    assert claim(database, kinds=[JobKind.BATCH], limit=1)[0].workspace_id == place.workspace.id
    assert [each.id for each in claim(database, kinds=[JobKind.PURGE])] == [purges[0].id]
    _, urgent = queue_job(database, place, 1, priority=0)
    assert [each.id for each in claim(database, limit=1)] == [urgent[0].id]
    assert [claim(database, limit=1)[0].workspace_id for _ in range(3)] == [
        other.workspace.id,
        place.workspace.id,
        other.workspace.id,
    ]


def test_a_workspace_alone_has_every_turn(database: SqlDatabase, place: Place) -> None:
    make_place(database, "idle")
    _, items = queue_job(database, place, 6)

    claimed = [each for _ in range(3) for each in claim(database, limit=2)]

    assert [each.id for each in claimed] == [each.id for each in items]


def test_one_whose_items_wait_for_their_time_has_no_turn(database: SqlDatabase, place: Place) -> None:
    job = a_job(place)
    with database.write() as work:
        work.jobs.add(job)
        work.jobs.add_items([dataclasses.replace(an_item(job, n), next_run_at=LATER) for n in range(3)], priority=0)
        work.commit()
    _, elsewhere = queue_job(database, make_place(database, "other"), 1, priority=10)

    assert [each.id for each in claim(database)] == [elsewhere[0].id]
    assert claim(database) == []


def test_something_more_urgent_is_seen_once_it_has_waited(database: SqlDatabase, place: Place) -> None:
    queue_job(database, place, 1, priority=10)
    (running,) = claim(database)
    kinds = [JobKind.INGEST, JobKind.BATCH]

    def outranked(*, due: dt.datetime) -> bool:
        with database.read() as work:
            return work.jobs.is_outranked(running.id, kinds, due=due)

    queue_job(database, place, 1, priority=10)
    queue_job(database, place, 1, JobKind.PURGE, priority=0)
    assert not outranked(due=LATER)
    queue_job(database, make_place(database, "other"), 1, priority=0)
    assert outranked(due=NOW)
    assert not outranked(due=NOW - dt.timedelta(seconds=1))


def test_a_claim_keeps_to_one_workspace_and_one_kind_of_work(database: SqlDatabase, place: Place) -> None:
    _, first = queue_job(database, place, 1, JobKind.INGEST)
    _, purge = queue_job(database, place, 1, JobKind.PURGE)
    _, elsewhere = queue_job(database, make_place(database, "other"), 1)
    _, batch = queue_job(database, place, 1, JobKind.BATCH)

    claims = [claim(database) for _ in range(4)]

    assert [[each.id for each in items] for items in claims] == [
        [first[0].id, batch[0].id],
        [purge[0].id],
        [elsewhere[0].id],
        [],
    ]


def test_a_claim_takes_only_kinds_that_were_asked_for(database: SqlDatabase, place: Place) -> None:
    queue_job(database, place, 1, JobKind.INGEST)
    _, batch = queue_job(database, place, 1, JobKind.BATCH)

    assert [each.id for each in claim(database, kinds=[JobKind.BATCH])] == [batch[0].id]
    assert claim(database, kinds=[JobKind.PURGE]) == []


def test_a_claim_takes_what_fits_and_always_one(database: SqlDatabase, place: Place) -> None:
    job = a_job(place)
    with database.write() as work:
        work.jobs.add(job)
        for ordinal, size_bytes in enumerate((5000, 600, 300, 200)):
            document = a_document(place)
            version = a_version(document, size_bytes=size_bytes)
            work.documents.add(document)
            work.versions.add(version)
            work.jobs.add_items([an_item(job, ordinal, version_id=version.id)], priority=0)
        work.commit()

    claims = [claim(database, max_bytes=1000) for _ in range(3)]

    assert [[each.ordinal for each in items] for items in claims] == [[0], [1, 2], [3]]


def test_an_item_lost_twice_runs_alone(database: SqlDatabase, place: Place) -> None:
    job = a_job(place)
    items = [an_item(job, ordinal, losses=losses) for ordinal, losses in enumerate((0, 2, 1, 3))]
    with database.write() as work:
        work.jobs.add(job)
        work.jobs.add_items(items, priority=0)
        work.commit()

    claims = [claim(database, owner=f"worker {number}") for number in range(3)]

    assert [[each.ordinal for each in items] for items in claims] == [[0, 2], [1], [3]]


def test_a_worker_runs_one_item_at_a_time_of_those_lost_twice(database: SqlDatabase, place: Place) -> None:
    job = a_job(place)
    with database.write() as work:
        work.jobs.add(job)
        work.jobs.add_items([an_item(job, n, losses=losses) for n, losses in enumerate((2, 2, 0))], priority=0)
        work.commit()

    (first,) = claim(database)
    assert [each.ordinal for each in claim(database)] == [2]
    assert claim(database) == []
    end(database, [first], JobState.COMPLETED)
    assert [each.ordinal for each in claim(database)] == [1]


def test_an_item_waits_for_its_time(database: SqlDatabase, place: Place) -> None:
    job = a_job(place)
    with database.write() as work:
        work.jobs.add(job)
        work.jobs.add_items([dataclasses.replace(an_item(job), next_run_at=LATER)], priority=0)
        work.commit()

    assert claim(database) == []
    with database.read() as work:
        assert work.jobs.next_run_at([JobKind.PURGE]) is None
        assert work.jobs.next_run_at(list(JobKind)) == LATER
    assert len(claim(database, now=LATER)) == 1
    with database.read() as work:
        assert work.jobs.next_run_at(list(JobKind)) is None


def test_the_place_in_the_queue_counts_what_is_claimed_before(database: SqlDatabase, place: Place) -> None:
    bulk, _ = queue_job(database, place, 3, priority=10)
    late, _ = queue_job(database, place, 1, priority=10)
    person, _ = queue_job(database, place, 1, priority=0)

    with database.read() as work:
        assert [work.jobs.queue_position(each.id) for each in (person, bulk, late)] == [0, 1, 4]
    claim(database, limit=1)
    with database.read() as work:
        assert work.jobs.queue_position(person.id) is None


def test_the_place_in_the_queue_counts_others_by_turns(database: SqlDatabase, place: Place) -> None:
    crowd, few = make_place(database, "crowd"), make_place(database, "few")
    queue_job(database, crowd, 50)
    queue_job(database, few, 2)
    queue_job(database, place, 5)
    job, _ = queue_job(database, place, 1)
    urgent, _ = queue_job(database, crowd, 3, priority=-1)
    queue_job(database, place, 7, JobKind.PURGE, priority=-2)

    with database.read() as work:
        assert work.jobs.queue_position(job.id) == 3 + 5 + 5 + 2
        assert work.jobs.queue_position(urgent.id) == 0


def test_the_pace_is_told_by_what_ended_while_something_waited(database: SqlDatabase, place: Place) -> None:
    queue_job(database, place, 9)
    minute = dt.timedelta(minutes=1)

    def pace(now: dt.datetime, *, window: dt.timedelta = 10 * minute, kind: JobKind = JobKind.INGEST) -> float | None:
        with database.read() as work:
            return work.jobs.pace(kind, now=now, window=window)

    def finish(count: int, now: dt.datetime) -> None:
        outcomes = [
            Outcome(item_id=each.id, lease_token=each.lease_token, state=JobState.COMPLETED)
            for each in claim(database, limit=count)
        ]
        with database.write() as work:
            work.jobs.finish(outcomes, now)
            work.commit()

    assert pace(NOW + minute) is None
    finish(2, NOW)  # by then nothing had waited
    assert pace(NOW + minute) is None
    finish(3, NOW + minute / 2)
    assert pace(NOW + minute / 100) is None
    assert pace(NOW + minute) == pytest.approx(3 / 60)
    assert pace(NOW + minute, kind=JobKind.PURGE) is None
    assert pace(NOW + minute, window=minute / 3) is None
    finish(4, NOW + minute)
    assert pace(NOW + 2 * minute) is None, "nothing waits"


def test_what_is_queued_is_counted_by_workspace(database: SqlDatabase, place: Place) -> None:
    queue_job(database, place, 4)
    queue_job(database, place, 1, JobKind.INGEST)
    queue_job(database, place, 2, JobKind.PURGE)
    queue_job(database, make_place(database, "other"), 3)
    end(database, claim(database, limit=1, kinds=[JobKind.BATCH]), JobState.COMPLETED)
    assert claim(database, limit=2, kinds=[JobKind.BATCH])

    with database.read() as work:
        assert work.jobs.queued(place.workspace.id) == 4


# What a lease allows

FENCED: dict[str, Callable[[SqlWork, Item], object]] = {
    "renew": lambda work, item: work.jobs.renew(
        owner="worker", leases={item.id: item.lease_token}, until=LATER + dt.timedelta(minutes=1)
    ),
    "held": lambda work, item: work.jobs.held({item.id: item.lease_token}),
    "progress": lambda work, item: work.jobs.progress(
        [LeaseProgress(item_id=item.id, lease_token=item.lease_token, stage=Stage.INDEX, units_done=2, units_total=4)]
    ),
    "finish": lambda work, item: work.jobs.finish(
        [Outcome(item_id=item.id, lease_token=item.lease_token, state=JobState.COMPLETED)], NOW
    ),
    "postpone": lambda work, item: work.jobs.postpone(
        item.id, item.lease_token, failure=BROKEN, failures=1, next_run_at=LATER
    ),
    "lose": lambda work, item: work.jobs.lose(item, failures=1, next_run_at=LATER),
}


@pytest.mark.parametrize("method", FENCED)
def test_a_worker_may_write_while_its_lease_holds(database: SqlDatabase, place: Place, method: str) -> None:
    queue_job(database, place, 1)
    (item,) = claim(database)

    with database.write() as work:
        assert FENCED[method](work, item) in ({item.id}, True)


@pytest.mark.parametrize("moved", ["lost and claimed again", "lost", "postponed", "cancelled", "finished"])
@pytest.mark.parametrize("method", FENCED)
def test_a_worker_whose_lease_moved_on_writes_nothing(
    database: SqlDatabase, place: Place, method: str, moved: str
) -> None:
    job, _ = queue_job(database, place, 1)
    (item,) = claim(database)
    with database.write() as work:
        if moved.startswith("lost"):
            assert work.jobs.lose(item, failures=0, next_run_at=NOW)
        elif moved == "postponed":
            assert work.jobs.postpone(item.id, item.lease_token, failure=None, failures=0, next_run_at=NOW)
        elif moved == "cancelled":
            work.jobs.cancel_items(job_id=job.id, error=BROKEN, now=NOW)
        else:
            work.jobs.finish([Outcome(item_id=item.id, lease_token=1, state=JobState.FAILED, error=BROKEN)], NOW)
        work.commit()
    if moved == "lost and claimed again":
        (again,) = claim(database)
        assert again.lease_token > item.lease_token
    with database.read() as work:
        before = work.jobs.items(job.id, state=None, after_ordinal=None, limit=1)

    with database.write() as work:
        assert FENCED[method](work, item) in (set(), False)
        work.commit()

    with database.read() as work:
        assert work.jobs.items(job.id, state=None, after_ordinal=None, limit=1) == before


def test_another_owner_cannot_renew(database: SqlDatabase, place: Place) -> None:
    queue_job(database, place, 1)
    (item,) = claim(database)

    with database.write() as work:
        assert work.jobs.renew(owner="stranger", leases={item.id: item.lease_token}, until=LATER) == set()


def test_progress_is_kept_and_warnings_only_where_named(database: SqlDatabase, place: Place) -> None:
    job, _ = queue_job(database, place, 1)
    (item,) = claim(database)
    warning = Warning_(code="page_unreadable", message="page 2 is empty", page=2)
    report = LeaseProgress(
        item_id=item.id, lease_token=1, stage=Stage.INDEX, units_done=2, units_total=4, warnings=(warning,)
    )
    with database.write() as work:
        work.jobs.progress([report])
        work.jobs.progress([dataclasses.replace(report, units_done=3, warnings=None)])
        work.commit()

    with database.read() as work:
        (seen,) = work.jobs.items(job.id, state=None, after_ordinal=None, limit=1)
    assert seen == dataclasses.replace(item, stage=Stage.INDEX, units_done=3, units_total=4, warnings=(warning,))


def test_a_failure_is_noted_and_an_orderly_stop_is_not(database: SqlDatabase, place: Place) -> None:
    queue_job(database, place, 1)
    (item,) = claim(database)
    with database.write() as work:
        work.jobs.postpone(item.id, 1, failure=BROKEN, failures=1, next_run_at=NOW)
        work.commit()
    (again,) = claim(database)
    with database.write() as work:
        work.jobs.postpone(again.id, 2, failure=None, failures=1, next_run_at=NOW)
        work.commit()

    (third,) = claim(database)

    assert (third.failures, third.losses, third.error, third.lease_token) == (1, 0, BROKEN, 3)


def test_leases_that_ran_out_and_those_of_others_are_found(database: SqlDatabase, place: Place) -> None:
    queue_job(database, place, 2)
    (mine,) = claim(database, owner="me", limit=1)
    (other,) = claim(database, owner="other", limit=1, lease_until=NOW)

    with database.write() as work:
        assert work.jobs.expired(NOW, limit=9) == [other]
        assert work.jobs.of_other_owners("me", limit=9) == [other]
        work.jobs.lose(other, failures=1, next_run_at=LATER)
        work.commit()

    (again,) = claim(database, now=LATER)
    assert (again.id, again.losses, again.failures, again.lease_token) == (other.id, 1, 1, 3)
    assert mine.lease_owner == "me"


def test_unfinished_items_are_cancelled_and_finished_ones_stay(database: SqlDatabase, place: Place) -> None:
    job, items = queue_job(database, place, 3)
    first, _ = claim(database, limit=2)
    end(database, [first], JobState.COMPLETED)

    with database.write() as work:
        cancelled = work.jobs.cancel_items(job_id=job.id, error=BROKEN, now=NOW)
        (ended,) = work.jobs.settle([job.id], LATER)
        work.commit()

    assert [(each.id, each.state, each.lease_token, each.error) for each in cancelled] == [
        (items[1].id, JobState.CANCELLED, 2, BROKEN),
        (items[2].id, JobState.CANCELLED, 1, BROKEN),
    ]
    assert (ended.state, ended.done, ended.failed, ended.total) == (JobState.COMPLETED_WITH_WARNINGS, 1, 0, 3)
    assert [each.code for each in ended.warnings] == ["items_cancelled"]


def test_what_ingests_a_version_is_cancelled_by_it(database: SqlDatabase, place: Place) -> None:
    document = a_document(place)
    version = a_version(document)
    ingest, purge = a_job(place), a_job(place, JobKind.PURGE)
    with database.write() as work:
        work.documents.add(document)
        work.versions.add(version)
        for job in (ingest, purge):
            work.jobs.add(job)
            work.jobs.add_items([an_item(job, version_id=version.id)], priority=0)
        newest = work.jobs.item_of_version(version.id)
        cancelled = work.jobs.cancel_items(version_ids=[version.id], error=BROKEN, now=NOW)
        (ended,) = work.jobs.settle([ingest.id, purge.id], NOW)
        work.commit()

    assert newest is not None
    assert [each.id for each in cancelled] == [newest.id]
    assert (ended.id, ended.state, ended.error) == (ingest.id, JobState.CANCELLED, BROKEN)


# How jobs end


def test_a_job_of_one_item_takes_over_what_it_left(database: SqlDatabase, place: Place) -> None:
    queue_job(database, place, 1, JobKind.INGEST)
    warning = Warning_(code="page_unreadable", message="page 2 is empty", page=2)

    (ended,) = end(database, claim(database), JobState.COMPLETED_WITH_WARNINGS, warnings=(warning,))

    assert (ended.state, ended.warnings, ended.error) == (JobState.COMPLETED_WITH_WARNINGS, (warning,), None)
    assert (ended.total, ended.done, ended.failed, ended.finished_at) == (1, 1, 0, LATER)
    with database.read() as work:
        assert work.jobs.get(place.workspace.id, ended.id) == ended
        (item,) = work.jobs.items(ended.id, state=None, after_ordinal=None, limit=1)
    assert (item.stage, item.lease_owner, item.lease_expires_at) == (Stage.DONE, None, None)


def test_a_job_some_of_whose_items_failed_completes_with_warnings(database: SqlDatabase, place: Place) -> None:
    job, _ = queue_job(database, place, 8)
    items = claim(database)
    assert end(database, items[:1], JobState.COMPLETED) == []
    with database.read() as work:
        halfway = work.jobs.get(place.workspace.id, job.id)

    (ended,) = end(database, items[1:], JobState.FAILED, error=BROKEN)

    assert halfway is not None
    assert (halfway.state, halfway.done, halfway.total) == (JobState.RUNNING, 1, 8)
    assert (ended.state, ended.done, ended.failed, ended.error) == (JobState.COMPLETED_WITH_WARNINGS, 1, 7, None)
    (summary,) = ended.warnings
    assert summary.code == "items_failed"
    assert summary.message.startswith("7 of 8 items failed, by ordinal: 1 (unreadable_document), 2 ")
    assert summary.message.endswith("5 (unreadable_document), ...")


def test_a_job_all_of_whose_items_failed_has_failed(database: SqlDatabase, place: Place) -> None:
    queue_job(database, place, 3)

    (ended,) = end(database, claim(database), JobState.FAILED, error=BROKEN)

    assert (ended.state, ended.failed) == (JobState.FAILED, 3)
    assert ended.error is not None
    assert (ended.error.code, ended.error.retryable) == ("all_failed", False)
    assert BROKEN.message in ended.error.message


@pytest.mark.services
def test_postgresql_gives_the_rows_of_a_process_that_stands_still_to_others(
    database: SqlDatabase, place: Place
) -> None:
    if database._engines.writer.dialect.name != "postgresql":
        pytest.skip("SQLite has one process")
    job, _ = queue_job(database, place, 1)
    url = database._engines.writer.url.render_as_string(hide_password=False)
    hasty, patient = (SqlDatabase(url, pool_size=2, busy_timeout_seconds=1.5) for _ in range(2))
    try:
        with database.write() as still:
            assert still.jobs.get(place.workspace.id, job.id)
            with pytest.raises(TransientError), hasty.write() as work:
                work.jobs.get(place.workspace.id, job.id)
        with pytest.raises(PartDownError), hasty.write() as still:  # noqa: PT012 - it is cut in the middle
            assert still.jobs.get(place.workspace.id, job.id)
            with patient.write() as work:
                assert work.jobs.get(place.workspace.id, job.id), "after a second"
            still.jobs.seal(job.id)
    finally:
        hasty.close()
        patient.close()


def make_conversation(database: Database, place: Place, *, user: str | None = None, title: str = "") -> Conversation:
    made = Conversation(
        id=new_id(),
        workspace_id=place.workspace.id,
        key_id=new_id(),
        user=user,
        title=title,
        created_at=NOW,
        updated_at=NOW,
    )
    with database.write() as work:
        work.conversations.add(made)
        work.commit()
    return made


def test_conversations_are_listed_for_their_key_and_their_user(database: Database, place: Place) -> None:
    mine, users, others = (make_conversation(database, place, user=user) for user in (None, "ada", "bob"))
    key = Principal(workspace_id=place.workspace.id, key_id=mine.key_id, role=Role.ADMIN)
    ada = Principal(workspace_id=place.workspace.id, key_id=new_id(), role=Role.READER, user="ada")
    owner = Principal(workspace_id=place.workspace.id, key_id=None, role=Role.ADMIN)
    with database.read() as work:
        assert work.conversations.page(key, after=None, limit=9) == [mine]
        assert work.conversations.page(ada, after=None, limit=9) == [users]
        assert work.conversations.page(ada, after=users.id, limit=9) == []
        assert work.conversations.page(owner, after=None, limit=9) == []
        assert work.conversations.get(place.workspace.id, others.id) == others
        assert work.conversations.get(new_id(), others.id) is None


def test_a_turn_names_a_conversation_once_and_none_that_is_gone(database: Database, place: Place) -> None:
    conversation = make_conversation(database, place)
    with database.write() as work:
        assert work.conversations.touch(conversation.id, LATER, title="first")
        assert work.conversations.touch(conversation.id, LATER, title="second")
        assert not work.conversations.touch(new_id(), LATER, title="third")
        work.commit()
    with database.read() as work:
        found = work.conversations.get(place.workspace.id, conversation.id)
        assert found == dataclasses.replace(conversation, title="first", updated_at=LATER)
        assert work.conversations.unused(updated_before=LATER, limit=9) == []
        assert work.conversations.unused(updated_before=LATER + dt.timedelta(seconds=1), limit=9) == [conversation.id]


def test_turns_come_in_order_and_go_with_their_conversation(database: Database, place: Place) -> None:
    conversation, document = make_conversation(database, place), a_document(place, "a")
    answers = [
        dataclasses.replace(
            an_answer(place, document), conversation_id=conversation.id, standalone=f"question {number}"
        )
        for number in range(5)
    ]
    alone = an_answer(place, document)
    with database.write() as work:
        work.documents.add(document)
        for each in (*answers, alone):
            work.answers.add(each)
        work.commit()
    with database.read() as work:
        assert work.answers.of_conversation(conversation.id, after=None, limit=3) == answers[:3]
        assert work.answers.of_conversation(conversation.id, after=answers[2].id, limit=3) == answers[3:]
        assert work.answers.last_of_conversation(conversation.id, limit=2) == answers[3:]
    with database.write() as work:
        assert work.conversations.remove(conversation.id) == (5, 0)
        work.commit()
    with database.read() as work:
        assert work.conversations.get(place.workspace.id, conversation.id) is None
        assert work.answers.get(place.workspace.id, answers[0].id) is None
        assert work.answers.get(place.workspace.id, alone.id) == alone


def a_summary(conversation: Conversation, *leant_on: Document, text: str = "So far.") -> Summary:
    """Reaches further than those that were made before it."""
    return Summary(
        conversation_id=conversation.id,
        through_id=new_id(),
        text=text,
        documents=frozenset(each.id for each in leant_on),
        created_at=NOW,
    )


def test_of_two_summaries_the_one_that_reaches_further_stays(database: SqlDatabase, place: Place) -> None:
    conversation, other = make_conversation(database, place), make_conversation(database, place)
    papers = [a_document(place, name) for name in "abc"]
    first = a_summary(conversation, papers[0], papers[1])
    second = a_summary(conversation, papers[1], papers[2], text="Further.")
    with database.write() as work:
        work.documents.add_many(papers)
        assert work.conversations.set_summary(first)
        work.commit()
    with database.read() as work:
        assert work.conversations.summary(conversation.id) == first
        assert work.conversations.summary(other.id) is None
    with database.write() as work:
        assert work.conversations.set_summary(second)
        assert not work.conversations.set_summary(first)
        assert not work.conversations.set_summary(dataclasses.replace(second, text="As far."))
        work.commit()
    with database.read() as work:
        assert work.conversations.summary(conversation.id) == second


def test_of_many_that_summarise_at_once_the_one_that_reaches_furthest_stays(
    database: SqlDatabase, place: Place
) -> None:
    conversation, document = make_conversation(database, place), a_document(place, "a")
    with database.write() as work:
        work.documents.add(document)
        work.commit()
    summaries = [a_summary(conversation, document, text=str(number)) for number in range(8)]
    start = threading.Barrier(len(summaries))

    def write(summary: Summary) -> None:
        start.wait()
        with database.write() as work:
            work.conversations.set_summary(summary)
            work.commit()

    with ThreadPoolExecutor(len(summaries)) as pool:
        list(pool.map(write, summaries))
    with database.read() as work:
        assert work.conversations.summary(conversation.id) == summaries[-1]


def test_a_summary_goes_with_its_conversation_and_comes_back_with_none(database: SqlDatabase, place: Place) -> None:
    conversation, kept = make_conversation(database, place), make_conversation(database, place)
    document = a_document(place, "a")
    with database.write() as work:
        work.documents.add(document)
        for each in (conversation, kept):
            assert work.conversations.set_summary(a_summary(each, document))
        assert work.conversations.remove(conversation.id) == (0, 1)
        assert not work.conversations.set_summary(a_summary(conversation, document))
        work.commit()
    with database.read() as work:
        assert work.conversations.summary(conversation.id) is None
        assert work.conversations.summary(kept.id)
        assert work.audit.orphans() == {}


def test_a_summary_goes_with_any_document_that_it_leans_on(database: SqlDatabase, place: Place) -> None:
    conversations = [make_conversation(database, place) for _ in range(3)]
    gone, stays = a_document(place, "gone"), a_document(place, "stays")
    both, only, none = (
        a_summary(each, *papers) for each, papers in zip(conversations, ((gone, stays), (gone,), (stays,)), strict=True)
    )
    with database.write() as work:
        work.documents.add_many([gone, stays])
        for each in (both, only, none):
            assert work.conversations.set_summary(each)
        work.documents.mark_deleted([gone.id], LATER)
        again = dataclasses.replace(both, through_id=new_id())
        assert not work.conversations.set_summary(again), "made of what is deleted"
        assert work.conversations.summary(both.conversation_id) == both, "until the purge: who reads it looks"
        assert work.conversations.forget([gone.id]) == 2
        assert work.conversations.forget([gone.id, new_id()]) == 0
        work.documents.remove([gone.id])
        assert not work.conversations.set_summary(again), "made of what is gone"
        work.commit()
    with database.read() as work:
        assert [work.conversations.summary(each.id) for each in conversations] == [None, None, none]


@pytest.mark.services
def test_postgresql_that_is_reached_and_says_nothing_is_down_and_comes_back(postgres: str) -> None:
    url = sa.make_url(postgres)
    wire = Proxy(url.port or 5432)
    through = url.set(port=wire.port).render_as_string(hide_password=False)
    opened = SqlDatabase(through, pool_size=2, busy_timeout_seconds=5, patience_seconds=0.5)
    try:
        opened.ping()
        wire.set("hang")
        began = time.monotonic()
        with pytest.raises(PartDownError):
            opened.ping()
        assert time.monotonic() - began < 20
        wire.set("pass")
        opened.ping()
    finally:
        opened.close()
        wire.close()


@pytest.mark.services
def test_postgresql_ends_a_statement_that_takes_too_long(postgres: str) -> None:
    opened = SqlDatabase(postgres, pool_size=2, busy_timeout_seconds=5, patience_seconds=0.2)
    try:
        with pytest.raises(TransientError), opened.read() as work:
            work._connection.execute(sa.text("SELECT pg_sleep(20)"))
        opened.ping()
    finally:
        opened.close()


def test_a_job_that_may_still_get_items_goes_on(database: SqlDatabase, place: Place) -> None:
    job, _ = queue_job(database, place, 1, sealed=False)
    assert end(database, claim(database), JobState.COMPLETED) == []

    with database.write() as work:
        assert work.jobs.unsealed(quiet_since=NOW) == [], "it was made just now"
        newest = made_at(max(each.id for each in work.jobs.items(job.id, state=None, after_ordinal=None, limit=9)))
        assert work.jobs.unsealed(quiet_since=newest) == [], "it got an item just now"
        assert work.jobs.unsealed(quiet_since=newest + dt.timedelta(seconds=1)) == [job.id]
        work.jobs.add_items([an_item(job, 1)], priority=0)
        work.jobs.seal(job.id)
        assert work.jobs.settle([job.id], NOW) == []
        work.commit()
    (ended,) = end(database, claim(database), JobState.COMPLETED)

    assert (ended.state, ended.total, ended.done) == (JobState.COMPLETED, 2, 2)


def test_a_final_state_never_changes(database: SqlDatabase, place: Place) -> None:
    queue_job(database, place, 1)
    (ended,) = end(database, claim(database), JobState.COMPLETED)

    with database.write() as work:
        assert work.jobs.settle([ended.id], LATER + dt.timedelta(days=1)) == []
        work.commit()

    with database.read() as work:
        assert work.jobs.get(place.workspace.id, ended.id) == ended


def test_a_job_without_items_ends_when_it_is_sealed(database: SqlDatabase, place: Place) -> None:
    job, _ = queue_job(database, place, 0)

    with database.write() as work:
        (ended,) = work.jobs.settle([job.id], LATER)

    assert (ended.state, ended.total) == (JobState.COMPLETED, 0)


def test_old_final_jobs_are_pruned_with_their_items(database: SqlDatabase, place: Place) -> None:
    old, _ = queue_job(database, place, 2)
    end(database, claim(database), JobState.COMPLETED)
    queue_job(database, place, 1)

    with database.write() as work:
        assert work.jobs.prune(finished_before=LATER, limit=9) == 0
        assert work.jobs.prune(finished_before=LATER + dt.timedelta(seconds=1), limit=9) == 1
        work.commit()

    with database.read() as work:
        assert work.jobs.get(place.workspace.id, old.id) is None
        assert work.jobs.counts() == {(JobKind.BATCH, JobState.QUEUED): 1}


# Who sees jobs


def test_jobs_on_documents_that_one_may_not_read_are_left_out(database: SqlDatabase, place: Place) -> None:
    secret, gone = a_document(place, readers=("group:law",)), a_document(place, readers=("group:law",))
    jobs = [a_job(place), a_job(place, document_id=secret.id), a_job(place, document_id=gone.id)]
    with database.write() as work:
        work.documents.add(secret)
        work.documents.add(gone)
        for job in jobs:
            work.jobs.add(job)
        work.documents.mark_deleted([gone.id], NOW)
        work.commit()
    plain, on_secret, on_gone = (job.id for job in jobs)

    def seen(principal: Principal, after: uuid.UUID | None = None, state: JobState | None = None) -> list[uuid.UUID]:
        with database.read() as work:
            return [each.id for each in work.jobs.page(principal, state=state, after=after, limit=9)]

    assert seen(place.principal()) == [plain]
    assert seen(place.principal("la")) == [plain]
    assert seen(place.principal("law")) == [on_gone, on_secret, plain]
    assert seen(place.principal(role=ADMIN), after=on_gone) == [on_secret, plain]
    assert seen(place.principal(role=ADMIN), state=JobState.RUNNING) == []
    with database.read() as work:
        assert work.jobs.visible(place.principal(), on_secret) is None
        assert work.jobs.visible(place.principal("law"), on_secret) == jobs[1]
        stranger = Principal(workspace_id=new_id(), key_id=None, role=ADMIN)
        assert work.jobs.visible(stranger, plain) is None


def test_items_are_listed_by_state_in_order(database: SqlDatabase, place: Place) -> None:
    job, items = queue_job(database, place, 4)
    end(database, claim(database, limit=1), JobState.FAILED, error=BROKEN)

    with database.read() as work:
        waiting = work.jobs.items(job.id, state=JobState.QUEUED, after_ordinal=1, limit=9)
        assert [each.id for each in waiting] == [items[2].id, items[3].id]
        assert work.jobs.counts() == {(JobKind.BATCH, JobState.QUEUED): 3, (JobKind.BATCH, JobState.FAILED): 1}


# Receipts and replies


def test_a_receipt_is_for_those_who_could_read_the_document(database: SqlDatabase, place: Place) -> None:
    receipt = Deletion(
        id=new_id(),
        workspace_id=place.workspace.id,
        document_id=new_id(),
        job_id=new_id(),
        requested_at=NOW,
        finished_at=None,
        rows=0,
        chunks=0,
        vectors=0,
        bytes=0,
        bytes_reclaimed=0,
    )
    done = dataclasses.replace(
        receipt, finished_at=LATER, rows=2, chunks=7, vectors=7, bytes=2**40, bytes_reclaimed=2**39
    )
    with database.write() as work:
        work.deletions.add_many([(receipt, ("group:law",))])
        assert work.deletions.unfinished([receipt.document_id, new_id()]) == {receipt.document_id: receipt}
        work.deletions.update_many([done])
        work.commit()

    with database.read() as work:
        assert work.deletions.of_document(place.principal("law"), receipt.document_id) == done
        assert work.deletions.of_document(place.principal(), receipt.document_id) is None
        assert work.deletions.of_document(place.principal(role=ADMIN), receipt.document_id) == done
        assert work.deletions.unfinished([receipt.document_id]) == {}


def test_the_jobs_of_a_purged_document_are_for_those_who_could_read_it(database: SqlDatabase, place: Place) -> None:
    gone = new_id()
    job = a_job(place, document_id=gone)
    receipt = Deletion(
        id=new_id(),
        workspace_id=place.workspace.id,
        document_id=gone,
        job_id=job.id,
        requested_at=NOW,
        finished_at=NOW,
        rows=1,
        chunks=1,
        vectors=1,
        bytes=1,
        bytes_reclaimed=1,
    )
    with database.write() as work:
        work.jobs.add(job)
        work.deletions.add_many([(receipt, ("group:100%", "group:läw", 'user:x"group:board"'))])
        work.commit()

    with database.read() as work:
        assert work.jobs.visible(place.principal("läw"), job.id) == job
        assert work.jobs.visible(place.principal("100%"), job.id) == job
        assert work.jobs.visible(place.principal(role=ADMIN), job.id) == job
        for other in (place.principal(), place.principal("100x"), place.principal("board")):
            assert work.jobs.visible(other, job.id) is None


def an_answer(place: Place, *cited: Document, created_at: dt.datetime = NOW) -> Answer:
    """One sentence a document, "s1 s2 ...", each with one citation."""
    sentences = tuple(
        AnswerSentence(text=f"s{n}", start=3 * n - 3, end=3 * n - 1, citations=(n,), support=0.5)
        for n in range(1, len(cited) + 1)
    )
    citations = tuple(
        Citation(
            n=n,
            document_id=document.id,
            version_id=new_id(),
            chunk_id=new_id(),
            external_id=document.external_id,
            title=document.title,
            page=n,
            start=2**40,
            end=2**40 + 2,
            quote=f"s{n}",
            score=0.25,
        )
        for n, document in enumerate(cited, 1)
    )
    return Answer(
        id=new_id(),
        workspace_id=place.workspace.id,
        key_id=new_id(),
        user="ann",
        question="q?",
        status=AnswerStatus.ANSWERED,
        text=" ".join(each.text for each in sentences),
        sentences=sentences,
        citations=citations,
        confidence=0.75,
        route="extractive",
        model="extractive",
        degraded=False,
        timings_ms={"guard": 0.25},
        warnings=(Notice(code="language", message="m"),),
        created_at=created_at,
    )


def test_an_answer_is_read_back_as_it_was_given(database: SqlDatabase, place: Place) -> None:
    document, other = a_document(place, "a"), make_place(database, "other")
    answer = an_answer(place, document)
    with database.write() as work:
        work.documents.add(document)
        work.answers.add(answer)
        work.commit()
    with database.read() as work:
        assert work.answers.get(place.workspace.id, answer.id) == answer
        assert work.answers.get(other.workspace.id, answer.id) is None
        assert work.answers.get(place.workspace.id, new_id()) is None


def test_an_answer_forgets_what_it_has_of_documents_that_are_purged(database: SqlDatabase, place: Place) -> None:
    kept, gone = a_document(place, "kept"), a_document(place, "gone")
    both, only, none = an_answer(place, gone, kept, gone), an_answer(place, gone), an_answer(place, kept)
    with database.write() as work:
        work.documents.add_many([kept, gone])
        for each in (both, only, none):
            work.answers.add(each)
        work.commit()
    with database.write() as work:
        work.documents.mark_deleted([gone.id], LATER)
        assert work.answers.forget([gone.id]) == 2
        assert work.answers.forget([gone.id, new_id()]) == 0
        work.documents.remove([gone.id])
        work.commit()
    with database.read() as work:
        found = {each.id: work.answers.get(place.workspace.id, each.id) for each in (both, only, none)}
    rest, empty = found[both.id], found[only.id]
    assert rest is not None
    assert (rest.text, [each.n for each in rest.citations]) == ("s2", [2])
    assert [(each.text, each.start, each.end) for each in rest.sentences] == [("s2", 0, 2)]
    assert [each.code for each in rest.warnings] == ["language", "sources_deleted"]
    assert empty is not None
    assert (empty.text, empty.sentences, empty.citations) == ("", (), ())
    assert found[none.id] == none


def test_old_answers_are_pruned(database: SqlDatabase, place: Place) -> None:
    document = a_document(place, "a")
    old = [an_answer(place, document) for _ in range(3)]
    new = an_answer(place, document, created_at=LATER)
    with database.write() as work:
        work.documents.add(document)
        for each in (*old, new):
            work.answers.add(each)
        work.commit()
    with database.write() as work:
        assert work.answers.prune(created_before=LATER, limit=2) == 2
        assert work.answers.prune(created_before=LATER, limit=2) == 1
        work.commit()
    with database.read() as work:
        assert work.answers.get(place.workspace.id, old[0].id) is None
        assert work.answers.get(place.workspace.id, new.id) == new


def test_a_summary_that_is_written_while_its_document_is_purged_does_not_stay(
    database: SqlDatabase, place: Place
) -> None:
    conversation, document = make_conversation(database, place), a_document(place, "a")
    with database.write() as work:
        work.documents.add(document)
        work.commit()

    def purge() -> int:
        with database.write() as work:
            work.documents.hold([document.id])
            forgotten = work.conversations.forget([document.id])
            work.documents.remove([document.id])
            work.commit()
        return forgotten

    with ThreadPoolExecutor(1) as pool:
        with database.write() as work:
            assert work.conversations.set_summary(a_summary(conversation, document))
            purged = pool.submit(purge)
            concurrent.futures.wait([purged], timeout=0.3)
            work.commit()
        assert purged.result(20) == 1
    with database.read() as work:
        assert work.conversations.summary(conversation.id) is None


def a_call(place: Place, **parts: Any) -> ModelCall:
    call = ModelCall(
        id=new_id(),
        workspace_id=place.workspace.id,
        key_id=None,
        answer_id=None,
        model="small",
        purpose=Purpose.ANSWER,
        outcome="ok",
        usage=Usage(prompt_tokens=100, completion_tokens=10, cached_tokens=1),
        cost_usd=0.5,
        first_token_ms=12.5,
        total_ms=20.25,
        created_at=NOW,
    )
    return dataclasses.replace(call, **parts)


def keep_calls(database: Database, *calls: ModelCall) -> None:
    with database.write() as work:
        work.model_calls.add_many(calls)
        work.commit()


def test_calls_of_an_answer_are_read_back_as_they_were_made(database: Database, place: Place) -> None:
    answer_id = new_id()
    rewrite = a_call(place, answer_id=answer_id, purpose=Purpose.REWRITE, key_id=new_id())
    failed = a_call(place, answer_id=answer_id, outcome="model_timeout", first_token_ms=None, usage=Usage())
    keep_calls(database, rewrite, failed, a_call(place, answer_id=new_id()))
    keep_calls(database)
    with database.read() as work:
        assert work.model_calls.of_answer(answer_id) == [rewrite, failed]
        assert work.model_calls.of_answer(new_id()) == []


def test_a_day_of_the_books_is_a_day_in_utc(database: Database, place: Place) -> None:
    abroad = dt.timezone(dt.timedelta(hours=-5))
    keep_calls(database, a_call(place, created_at=dt.datetime(2026, 2, 28, 20, tzinfo=abroad)))
    with database.read() as work:
        assert work.model_calls.spent(place.workspace.id, "2026-02-28") == 0
        assert work.model_calls.spent(place.workspace.id, "2026-03-01") == 0.5


def test_what_was_spent_today_is_one_workspaces_and_one_days(database: Database, place: Place) -> None:
    other = make_place(database, "other")
    calls = [a_call(place, key_id=key_id, model=model) for key_id in (None, new_id()) for model in ("small", "strong")]
    keep_calls(database, *calls, a_call(other, cost_usd=8), a_call(place, cost_usd=16, created_at=NOW - A_DAY))
    keep_calls(database, a_call(place, cost_usd=0.25, outcome="model_timeout"))
    with database.read() as work:
        assert work.model_calls.spent(place.workspace.id, "2026-03-01") == 2.25
        assert work.model_calls.spent(place.workspace.id, "2026-03-02") == 0
        assert work.model_calls.spent(new_id(), "2026-03-01") == 0


def test_usage_is_told_by_whatever_is_asked(database: Database, place: Place) -> None:
    other, key_id = make_place(database, "other"), new_id()
    keep_calls(
        database,
        a_call(place, key_id=key_id),
        a_call(place, key_id=key_id, model="strong", cost_usd=4.0),
        a_call(place, outcome="model_timeout", usage=Usage(), cost_usd=0.0),
        a_call(place, key_id=key_id, created_at=NOW + A_DAY),
        a_call(place, key_id=key_id, created_at=NOW + 2 * A_DAY, cost_usd=64.0),
        a_call(other, cost_usd=32.0),
    )

    def told(*by: UsageBy, everywhere: bool = False, **parts: Any) -> list[UsageLine]:
        among = None if everywhere else place.workspace.id
        with database.read() as work:
            days: dict[str, Any] = {"since_day": "2026-03-01", "until_day": "2026-03-02"}
            return work.model_calls.usage(among, by=frozenset(by), **days, **parts)

    used = Usage(prompt_tokens=100, completion_tokens=10, cached_tokens=1)
    assert told() == [UsageLine(calls=4, failures=1, usage=used + used + used, cost_usd=5.0)]
    assert [(each.day, each.calls, each.cost_usd) for each in told(UsageBy.DAY)] == [
        ("2026-03-01", 3, 4.5),
        ("2026-03-02", 1, 0.5),
    ]
    assert [(each.day, each.model, each.calls, each.failures) for each in told(UsageBy.MODEL, UsageBy.DAY)] == [
        ("2026-03-01", "small", 2, 1),
        ("2026-03-01", "strong", 1, 0),
        ("2026-03-02", "small", 1, 0),
    ]
    assert [(each.key_id, each.calls) for each in told(UsageBy.KEY)] == [(None, 1), (key_id, 3)]
    assert {(each.workspace_id, each.cost_usd) for each in told(UsageBy.WORKSPACE, everywhere=True)} == {
        (place.workspace.id, 5.0),
        (other.workspace.id, 32.0),
    }
    assert [each.calls for each in told(key_id=key_id)] == [3]
    assert [each.cost_usd for each in told(model="strong")] == [4.0]
    assert len(told(UsageBy.DAY, UsageBy.MODEL, limit=2)) == 2


def test_where_nothing_was_used_there_is_one_line_of_nothing_or_none(database: Database, place: Place) -> None:
    with database.read() as work:
        days: dict[str, Any] = {"since_day": "2026-03-01", "until_day": "2026-03-02"}
        nothing = UsageLine(calls=0, failures=0, usage=Usage(), cost_usd=0.0)
        assert work.model_calls.usage(place.workspace.id, by=frozenset(), **days) == [nothing]
        assert work.model_calls.usage(place.workspace.id, by=frozenset({UsageBy.DAY}), **days) == []


def test_books_that_many_write_at_once_add_up(database: Database, place: Place) -> None:
    keys = [new_id(), new_id()]
    start = threading.Barrier(8)

    def write(number: int) -> None:
        start.wait()
        for _ in range(5):  # in another order each: two that write must not wait for each other crosswise
            calls = [a_call(place, key_id=key_id, model=model) for key_id in keys for model in ("small", "strong")]
            keep_calls(database, *(calls if number % 2 else calls[::-1]))

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(write, range(8)))
    with database.read() as work:
        assert work.model_calls.spent(place.workspace.id, "2026-03-01") == 0.5 * 8 * 5 * 4


def test_old_days_leave_the_books(database: Database, place: Place) -> None:
    answer_id = new_id()
    old = [a_call(place, answer_id=answer_id) for _ in range(3)]
    keep_calls(database, *old, a_call(place, answer_id=answer_id, created_at=NOW + A_DAY))
    with database.write() as work:
        assert work.model_calls.prune(before_day="2026-03-01", limit=9) == 0
        assert work.model_calls.prune(before_day="2026-03-02", limit=2) == 2
        assert work.model_calls.prune(before_day="2026-03-02", limit=2) == 1
        work.commit()
    with database.read() as work:
        assert [each.day for each in work.model_calls.of_answer(answer_id)] == ["2026-03-02"]
        assert work.model_calls.spent(place.workspace.id, "2026-03-01") == 0
        assert work.model_calls.spent(place.workspace.id, "2026-03-02") == 0.5


def test_the_books_go_with_their_workspace(database: Database, place: Place) -> None:
    gone = Workspace(id=new_id(), name="gone", created_at=NOW)
    answer_id = new_id()
    call = a_call(place, workspace_id=gone.id, answer_id=answer_id)
    with database.write() as work:
        work.workspaces.add(gone)
        work.model_calls.add_many([call])
        work.workspaces.remove(gone.id)
        work.commit()
    with database.read() as work:
        assert work.model_calls.of_answer(answer_id) == []
        assert work.model_calls.spent(gone.id, call.day) == 0


def test_an_idempotency_key_is_taken_once(database: SqlDatabase, place: Place) -> None:
    workspace_id, key_id = place.workspace.id, new_id()
    with database.write() as work:
        assert work.idempotency.reserve(workspace_id, key_id, "k", "print", NOW) is None
        under_way = work.idempotency.reserve(workspace_id, key_id, "k", "other", LATER)
        work.idempotency.complete(workspace_id, key_id, "k", status=202, body="{}", location="/v1/jobs/1")
        stored = work.idempotency.reserve(workspace_id, key_id, "k", "print", LATER)
        assert work.idempotency.reserve(workspace_id, new_id(), "k", "print", LATER) is None
        work.idempotency.release(workspace_id, key_id, "k")  # a stored reply stays
        assert work.idempotency.reserve(workspace_id, key_id, "k", "print", LATER) == stored
        assert work.idempotency.prune(LATER) == 1
        assert work.idempotency.reserve(workspace_id, key_id, "k", "print", LATER) is None
        work.idempotency.release(workspace_id, key_id, "k")
        assert work.idempotency.reserve(workspace_id, key_id, "k", "print", LATER) is None

    assert under_way is not None
    assert (under_way.fingerprint, under_way.status, under_way.created_at) == ("print", None, NOW)
    assert stored is not None
    assert (stored.status, stored.body, stored.location) == (202, "{}", "/v1/jobs/1")


def test_two_units_that_end_items_of_one_job_do_not_wait_for_each_other(database: SqlDatabase, place: Place) -> None:
    if database._engines.writer.dialect.name == "sqlite":
        pytest.skip("SQLite has one writer")
    job, _ = queue_job(database, place, 2)
    items = claim(database)
    both = threading.Barrier(2, timeout=20)

    def end(item: Item) -> None:
        with database.write() as work:
            outcome = Outcome(item_id=item.id, lease_token=item.lease_token, state=JobState.COMPLETED)
            work.jobs.finish([outcome], NOW)
            both.wait()
            work.jobs.settle([job.id], NOW)
            work.commit()

    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        list(pool.map(end, items))
    with database.read() as work:
        done = work.jobs.get(place.workspace.id, job.id)
    assert done is not None
    assert (done.state, done.done) == (JobState.COMPLETED, 2)


def test_contents_are_kept_replaced_listed_and_removed(database: SqlDatabase) -> None:
    with database.write() as work:
        work.contents.write({})
        work.contents.write({f"texts/{number:04}": b"\x00\xff" * number for number in range(1_200)} | {"top": b"x"})
        work.contents.write({"texts/0002": b"new"})
        work.commit()

    with database.read() as work:
        assert work.contents.read("texts/0002") == b"new"
        assert work.contents.read("texts/0003") == b"\x00\xff" * 3
        assert work.contents.read("texts/000") is None
        assert work.contents.keys("", after="texts/1198", limit=10) == ["texts/1199", "top"]
        assert work.contents.keys("texts/000", after="texts/0007", limit=10) == ["texts/0008", "texts/0009"]
        assert len(work.contents.keys("texts/", after="", limit=2_000)) == 1_200
    with database.write() as work:
        assert work.contents.remove(["absent", "top", "texts/0003"]) == {"top": 1, "texts/0003": 6}
        assert len(work.contents.remove([f"texts/{number:04}" for number in range(1_200)])) == 1_199
        work.commit()
    with database.read() as work:
        assert work.contents.keys("", after="", limit=10) == []


WHOLE_POLICY = Policy(
    role="You are a clerk.",
    tone="plain",
    language="de-CH",
    models=("small", "large"),
    default_model="small",
    template="short",
    citations_required=False,
    minimum_support=0.7,
    unsupported=Unsupported.RETRY,
    refused_topics=("salaries", "Gehälter"),
    max_answer_chars=900,
    personal_data=PersonalData.MASK,
    output_format=OutputFormat.LIST,
    max_cost_usd=0.05,
    daily_cost_usd=2.5,
)


def a_policy(
    place: Place, number: int, policy: Policy = WHOLE_POLICY, *, of: Collection | None = None
) -> PolicyVersion:
    return PolicyVersion(
        id=new_id(),
        workspace_id=place.workspace.id,
        collection_id=None if of is None else of.id,
        number=number,
        policy=policy,
        note="why",
        created_at=NOW,
        key_id=new_id(),
    )


def a_template(place: Place, number: int, name: str = "short", *, system: str = "{{ rules }}") -> TemplateVersion:
    return TemplateVersion(
        id=new_id(),
        workspace_id=place.workspace.id,
        name=name,
        number=number,
        system=system,
        user="{{ sources }}{{ question }}",
        note="why",
        created_at=NOW,
        key_id=None,
    )


def append(database: Database, *versions: PolicyVersion | TemplateVersion) -> None:
    with database.write() as work:
        for each in versions:
            if isinstance(each, PolicyVersion):
                work.policies.append(each)
            else:
                work.templates.append(each)
        work.commit()


def test_a_policy_is_read_back_as_it_was_set(database: SqlDatabase, place: Place) -> None:
    whole, plain = a_policy(place, 1), a_policy(place, 2, Policy(models=()))
    append(database, whole, plain)
    with database.read() as work:
        assert work.policies.get(place.workspace.id, None, 1) == whole
        assert work.policies.latest(place.workspace.id, None) == plain
        assert work.policies.get(place.workspace.id, None, 3) is None
        assert work.policies.latest(place.workspace.id, place.collection.id) is None
        assert work.policies.latest(new_id(), None) is None


def test_the_policies_in_force_are_the_latest_of_each_scope(database: SqlDatabase, place: Place) -> None:
    elsewhere = make_place(database, "elsewhere")
    bare, index = make_collection(place.workspace, "bare")
    document = a_document(place)
    with database.write() as work:
        work.collections.add(bare, index)
        work.documents.add(document)
        work.commit()
    ours = [a_policy(place, number) for number in (1, 2, 3)]
    theirs = [a_policy(place, number, of=place.collection) for number in (1, 2)]
    append(database, *ours, *theirs, a_policy(elsewhere, 9))
    workspace, papers = (ours[2], None), (theirs[1], "papers")
    with database.read() as work:
        in_force = work.policies.in_force
        assert in_force(place.workspace.id, None) == [workspace, papers]
        assert in_force(place.workspace.id, ["papers", "bare", "\0"]) == [workspace, papers]
        assert in_force(place.workspace.id, ["bare"]) == [workspace]
        assert in_force(place.workspace.id, ["bare"], documents=[document.id, new_id()]) == [workspace, papers]
        assert in_force(new_id(), None) == []
        assert work.policies.page(place.workspace.id, None, before=None, limit=2) == [ours[2], ours[1]]
        assert work.policies.page(place.workspace.id, None, before=2, limit=2) == [ours[0]]
    with database.write() as work:
        work.collections.mark_deleted(place.workspace.id, place.collection.id, NOW)
        work.commit()
    with database.read() as work:
        assert work.policies.in_force(place.workspace.id, None) == [workspace]
        assert work.policies.in_force(place.workspace.id, ["bare"], documents=[document.id]) == [workspace]


def test_the_templates_in_force_are_the_latest_of_each_name(database: SqlDatabase, place: Place) -> None:
    short = [a_template(place, number, system=f"{number} {{{{ rules }}}}") for number in (1, 2)]
    default = a_template(place, 1, "default")
    append(database, *short, default)
    with database.read() as work:
        assert work.templates.in_force(place.workspace.id) == [default, short[1]]
        assert work.templates.latest(place.workspace.id, "short") == short[1]
        assert work.templates.get(place.workspace.id, "short", 1) == short[0]
        assert work.templates.latest(place.workspace.id, "long") is None
        assert work.templates.page(place.workspace.id, "short", before=2, limit=9) == [short[0]]


@pytest.mark.parametrize("make", [a_policy, a_template])
def test_of_ten_that_set_the_same_version_one_does(
    database: SqlDatabase, place: Place, make: Callable[[Place, int], PolicyVersion | TemplateVersion]
) -> None:
    barrier = threading.Barrier(10)

    def set_(version: PolicyVersion | TemplateVersion) -> bool:
        barrier.wait()
        try:
            append(database, version)
        except ConflictError:
            return False
        return True

    with ThreadPoolExecutor(10) as pool:
        assert sum(pool.map(set_, [make(place, 5) for _ in range(10)])) == 1


def test_policies_and_templates_go_with_their_workspace(database: SqlDatabase) -> None:
    empty = Workspace(id=new_id(), name="empty", created_at=NOW)
    with database.write() as work:
        work.workspaces.add(empty)
        work.commit()
    collection, index = make_collection(empty, "none")
    bare = Place(workspace=empty, collection=collection, index=index)
    append(database, a_policy(bare, 1), a_template(bare, 1))
    with database.write() as work:
        work.workspaces.remove(empty.id)
        work.commit()
    with database.read() as work:
        assert work.policies.in_force(empty.id, None) == []
        assert work.templates.in_force(empty.id) == []
