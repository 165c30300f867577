"""Documents in, found again, replaced, closed and deleted: the promises, on the embedded adapters."""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import threading
import time
import uuid
from collections.abc import Iterator
from typing import Any

import pytest

from app.documents.add import Line
from app.documents.catalogue import Change
from app.documents.plan import Outcome
from app.documents.uploads import Staged, Upload
from app.domain.access import Role
from app.domain.documents import VersionState
from app.domain.errors import ConflictError, ForbiddenError, NotFoundError, PartDownError, UnsupportedFormatError
from app.domain.filters import Comparison, Scalar
from app.domain.jobs import JobState
from app.domain.repositories import Database
from tests.services.running import embedded_alone

Corpus = Any  # of conftest.py, which importlib mode does not let tests import


def test_what_was_uploaded_is_found_at_its_exact_place(corpus: Corpus) -> None:
    text = "The quick heron.\n\nA walrus sleeps on the ice all day long.\n"
    accepted = corpus.live(text, external_id="animals/walrus.txt")

    hit = corpus.search("walrus on ice").hits[0].hit

    assert hit.document.external_id == "animals/walrus.txt"
    assert text[hit.chunk.start : hit.chunk.end] == hit.chunk.text
    piece = corpus.services.catalogue.text(
        corpus.admin, accepted.document.id, version_id=None, start=hit.chunk.start, end=hit.chunk.end
    )
    assert piece.text == hit.chunk.text


def test_the_same_upload_twice_is_one_version(corpus: Corpus) -> None:
    first = corpus.live("same words", external_id="a")
    second = corpus.put("same words", external_id="a")

    assert second.outcome is Outcome.UNCHANGED
    assert second.version.id == first.version.id
    assert len(corpus.services.catalogue.versions(corpus.admin, first.document.id)) == 1


def test_the_same_upload_under_way_gives_its_job(corpus: Corpus) -> None:
    first = corpus.put("slow " * 4000, external_id="a")
    second = corpus.put("slow " * 4000, external_id="a")

    assert second.outcome in (Outcome.UNDER_WAY, Outcome.UNCHANGED)
    if second.outcome is Outcome.UNDER_WAY:
        assert second.job.id == first.job.id
    corpus.ended(first.job)


def test_a_replacement_switches_whole_and_hides_the_old_text(corpus: Corpus) -> None:
    corpus.live("the badger eats plums", external_id="a")
    corpus.live("the badger eats pears", external_id="a")

    assert corpus.texts("badger") == ["the badger eats pears"]


def test_the_old_version_answers_until_the_new_one_is_whole(corpus: Corpus) -> None:
    corpus.live("the otter swims north", external_id="a")
    accepted = corpus.put("\n\n".join(f"the otter swims south, part {n}." for n in range(2000)), external_id="a")
    seen = set()
    while not corpus.services.jobs.get(corpus.admin, accepted.job.id)[0].state.final:
        texts = corpus.texts("otter swims", limit=5)
        seen.add("north" if any("north" in text for text in texts) else "south")
        assert texts
        assert not (any("north" in text for text in texts) and any("south" in text for text in texts))
    assert corpus.texts("otter swims", limit=1)[0].startswith("the otter swims south")
    assert seen


def test_three_uploads_of_two_texts_are_three_versions(corpus: Corpus) -> None:
    for text in ("apple", "birch", "apple"):
        accepted = corpus.live(text, external_id="a")

    versions = corpus.services.catalogue.versions(corpus.admin, accepted.document.id)
    assert [version.seq for version in versions] == [3, 2, 1]
    assert [version.state for version in versions] == [
        VersionState.LIVE,
        VersionState.SUPERSEDED,
        VersionState.SUPERSEDED,
    ]
    assert corpus.texts("apple birch") == ["apple"]


def test_changed_metadata_and_readers_need_no_new_version(corpus: Corpus) -> None:
    first = corpus.live("ledger of the crow", external_id="a", metadata={"year": 2020})
    second = corpus.put("ledger of the crow", external_id="a", metadata={"year": 2021})

    assert second.outcome is Outcome.UPDATED
    assert second.version.id == first.version.id
    condition = Comparison(type="eq", key="year", value=2021)
    corpus.ended(second.job)
    assert len(corpus.search("crow", condition=condition).hits) == 1


