"""The file of a collection: a plain tar whose members come in one stated order, each under a checksum.

    manifest.json                the form's version, the collection, how its index was built
    000000/documents.ndjson      some documents, a line each
    000000/originals/00          the bytes as uploaded, of each document
    000000/texts/00              its canonical text, in the stored form of `app.text.canonical`
    000000/chunks/0000.ndjson    up to 1,024 chunks of these documents, a line each
    000000/vectors/0000          their vectors, row by row
    000000/checksums.json        SHA-256 of each of these members
    000001/...
    checksums.json               SHA-256 of the manifest and of each batch's checksums; the counts

Members are taken by their place and never written to a path of their own, so a name can lead nowhere. Nothing in the
file says when or where it was written: equal content in equal order is an equal file.
"""

from __future__ import annotations

import dataclasses
import json
import re
import struct
import tarfile
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from app.documents import uploads
from app.domain.documents import Chunk, Document, Fingerprints, Version
from app.domain.errors import DocumentError, FootnoteError
from app.domain.filters import Scalar
from app.domain.vectors import Encoded, Sparse, StoredVectors

FORMAT = 1
KIND = "footnote-collection"
MANIFEST, CHECKSUMS = "manifest.json", "checksums.json"
BLOCK = 512  # of a tar
END = bytes(2 * BLOCK)
BATCH_DOCUMENTS = 64
BATCH_BYTES = 8 << 20  # of originals, after which a batch is full
PIECE_CHUNKS = 1024

_MAGIC = b"FNV1"
_HEAD = struct.Struct("<4sII")  # magic, rows, dimensions
_SHA256 = re.compile(r"[0-9a-f]{64}")
_MAX_TITLE_CHARS = 100_000  # a document's own title may be longer than one that a person gives


class ArchiveError(DocumentError):
    """The file is no whole archive of a collection: cut off, altered, or something else."""

    code = "bad_archive"


class NewerArchiveError(ArchiveError):
    """A newer version of Footnote wrote the archive."""

    code = "archive_newer"


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """What an archive holds."""

    name: str  # of the collection
    description: str
    fingerprints: Fingerprints
    dimensions: int

    def packed(self) -> bytes:
        """As it is written."""
        index = dataclasses.asdict(self.fingerprints) | {"dimensions": self.dimensions}
        collection = {"name": self.name, "description": self.description}
        return dumps({"kind": KIND, "format": FORMAT, "collection": collection, "index": index})


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """A document of an archive, with what is known of its live version."""

    external_id: str | None
    title: str
    metadata: dict[str, Scalar]
    readers: tuple[str, ...]  # empty: admins alone
    filename: str
    media_type: str
    sha256: str  # of the original, hexadecimal
    size_bytes: int
    loader: str
    pages: int | None
    text_chars: int
    chunks: int
    marks: tuple[str, ...] = ()  # of the version; archives of before there were any have none

    @classmethod
    def of(cls, document: Document, version: Version, *, text_chars: int, chunks: int) -> Record:
        """A document as it is exported."""
        return cls(
            external_id=document.external_id,
            title=document.title,
            metadata=document.metadata,
            readers=document.readers,
            filename=version.filename,
            media_type=version.media_type,
            sha256=version.sha256,
            size_bytes=version.size_bytes,
            loader=version.loader,
            pages=version.pages,
            text_chars=text_chars,
            chunks=chunks,
            marks=version.marks,
        )

    def packed(self) -> bytes:
        """A line."""
        return dumps(dataclasses.asdict(self)) + b"\n"


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """A chunk of an archive: characters [start, end) of the text of one of its batch's documents."""

    document: int  # 0-based, in the batch
    ordinal: int
    start: int
    end: int
    page: int | None
    headings: tuple[str, ...]


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """A chunk with its vectors in the form in which they are written."""

    chunk: Chunk
    dense: npt.NDArray[np.float16]
    indices: npt.NDArray[np.uint32]
    values: npt.NDArray[np.float32]

    @classmethod
    def of(cls, chunk: Chunk, kept: StoredVectors) -> Row:
        """From what a database and a vector store hold."""
        return cls(
            chunk=dataclasses.replace(chunk, text=""),  # the text is written once, in whole
            dense=kept.dense.astype("<f2"),
            indices=np.array(kept.sparse.indices, dtype="<u4"),
            values=np.array(kept.sparse.values, dtype="<f4"),
        )


