"""The file of a collection: what was written is read, and whatever is not what was written is refused."""

from __future__ import annotations

import hashlib
import io
import json
import pathlib
import tarfile
from collections.abc import Callable

import numpy as np
import pytest

from app.documents.archive import form
from app.documents.archive.comparing import differences
from app.documents.archive.form import ArchiveError, Manifest, NewerArchiveError, Record, Row
from app.documents.archive.half import steady
from app.documents.archive.reading import Archive
from app.domain.documents import Chunk, Fingerprints
from app.domain.ids import new_id
from app.domain.vectors import Sparse, StoredVectors
from app.text import canonical

Members = dict[str, bytes]
TEXT = "a tale of the harbour and of a gull"
MANIFEST = Manifest(
    name="notes",
    description="of the island",
    fingerprints=Fingerprints(chunker="c", dense="d", sparse="s"),
    dimensions=4,
)


def record(number: int, **changed: object) -> Record:
    original = f"{TEXT} {number}".encode()
    parts: dict[str, object] = {
        "external_id": f"notes/{number}",
        "title": f"Note {number}",
        "metadata": {"n": number, "yes": True, "half": 0.5},
        "readers": ("group:crew",),
        "filename": "note.txt",
        "media_type": "text/plain",
        "sha256": hashlib.sha256(original).hexdigest(),
        "size_bytes": len(original),
        "loader": "l",
        "pages": None,
        "text_chars": len(TEXT),
        "chunks": 2,
    }
    return Record(**(parts | changed))  # type: ignore[arg-type]


def row(ordinal: int) -> Row:
    chunk = Chunk(
        index_id=new_id(),
        version_id=new_id(),
        ordinal=ordinal,
        start=5 * ordinal,
        end=5 * ordinal + 5,
        page=None,
        headings=("Top",),
        text="",
    )
    dense = np.array([0.6, 0.8, 0, 0], dtype=np.float32)
    return Row.of(chunk, StoredVectors(dense=dense, sparse=Sparse(indices=(3, 7), values=(0.5, 1.5))))


def batch(number: int, *records: Record) -> Members:
    """A batch's members, each document with two chunks, and their checksums."""
    members: Members = {"documents.ndjson": b"".join(each.packed() for each in records)}
    for at, each in enumerate(records):
        members[f"originals/{at:02}"] = f"{TEXT} {(each.external_id or '/0').rpartition('/')[2]}".encode()
    for at in range(len(records)):
        members[f"texts/{at:02}"] = canonical.pack(TEXT)
    rows = [(at, row(ordinal)) for at in range(len(records)) for ordinal in (0, 1)]
    members["chunks/0000.ndjson"] = form.packed_places(rows)
    members["vectors/0000"] = form.packed_vectors([each for _, each in rows], 4)
    return {form.batch_name(number, name): content for name, content in members.items()}


def members(*, manifest: bytes | None = None, batches: tuple[Members, ...] | None = None) -> Members:
    """A whole archive."""
    written: Members = {form.MANIFEST: MANIFEST.packed() if manifest is None else manifest}
    sums = {form.MANIFEST: digest(written[form.MANIFEST])}
    batches = (batch(0, record(0), record(1)), batch(1, record(2))) if batches is None else batches
    documents = chunks = 0
    for number, each in enumerate(batches):
        written |= each
        name = form.batch_name(number, form.CHECKSUMS)
        written[name] = form.dumps({"members": {part: digest(content) for part, content in each.items()}})
        sums[name] = digest(written[name])
        documents += sum(1 for part in each if "/originals/" in part)
        chunks += sum(content.count(b"\n") for part, content in each.items() if "/chunks/" in part)
    written[form.CHECKSUMS] = form.dumps({"members": sums, "documents": documents, "chunks": chunks})
    return written


def digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def packed(written: Members) -> bytes:
    parts = [
        part
        for name, content in written.items()
        for part in (form.header(name, len(content)), content, bytes(form.padding(len(content))))
    ]
    return b"".join((*parts, form.END))


def verify(path: pathlib.Path, content: bytes) -> None:
    path.write_bytes(content)
    with Archive(path) as archive:
        archive.verify()


