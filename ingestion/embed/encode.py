"""Passages to vectors of both kinds."""

from __future__ import annotations

from collections.abc import Sequence

from app.domain.documents import Chunk
from app.domain.ports import Embedder, SparseEncoder
from app.domain.vectors import Encoded


def encode(
    embedder: Embedder, sparse: SparseEncoder, passages: Sequence[str], chunks: Sequence[tuple[str, Chunk]]
) -> Encoded:
    """Both vectors of each chunk, in order.

    Args:
        embedder: makes the dense ones.
        sparse: makes the sparse ones.
        passages: each chunk as the chunker composed it for the embedder, with title and headings.
        chunks: title and chunk. The words of headings stay out of the sparse side: repeated in every chunk below them,
            they drown the question's own (docs/decisions/0004-fusion.md).

    Raises:
        TransientError: the embedder can't answer now.
    """
    return Encoded(
        dense=embedder.embed_passages(passages),
        sparse=sparse.encode_passages([f"{title}\n{chunk.text}" for title, chunk in chunks]),
    )
