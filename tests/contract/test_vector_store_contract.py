"""Every VectorStore, held to the port. A new adapter is one more entry in STORES."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import pathlib
import threading
import time
import uuid
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import hypothesis
import hypothesis.strategies as st
import numpy as np
import pytest
from qdrant_client import QdrantClient

from app.domain import filters
from app.domain.access import ADMINS, EVERYONE, scope
from app.domain.errors import FingerprintMismatchError, TransientError
from app.domain.filters import Comparison, Filter, Scalar
from app.domain.ports import VectorStore
from app.domain.vectors import Point, Rankings, Space, Sparse, Vector, VectorQuery
from app.stores.edge_vectors import EdgeVectorStore
from app.stores.qdrant_vectors import QdrantVectorStore
from tests.contract import filter_cases
from tests.contract.test_qdrant_wire import wire

SPACE = Space(name="contract", dimensions=4)
INDEX = uuid.UUID(int=1)
OTHER_INDEX = uuid.UUID(int=2)
ALL = (f"{INDEX}/{ADMINS}",)
X: Vector = np.array([1, 0, 0, 0], dtype=np.float32)
Y: Vector = np.array([0, 1, 0, 0], dtype=np.float32)


@contextlib.contextmanager
def edge(folder: pathlib.Path) -> Iterator[VectorStore]:
    store = EdgeVectorStore(folder)
    yield store
    store.close()


class Locked:
    """A store whose calls go one after the other: the client's local mode is not safe to call from several threads."""

    def __init__(self, inner: VectorStore) -> None:
        self._inner, self._lock = inner, threading.RLock()

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._inner, name)

        def call(*arguments: Any, **named: Any) -> Any:
            with self._lock:
                found = method(*arguments, **named)
                return iter(list(found)) if name == "points" else found

        return call


@contextlib.contextmanager
def local(_: pathlib.Path) -> Iterator[VectorStore]:
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Payload indexes have no effect|Local mode performs")
        store: Any = Locked(QdrantVectorStore(QdrantClient(":memory:"), exact=True))
        yield store
        store.close()


@contextlib.contextmanager
def over_the_wire(folder: pathlib.Path) -> Iterator[VectorStore]:
    """The stand-in of tests/services, in a process of its own."""
    with wire(folder / "wire") as url:
        store = QdrantVectorStore(QdrantClient(url=url, timeout=30, check_compatibility=False), exact=True)
        yield store
        store.close()


@contextlib.contextmanager
def server(_: pathlib.Path) -> Iterator[VectorStore]:
    """A real one, where there is one."""
    if not (url := os.environ.get("FOOTNOTE_TEST_QDRANT_URL")):
        pytest.skip("FOOTNOTE_TEST_QDRANT_URL names no server")
    client = QdrantClient(url=url, timeout=30, api_key=os.environ.get("FOOTNOTE_TEST_QDRANT_API_KEY"))
    prefix = f"footnote-test-{uuid.uuid4().hex[:8]}-"
    store = QdrantVectorStore(client, prefix=prefix, exact=True)
    yield store
    for each in client.get_collections().collections:
        if each.name.startswith(prefix):
            client.delete_collection(each.name)
    store.close()


STORES: Mapping[str, Callable[[pathlib.Path], contextlib.AbstractContextManager[VectorStore]]] = {
    "edge": edge,
    "qdrant-local": local,
    "qdrant-wire": over_the_wire,
    "qdrant-server": server,
}


@pytest.fixture(params=STORES)
def store(request: pytest.FixtureRequest, tmp_path: pathlib.Path) -> Iterator[VectorStore]:
    with STORES[request.param](tmp_path) as made:
        made.ensure(SPACE)
        yield made


def name(text: str) -> uuid.UUID:
    return uuid.uuid5(INDEX, text)


def unit(*numbers: float) -> Vector:
    vector = np.array(numbers, dtype=np.float32)
    return vector / np.float32(np.linalg.norm(vector))


def point(
    chunk: str,
    *,
    version: str = "version",
    index: uuid.UUID = INDEX,
    readers: Sequence[str] = (EVERYONE,),
    metadata: Mapping[str, Scalar] | None = None,
    dense: Vector = X,
    terms: Sequence[int] = (1,),
) -> Point:
    return Point(
        chunk_id=name(chunk),
        index_id=index,
        document_id=name("document"),
        version_id=name(version),
        scope=scope(index, readers),
        metadata=metadata or {},
        dense=dense,
        sparse=Sparse(indices=tuple(terms), values=(1.0,) * len(terms)),
    )