def test_what_was_written_is_read(tmp_path: pathlib.Path) -> None:
    path = tmp_path / "a.tar"
    path.write_bytes(packed(members()))

    with Archive(path) as archive:
        found = archive.verify()
        first, second = archive.batches()
        assert archive.manifest == MANIFEST
        assert (found.documents, found.chunks) == (3, 6)
        assert (*first.records, *second.records) == (record(0), record(1), record(2))
        assert archive.read(second.originals[0]) == f"{TEXT} 2".encode()
        with archive.stream(first.texts[1]) as stream:
            assert canonical.read_slice(stream, 2, 6) == "tale"
        encoded = archive.vectors(first.pieces[0])
        assert encoded.dense[3] == pytest.approx([0.6, 0.8, 0, 0], abs=1e-3)
        assert encoded.sparse[3] == Sparse(indices=[3, 7], values=[0.5, 1.5])
        assert [place.document for place in archive.places(first.pieces[0])] == [0, 0, 1, 1]
    with tarfile.open(path) as plain:  # any other program reads it too
        assert plain.getnames()[:2] == [form.MANIFEST, "000000/documents.ndjson"]


def test_the_order_of_documents_is_no_difference(tmp_path: pathlib.Path) -> None:
    one, other, third = (tmp_path / name for name in ("1", "2", "3"))
    one.write_bytes(packed(members()))
    other.write_bytes(packed(members(batches=(batch(0, record(2)), batch(1, record(1), record(0))))))
    third.write_bytes(packed(members(batches=(batch(0, record(0), record(1, title="Anew")),))))

    assert differences(one, other) == []
    assert differences(one, third) == [("notes/1",), ("notes/2",)]


def test_an_archive_that_is_cut_off_anywhere_is_refused(tmp_path: pathlib.Path) -> None:
    whole = packed(members())
    for length in sorted({*range(0, len(whole), 256), len(whole) - 1, len(whole) - 512}):
        with pytest.raises(ArchiveError):
            verify(tmp_path / "a.tar", whole[:length])


def test_a_bit_that_was_flipped_anywhere_is_found(tmp_path: pathlib.Path) -> None:
    whole = packed(members())
    verify(tmp_path / "a.tar", whole)
    for at in range(0, len(whole), 97):
        altered = bytearray(whole)
        altered[at] ^= 4
        try:
            verify(tmp_path / "a.tar", bytes(altered))
        except ArchiveError:
            continue
        pytest.fail(f"the bit at byte {at} of {len(whole)} was not found")


def test_what_comes_after_the_end_is_refused(tmp_path: pathlib.Path) -> None:
    with pytest.raises(ArchiveError, match="added at its end"):
        verify(tmp_path / "a.tar", packed(members()) + b"more")


def moved(written: Members, name: str, *, behind: str) -> Members:
    content = written.pop(name)
    return {
        key: value for each, kept in written.items() for key, value in ([(each, kept), (name, content)] if each == behind else [(each, kept)])
    }  # fmt: skip


def renamed(written: Members, name: str, other: str) -> Members:
    return {other if each == name else each: content for each, content in written.items()}


@pytest.mark.parametrize(
    "altered",
    [
        lambda each: moved(each, "000000/documents.ndjson", behind="000000/originals/01"),
        lambda each: moved(each, form.MANIFEST, behind="000000/documents.ndjson"),
        lambda each: moved(each, form.CHECKSUMS, behind="000000/checksums.json"),
        lambda each: moved(each, "000000/vectors/0000", behind="000001/documents.ndjson"),
        lambda each: renamed(each, "000001/originals/00", "../../escaped"),
        lambda each: renamed(each, "000001/originals/00", "/etc/passwd"),
        lambda each: renamed(each, "000001/documents.ndjson", "000002/documents.ndjson"),
        lambda each: {name: content for name, content in each.items() if not name.startswith("000001")},
        lambda each: {name: content for name, content in each.items() if name != "000000/texts/01"},
        lambda each: each | {"extra": b"more"},
    ],
)
def test_members_in_another_order_or_of_another_name_are_refused(
    tmp_path: pathlib.Path, altered: Callable[[Members], Members]
) -> None:
    with pytest.raises(ArchiveError):
        verify(tmp_path / "a.tar", packed(altered(members())))
    assert [path.name for path in tmp_path.iterdir()] == ["a.tar"]


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.DIRTYPE, tarfile.CHRTYPE])
def test_a_link_or_a_folder_is_refused(tmp_path: pathlib.Path, kind: bytes) -> None:
    link = tarfile.TarInfo(form.MANIFEST)
    link.type, link.linkname = kind, "/etc/passwd"
    with pytest.raises(ArchiveError, match="no plain file"):
        verify(tmp_path / "a.tar", link.tobuf(tarfile.GNU_FORMAT) + bytes(10_240))