def test_a_deleted_document_is_gone_when_the_call_returns_and_leaves_a_receipt(corpus: Corpus) -> None:
    accepted = corpus.live("the lynx hides", external_id="a")

    job = corpus.services.remove.remove(corpus.admin, accepted.document.id)

    assert corpus.texts("lynx") == []
    with pytest.raises(NotFoundError):
        corpus.services.catalogue.get(corpus.admin, accepted.document.id)
    assert corpus.ended(job).state is JobState.COMPLETED
    receipt = corpus.services.remove.receipt(corpus.admin, accepted.document.id)
    assert receipt.finished_at is not None
    assert (receipt.rows, receipt.chunks, receipt.vectors) == (2, 1, 1)
    assert receipt.bytes > 0
    assert corpus.services.vectors.count(corpus.services.space, [accepted.version.id]) == 0


def test_an_upload_deleted_before_it_is_live_never_shows(corpus: Corpus) -> None:
    accepted = corpus.put("the vole digs. " * 3000, external_id="a")

    job = corpus.services.remove.remove(corpus.admin, accepted.document.id)

    assert corpus.ended(accepted.job).state is JobState.CANCELLED
    corpus.ended(job)
    assert corpus.texts("vole") == []
    assert corpus.put("the vole is back", external_id="a").document.id != accepted.document.id


def test_a_deleted_collection_takes_its_documents_along(corpus: Corpus) -> None:
    accepted = [corpus.live(f"stoat number {n}", external_id=f"{n}") for n in range(5)]

    job = corpus.services.remove.remove_collection(corpus.admin, corpus.collection)

    with pytest.raises(NotFoundError):
        corpus.texts("stoat")
    assert corpus.ended(job).state is JobState.COMPLETED
    for each in accepted:
        assert corpus.services.remove.receipt(corpus.admin, each.document.id).vectors == 1
    assert not [key for each in accepted for key in corpus.services.files.keys(each.version.original_key)]


def test_readers_decide_who_finds_a_document(corpus: Corpus) -> None:
    ann = corpus.principal(Role.READER, user="ann")
    bob = corpus.principal(Role.READER, user="bob", groups=("legal",))
    corpus.live("the merger of herons", external_id="a", readers=("user:ann",))
    corpus.live("the contract of herons", external_id="b", readers=("group:legal",))

    assert corpus.texts("herons", by=ann) == ["the merger of herons"]
    assert corpus.texts("herons", by=bob) == ["the contract of herons"]
    assert len(corpus.texts("herons")) == 2


def test_a_change_holds_for_searches_from_the_moment_it_returns(corpus: Corpus) -> None:
    ann = corpus.principal(Role.READER, user="ann")
    text = "secret of the newt"
    document_id = corpus.live(text, external_id="a").document.id

    for turn in range(40):
        mine = turn % 2 == 1
        readers = ("*",) if mine else ("user:bob",)
        metadata: dict[str, Scalar] = {"turn": turn, "shown": mine}
        if turn % 4 < 2:
            corpus.services.catalogue.change(corpus.admin, document_id, Change(readers=readers, metadata=metadata))
        else:  # the same bytes again
            corpus.put(text, external_id="a", readers=readers, metadata=metadata)

        assert corpus.texts("newt", by=ann) == ([text] if mine else [])
        assert len(corpus.search("newt", condition=Comparison(type="eq", key="turn", value=turn)).hits) == 1
        assert not corpus.search("newt", condition=Comparison(type="eq", key="turn", value=turn - 1)).hits


def test_a_batch_that_only_changes_what_is_around_a_document_holds_at_once(corpus: Corpus) -> None:
    ann = corpus.principal(Role.READER, user="ann")
    corpus.live("the olm of the cave", external_id="a", readers=("user:bob",))

    for readers in (("*",), ("user:bob",), ("user:ann",)):
        upload = Upload(
            external_id="a", title=None, metadata=None, readers=readers, filename="note.txt", media_type=None
        )
        line = Line(number=1, upload=upload, content=b"the olm of the cave")
        corpus.services.add.add_part(corpus.admin, corpus.collection, [line])

        assert bool(corpus.texts("olm", by=ann)) == (readers != ("user:bob",))


def test_an_upload_that_narrows_readers_closes_the_old_version_at_once(corpus: Corpus) -> None:
    ann = corpus.principal(Role.READER, user="ann")
    corpus.live("the toad, first edition", external_id="a")

    accepted = corpus.put("the toad, second edition. " * 2000, external_id="a", readers=("user:bob",))

    assert corpus.texts("toad", by=ann) == []
    corpus.ended(accepted.job)
    assert corpus.texts("toad", by=ann) == []


