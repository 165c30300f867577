"""A collection as one file: exported, imported elsewhere, and the same when it is exported again."""

from __future__ import annotations

import contextlib
import dataclasses
import pathlib
import time
from collections.abc import Iterator, Sequence
from typing import Any

import pytest

from app.answering.search import Mode, SearchRequest
from app.bootstrap import Services, build
from app.documents.archive.comparing import contents, differences
from app.documents.archive.form import ArchiveError
from app.documents.archive.merging import Fate
from app.domain.access import Principal, Role
from app.domain.documents import VersionState
from app.domain.errors import ForbiddenError, NotFoundError, StorageFullError, TransientError
from app.domain.ports import VectorStore
from app.domain.vectors import Point, Space
from app.settings import Settings

Corpus = Any  # of conftest.py
ScoredHit = tuple[str | None, int, int, float]  # external id, start, end, score
TOPICS = ("harbour", "puffin", "lighthouse", "ferry", "bakery", "island")


@pytest.fixture(scope="module")
def elsewhere(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Services]:
    built = build(Settings(data_dir=tmp_path_factory.mktemp("elsewhere"), embedder="hashing-16"))
    built.start()
    yield built
    built.stop()


def admin(services: Services) -> Principal:
    return services.keys.authenticate(services.admin_key_path.read_text().strip())


def fill(corpus: Corpus) -> None:
    for number in range(70):  # more than one batch
        topic = TOPICS[number % len(TOPICS)]
        corpus.put(
            f"# The {topic}\n\n" + f"Note {number} tells of the {topic} and of {number} gulls. " * (1 + number % 40),
            external_id=f"notes/{number}",
            title=f"Note {number}" if number % 2 else None,
            metadata={"number": number, "even": number % 2 == 0, "topic": topic},
            readers=("group:crew", "user:ann") if number % 3 == 0 else None,
            filename="note.md",
        )
    for _ in range(2):
        corpus.put("The same words twice, without a name.", title="Twice")
    corpus.live(
        "\n\n".join(f"Paragraph {n} of a long tale of the harbour. " * 12 for n in range(1500)), external_id="long"
    )
    corpus.live("an old text", external_id="changed")
    corpus.live("a new text of the island", external_id="changed")
    gone = corpus.live("a text that is deleted", external_id="gone")
    corpus.services.remove.remove(corpus.admin, gone.document.id)
    settle(corpus.services, corpus.collection, 74)


def settle(services: Services, collection: str, documents: int) -> None:
    deadline = time.monotonic() + 90
    while time.monotonic() < deadline:
        rows = services.catalogue.page(
            admin(services), collection_name=collection, condition=None, after=None, limit=200
        )
        if sum(row.live_version_id is not None for row, _ in rows) == documents and swept(services):
            return
        time.sleep(0.05)
    pytest.fail("documents are not live")


def swept(services: Services) -> bool:
    """Whether no points are left of what was replaced or deleted: they count in the statistics of words."""
    with services.database.read() as work:
        return not work.versions.hidden_ids(services.space.name, limit=1)


def export(services: Services, collection: str, path: pathlib.Path) -> pathlib.Path:
    with path.open("wb") as target:
        target.writelines(services.exports.export(admin(services), collection))
    return path


def hits(services: Services, collection: str, query: str, mode: Mode) -> list[ScoredHit]:
    request = SearchRequest(query=query, collections=[collection], limit=50, mode=mode)
    found = services.search(admin(services), request).hits
    return [
        (each.hit.document.external_id, each.hit.chunk.start, each.hit.chunk.end, each.fused.score) for each in found
    ]


def assert_same_hits(one: tuple[Services, str], other: tuple[Services, str]) -> None:
    for query in (*TOPICS, "gulls of the long tale", "note 7"):
        for mode in Mode:
            same_order(hits(*one, query, mode), hits(*other, query, mode))


def same_order(left: list[ScoredHit], right: list[ScoredHit]) -> None:
    """The same hits with the same scores in the same order; of equal scores it is that of names and places.

    What has nothing in common with the query (a score of 0, for any cosine below it) may be any such hit.
    """
    assert left
    assert [each[3] for each in left] == pytest.approx([each[3] for each in right], abs=1e-5)
    for one, other in zip(left, right, strict=True):
        assert one[:3] == other[:3] or one[3] == other[3] == 0.0