def dumps(value: Any) -> bytes:
    """JSON that is the same for the same value."""
    return json.dumps(value, ensure_ascii=False, sort_keys=True, separators=(",", ":")).encode()


def batch_name(number: int, rest: str) -> str:
    """The name of a member of a batch."""
    return f"{number:06}/{rest}"


def header(name: str, size: int) -> bytes:
    """The block that comes before a member's content."""
    member = tarfile.TarInfo(name)
    member.size, member.mode = size, 0o600
    return member.tobuf(tarfile.GNU_FORMAT)


def padding(size: int) -> int:
    """Zeros after a content of that size."""
    return -size % BLOCK


def packed_places(rows: Sequence[tuple[int, Row]]) -> bytes:
    """The lines of a piece, each row with its document's number."""
    lines = (
        dumps(
            {
                "document": number,
                "ordinal": row.chunk.ordinal,
                "start": row.chunk.start,
                "end": row.chunk.end,
                "page": row.chunk.page,
                "headings": row.chunk.headings,
            }
        )
        for number, row in rows
    )
    return b"".join(line + b"\n" for line in lines)


def packed_vectors(rows: Sequence[Row], dimensions: int) -> bytes:
    """Half precision, which is what every store keeps, row by row; then lengths, ids and weights of the sparse sides."""
    lengths = np.array([len(row.indices) for row in rows], dtype="<u4")
    return b"".join(
        (
            _HEAD.pack(_MAGIC, len(rows), dimensions),
            *(row.dense.tobytes() for row in rows),
            lengths.tobytes(),
            *(row.indices.tobytes() for row in rows),
            *(row.values.tobytes() for row in rows),
        )
    )


def unpacked_vectors(content: bytes, dimensions: int) -> Encoded:
    """The reverse of `packed_vectors`.

    Raises:
        ArchiveError: this is something else.
    """
    try:
        magic, rows, length = _HEAD.unpack_from(content)
        at = _HEAD.size
        dense = np.frombuffer(content, "<f2", rows * length, at).reshape(rows, length).astype(np.float32)
        at += 2 * rows * length
        lengths = np.frombuffer(content, "<u4", rows, at).astype(np.int64)
        at += 4 * rows
        terms = int(lengths.sum())
        indices = np.frombuffer(content, "<u4", terms, at)
        values = np.frombuffer(content, "<f4", terms, at + 4 * terms)
    except (struct.error, ValueError) as error:
        raise ArchiveError("the archive's vectors can't be read") from error
    if magic != _MAGIC or length != dimensions or at + 8 * terms != len(content):
        raise ArchiveError("the archive's vectors are not of the stated form")
    if not (np.isfinite(dense).all() and np.isfinite(values).all()):
        raise ArchiveError("the archive holds vectors with numbers that are not finite")
    ends = np.cumsum(lengths)
    sparse = [
        Sparse(indices=indices[end - size : end].tolist(), values=values[end - size : end].tolist())
        for end, size in zip(ends.tolist(), lengths.tolist(), strict=True)
    ]
    return Encoded(dense=dense, sparse=sparse)