def test_an_editor_can_neither_see_nor_overwrite_what_it_may_not_read(corpus: Corpus) -> None:
    editor = corpus.principal(Role.EDITOR, user="ed")
    accepted = corpus.live("for ann only", external_id="a", readers=("user:ann",))

    with pytest.raises(ConflictError):
        corpus.put("mine now", external_id="a", by=editor)
    with pytest.raises(NotFoundError):
        corpus.services.remove.remove(editor, accepted.document.id)
    with pytest.raises(NotFoundError):
        corpus.services.remove.remove_collection(editor, corpus.collection)


def test_a_reader_writes_nothing(corpus: Corpus) -> None:
    reader = corpus.principal(Role.READER, user="ann")
    with pytest.raises(ForbiddenError):
        corpus.put("hello", external_id="a", by=reader)


def test_one_bad_document_fails_alone(corpus: Corpus) -> None:
    bad = corpus.put(b"%PDF-1.4\nthis is no pdf at all", external_id="bad.pdf", filename="bad.pdf")
    good = corpus.put("a sound document", external_id="good.txt")

    failed = corpus.ended(bad.job)
    assert failed.state is JobState.FAILED
    assert failed.error is not None
    assert failed.error.code == "malformed"
    assert corpus.ended(good.job).state is JobState.COMPLETED
    assert corpus.texts("pdf at all") == ["a sound document"]


def test_what_no_loader_reads_is_refused_and_leaves_nothing(corpus: Corpus) -> None:
    before = set(corpus.services.files.keys())
    with pytest.raises(UnsupportedFormatError):
        corpus.put(b"\x89PNG\r\n\x1a\n" + bytes(100), external_id="a.png", filename="a.png")
    assert set(corpus.services.files.keys()) == before


def test_a_batch_takes_its_good_lines_and_reports_the_others(corpus: Corpus) -> None:
    def line(number: int, text: str, external_id: str) -> Line:
        upload = Upload(
            external_id=external_id,
            title=None,
            metadata={"n": number},
            readers=None,
            filename="line.txt",
            media_type=None,
        )
        return Line(number=number, upload=upload, content=text.encode())

    part = corpus.services.add.add_part(
        corpus.admin,
        corpus.collection,
        [line(1, "first shrew", "1"), line(2, "  ", "2"), line(3, "third shrew", "../3"), line(4, "fourth shrew", "4")],
    )
    job = corpus.ended(corpus.services.add.seal(corpus.admin, part.job_id))

    assert part.outcomes == {Outcome.ACCEPTED: 2}
    assert [(each.line, each.code) for each in part.rejected] == [(2, "empty_file"), (3, "bad_name")]
    assert (job.state, job.total, job.done) == (JobState.COMPLETED, 2, 2)
    assert sorted(corpus.texts("shrew")) == ["first shrew", "fourth shrew"]


@embedded_alone
def test_once_a_purge_has_ended_no_file_holds_a_word_of_the_document(corpus: Corpus) -> None:
    folder = corpus.services.settings.data_dir
    for number in range(8):
        corpus.live(f"The {number}. beaver fells trees. " * 40, external_id=f"beaver-{number}")
    words = (b"Quastenflosser", b"Tiefsee", b"coelacanth")
    doomed = corpus.live("A Quastenflosser swims here. " * 200, external_id="fish/coelacanth", title="Of the Tiefsee")

    def holding() -> list[str]:
        files = [path for path in folder.rglob("*") if path.is_file()]
        return sorted(path.name for path in files if any(word in path.read_bytes() for word in words))

    assert holding()
    corpus.ended(corpus.services.remove.remove(corpus.admin, doomed.document.id))

    receipt = corpus.services.remove.receipt(corpus.admin, doomed.document.id)
    assert receipt.finished_at is not None
    assert holding() == []