def test_export_import_export_gives_equal_contents_and_hits(
    corpus: Corpus, elsewhere: Services, tmp_path: pathlib.Path
) -> None:
    fill(corpus)
    first = export(corpus.services, corpus.collection, tmp_path / "first.tar")
    assert first.read_bytes() == export(corpus.services, corpus.collection, tmp_path / "again.tar").read_bytes()

    imported = elsewhere.imports.run(admin(elsewhere), first)

    assert imported.collection == corpus.collection
    assert imported.created
    assert imported.as_they_are
    assert imported.counts[Fate.ADDED] == imported.done == imported.documents == 74
    second = export(elsewhere, corpus.collection, tmp_path / "second.tar")
    assert differences(first, second) == []
    assert len(contents(first)) == 73  # two documents without an external id are alike
    assert_same_hits((corpus.services, corpus.collection), (elsewhere, corpus.collection))

    again = elsewhere.imports.run(admin(elsewhere), first)
    assert again.counts[Fate.UNCHANGED] == 74
    assert not again.created
    assert differences(first, export(elsewhere, corpus.collection, tmp_path / "third.tar")) == []
    with elsewhere.database.read() as work:
        assert work.versions.hidden_ids(elsewhere.space.name, limit=10) == []
    assert elsewhere.vectors.count(elsewhere.space) == elsewhere.index_size()["chunks"]


def test_an_import_merges_by_external_id(corpus: Corpus, elsewhere: Services, tmp_path: pathlib.Path) -> None:
    for name in ("same", "other", "retitled"):
        corpus.live(f"the text of {name}", external_id=name, title=name, readers=("user:ann",))
    archive = export(corpus.services, corpus.collection, tmp_path / "one.tar")
    boss = admin(elsewhere)
    elsewhere.imports.run(boss, archive, collection="merged")
    corpus.live("another text of other", external_id="other")
    retitled = corpus.live("the text of retitled", external_id="retitled", title="Anew")
    assert retitled.document.title
    corpus.live("a fourth", external_id="new")

    imported = elsewhere.imports.run(
        boss, export(corpus.services, corpus.collection, tmp_path / "two.tar"), collection="merged"
    )

    assert imported.counts == {Fate.ADDED: 1, Fate.REPLACED: 2, Fate.UNCHANGED: 1, Fate.UNDER_WAY: 0}
    other = elsewhere.catalogue.by_external_id(boss, "merged", "other")
    states = [version.state for version in elsewhere.catalogue.versions(boss, other.id)]
    assert states == [VersionState.LIVE, VersionState.SUPERSEDED]
    assert elsewhere.catalogue.by_external_id(boss, "merged", "retitled").title == "Anew"
    assert differences(tmp_path / "two.tar", export(elsewhere, "merged", tmp_path / "back.tar")) == []


def test_other_fingerprints_mean_ordinary_ingestion(corpus: Corpus, tmp_path: pathlib.Path) -> None:
    corpus.live("a tale of the harbour", external_id="a", title="A", readers=("group:crew",), metadata={"n": 1})
    archive = export(corpus.services, corpus.collection, tmp_path / "one.tar")
    services = build(Settings(data_dir=tmp_path / "data", embedder="hashing-32"))
    try:
        services.start()
        imported = services.imports.run(admin(services), archive, collection="c")
        assert not imported.as_they_are
        assert len(imported.job_ids) == 1
        settle(services, "c", 1)
        found = services.catalogue.by_external_id(admin(services), "c", "a")
        assert (found.title, found.readers, found.metadata) == ("A", ("group:crew",), {"n": 1})
        assert services.imports.run(admin(services), archive, collection="c").counts[Fate.UNCHANGED] == 1
    finally:
        services.stop()


def test_only_admins_export_and_import(corpus: Corpus, tmp_path: pathlib.Path) -> None:
    corpus.live("a text", external_id="a")
    archive = export(corpus.services, corpus.collection, tmp_path / "one.tar")
    editor = corpus.principal(Role.EDITOR)
    with pytest.raises(ForbiddenError):
        corpus.services.exports.export(editor, corpus.collection)
    with pytest.raises(ForbiddenError):
        corpus.services.imports.run(editor, archive)
    with pytest.raises(NotFoundError):
        corpus.services.exports.export(corpus.admin, "nowhere")


def test_a_damaged_archive_changes_nothing(corpus: Corpus, elsewhere: Services, tmp_path: pathlib.Path) -> None:
    corpus.live("a text of one document", external_id="a")
    archive = export(corpus.services, corpus.collection, tmp_path / "one.tar")
    content = bytearray(archive.read_bytes())
    content[content.index(b"a text of one")] ^= 1
    archive.write_bytes(content)

    with pytest.raises(ArchiveError):
        elsewhere.imports.run(admin(elsewhere), archive, collection="damaged")

    with pytest.raises(NotFoundError):
        elsewhere.collections.get(admin(elsewhere), "damaged")


