"""Many documents of a collection by one call: what a filter finds is deleted or changed, as one job."""

from __future__ import annotations

import time
from typing import Any

import pytest

from app.documents.bulk import Selection
from app.documents.catalogue import Change
from app.domain.access import Role
from app.domain.errors import ForbiddenError, InvalidInputError
from app.domain.filters import Comparison
from app.domain.jobs import JobState

Corpus = Any  # of conftest.py
EVEN = Comparison(type="eq", key="even", value=True)


@pytest.fixture
def filled(corpus: Corpus) -> Corpus:
    for number in range(12):
        corpus.live(
            f"Heron number {number} stands in the reeds.",
            external_id=f"h{number}",
            metadata={"even": number % 2 == 0, "number": number},
        )
    return corpus


def names(corpus: Corpus, **how: Any) -> set[str]:
    return {hit.hit.document.external_id for hit in corpus.search("heron", limit=50, **how).hits}


def receipt(corpus: Corpus, document_id: Any) -> Any:
    return corpus.services.remove.receipt(corpus.admin, document_id)


def test_what_a_filter_finds_is_hidden_at_once_and_purged_with_receipts(filled: Corpus) -> None:
    ids = {hit.hit.document.external_id: hit.hit.document.id for hit in filled.search("heron", limit=50).hits}
    selection = Selection(collection=filled.collection, filter=EVEN)
    assert filled.services.bulk.count(filled.admin, selection) == 6

    job, count = filled.services.bulk.delete(filled.admin, selection)

    assert count == 6
    assert names(filled) == {f"h{number}" for number in range(1, 12, 2)}
    ended = filled.ended(job)
    assert (ended.state, ended.total, ended.done) == (JobState.COMPLETED, 6, 6)
    done = receipt(filled, ids["h4"])
    assert (done.rows, done.chunks, done.vectors) == (2, 1, 1)
    assert done.finished_at is not None
    assert done.bytes > 0


def test_what_a_caller_may_not_read_is_not_touched(filled: Corpus) -> None:
    filled.live("Heron of the board.", external_id="secret", readers=("group:board",), metadata={"even": True})
    editor = filled.principal(Role.EDITOR, user="ed")

    _, count = filled.services.bulk.delete(editor, Selection(collection=filled.collection, filter=EVEN))

    assert count == 6
    assert "secret" in names(filled)
    with pytest.raises(ForbiddenError):
        filled.services.bulk.delete(
            filled.principal(Role.READER, user="r"), Selection(collection=filled.collection, all=True)
        )


def test_readers_are_changed_at_once_and_the_index_follows(filled: Corpus) -> None:
    reader = filled.principal(Role.READER, user="bob")
    assert len(names(filled, by=reader)) == 12

    change = Change(readers=["user:ann"])
    job, count = filled.services.bulk.change(filled.admin, Selection(collection=filled.collection, filter=EVEN), change)

    assert count == 6
    assert names(filled, by=reader) == {f"h{number}" for number in range(1, 12, 2)}
    assert filled.ended(job).state is JobState.COMPLETED
    ann = filled.principal(Role.READER, user="ann")
    assert len(names(filled, by=ann)) == 12
    again, none = filled.services.bulk.change(
        filled.admin, Selection(collection=filled.collection, filter=EVEN), change
    )
    assert none == 0
    assert filled.ended(again).state is JobState.COMPLETED


def test_a_selection_is_said_and_so_is_the_change(filled: Corpus) -> None:
    for selection in (
        Selection(collection=filled.collection),
        Selection(collection=filled.collection, filter=EVEN, all=True),
    ):
        with pytest.raises(InvalidInputError):
            filled.services.bulk.delete(filled.admin, selection)
    everything = Selection(collection=filled.collection, all=True)
    for change in (Change(), Change(title="one")):
        with pytest.raises(InvalidInputError):
            filled.services.bulk.change(filled.admin, everything, change)
    assert len(names(filled)) == 12


def test_an_upload_on_its_way_is_deleted_with_the_rest(corpus: Corpus) -> None:
    corpus.live("The otter swims.", external_id="o")
    accepted = corpus.put("The otter swims south. " * 3000, external_id="o")

    job, count = corpus.services.bulk.delete(corpus.admin, Selection(collection=corpus.collection, all=True))

    assert count == 1
    assert corpus.texts("otter") == []
    assert corpus.ended(job).state is JobState.COMPLETED
    assert corpus.ended(accepted.job).state is JobState.CANCELLED


def test_over_http_a_dry_run_only_counts(api: Any, problem: Any) -> None:
    name = api.collection()
    for number in range(4):
        api.live(name, f"The heron number {number}.", metadata={"n": number})
    body = {"collection": name, "filter": {"type": "gte", "key": "n", "value": 2}}

    assert api.post("/v1/documents/delete", json={**body, "dry_run": True}).json() == {"job_id": None, "documents": 2}
    assert len(api.hits(name, "heron")) == 4
    reply = api.post("/v1/documents/delete", json=body)
    assert (reply.status_code, reply.json()["documents"]) == (202, 2)
    assert len(api.hits(name, "heron")) == 2
    deadline = time.monotonic() + 60
    while api.get(reply.headers["location"]).json()["state"] != "completed":
        assert time.monotonic() < deadline
        time.sleep(0.05)
    problem(api.post("/v1/documents/delete", json={"collection": name}), 422, "nothing_selected")
    problem(api.post("/v1/documents/change", json={"collection": name, "all": True}), 422, "nothing_to_change")
    problem(api.post("/v1/documents/delete", json={"collection": "none", "all": True}), 404, "unknown_collection")