def test_an_unsealed_batch_does_not_end(corpus: Corpus) -> None:
    upload = Upload(external_id="1", title=None, metadata=None, readers=None, filename="line.txt", media_type=None)
    part = corpus.services.add.add_part(
        corpus.admin, corpus.collection, [Line(number=1, upload=upload, content=b"one shrew")]
    )
    deadline = time.monotonic() + 30
    while not corpus.texts("shrew") and time.monotonic() < deadline:
        time.sleep(0.02)
    assert corpus.services.jobs.get(corpus.admin, part.job_id)[0].state is JobState.RUNNING
    assert corpus.ended(corpus.services.add.seal(corpus.admin, part.job_id)).state is JobState.COMPLETED


def test_nothing_is_added_to_a_batch_that_was_closed_meanwhile(corpus: Corpus) -> None:
    upload = Upload(external_id="1", title=None, metadata=None, readers=None, filename="line.txt", media_type=None)
    lines = [Line(number=1, upload=upload, content=b"one shrew")]
    part = corpus.services.add.add_part(corpus.admin, corpus.collection, lines)
    assert part.job_id is not None
    corpus.ended(corpus.services.add.seal(corpus.admin, part.job_id))
    more = [dataclasses.replace(lines[0], upload=dataclasses.replace(upload, external_id="2"))]
    with pytest.raises(ConflictError) as raised:
        corpus.services.add.add_part(corpus.admin, corpus.collection, more, job_id=part.job_id)
    assert raised.value.code == "batch_closed"


class LosesAnswers:
    """A database whose connection breaks when it has committed, before it can say so."""

    def __init__(self, database: Database) -> None:
        self.database = database

    def read(self) -> Any:
        return self.database.read()

    @contextlib.contextmanager
    def write(self) -> Iterator[Any]:
        with self.database.write() as work:
            yield work
            raise PartDownError("the database can't be reached")


def test_an_upload_whose_commit_is_not_answered_keeps_its_file(corpus: Corpus) -> None:
    add = dataclasses.replace(corpus.services.add, database=LosesAnswers(corpus.services.database))
    path = corpus.services.stage()
    path.write_bytes(b"a mole in a hole")
    staged = Staged(path=path, sha256=hashlib.sha256(b"a mole in a hole").hexdigest(), size_bytes=16)
    upload = Upload(external_id="m", title=None, metadata=None, readers=None, filename="m.txt", media_type=None)
    with pytest.raises(PartDownError):
        add.add(corpus.admin, corpus.collection, upload, staged)
    line = dataclasses.replace(upload, external_id="n")
    with pytest.raises(PartDownError):
        add.add_part(corpus.admin, corpus.collection, [Line(number=1, upload=line, content=b"a mole in a wall")])

    for words in ("hole", "wall"):
        deadline = time.monotonic() + 30
        while not corpus.texts(words) and time.monotonic() < deadline:
            time.sleep(0.02)
        assert corpus.texts(words)


def test_a_failed_job_is_tried_again_as_a_new_job(corpus: Corpus) -> None:
    accepted = corpus.put(b"%PDF-1.4\nbroken", external_id="a.pdf", filename="a.pdf")
    failed = corpus.ended(accepted.job)

    again = corpus.services.jobs.retry(corpus.admin, failed.id)

    assert again.retry_of == failed.id
    assert corpus.ended(again).state is JobState.FAILED
    assert corpus.services.jobs.get(corpus.admin, failed.id)[0] == failed


def test_a_final_job_can_not_be_cancelled(corpus: Corpus) -> None:
    accepted = corpus.live("done", external_id="a")
    with pytest.raises(ConflictError):
        corpus.services.jobs.cancel(corpus.admin, accepted.job.id)


def test_a_cancelled_job_leaves_nothing_to_be_found(corpus: Corpus) -> None:
    accepted = corpus.put("\n\n".join(f"the marten climbs tree {n}." for n in range(5000)), external_id="a")
    corpus.services.jobs.cancel(corpus.admin, accepted.job.id)

    assert corpus.ended(accepted.job).state is JobState.CANCELLED
    assert corpus.texts("marten") == []
    deadline = time.monotonic() + 30
    while corpus.services.vectors.count(corpus.services.space, [accepted.version.id]) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert corpus.services.vectors.count(corpus.services.space, [accepted.version.id]) == 0


def test_the_same_idempotency_key_makes_one_document(corpus: Corpus) -> None:
    first = corpus.put("a note without a name", idempotency_key="k1")
    second = corpus.put("a note without a name", idempotency_key="k1")
    assert first.document.id == second.document.id