def ask(
    store: VectorStore,
    *,
    dense: Vector | None = X,
    terms: Sequence[int] | None = None,
    scope: Sequence[str] = ALL,
    excluded: Sequence[str] = (),
    filter_: Filter | None = None,
    limit: int = 100,
    offset: int = 0,
) -> Rankings:
    sparse = None if terms is None else Sparse(indices=tuple(terms), values=(1.0,) * len(terms))
    query = VectorQuery(
        dense=dense,
        sparse=sparse,
        scope=scope,
        excluded_versions=[name(version) for version in excluded],
        filter=filter_,
        limit=limit,
        offset=offset,
    )
    return store.search(SPACE, query)


def found(rankings: Rankings) -> set[uuid.UUID]:
    return {scored.chunk_id for scored in rankings.dense}


def test_an_empty_space_finds_nothing(store: VectorStore) -> None:
    rankings = ask(store, terms=[1])

    assert not rankings.dense
    assert not rankings.sparse
    assert store.count(SPACE) == 0
    assert list(store.points(SPACE)) == []


def test_ensuring_twice_changes_nothing(store: VectorStore) -> None:
    store.upsert(SPACE, [point("a")])

    store.ensure(SPACE)

    assert store.count(SPACE) == 1


def test_the_nearest_comes_first_with_its_cosine(store: VectorStore) -> None:
    store.upsert(SPACE, [point("far", dense=-X), point("near", dense=unit(3, 4, 0, 0)), point("same")])

    dense = ask(store).dense

    assert [scored.chunk_id for scored in dense] == [name("same"), name("near"), name("far")]
    assert [scored.score for scored in dense] == pytest.approx(
        [1.0, 0.6, -1.0], abs=1e-3
    )  # a store may keep half precision
    assert all(-1 <= scored.score <= 1 for scored in dense)


def test_each_side_answers_for_itself(store: VectorStore) -> None:
    store.upsert(SPACE, [point("a", terms=[7]), point("b", terms=[8], dense=Y)])

    only_dense, only_sparse, both = ask(store), ask(store, dense=None, terms=[8]), ask(store, terms=[8])

    assert only_dense.dense
    assert not only_dense.sparse
    assert not only_sparse.dense
    assert [scored.chunk_id for scored in only_sparse.sparse] == [name("b")]
    assert both == Rankings(dense=only_dense.dense, sparse=only_sparse.sparse)


def test_words_that_no_passage_holds_find_nothing(store: VectorStore) -> None:
    store.upsert(SPACE, [point("a", terms=[7])])

    assert not ask(store, terms=[99]).sparse
    assert not ask(store, terms=[]).sparse


def test_a_passage_without_words_is_found_by_its_vector(store: VectorStore) -> None:
    store.upsert(SPACE, [point("a", terms=[])])

    assert found(ask(store, terms=[1])) == {name("a")}


def test_a_rare_word_weighs_more_than_a_common_one(store: VectorStore) -> None:
    common = [point(f"c{number}", terms=[1]) for number in range(9)]
    store.upsert(SPACE, [*common, point("rare", terms=[2])])

    sparse = ask(store, dense=None, terms=[1, 2]).sparse

    assert sparse[0].chunk_id == name("rare")
    assert all(scored.score >= 0 for scored in sparse)
    assert len(sparse) == 10


def test_how_rare_a_word_is_is_counted_over_the_callers_own_corpus(store: VectorStore) -> None:
    own = [point(f"own{number}", terms=[5]) for number in range(20)]
    store.upsert(SPACE, own)
    alone = ask(store, dense=None, terms=[5]).sparse[0].score

    store.upsert(SPACE, [point(f"other{number}", index=OTHER_INDEX, terms=[6]) for number in range(200)])

    assert ask(store, dense=None, terms=[5]).sparse[0].score == pytest.approx(alone)


