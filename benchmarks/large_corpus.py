"""A data folder with 100,000 chunks, made in about two minutes: what latency is measured on.

    python -m benchmarks.large_corpus --data-dir FOLDER [--chunks 100000]

Embedding 100,000 passages would take most of an hour on two cores, and what a search costs does not depend on where a
vector came from. So the texts are real (stretches of SciFact, SQuAD and War and Peace, each a different one), their BM25
vectors are real, some thousand dense vectors are real, and the rest are those of the nearest embedded stretch mixed with
random directions. All is written through the product's own database and stores, and the folder is a normal one:
`footnote serve` opens it, every hit is hydrated, every offset is exact, every document is live.
"""

from __future__ import annotations

import argparse
import dataclasses
import datetime as dt
import hashlib
import itertools
import json
import pathlib
import random
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from app import bootstrap
from app.bootstrap import DEFAULT_COLLECTION, Services
from app.domain.access import EVERYONE, scope
from app.domain.documents import Chunk, Collection, Document, Version, VersionState
from app.domain.ids import new_id
from app.domain.vectors import Matrix, Point
from app.settings import Settings
from app.text import canonical
from benchmarks import corpora, report
from ingestion.load import registry

CHUNKS = 100_000
CHUNKS_PER_DOCUMENT = 20
_CHUNK_CHARS = 800  # about 180 word pieces
_REAL_SHARE = 0.8  # of the nearest real vector in a made one; the rest is random
_ANCHORS = 2000  # stretches that are embedded for real, at most one in ten
_DOCUMENTS_AT_ONCE = 100


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Stretches:
    """Real text to take stretches of, with real vectors at even distances."""

    text: str
    starts: Sequence[int]  # of stretches, one a chunk
    anchors: Sequence[int]  # starts of those that were embedded, ascending
    vectors: Matrix  # of the anchors