def test_grouped_hits_show_each_document_once(corpus: Corpus) -> None:
    long_text = "\n\n".join(f"The weasel of chapter {n}. " + "It runs and runs and runs. " * 40 for n in range(6))
    corpus.live(long_text, external_id="long")
    corpus.live("The weasel of the appendix.", external_id="short")

    hits = corpus.search("weasel", by_document=True).hits
    assert sorted(each.hit.document.external_id for each in hits) == ["long", "short"]


def test_a_search_is_refilled_when_most_of_what_the_index_finds_was_closed(corpus: Corpus) -> None:
    ann = corpus.principal(Role.READER, user="ann")
    ids = [corpus.put(f"identical ferret {n}", external_id=f"{n:04}") for n in range(600)]
    for each in ids:
        corpus.ended(each.job)
    with corpus.services.database.write() as work:  # as if a mass change had just been committed and no refresh had run
        for each in ids[:580]:
            document = work.documents.get(corpus.admin.workspace_id, each.document.id)
            assert document is not None
            import dataclasses  # noqa: PLC0415 - one use

            work.documents.update(dataclasses.replace(document, readers=("user:bob",)))
        work.commit()

    result = corpus.search("identical ferret", by=ann, limit=15)

    assert len(result.hits) == 15
    assert result.explanation.refills >= 1


def test_eight_clients_on_one_external_id_leave_one_live_version_or_none(corpus: Corpus) -> None:
    errors: list[BaseException] = []
    rounds = 6

    def client(number: int) -> None:
        for turn in range(rounds):
            try:
                if (number + turn) % 4 == 3:
                    found = corpus.services.catalogue.by_external_id(corpus.admin, corpus.collection, "shared")
                    corpus.services.remove.remove(corpus.admin, found.id)
                else:
                    corpus.put(f"pine marten {number} {turn}", external_id="shared")
                corpus.texts("pine marten")
            except (NotFoundError, ConflictError):
                pass
            except BaseException as error:  # noqa: BLE001 - reported by the main thread
                errors.append(error)

    threads = [threading.Thread(target=client, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not errors

    last = corpus.put("pine marten at last", external_id="shared")
    if last.job is not None:
        corpus.ended(last.job)
    assert corpus.texts("pine marten") == ["pine marten at last"]


def test_an_unknown_collection_is_an_error_and_an_unknown_document_too(corpus: Corpus) -> None:
    with pytest.raises(NotFoundError):
        corpus.services.catalogue.get(corpus.admin, uuid.uuid4())
    with pytest.raises(NotFoundError):
        corpus.services.collections.get(corpus.admin, "no-such")


@pytest.mark.parametrize("end", ["fail", "cancel"])
def test_readers_come_back_when_what_narrowed_them_does_not_go_live(corpus: Corpus, end: str) -> None:
    corpus.live("the heron waits", external_id="a", readers=("user:ann",))
    broken = b"%PDF-1.4\nbroken" if end == "fail" else ("slow words " * 200_000).encode()
    name = "b.pdf" if end == "fail" else "b.txt"
    accepted = corpus.put(broken, external_id="a", readers=("user:bob",), filename=name)
    if end == "cancel":
        assert not corpus.texts("heron", by=corpus.principal(Role.READER, user="ann"))  # closed while it is under way
        corpus.services.jobs.cancel(corpus.admin, accepted.job.id)
    assert corpus.ended(accepted.job).state in (JobState.FAILED, JobState.CANCELLED)

    found, _ = corpus.services.catalogue.get(corpus.admin, accepted.document.id)
    assert found.readers == ("user:ann",)
    assert corpus.texts("heron", by=corpus.principal(Role.READER, user="ann"))
    assert not corpus.texts("heron", by=corpus.principal(Role.READER, user="bob"))


def test_who_uploads_what_it_may_not_read_may_follow_the_job(corpus: Corpus) -> None:
    editor = corpus.principal(Role.EDITOR, user="ed")
    accepted = corpus.put("for lawyers", external_id="x", readers=("group:legal",), by=editor)
    corpus.ended(accepted.job)

    job, _ = corpus.services.jobs.get(editor, accepted.job.id)

    assert job.state is JobState.COMPLETED
    other = corpus.principal(Role.EDITOR, user="ed")
    with pytest.raises(NotFoundError):
        corpus.services.jobs.get(other, accepted.job.id)
    with pytest.raises(NotFoundError):
        corpus.services.catalogue.get(editor, accepted.document.id)