def manifest_of(content: bytes) -> Manifest:
    """The manifest.

    Raises:
        NewerArchiveError: a newer version of Footnote wrote it.
        ArchiveError: this is something else.
    """
    said = _object(content, MANIFEST)
    written_as = said.get("format")
    if said.get("kind") != KIND or not isinstance(written_as, int):
        raise ArchiveError("this is no archive of a collection: `footnote export` writes one")
    if written_as > FORMAT:
        raise NewerArchiveError(
            f"the archive has format {written_as}, this version of Footnote knows {FORMAT}: import it with a newer one"
        )
    try:
        collection, index = said["collection"], said["index"]
        return Manifest(
            name=uploads.check_name(_text(collection["name"]), of="collection"),
            description=_text(collection["description"]),
            fingerprints=Fingerprints(
                chunker=_text(index["chunker"]), dense=_text(index["dense"]), sparse=_text(index["sparse"])
            ),
            dimensions=_count(index["dimensions"]),
        )
    except (KeyError, TypeError, AttributeError, ValueError, FootnoteError) as error:
        raise ArchiveError(f"the archive's manifest is not of the stated form: {error}") from error


def records_of(content: bytes) -> tuple[Record, ...]:
    """The documents of a batch. Raises ArchiveError."""
    try:
        records = tuple(_record(json.loads(line)) for line in content.splitlines())
    except (KeyError, TypeError, AttributeError, ValueError, RecursionError, FootnoteError) as error:
        raise ArchiveError(f"a document of the archive is not of the stated form: {error}"[:300]) from error
    named = [record.external_id for record in records if record.external_id is not None]
    if not records or len(records) > BATCH_DOCUMENTS or len(set(named)) < len(named):
        raise ArchiveError(f"a batch of the archive has 1 to {BATCH_DOCUMENTS} documents, each external id once")
    return records


def places_of(content: bytes) -> list[Place]:
    """The chunks of a piece. Raises ArchiveError."""
    try:
        return [_place(json.loads(line)) for line in content.splitlines()]
    except (KeyError, TypeError, AttributeError, ValueError, RecursionError) as error:
        raise ArchiveError(f"a chunk of the archive is not of the stated form: {error}"[:300]) from error


def checksums_of(content: bytes, name: str) -> tuple[dict[str, str], dict[str, Any]]:
    """SHA-256 by member, and the whole object that holds them. Raises ArchiveError."""
    said = _object(content, name)
    members = said.get("members")
    if not isinstance(members, dict):
        raise ArchiveError(f"the archive's {name} is not of the stated form")
    return members, said


def _object(content: bytes, name: str) -> dict[str, Any]:
    try:
        said = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise ArchiveError(f"the archive's {name} can't be read") from error
    if not isinstance(said, dict):
        raise ArchiveError(f"the archive's {name} is not of the stated form")
    return said


def _record(said: dict[str, Any]) -> Record:
    readers = tuple(_text(reader) for reader in said["readers"])
    external_id = said["external_id"]
    sha256 = _text(said["sha256"])
    if not _SHA256.fullmatch(sha256) or len(said["title"]) > _MAX_TITLE_CHARS:
        raise ValueError("no SHA-256, or an endless title")
    return Record(
        external_id=None if external_id is None else uploads.check_external_id(_text(external_id)),
        title=_text(said["title"]),
        metadata=uploads.check_metadata(said["metadata"]),
        readers=uploads.check_readers(readers) if readers else (),
        filename=uploads.check_filename(_text(said["filename"])),
        media_type=_text(said["media_type"]),
        sha256=sha256,
        size_bytes=_count(said["size_bytes"]),
        loader=_text(said["loader"]),
        pages=None if said["pages"] is None else _count(said["pages"]),
        text_chars=_count(said["text_chars"]),
        chunks=_count(said["chunks"]),
        marks=tuple(_text(mark) for mark in said.get("marks", ())),
    )


def _place(said: dict[str, Any]) -> Place:
    return Place(
        document=_count(said["document"]),
        ordinal=_count(said["ordinal"]),
        start=_count(said["start"]),
        end=_count(said["end"]),
        page=None if said["page"] is None else _count(said["page"]),
        headings=tuple(_text(heading) for heading in said["headings"]),
    )


def _text(value: object) -> str:
    if not isinstance(value, str) or "\x00" in value:
        raise ValueError("not a text")
    value.encode()  # a lone surrogate is a ValueError
    return value


def _count(value: object) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value < 2**53:
        raise ValueError("not a count")
    return value