def main() -> None:
    """Make the folder."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=pathlib.Path, default=report.DATA)
    parser.add_argument("--data-dir", type=pathlib.Path, required=True)
    parser.add_argument("--chunks", type=int, default=CHUNKS)
    arguments = parser.parse_args()
    services = bootstrap.build(Settings(data_dir=arguments.data_dir))
    try:
        made = fill(services, arguments.data, chunks=arguments.chunks)
    finally:
        services.stop()
    print(json.dumps(made))


def fill(services: Services, data: pathlib.Path, *, chunks: int) -> dict[str, int]:
    """Write the documents into the default collection; gives how many documents and chunks."""
    rng = random.Random(20260101)
    stretches = _stretches(services, data, number=chunks, rng=rng)
    collection = _collection(services)
    noise = np.random.default_rng(20260101)
    documents = 0
    for group in _grouped(stretches.starts, CHUNKS_PER_DOCUMENT * _DOCUMENTS_AT_ONCE):
        parts = list(_grouped(group, CHUNKS_PER_DOCUMENT))
        _write(services, collection, stretches, parts, first=documents, noise=noise)
        documents += len(parts)
    services.vectors.flush()
    return {"documents": documents, "chunks": len(stretches.starts)}


def _stretches(services: Services, data: pathlib.Path, *, number: int, rng: random.Random) -> Stretches:
    text = _text(data)
    last = len(text) - _CHUNK_CHARS - 1
    step = max(1, last // number)
    starts = [min(last, at * step) for at in range(number)]
    anchors = starts[:: max(10, number // _ANCHORS)]
    vectors = services.embedder.embed_passages([text[at : at + _CHUNK_CHARS] for at in anchors])
    rng.shuffle(starts)
    return Stretches(text=text, starts=starts, anchors=anchors, vectors=vectors)


def _text(data: pathlib.Path) -> str:
    """Everything there is, in canonical form."""
    abstracts = "\n".join(f"{row['title']} {row['text']}" for row in corpora.scifact_documents(data))
    squad = json.loads((data / "squad" / "squad-a.json").read_text(encoding="utf-8"))["data"]
    paragraphs = "\n".join(each["context"] for article in squad for each in article["paragraphs"])
    book = (data / "awkward" / "book-war-and-peace-1225p.txt").read_text(encoding="utf-8", errors="replace")
    return canonical.canonical(f"{abstracts}\n{paragraphs}\n{book}")


def _collection(services: Services) -> Collection:
    admin = services.keys.authenticate(services.admin_key_path.read_text(encoding="utf-8").strip())
    with services.database.read() as work:
        found = work.collections.by_name(admin.workspace_id, DEFAULT_COLLECTION)
    if found is None:
        raise SystemExit(f"no collection {DEFAULT_COLLECTION}")
    return found


def _write(
    services: Services,
    collection: Collection,
    stretches: Stretches,
    parts: Sequence[Sequence[int]],
    *,
    first: int,
    noise: np.random.Generator,
) -> None:
    """Some documents: rows, points, originals and texts."""
    now = services.clock.now()
    made = [_document(collection, stretches, starts, number=first + at, now=now) for at, starts in enumerate(parts)]
    contents: dict[str, bytes] = {}
    with services.database.write() as work:
        for document, version, text, chunks in made:
            work.documents.add(document)
            work.versions.add(version)
            work.chunks.add([(document.id, chunk) for chunk in chunks])
            contents[version.original_key] = text.encode()
            contents[version.text_key] = canonical.pack(text)
        work.commit()
    services.files.write_many(contents)
    flat = [(version, chunk) for _, version, _, chunks in made for chunk in chunks]
    dense = _mixed(stretches, [start for starts in parts for start in starts], noise)
    sparse = services.sparse.encode_passages([chunk.text for _, chunk in flat])
    points = [
        Point(
            chunk_id=chunk.id,
            index_id=chunk.index_id,
            document_id=version.document_id,
            version_id=version.id,
            scope=scope(chunk.index_id, version.readers),
            metadata=version.metadata,
            dense=dense[row],
            sparse=sparse[row],
        )
        for row, (version, chunk) in enumerate(flat)
    ]
    services.vectors.upsert(services.space, points)


def _document(
    collection: Collection, stretches: Stretches, starts: Sequence[int], *, number: int, now: dt.datetime
) -> tuple[Document, Version, str, list[Chunk]]:
    """One live document whose paragraphs are stretches, each a chunk."""
    pieces = [stretches.text[at : at + _CHUNK_CHARS].replace("\n", " ").strip() for at in starts]
    text = "\n\n".join(pieces)
    shared: dict[str, Any] = {
        "workspace_id": collection.workspace_id,
        "title": f"Stretch {number}",
        "metadata": {"shelf": number % 10},
        "readers": (EVERYONE,),
        "created_at": now,
    }
    document_id, version_id = new_id(), new_id()
    document = Document(
        id=document_id,
        collection_id=collection.id,
        external_id=f"stretch-{number}.txt",
        live_version_id=version_id,
        updated_at=now,
        **shared,
    )
    version = Version(
        id=version_id,
        document_id=document_id,
        seq=1,
        state=VersionState.LIVE,
        filename=f"stretch-{number}.txt",
        media_type="text/plain",
        sha256=hashlib.sha256(text.encode()).hexdigest(),
        size_bytes=len(text.encode()),
        loader=registry.FINGERPRINT,
        pages=None,
        text_chars=len(text),
        chunks=len(pieces),
        **shared,
    )
    ends = list(itertools.accumulate(len(piece) + 2 for piece in pieces))
    chunks = [
        Chunk(
            index_id=collection.live_index_id,
            version_id=version_id,
            ordinal=ordinal,
            start=end - 2 - len(piece),
            end=end - 2,
            page=None,
            headings=(),
            text=piece,
        )
        for ordinal, (piece, end) in enumerate(zip(pieces, ends, strict=True))
    ]
    return document, version, text, chunks


def _mixed(stretches: Stretches, starts: Sequence[int], noise: np.random.Generator) -> Matrix:
    """A unit vector for each start: the one of the anchor before it, mixed with a random direction."""
    rows = np.searchsorted(np.asarray(stretches.anchors), np.asarray(starts), side="right") - 1
    random_part = noise.standard_normal((len(starts), stretches.vectors.shape[1])).astype(np.float32)
    random_part /= np.linalg.norm(random_part, axis=1, keepdims=True)
    mixed = _REAL_SHARE * stretches.vectors[rows] + (1 - _REAL_SHARE**2) ** 0.5 * random_part
    unit: Matrix = (mixed / np.linalg.norm(mixed, axis=1, keepdims=True)).astype(np.float32)
    return unit


def _grouped(values: Sequence[int], size: int) -> Iterator[Sequence[int]]:
    for first in range(0, len(values), size):
        yield values[first : first + size]


if __name__ == "__main__":
    main()