def test_only_what_the_scope_names_is_found(store: VectorStore) -> None:
    store.upsert(
        SPACE,
        [
            point("all"),
            point("ann", readers=["user:ann"]),
            point("team", readers=["group:team", "user:bob"]),
            point("elsewhere", index=OTHER_INDEX),
        ],
    )

    def seen(*tags: str) -> set[uuid.UUID]:
        return found(ask(store, scope=[f"{INDEX}/{tag}" for tag in tags]))

    assert seen(EVERYONE) == {name("all")}
    assert seen(EVERYONE, "user:ann") == {name("all"), name("ann")}
    assert seen("group:team") == {name("team")}
    assert seen("user:an") == set()
    assert seen(ADMINS) == {name("all"), name("ann"), name("team")}
    assert found(ask(store, scope=[])) == set()
    assert found(ask(store, scope=[*ALL, f"{OTHER_INDEX}/{EVERYONE}"])) == {
        name(each) for each in ("all", "ann", "team", "elsewhere")
    }


def test_excluded_versions_are_not_found(store: VectorStore) -> None:
    store.upsert(SPACE, [point("old", version="v1"), point("new", version="v2")])

    rankings = ask(store, terms=[1], excluded=["v1", "unknown"])

    assert found(rankings) == {name("new")}
    assert {scored.chunk_id for scored in rankings.sparse} == {name("new")}


def test_writing_a_point_again_replaces_it(store: VectorStore) -> None:
    store.upsert(SPACE, [point("a", metadata={"x": 1}, terms=[3])])

    store.upsert(SPACE, [point("a", dense=Y, terms=[4], version="v2", readers=["user:ann"])])

    assert store.count(SPACE) == 1
    assert [(each.chunk_id, each.version_id) for each in store.points(SPACE)] == [(name("a"), name("v2"))]
    assert ask(store, dense=Y).dense[0].score == pytest.approx(1.0)
    assert not ask(store, dense=None, terms=[3]).sparse
    assert not found(ask(store, filter_=Comparison(type="eq", key="x", value=1)))
    assert not found(ask(store, scope=[f"{INDEX}/{EVERYONE}"]))


def test_pages_of_a_ranking_join_without_gap_or_repeat(store: VectorStore) -> None:
    points = [point(f"{number}", dense=unit(1, number / 50, 0, 0), terms=range(1, 2 + number)) for number in range(50)]
    store.upsert(SPACE, points)
    whole = ask(store, terms=[1, 2, 3])

    pages = [ask(store, terms=[1, 2, 3], limit=7, offset=offset) for offset in range(0, 56, 7)]

    assert [scored for page in pages for scored in page.dense] == list(whole.dense)
    assert [scored for page in pages for scored in page.sparse] == list(whole.sparse)
    assert len(whole.dense) == 50


@pytest.mark.parametrize("limit", [1, 10, 33])
def test_equal_scores_come_in_the_order_of_their_ids(store: VectorStore, limit: int) -> None:
    names = [f"{number}" for number in range(200)]
    store.upsert(SPACE, [point(each) for each in names])
    ids = sorted(map(name, names))

    first, second = (ask(store, terms=[1], limit=limit, offset=offset) for offset in (0, limit))

    assert [scored.chunk_id for scored in first.dense] == ids[:limit]
    assert [scored.chunk_id for scored in second.dense] == ids[limit : 2 * limit]
    assert [scored.chunk_id for scored in second.sparse] == ids[limit : 2 * limit]


def test_present_gives_those_that_are_there(store: VectorStore) -> None:
    store.upsert(SPACE, [point("a"), point("b")])

    assert store.present(SPACE, [name("a"), name("c"), name("b")]) == {name("a"), name("b")}
    assert store.present(SPACE, []) == set()


def test_a_change_of_access_reaches_the_points_that_are_named_and_no_other(store: VectorStore) -> None:
    store.upsert(SPACE, [point("a", metadata={"x": 1, "y": 2}), point("b"), point("c", version="v2")])

    named = [name("a"), name("b"), name("absent")]
    store.set_access(SPACE, named, scope=scope(INDEX, ["user:ann"]), metadata={"x": "new"})

    assert found(ask(store, scope=[f"{INDEX}/{EVERYONE}"])) == {name("c")}
    assert found(ask(store, scope=[f"{INDEX}/user:ann"])) == {name("a"), name("b")}
    assert found(ask(store, filter_=Comparison(type="eq", key="x", value="new"))) == {name("a"), name("b")}
    assert not found(ask(store, filter_=Comparison(type="eq", key="x", value=1)))
    assert not found(ask(store, filter_=Comparison(type="gte", key="y", value=0)))


