"""Collections, documents, their versions, and the chunks that are searched."""

from __future__ import annotations

import dataclasses
import datetime as dt
import enum
import uuid

from app.domain.filters import Scalar
from app.domain.vectors import Space

CHUNK_NAMESPACE = uuid.UUID("6f1f3a52-6c1e-5f0e-9d58-3f1b6f0c7f11")


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Fingerprints:
    """What decides the content of an index; two builds with equal fingerprints are interchangeable."""

    chunker: str
    dense: str
    sparse: str

    @property
    def space(self) -> str:
        """The name of the physical vector collection that all indexes of this dense and sparse encoder share."""
        return uuid.uuid5(CHUNK_NAMESPACE, f"{self.dense}\n{self.sparse}").hex


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Collection:
    """A named set of documents that are indexed alike."""

    id: uuid.UUID
    workspace_id: uuid.UUID
    name: str
    description: str
    live_index_id: uuid.UUID
    building_index_id: uuid.UUID | None = None  # a second one, which is not asked yet
    standby_index_id: uuid.UUID | None = None  # the one that was live before, to go back to
    created_at: dt.datetime
    updated_at: dt.datetime

    @property
    def index_ids(self) -> tuple[uuid.UUID, ...]:
        """All that uploads go into, the live one first."""
        others = (self.building_index_id, self.standby_index_id)
        return (self.live_index_id, *(each for each in others if each is not None))


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Index:
    """One build of a collection."""

    id: uuid.UUID
    workspace_id: uuid.UUID
    collection_id: uuid.UUID
    fingerprints: Fingerprints
    dimensions: int
    created_at: dt.datetime

    @property
    def space(self) -> Space:
        """The physical vector collection that its points are in."""
        return Space(name=self.fingerprints.space, dimensions=self.dimensions)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Indexed:
    """A version whose chunks are all cut for an index."""

    index_id: uuid.UUID
    version_id: uuid.UUID
    chunks: int
    whole: bool  # whether all their points are written


class VersionState(enum.StrEnum):
    """Where one accepted upload stands."""

    PENDING = "pending"  # accepted, not yet whole
    LIVE = "live"  # answers
    SUPERSEDED = "superseded"  # a later one answers, or answered before this one was whole
    FAILED = "failed"  # could not be ingested, or was cancelled
    DELETED = "deleted"  # its document was deleted


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Document:
    """A document as people name it; what it says is in its live version."""

    id: uuid.UUID
    workspace_id: uuid.UUID
    collection_id: uuid.UUID
    external_id: str | None
    title: str
    metadata: dict[str, Scalar]
    readers: tuple[str, ...]
    live_version_id: uuid.UUID | None
    created_at: dt.datetime
    updated_at: dt.datetime
    deleted_at: dt.datetime | None = None


def original_key(version_id: uuid.UUID) -> str:
    """Where the file store keeps the uploaded bytes of a version, which may not have been made yet."""
    return f"originals/{version_id.hex[-2:]}/{version_id.hex}"


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Version:
    """One accepted upload of a document. Title, metadata and readers become the document's when it goes live."""

    id: uuid.UUID
    workspace_id: uuid.UUID
    document_id: uuid.UUID
    seq: int  # 1-based order of acceptance within the document
    state: VersionState
    filename: str  # as uploaded, made safe; the loader's second hint after the content
    media_type: str  # as sniffed when accepted
    sha256: str  # of the original bytes, hexadecimal
    size_bytes: int
    loader: str  # fingerprint of the loader registry that accepted it
    title: str
    metadata: dict[str, Scalar]
    readers: tuple[str, ...]
    pages: int | None  # None for formats without pages, and before loading
    text_chars: int | None  # code points of the canonical text; None before loading
    chunks: int | None  # None before chunking
    created_at: dt.datetime
    text_bytes: int | None = None  # of the stored text; None where it is not known
    marks: tuple[str, ...] = ()  # what a loader saw that a reader should know: `instructions`, `hidden_text`

    @property
    def original_key(self) -> str:
        """Where the file store keeps the uploaded bytes."""
        return original_key(self.id)

    @property
    def text_key(self) -> str:
        """Where the file store keeps the canonical text."""
        return f"texts/{self.id.hex[-2:]}/{self.id.hex}"

    @property
    def file_sizes(self) -> dict[str, int]:
        """Bytes of its files, by key, as far as they are known."""
        text = {} if self.text_bytes is None else {self.text_key: self.text_bytes}
        return {self.original_key: self.size_bytes, **text}


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Chunk:
    """A passage that is embedded and can be cited: characters [start, end) of its version's canonical text."""

    index_id: uuid.UUID  # the build of the collection that cut it
    version_id: uuid.UUID
    ordinal: int  # 0-based position in the version
    start: int  # code points, inclusive
    end: int  # code points, exclusive
    page: int | None  # 1-based; None for formats without pages
    headings: tuple[str, ...]  # outermost first
    text: str  # exactly the canonical text's [start, end)

    @property
    def id(self) -> uuid.UUID:
        """The same version cut in the same build gives the same id, so writing twice is writing once."""
        return chunk_id(self.index_id, self.version_id, self.ordinal)


def chunk_id(index_id: uuid.UUID, version_id: uuid.UUID, ordinal: int) -> uuid.UUID:
    """The id of a chunk: the same version cut in the same build gives the same one."""
    return uuid.uuid5(CHUNK_NAMESPACE, f"{index_id}/{version_id}/{ordinal}")


def chunk_ids(index_id: uuid.UUID, version_id: uuid.UUID, count: int) -> list[uuid.UUID]:
    """The ids of all chunks of a version in an index, in order."""
    return [chunk_id(index_id, version_id, ordinal) for ordinal in range(count)]


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Deletion:
    """The receipt of a delete: what was removed from each store, filled in as the purge goes."""

    id: uuid.UUID
    workspace_id: uuid.UUID
    document_id: uuid.UUID
    job_id: uuid.UUID | None
    requested_at: dt.datetime
    finished_at: dt.datetime | None  # None while the purge is under way
    rows: int  # document and version rows
    chunks: int
    vectors: int
    bytes: int  # of originals and texts
    bytes_reclaimed: int  # already given back to the file system; vectors give theirs back at a later compaction