def test_a_document_that_is_not_whole_is_named(corpus: Corpus) -> None:
    made = corpus.live("a text", external_id="a")
    corpus.services.files.delete([made.version.text_key])
    with pytest.raises(Exception, match="is not whole") as raised:
        list(corpus.services.exports.export(corpus.admin, corpus.collection))
    assert getattr(raised.value, "code", None) == "not_whole"


@pytest.mark.parametrize("at", [0, 1, 2, 3, 4, 5, 6, 7])
def test_an_import_that_is_cut_off_is_finished_by_workers_and_repeated_without_harm(
    corpus: Corpus, elsewhere: Services, tmp_path: pathlib.Path, at: int
) -> None:
    for number in range(3):
        corpus.live(f"text {number} of the harbour", external_id=f"{number}")
    for _ in range(2):
        corpus.live("nameless", title="Nameless")
    archive = export(corpus.services, corpus.collection, tmp_path / "one.tar")
    name, boss = f"cut-{at}", admin(elsewhere)
    calls = iter(range(100))

    def stopping() -> bool:
        return next(calls) == at

    try:
        elsewhere.imports.run(boss, archive, collection=name, stopping=stopping)
    except TransientError:
        assert at < 5
    imported = elsewhere.imports.run(boss, archive, collection=name)
    assert imported.documents == 5
    settle(elsewhere, name, 5)
    assert differences(archive, export(elsewhere, name, tmp_path / "back.tar")) == []
    assert elsewhere.imports.run(boss, archive, collection=name).counts[Fate.UNCHANGED] == 5


def test_what_is_deleted_while_it_is_imported_does_not_come_back(
    corpus: Corpus, elsewhere: Services, tmp_path: pathlib.Path
) -> None:
    for number in range(3):
        corpus.live(f"text {number} of the harbour", external_id=f"{number}")
    archive = export(corpus.services, corpus.collection, tmp_path / "one.tar")
    for at in range(8):  # each moment at which the import looks whether it should stop
        name, boss, calls = f"raced-{at}", admin(elsewhere), iter(range(100))

        def delete(name: str = name, at: int = at, boss: Principal = boss, calls: Iterator[int] = calls) -> bool:
            if next(calls) == at:
                with contextlib.suppress(NotFoundError):
                    elsewhere.remove.remove(boss, elsewhere.catalogue.by_external_id(boss, name, "1").id)
            return False

        elsewhere.imports.run(boss, archive, collection=name, stopping=delete)

        found = {each[0] for each in hits(elsewhere, name, "harbour", Mode.HYBRID)}
        with contextlib.suppress(NotFoundError):
            elsewhere.catalogue.by_external_id(boss, name, "1")
            found -= {"1"}  # nothing was there yet to be deleted
        assert found == {"0", "2"}
    settle(elsewhere, "raced-0", 3)
    assert elsewhere.vectors.count(elsewhere.space) == elsewhere.index_size()["chunks"]


def test_an_upload_during_an_import_is_the_later_version(
    corpus: Corpus, elsewhere: Services, tmp_path: pathlib.Path
) -> None:
    corpus.live("the text of the archive", external_id="a", title="A")
    archive = export(corpus.services, corpus.collection, tmp_path / "one.tar")
    there = dataclasses.replace(corpus, services=elsewhere, admin=admin(elsewhere), collection="uploads")
    for at in range(2, 6):
        name, calls = f"upload-{at}", iter(range(100))
        here = dataclasses.replace(there, collection=name)

        def upload(at: int = at, here: Corpus = here, calls: Iterator[int] = calls) -> bool:
            if next(calls) == at:
                here.put("the text of a person", external_id="a", title="A")
            return False

        elsewhere.imports.run(here.admin, archive, collection=name, stopping=upload)
        settle(elsewhere, name, 1)
        if next(calls) > at:
            deadline = time.monotonic() + 30
            while here.texts("text") != ["the text of a person"] and time.monotonic() < deadline:
                time.sleep(0.02)
            assert here.texts("text") == ["the text of a person"]


def test_an_index_that_refuses_points_leaves_the_rest_to_workers(
    corpus: Corpus, elsewhere: Services, tmp_path: pathlib.Path
) -> None:
    corpus.live("a text of the harbour", external_id="a")
    archive = export(corpus.services, corpus.collection, tmp_path / "one.tar")
    full = dataclasses.replace(elsewhere.imports, vectors=Full(elsewhere.vectors))

    with pytest.raises(StorageFullError):
        full.run(admin(elsewhere), archive, collection="full")

    settle(elsewhere, "full", 1)
    assert differences(archive, export(elsewhere, "full", tmp_path / "back.tar")) == []


class Full:
    """A vector store whose disk is full."""

    def __init__(self, inner: VectorStore) -> None:
        self._inner = inner

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    def upsert(self, space: Space, points: Sequence[Point]) -> None:
        del space, points
        raise StorageFullError("no room left")