def test_deleting_versions_counts_what_it_removed(store: VectorStore) -> None:
    store.upsert(SPACE, [point(f"{number}", version=f"v{number % 3}") for number in range(30)])

    removed = store.delete_versions(SPACE, [name("v0"), name("v1"), name("unknown")])

    assert removed == {name("v0"): 10, name("v1"): 10}
    assert store.count(SPACE) == 10
    assert store.count(SPACE, [name("v2"), name("v0")]) == 10
    assert store.count(SPACE, []) == 0
    assert {each.version_id for each in store.points(SPACE)} == {name("v2")}
    assert store.delete_versions(SPACE, [name("v0")]) == {}
    assert store.delete_versions(SPACE, []) == {}


def test_points_are_deleted_by_id_and_absent_ones_are_passed_over(store: VectorStore) -> None:
    store.upsert(SPACE, [point("a"), point("b"), point("c")])

    store.delete_points(SPACE, [name("a"), name("c"), name("absent")])
    store.delete_points(SPACE, [])

    assert {each.chunk_id for each in store.points(SPACE)} == {name("b")}


def test_a_point_says_who_may_see_it_and_what_its_metadata_are(store: VectorStore) -> None:
    metadata: dict[str, Scalar] = {"year": 2001.0, "kind": "report", "open": True, "share": 0.5}
    store.upsert(SPACE, [point("a", readers=["user:ann", "group:x"], metadata=metadata), point("b")])

    states = {each.chunk_id: each for each in store.points(SPACE)}
    named = store.states(SPACE, [name("a"), name("absent")])

    assert named == [states[name("a")]]
    assert store.states(SPACE, []) == []

    assert states[name("a")].scope == set(scope(INDEX, ["user:ann", "group:x"]))
    assert filters.same(states[name("a")].metadata, metadata)
    assert states[name("b")].metadata == {}


def test_points_gives_each_once(store: VectorStore) -> None:
    store.upsert(SPACE, [point(f"{number}", version=f"v{number // 2}") for number in range(4_100)])

    listed = [(each.chunk_id, each.version_id) for each in store.points(SPACE)]

    assert sorted(listed) == sorted((name(f"{number}"), name(f"v{number // 2}")) for number in range(4_100))


def test_spaces_do_not_see_each_other(store: VectorStore) -> None:
    other = Space(name="other", dimensions=2)
    store.upsert(SPACE, [point("a")])

    store.ensure(other)

    assert store.count(other) == 0


def test_vectors_of_another_length_are_refused(store: VectorStore) -> None:
    with pytest.raises(FingerprintMismatchError):
        store.ensure(Space(name=SPACE.name, dimensions=5))
    with pytest.raises(FingerprintMismatchError):
        store.upsert(SPACE, [point("a", dense=np.ones(3, dtype=np.float32))])
    with pytest.raises(FingerprintMismatchError):
        ask(store, dense=np.ones(3, dtype=np.float32))


def test_after_closing_every_call_is_refused_for_now(store: VectorStore) -> None:
    store.close()

    with pytest.raises(TransientError):
        store.upsert(SPACE, [point("a")])
    with pytest.raises(TransientError):
        ask(store)
    store.close()


