"""Points of chunks."""

from __future__ import annotations

from collections.abc import Sequence

from app.domain.access import scope
from app.domain.documents import Chunk, Version
from app.domain.vectors import Encoded, Point


def points(chunks: Sequence[tuple[Version, Chunk]], encoded: Encoded) -> list[Point]:
    """A point for each chunk, under the readers and metadata that its version will have when it is live."""
    return [
        Point(
            chunk_id=chunk.id,
            index_id=chunk.index_id,
            document_id=version.document_id,
            version_id=version.id,
            scope=scope(chunk.index_id, version.readers),
            metadata=version.metadata,
            dense=encoded.dense[row],
            sparse=encoded.sparse[row],
        )
        for row, (version, chunk) in enumerate(chunks)
    ]