def test_an_archive_of_a_newer_version_says_so(tmp_path: pathlib.Path) -> None:
    said = json.loads(MANIFEST.packed()) | {"format": form.FORMAT + 1}
    with pytest.raises(NewerArchiveError, match=f"format {form.FORMAT + 1}"):
        verify(tmp_path / "a.tar", packed(members(manifest=form.dumps(said))))


@pytest.mark.parametrize("content", [b"", b"hello", bytes(1024), bytes(10_240), b"PK\x03\x04" + bytes(2000)])
def test_another_file_is_no_archive(tmp_path: pathlib.Path, content: bytes) -> None:
    with pytest.raises(ArchiveError):
        verify(tmp_path / "a.tar", content)


def test_another_tar_is_no_archive(tmp_path: pathlib.Path) -> None:
    with tarfile.open(tmp_path / "a.tar", "w") as archive:
        archive.addfile(tarfile.TarInfo("manifest.json"), io.BytesIO())
    with pytest.raises(ArchiveError):
        verify(tmp_path / "a.tar", (tmp_path / "a.tar").read_bytes())


@pytest.mark.parametrize(
    "changed",
    [
        {"external_id": "../escaped"},
        {"external_id": "a\x00b"},
        {"metadata": {"deep": {"er": 1}}},
        {"metadata": {"n": 2**60}},
        {"readers": ("#admin",)},
        {"filename": "../x"},
        {"sha256": "0" * 64},
        {"sha256": "short"},
        {"size_bytes": 1},
        {"text_chars": 7},
        {"chunks": 3},
        {"chunks": -1},
        {"pages": "three"},
        {"title": "a\ud800b"},
        {"title": None},
    ],
)
def test_a_document_that_is_not_of_the_form_is_refused_though_its_checksums_hold(
    tmp_path: pathlib.Path, changed: dict[str, object]
) -> None:
    line = form.dumps if "\ud800" not in str(changed.get("title")) else lambda value: json.dumps(value).encode()
    made = batch(0, record(0))
    said = json.loads(record(0).packed()) | changed
    made["000000/documents.ndjson"] = line(said) + b"\n"
    with pytest.raises(ArchiveError):
        verify(tmp_path / "a.tar", packed(members(batches=(made,))))


@pytest.mark.parametrize(
    "changed", [{"end": 1000}, {"start": 5, "end": 5}, {"ordinal": 1}, {"document": 1}, {"headings": [1]}, {"page": -1}]
)
def test_a_chunk_that_is_not_of_the_form_is_refused_though_its_checksums_hold(
    tmp_path: pathlib.Path, changed: dict[str, object]
) -> None:
    made = batch(0, record(0))
    first, second = made["000000/chunks/0000.ndjson"].splitlines()
    made["000000/chunks/0000.ndjson"] = form.dumps(json.loads(first) | changed) + b"\n" + second + b"\n"
    with pytest.raises(ArchiveError):
        verify(tmp_path / "a.tar", packed(members(batches=(made,))))


def test_vectors_of_another_length_or_with_endless_numbers_are_refused() -> None:
    whole = form.packed_vectors([row(0)], 4)
    endless = np.array([np.inf, 0, 0, 0], dtype="<f2")
    for content in (whole[:-1], whole + b"x", whole[:12] + endless.tobytes() + whole[20:], b"", b"FNV0" + whole[4:]):
        with pytest.raises(ArchiveError):
            form.unpacked_vectors(content, 4)
    with pytest.raises(ArchiveError):
        form.unpacked_vectors(whole, 8)


@pytest.mark.parametrize("dimensions", [2, 4, 16, 384])
def test_what_a_store_rounded_is_the_same_when_it_rounds_it_again(dimensions: int) -> None:
    rows = np.random.default_rng(dimensions).normal(size=(2000, dimensions)).astype(np.float32)
    kept = (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float16).astype(np.float32)

    written = steady(kept)

    again = written / np.linalg.norm(written, axis=1, keepdims=True)
    assert np.array_equal(again.astype(np.float16), kept.astype(np.float16))
    assert np.abs(written - kept).max() < 1e-3


def test_a_vector_of_nothing_stays_so() -> None:
    assert np.array_equal(steady(np.zeros((1, 4), dtype=np.float32)), np.zeros((1, 4)))