@pytest.fixture(params=STORES, scope="module")
def corpus(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[VectorStore]:
    with STORES[request.param](tmp_path_factory.mktemp("corpus")) as made:
        points = [point(each, metadata=metadata) for each, metadata in filter_cases.DOCUMENTS.items()]
        made.upsert(SPACE, points)
        yield made


@pytest.mark.parametrize("condition", filter_cases.FILTERS, ids=str)
def test_a_filter_means_what_the_domain_says(corpus: VectorStore, condition: Filter) -> None:
    expected = {name(each) for each in filter_cases.expected(condition)}

    rankings = ask(corpus, terms=[1], filter_=condition, limit=1_000)

    assert found(rankings) == expected
    assert {scored.chunk_id for scored in rankings.sparse} == expected


@hypothesis.settings(max_examples=60, deadline=None)
@hypothesis.given(
    documents=st.lists(filter_cases.drawn_metadata, min_size=1, max_size=8),
    conditions=st.lists(filter_cases.drawn_filters, min_size=1, max_size=6),
)
def test_any_filter_over_any_metadata_means_what_the_domain_says(
    corpus: VectorStore, documents: list[dict[str, Scalar]], conditions: list[Filter]
) -> None:
    index = uuid.uuid4()
    names = {f"{index} {number}": metadata for number, metadata in enumerate(documents)}
    corpus.upsert(SPACE, [point(each, index=index, metadata=metadata) for each, metadata in names.items()])

    for condition in conditions:
        expected = {name(each) for each in filter_cases.expected(condition, names)}
        assert found(ask(corpus, scope=[f"{index}/{ADMINS}"], filter_=condition)) == expected


def test_a_range_sees_values_written_after_the_first_range_was_asked_for(store: VectorStore) -> None:
    late = Comparison(type="gt", key="year", value=2000)
    store.upsert(SPACE, [point("a", metadata={"year": 1999})])
    assert not found(ask(store, filter_=late))

    store.upsert(SPACE, [point("b", metadata={"year": 2001})])
    store.set_access(SPACE, [name("a"), name("b")], scope=scope(INDEX, [EVERYONE]), metadata={"year": 2002.5})

    assert found(ask(store, filter_=late)) == {name("a"), name("b")}


def test_readers_and_writers_at_once_agree_in_the_end(store: VectorStore) -> None:
    failures: list[BaseException] = []
    done = threading.Event()

    def write(worker: int) -> None:
        for number in range(10):
            store.upsert(SPACE, [point(f"{worker} {number} {each}", version=f"w{worker}") for each in range(10)])

    def read() -> None:
        while not done.is_set():
            rankings = ask(store, terms=[1], limit=20)
            assert len({scored.chunk_id for scored in rankings.dense}) == len(rankings.dense)

    def guarded(work: Callable[[], None]) -> threading.Thread:
        def run() -> None:
            try:
                work()
            except BaseException as error:  # noqa: BLE001 - a thread's failure is the test's
                failures.append(error)

        thread = threading.Thread(target=run)
        thread.start()
        return thread

    readers = [guarded(read) for _ in range(3)]
    writers = [guarded(lambda worker=worker: write(worker)) for worker in range(4)]  # type: ignore[misc]
    for thread in writers:
        thread.join()
    removed = store.delete_versions(SPACE, [name("w0")])
    done.set()
    for thread in readers:
        thread.join()

    assert failures == []
    assert removed == {name("w0"): 100}
    assert store.count(SPACE) == 300


def test_vectors_are_read_back_as_they_are_kept(store: VectorStore) -> None:
    sparse = Sparse(indices=(9, 2, 5), values=(0.5, 1.25, 2.0))
    store.upsert(SPACE, [dataclasses.replace(point("a", dense=unit(3, 4, 0, 0)), sparse=sparse), point("b")])

    kept = store.vectors(SPACE, [name("a"), name("b"), name("absent")])

    assert kept.keys() == {name("a"), name("b")}
    assert kept[name("a")].dense == pytest.approx([0.6, 0.8, 0.0, 0.0], abs=1e-3)  # a store may keep half precision
    assert kept[name("a")].sparse == Sparse(indices=(2, 5, 9), values=(1.25, 2.0, 0.5))
    assert store.vectors(SPACE, []) == {}


def test_many_vectors_are_read_in_one_call(store: VectorStore) -> None:
    chunks = [f"c{number}" for number in range(600)]
    store.upsert(SPACE, [point(chunk) for chunk in chunks])

    assert store.vectors(SPACE, [name(chunk) for chunk in chunks]).keys() == {name(chunk) for chunk in chunks}


def test_what_was_deleted_counts_in_no_statistics(store: VectorStore) -> None:
    fresh = Space(name="fresh", dimensions=4)
    store.ensure(fresh)
    kept = [point(f"k{number}", version=f"k{number}", terms=[1 + number % 3]) for number in range(12)]
    doomed = [point(f"d{number}", version=f"d{number}", terms=[1]) for number in range(6)]
    store.upsert(SPACE, [*doomed, *kept])
    store.upsert(fresh, kept)
    store.delete_versions(SPACE, [each.version_id for each in doomed])
    time.sleep(1.1)  # the embedded store looks less closely once nobody writes
    query = VectorQuery(dense=None, sparse=Sparse(indices=(1,), values=(1.0,)), scope=ALL)

    after, untouched = (store.search(space, query).sparse for space in (SPACE, fresh))

    assert [each.score for each in after] == pytest.approx([each.score for each in untouched], abs=1e-6)
