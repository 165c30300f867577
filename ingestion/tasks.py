"""What the pipeline works on: an item for one index of its collection, and the models that serve that index."""

from __future__ import annotations

import dataclasses
import itertools
import uuid
from collections.abc import Iterable, Iterator, Mapping, Sequence

from app.domain.documents import Chunk, Document, Index, Indexed, Version, VersionState
from app.domain.errors import FingerprintMismatchError
from app.domain.jobs import Failure, Item, JobKind, JobState
from app.domain.ports import Embedder
from app.domain.repositories import Outcome, ReadWork
from ingestion.chunk.chunker import Chunker

_DELETED = Failure(code="gone", message="the document was deleted", retryable=False)


@dataclasses.dataclass(frozen=True, slots=True)
class Cut:
    """A chunk, and what is known of its size."""

    chunk: Chunk
    tokens: int | None  # the most that its text has as it is embedded; None where it was not counted just now


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """An item for one of the indexes that its version goes into, with what the database says of it."""

    item: Item
    version: Version  # with the readers and metadata that its points get
    index: Index
    resumed: bool  # its chunks are cut already
    chunks: int = 0  # how many there are; 0 before they are cut
    cut: tuple[Cut, ...] | None = None  # of a small document that was cut just now; else its rows are read

    @property
    def anew(self) -> bool:
        """Whether its version answers already and only an index lacks it."""
        return self.item.kind is JobKind.REINDEX


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Builder:
    """What makes the dense side of an index."""

    embedder: Embedder
    chunker: Chunker

    def chunker_of(self, index: Index) -> Chunker:
        """The chunker that the index was begun with, or this process's own where the code for that is gone."""
        return Chunker.restored(self.embedder.tokenizer, index.fingerprints.chunker) or self.chunker


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Builders:
    """The builders of this process, by the fingerprint of their embedder."""

    by_dense: Mapping[str, Builder]
    sparse: str  # fingerprint of the one sparse encoder

    def of(self, index: Index) -> Builder:
        """The builder for an index that `serves` this process."""
        return self.by_dense[index.fingerprints.dense]

    def serve(self, index: Index) -> bool:
        """Whether this process can add to an index."""
        return index.fingerprints.sparse == self.sparse and index.fingerprints.dense in self.by_dense

    def mismatch(self, index: Index) -> Failure:
        """Why it can't."""
        ours = ", ".join(self.by_dense)
        return Failure(
            code=FingerprintMismatchError.code,
            message=f"the collection was embedded with {index.fingerprints.dense}, this process embeds with {ours}: set "
            "FOOTNOTE_EMBEDDER back or name its model in FOOTNOTE_OTHER_EMBEDDERS, or build a new index by `footnote "
            "reindex`",
            retryable=True,
        )


def of_items(work: ReadWork, items: Sequence[Item], builders: Builders) -> tuple[list[Task], list[Outcome]]:
    """A task for each index that an item's version still has to go into; and how items end that have none."""
    versions = work.versions.many([item.version_id for item in items if item.version_id is not None])
    documents = work.documents.many([item.document_id for item in items if item.document_id is not None])
    indexes = work.collections.indexes(sorted({document.collection_id for document in documents.values()}))
    noted = work.chunks.indexed(list(versions))
    tasks: list[Task] = []
    ended: list[Outcome] = []
    for item in items:
        version = versions.get(item.version_id) if item.version_id else None
        document = documents.get(item.document_id) if item.document_id else None
        mine = indexes.get(document.collection_id, []) if document else []
        if item.kind is JobKind.REINDEX:
            found = _anew(item, version, document, mine, noted)
        else:
            found = _fresh(item, version, mine)
        if isinstance(found, Outcome):
            ended.append(found)
            continue
        unserved = next((index for _, index in found if not builders.serve(index)), None)
        if unserved is not None and (item.kind is JobKind.REINDEX or unserved == found[0][1]):
            ended.append(failed(item, builders.mismatch(unserved)))
            continue
        for version_of, index in found:
            if builders.serve(index):
                note = noted.get((index.id, version_of.id))
                tasks.append(
                    Task(
                        item=item,
                        version=version_of,
                        index=index,
                        resumed=note is not None,
                        chunks=note.chunks if note else 0,
                    )
                )
    return tasks, ended


def _fresh(item: Item, version: Version | None, indexes: Sequence[Index]) -> Outcome | list[tuple[Version, Index]]:
    """An upload goes into every index of its collection, the live one first."""
    if version is None or version.state is not VersionState.PENDING or not indexes:
        return failed(item, _DELETED)
    return [(version, index) for index in indexes]


def _anew(
    item: Item,
    version: Version | None,
    document: Document | None,
    indexes: Sequence[Index],
    noted: Mapping[tuple[uuid.UUID, uuid.UUID], Indexed],
) -> Outcome | list[tuple[Version, Index]]:
    """A live version goes into those indexes that lack it, under the readers that its document has now."""
    if version is None or document is None or document.live_version_id != version.id:
        return done(item)
    version = dataclasses.replace(version, readers=document.readers, metadata=document.metadata)
    lacking = [each for each in indexes if not ((note := noted.get((each.id, version.id))) and note.whole)]
    return [(version, index) for index in lacking] or done(item)


def failed(item: Item, failure: Failure) -> Outcome:
    """The item ends so."""
    return Outcome(item_id=item.id, lease_token=item.lease_token, state=JobState.FAILED, error=failure)


def done(item: Item) -> Outcome:
    """There is nothing to do any more."""
    return Outcome(item_id=item.id, lease_token=item.lease_token, state=JobState.COMPLETED)


def by_item(tasks: Iterable[Task]) -> list[list[Task]]:
    """The tasks of each item, in order."""
    groups: dict[uuid.UUID, list[Task]] = {}
    for task in tasks:
        groups.setdefault(task.item.id, []).append(task)
    return list(groups.values())


def by_build(tasks: Iterable[Task]) -> list[list[Task]]:
    """The tasks whose chunks are cut and embedded alike and lie in one space."""
    groups: dict[object, list[Task]] = {}
    for task in tasks:
        groups.setdefault(task.index.fingerprints, []).append(task)
    return list(groups.values())


def windows(pairs: Iterator[tuple[Task, Cut]], size: int) -> Iterator[list[tuple[Task, Cut]]]:
    """The pairs in order, `size` at a time."""
    while window := list(itertools.islice(pairs, size)):
        yield window
